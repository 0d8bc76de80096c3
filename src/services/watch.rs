//! Server streams: what a subscription takes from the image becomes frames, at the pace that the client reads and asked for.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use rand::Rng;
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::error::ServiceError;
use super::{Services, StreamSettings, convert};
use crate::domain::AssetCode;
use crate::domain::state::Key;
use crate::image::{Batch, Collection, Cursor, Filter, Image, Stage, Subscription, View};
use crate::proto::v1;

/// A request for a stream, as far as all kinds of stream have it in common.
pub struct WatchRequest {
    /// What is watched.
    pub collection: Collection,
    /// Which items.
    pub filter: Filter,
    /// The items named in the request.
    pub items: Vec<RequestedItem>,
    /// How much of each item.
    pub view: View,
    /// `min_interval`, as it was sent.
    pub min_interval: Option<prost_types::Duration>,
    /// `heartbeat_interval`, as it was sent.
    pub heartbeat_interval: Option<prost_types::Duration>,
    /// `resume_cursor`, as it was sent.
    pub resume_cursor: String,
    /// When the client gives up on the call.
    pub deadline: Option<Instant>,
}

/// An item that the request names.
pub struct RequestedItem {
    /// The name exactly as it was sent.
    name: String,
    /// What it stands for; `None` when the name is not well formed.
    wanted: Option<Wanted>,
    /// What the client was told of it last.
    told: v1::ItemState,
}

/// What a name in a request stands for.
struct Wanted {
    /// The key that is watched.
    key: Key,
    /// A key that exists when the name is in the catalogue.
    catalogued: Key,
}

/// One frame, as far as all kinds of stream have it in common.
pub struct Frame {
    /// The items' entries.
    pub entries: Vec<bytes::Bytes>,
    /// The position after the frame.
    pub cursor: String,
    /// Where it stands in the stream.
    pub state: v1::StreamState,
    /// How many states were superseded.
    pub conflated_count: i64,
    /// When it was made.
    pub publish_time: prost_types::Timestamp,
    /// Acknowledgements.
    pub items: Vec<v1::ItemStatus>,
    /// The configuration as granted; in the first frame.
    pub configuration: Option<v1::StreamConfiguration>,
}

/// Opens a stream.
///
/// # Errors
///
/// When the process cannot serve, an interval or the cursor cannot be taken, or the cursor is too old.
pub fn open(
    services: &Services,
    request: WatchRequest,
) -> Result<impl Stream<Item = Result<Frame, Status>> + Send + 'static, ServiceError> {
    services.check_serving()?;
    let granted = Granted::of(&request, &services.streams)?;
    let WatchRequest { collection, filter, items, view, resume_cursor, deadline, .. } = request;
    let subscription = if resume_cursor.is_empty() {
        Subscription::open(&services.image, collection, filter, view)
    } else {
        let cursor = Cursor::decode(&resume_cursor, collection).map_err(|_| {
            let allowed = "must be a cursor of this kind of stream, exactly as it was received, or empty";
            ServiceError::invalid("resume_cursor", &resume_cursor, allowed)
        })?;
        Subscription::resume(&services.image, collection, filter, view, &cursor)
            .map_err(|_| ServiceError::CursorTooOld)?
    };
    let now = Instant::now();
    let watch = Watch {
        services: services.clone(),
        subscription,
        granted,
        view,
        items,
        first: true,
        ended: false,
        items_after: now,
        heartbeat_at: now + granted.heartbeat_interval,
        age_end: age_end(now, &services.streams),
        deadline,
    };
    let frames = stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) });
    Ok(frames.map(|frame| frame.map_err(Status::from)))
}

/// The client's deadline, from `grpc-timeout`. The transport holds it only until the answer's headers.
pub fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

#[derive(Clone, Copy)]
struct Granted {
    min_interval: Duration,
    heartbeat_interval: Duration,
}

