//! Server streams: the newest states become frames, at the pace that the client reads and asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rand::Rng;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tracing::Span;

use super::context::{ServerStream, Services, StreamSettings};
use super::encoded::Encoded;
use super::error::ServiceError;
use super::{convert, paging};
use crossmarket_api::v1;
use crossmarket_domain::state::Key;
use crossmarket_domain::{AssetCode, AssetName, TraceContext};
use crossmarket_image::{Batch, Collection, Cursor, Filter, Image, Stage, Subscription, View};
use crossmarket_telemetry::trace::{self, Place};

mod measure;
mod messages;

use measure::Measure;
pub(super) use measure::expect as expect_measures;
use messages::{Frame, StreamOptions, StreamRequest, StreamResponse};

/// An item that the request names.
pub(super) struct RequestedItem {
    /// The name exactly as it was sent.
    name: String,
    /// The key of its state; `None` when the name is not well formed.
    key: Option<Key>,
    /// The ticker, of an asset that is named by it.
    ticker: Option<AssetCode>,
    /// The state that the client knows.
    sent: v1::ItemState,
}

/// The items that a request names in a field.
pub(super) fn requested(
    field: &str,
    names: &[String],
    key: impl Fn(&str) -> Option<Key>,
) -> Result<Vec<RequestedItem>, ServiceError> {
    paging::check_filter_len(field, names.len())?;
    let item = |name: &String| {
        let key = key(name);
        let ticker = match AssetName::parse(name) {
            Some(AssetName::Ticker(ticker)) if key.as_ref().is_some_and(|key| key.asset().is_some()) => Some(ticker),
            _ => None,
        };
        RequestedItem { name: name.clone(), key, ticker, sent: v1::ItemState::Unspecified }
    };
    Ok(names.iter().map(item).collect())
}

/// How a client asks for a stream to be run, the same for every stream.
pub(super) struct Pace {
    pub(super) view: View,
    /// `min_interval`, as it was sent.
    min_interval: Option<prost_types::Duration>,
    /// `heartbeat_interval`, as it was sent.
    heartbeat_interval: Option<prost_types::Duration>,
    /// `resume_cursor`, as it was sent.
    resume_cursor: String,
    /// When the client gives up on the call.
    deadline: Option<Instant>,
}

impl Pace {
    /// Takes the pace out of a request.
    pub(super) fn of<R: StreamRequest>(request: Request<R>) -> Result<(R, Self), ServiceError> {
        let deadline = deadline(request.metadata());
        let mut request = request.into_inner();
        let StreamOptions { view, min_interval, heartbeat_interval, resume_cursor } = request.take_options();
        let view = paging::view(view)?;
        Ok((request, Self { view, min_interval, heartbeat_interval, resume_cursor, deadline }))
    }

    /// Reads `resume_cursor`; `None` when there is none.
    pub(super) fn cursor(&self, collection: Collection) -> Result<Option<Cursor>, ServiceError> {
        if self.resume_cursor.is_empty() {
            return Ok(None);
        }
        Cursor::decode(&self.resume_cursor, collection).map(Some).map_err(|_| {
            let allowed = "must be a cursor of this kind of stream, exactly as it was received, or empty";
            ServiceError::invalid("resume_cursor", self.resume_cursor.as_str(), allowed)
        })
    }
}

/// The source of a stream. It keeps no queue: a slow reader gets the newest states only.
pub(super) trait Source: Send + 'static {
    /// The newer entries, up to about `len_max` bytes; `None` when there are none.
    fn take(&mut self, len_max: usize) -> Option<Batch>;
    /// Waits until something may have changed since the last call.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
    /// The position up to which everything has been taken.
    fn cursor(&mut self) -> Cursor;
    /// How many items match now.
    fn matched_count(&self) -> usize;
    /// True when a cursor is being continued.
    fn is_resumed(&self) -> bool;
    /// Records traces for [`Source::traces`] from now on. A source without traces leaves both as they are.
    fn follow_traces(&mut self) {}
    /// The spans that applied what was taken last.
    fn traces(&self) -> &[TraceContext] {
        &[]
    }
    /// The status of the items that the request names: of all, or of those whose status has changed.
    fn item_news(&mut self, all: bool) -> Vec<v1::ItemStatus>;
}

/// Opens a stream of the image's own items. The items that a request names narrow the filter to their keys.
///
/// # Errors
///
/// When the process cannot serve, an interval or the cursor is invalid, or the cursor is too old.
pub(super) fn open<L: StreamResponse>(
    services: &Services,
    collection: Collection,
    mut filter: Filter,
    items: Vec<RequestedItem>,
    pace: &Pace,
) -> Result<ServerStream<Encoded<L>>, ServiceError> {
    services.check_serving()?;
    if !items.is_empty() {
        let mut named = HashSet::new();
        let keys = items.iter().filter_map(|item| item.key.clone());
        filter.keys = Some(keys.filter(|key| named.insert(key.clone())).collect());
    }
    let subscription = match pace.cursor(collection)? {
        None => Subscription::open(&services.image, collection, filter, pace.view),
        Some(cursor) => Subscription::resume(&services.image, collection, filter, pace.view, &cursor)
            .map_err(|_| ServiceError::CursorTooOld)?,
    };
    run(services, Subscribed { image: Arc::clone(&services.image), subscription, items }, pace)
}

/// Makes frames of what a source has.
///
/// # Errors
///
/// When an interval is invalid.
pub(super) fn run<L: StreamResponse>(
    services: &Services,
    mut source: impl Source,
    pace: &Pace,
) -> Result<ServerStream<Encoded<L>>, ServiceError> {
    let granted = Granted::of(pace, &services.streams)?;
    let now = Instant::now();
    let trace = trace::current();
    if trace.is_some() {
        source.follow_traces();
    }
    let watch = Watch {
        measure: Measure::open(L::RPC_METHOD),
        trace,
        services: services.clone(),
        source,
        granted,
        view: pace.view,
        first: true,
        ended: false,
        items_after: now,
        heartbeat_at: now + granted.heartbeat_interval,
        age_end: age_end(now, &services.streams),
        deadline: pace.deadline,
    };
    let frames = stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) });
    Ok(Box::pin(frames.map(|frame| frame.map(L::of_frame).map_err(Status::from))))
}

/// The client's deadline, from `grpc-timeout`. The transport enforces it only until the answer's headers.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
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
    fn of(pace: &Pace, settings: &StreamSettings) -> Result<Self, ServiceError> {
        let span = |field: &str, span: &Option<prost_types::Duration>| match span {
            None => Ok(None),
            Some(span) => convert::duration(span).map(Some).ok_or_else(|| {
                let value = format!("{} s {} ns", span.seconds, span.nanos);
                ServiceError::invalid(field, value, "must be a duration of at least 0")
            }),
        };
        let min_interval = span("min_interval", &pace.min_interval)?.unwrap_or_default();
        let heartbeat_interval = span("heartbeat_interval", &pace.heartbeat_interval)?;
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
struct Watch<S> {
    measure: Measure,
    /// The call's span, when it is traced.
    trace: Option<TraceContext>,
    services: Services,
    source: S,
    granted: Granted,
    view: View,
    first: bool,
    ended: bool,
    /// No frame with items before this.
    items_after: Instant,
    heartbeat_at: Instant,
    age_end: Option<Instant>,
    deadline: Option<Instant>,
}

impl<S: Source> Watch<S> {
    async fn next(&mut self) -> Option<Result<Frame, ServiceError>> {
        if self.ended {
            return None;
        }
        let outcome = self.next_frame().await;
        match &outcome {
            Ok(frame) => {
                let conflated_count = u64::try_from(frame.conflated_count).unwrap_or_default();
                self.measure.given(frame.state, frame.entries.len(), conflated_count);
            }
            Err(error) => {
                self.ended = true;
                self.measure.ended(error);
            }
        }
        Some(outcome)
    }

    async fn next_frame(&mut self) -> Result<Frame, ServiceError> {
        loop {
            // Looked at before the data, so that a busy stream ends as well.
            self.check_end()?;
            if self.measure.asked()
                && self.items_after <= Instant::now()
                && let Some(batch) = self.source.take(self.services.streams.frame_len_max)
            {
                self.measure.stalled();
                return Ok(self.frame(batch));
            }
            let drain = self.services.drain.clone();
            let ends = [self.deadline, self.age_end].into_iter().flatten().min();
            let wait_until = ends.map_or(self.heartbeat_at, |end| end.min(self.heartbeat_at));
            let frame_len_max = self.services.streams.frame_len_max;
            let batch = tokio::select! {
                biased;
                () = drain.cancelled() => None,
                batch = next_batch(&mut self.source, self.items_after, frame_len_max) => Some(batch),
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

    fn check_end(&mut self) -> Result<(), ServiceError> {
        let now = Instant::now();
        if self.services.drain.is_cancelled() {
            return Err(ServiceError::Draining { cursor: self.source.cursor().encode() });
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ServiceError::DeadlineExceeded);
        }
        if self.age_end.is_some_and(|end| end <= now) {
            return Err(ServiceError::StreamAge { cursor: self.source.cursor().encode() });
        }
        Ok(())
    }

    fn frame(&mut self, batch: Batch) -> Frame {
        let span = self.span(&batch);
        let _entered = span.enter();
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

    /// A span of a frame with something in it that was traced on its way here, linked to the spans that applied it.
    fn span(&self, batch: &Batch) -> Span {
        let traces = self.source.traces();
        if batch.entries.is_empty() || traces.is_empty() {
            return Span::none();
        }
        let span = trace::span!(
            self.trace.map(Place::Below),
            "frame",
            otel.kind = "producer",
            crossmarket.state_count = batch.entries.len().cast_signed() as i64,
            crossmarket.conflated_count = batch.conflated_count.cast_signed(),
        );
        trace::link(&span, traces.iter().copied());
        span
    }

    fn heartbeat(&mut self) -> Frame {
        let cursor = self.source.cursor();
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
        let items = self.source.item_news(first || state == v1::StreamState::Resync);
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
            matched_count: i32::try_from(self.source.matched_count()).unwrap_or(i32::MAX),
            resumed: self.source.is_resumed(),
        }
    }
}

/// The next batch, not before `after`. Nothing is lost when the wait is given up.
async fn next_batch(source: &mut impl Source, after: Instant, len_max: usize) -> Batch {
    if Instant::now() < after {
        tokio::time::sleep_until(after).await;
    }
    loop {
        if let Some(batch) = source.take(len_max) {
            return batch;
        }
        source.changed().await;
    }
}

impl RequestedItem {
    /// Its status: always with `all`, otherwise when it has come to exist or to have a value.
    fn news(&mut self, image: &Image, all: bool) -> Option<v1::ItemStatus> {
        let asset = self.key.as_ref().and_then(Key::asset);
        let holder = self.ticker.as_ref().and_then(|ticker| image.asset_id(ticker));
        let new_holder = holder.filter(|holder| asset.is_some_and(|asset| asset != holder));
        let new_holder = new_holder.filter(|_| !matches!(self.sent, v1::ItemState::Unspecified));
        if !all && new_holder.is_none() && matches!(self.sent, v1::ItemState::Ok | v1::ItemState::Invalid) {
            return None;
        }
        let state = match &self.key {
            Some(_) if new_holder.is_some() => v1::ItemState::Reassigned,
            Some(key) => item_state(image, key),
            None => v1::ItemState::Invalid,
        };
        let changed = state != self.sent;
        let asset_id = asset.filter(|_| state != v1::ItemState::Unknown).map(ToString::to_string).unwrap_or_default();
        self.sent = state;
        (all || changed).then(|| v1::ItemStatus {
            item: self.name.clone(),
            state: state.into(),
            message: match state {
                v1::ItemState::Pending => "in the catalogue, without a value yet",
                v1::ItemState::Unknown => "not in the catalogue",
                v1::ItemState::Invalid => "not a well-formed name",
                v1::ItemState::Reassigned => "the ticker means another asset now",
                _ => "",
            }
            .to_owned(),
            asset_id,
            new_asset_id: new_holder.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    /// Finds an asset that nobody knew when the stream was opened. Returns the keys before and now.
    fn find(&mut self, image: &Image) -> Option<(Key, Key)> {
        let (key, ticker) = (self.key.as_ref()?, self.ticker.as_ref()?);
        if self.sent == v1::ItemState::Ok || key.asset().is_some_and(|asset| image.ticker(asset).is_some()) {
            return None;
        }
        let found = key.with_asset(image.asset_id(ticker)?);
        let before = self.key.replace(found.clone())?;
        Some((before, found))
    }
}

fn item_state(image: &Image, key: &Key) -> v1::ItemState {
    let in_catalogue = match key {
        Key::Price(asset) => image.get(&Key::Asset(asset.clone())).is_some(),
        Key::LongShort(ratio) => image.get(&Key::Asset(ratio.asset.clone())).is_some(),
        Key::Index(index) => index.known().is_some(),
        Key::Asset(_) | Key::Feed(..) => false,
    };
    if image.get(key).is_some() {
        v1::ItemState::Ok
    } else if in_catalogue {
        v1::ItemState::Pending
    } else {
        v1::ItemState::Unknown
    }
}

/// A subscription to the image's own items.
struct Subscribed {
    image: Arc<Image>,
    subscription: Subscription,
    items: Vec<RequestedItem>,
}

impl Source for Subscribed {
    fn take(&mut self, len_max: usize) -> Option<Batch> {
        for (before, found) in self.items.iter_mut().filter_map(|item| item.find(&self.image)) {
            self.subscription.replace_key(&before, found);
        }
        self.subscription.take(len_max)
    }

    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        self.subscription.changed()
    }

    fn cursor(&mut self) -> Cursor {
        self.subscription.cursor()
    }

    fn matched_count(&self) -> usize {
        self.subscription.matched_count()
    }

    fn is_resumed(&self) -> bool {
        self.subscription.is_resumed()
    }

    fn follow_traces(&mut self) {
        self.subscription.follow_traces();
    }

    fn traces(&self) -> &[TraceContext] {
        self.subscription.traces()
    }

    fn item_news(&mut self, all: bool) -> Vec<v1::ItemStatus> {
        self.items.iter_mut().filter_map(|item| item.news(&self.image, all)).collect()
    }
}