impl Granted {
    fn of(request: &WatchRequest, settings: &StreamSettings) -> Result<Self, ServiceError> {
        let span = |field: &str, span: &Option<prost_types::Duration>| match span {
            None => Ok(None),
            Some(span) => convert::duration(span).map(Some).ok_or_else(|| {
                let value = format!("{} s {} ns", span.seconds, span.nanos);
                ServiceError::invalid(field, value, "must be a duration of at least 0")
            }),
        };
        let min_interval = span("min_interval", &request.min_interval)?.unwrap_or_default();
        let heartbeat_interval = span("heartbeat_interval", &request.heartbeat_interval)?;
        let (shortest, longest) = (settings.heartbeat_interval_min, settings.heartbeat_interval_max);
        Ok(Self {
            min_interval: min_interval.min(settings.min_interval_max),
            heartbeat_interval: heartbeat_interval
                .filter(|interval| !interval.is_zero())
                .unwrap_or(settings.heartbeat_interval)
                .max(shortest)
                .min(longest.max(shortest)),
        })
    }
}

fn age_end(now: Instant, settings: &StreamSettings) -> Option<Instant> {
    let jitter = rand::rng().random_range(0.0..=1.0) * settings.age_jitter.clamp(0.0, 1.0);
    settings.age_max.and_then(|age| now.checked_add(age.mul_f64(1.0 - jitter)))
}

/// One stream. It does something only while the client reads.
struct Watch {
    services: Services,
    subscription: Subscription,
    granted: Granted,
    view: View,
    items: Vec<RequestedItem>,
    first: bool,
    ended: bool,
    /// No frame with items before this.
    items_after: Instant,
    heartbeat_at: Instant,
    age_end: Option<Instant>,
    deadline: Option<Instant>,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Frame, ServiceError>> {
        if self.ended {
            return None;
        }
        let outcome = self.next_frame().await;
        self.ended = outcome.is_err();
        Some(outcome)
    }

    async fn next_frame(&mut self) -> Result<Frame, ServiceError> {
        loop {
            // Looked at before the data, so that a busy stream ends as well.
            self.check_end()?;
            let drain = self.services.drain.clone();
            let ends = [self.deadline, self.age_end].into_iter().flatten().min();
            let wait_until = ends.map_or(self.heartbeat_at, |end| end.min(self.heartbeat_at));
            let frame_len_max = self.services.streams.frame_len_max;
            let batch = tokio::select! {
                biased;
                () = drain.cancelled() => None,
                batch = next_batch(&mut self.subscription, self.items_after, frame_len_max) => Some(batch),
                () = tokio::time::sleep_until(wait_until) => None,
            };
            match batch {
                Some(batch) => return Ok(self.frame(batch)),
                None => self.check_end()?,
            }
            if Instant::now() >= self.heartbeat_at {
                return Ok(self.heartbeat());
            }
        }
    }

    fn check_end(&self) -> Result<(), ServiceError> {
        let now = Instant::now();
        if self.services.drain.is_cancelled() {
            return Err(ServiceError::Draining { cursor: self.subscription.cursor().encode() });
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ServiceError::DeadlineExceeded);
        }
        if self.age_end.is_some_and(|end| end <= now) {
            return Err(ServiceError::StreamAge { cursor: self.subscription.cursor().encode() });
        }
        Ok(())
    }

    fn frame(&mut self, batch: Batch) -> Frame {
        let now = Instant::now();
        let state = match batch.stage {
            Stage::Snapshot => v1::StreamState::Snapshot,
            Stage::SnapshotComplete => v1::StreamState::SnapshotComplete,
            // A resumed stream that has missed nothing says so at once.
            Stage::Live if batch.entries.is_empty() => v1::StreamState::Heartbeat,
            Stage::Live => v1::StreamState::Live,
            Stage::Resync => v1::StreamState::Resync,
        };
        if matches!(batch.stage, Stage::Live | Stage::SnapshotComplete) && !batch.entries.is_empty() {
            self.items_after = now + self.granted.min_interval;
        }
        let conflated_count = i64::try_from(batch.conflated_count).unwrap_or(i64::MAX);
        self.finish(state, batch.entries, batch.cursor, conflated_count)
    }

    fn heartbeat(&mut self) -> Frame {
        let cursor = self.subscription.cursor();
        self.finish(v1::StreamState::Heartbeat, Vec::new(), cursor, 0)
    }

    fn finish(
        &mut self,
        state: v1::StreamState,
        entries: Vec<bytes::Bytes>,
        cursor: Cursor,
        conflated_count: i64,
    ) -> Frame {
        let first = std::mem::take(&mut self.first);
        let image = &self.services.image;
        let all = first || state == v1::StreamState::Resync;
        let items = self.items.iter_mut().filter_map(|item| item.news(image, all)).collect();
        self.heartbeat_at = Instant::now() + self.granted.heartbeat_interval;
        Frame {
            entries,
            cursor: cursor.encode(),
            state,
            conflated_count,
            publish_time: convert::time(self.services.clock.now()),
            items,
            configuration: first.then(|| self.configuration()),
        }
    }

    fn configuration(&self) -> v1::StreamConfiguration {
        v1::StreamConfiguration {
            min_interval: Some(convert::span(self.granted.min_interval)),
            heartbeat_interval: Some(convert::span(self.granted.heartbeat_interval)),
            view: match self.view {
                View::Basic => v1::View::Basic,
                View::Full => v1::View::Full,
            }
            .into(),
            matched_count: i32::try_from(self.subscription.matched_count()).unwrap_or(i32::MAX),
            resumed: self.subscription.is_resumed(),
        }
    }
}

/// The next batch, not before `after`. Nothing is lost when the wait is given up.
async fn next_batch(subscription: &mut Subscription, after: Instant, len_max: usize) -> Batch {
    if Instant::now() < after {
        tokio::time::sleep_until(after).await;
    }
    loop {
        if let Some(batch) = subscription.take(len_max) {
            return batch;
        }
        subscription.changed().await;
    }
}

impl RequestedItem {
    /// An asset as the request names it; `key` makes the key that is watched of it.
    pub fn of_asset(name: &str, key: impl FnOnce(AssetCode) -> Key) -> Self {
        let wanted =
            AssetCode::parse(name).map(|asset| Wanted { key: key(asset.clone()), catalogued: Key::Asset(asset) });
        Self { name: name.to_owned(), wanted, told: v1::ItemState::Unspecified }
    }

    /// The key that is watched; `None` when the name is not well formed.
    pub fn key(&self) -> Option<&Key> {
        self.wanted.as_ref().map(|wanted| &wanted.key)
    }

    /// What is to be told of it: always with `all`, otherwise when it has come to exist or to have a value.
    fn news(&mut self, image: &Image, all: bool) -> Option<v1::ItemStatus> {
        if !all && matches!(self.told, v1::ItemState::Ok | v1::ItemState::Invalid) {
            return None;
        }
        let state = match &self.wanted {
            None => v1::ItemState::Invalid,
            Some(Wanted { key, .. }) if image.get(key).is_some() => v1::ItemState::Ok,
            Some(Wanted { catalogued, .. }) if image.get(catalogued).is_some() => v1::ItemState::Pending,
            Some(_) => v1::ItemState::Unknown,
        };
        let changed = state != self.told;
        self.told = state;
        (all || changed).then(|| v1::ItemStatus {
            item: self.name.clone(),
            state: state.into(),
            message: match state {
                v1::ItemState::Pending => pending_text(self.key()),
                v1::ItemState::Unknown => "not in the catalogue",
                v1::ItemState::Invalid => "not a ticker",
                _ => "",
            }
            .to_owned(),
        })
    }
}

fn pending_text(key: Option<&Key>) -> &'static str {
    match key {
        Some(Key::LongShort(_)) => "in the catalogue, without such a ratio yet",
        _ => "in the catalogue, without a price yet",
    }
}
