//! Watch streams that resume at another endpoint when theirs is lost.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status, Streaming};

use crossmarket_backoff::Backoff;

use super::call::Client;
use super::error::{Error, is_cursor_too_old, is_orderly_end, is_planned_end, may_pass, retry_delay};
use super::pool::Connection;
use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_api::v1::long_short_service_client::LongShortServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_api::v1::signal_service_client::SignalServiceClient;
use crossmarket_api::v1::*;

/// The longest first pause before a lost stream is opened at another endpoint, so that many streams do not arrive at once.
const SPREAD_MAX: Duration = Duration::from_millis(50);

/// After a failed opening.
const BACKOFF: Backoff = Backoff::between(Duration::from_millis(50), Duration::from_secs(5));

/// A stream lost sooner than this after its opening counts as a failed opening, unless its server ended it in order after a frame.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// After this number of heartbeat intervals without a frame, the connection counts as lost.
const SILENT_HEARTBEATS_MAX: u32 = 3;

/// An event on a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent<F> {
    /// A frame, as sent by the service.
    Update(F),
    /// The connection was lost, or the server ended the stream. The client tries to open it again until it succeeds; each failed attempt is
    /// another event of this kind. Received data ages meanwhile.
    Interrupted {
        /// The cause.
        cause: Status,
        /// The pause before the next attempt.
        pause: Duration,
    },
    /// The stream continues after the last received frame. Nothing was missed.
    Resumed {
        /// The endpoint at which it continues.
        endpoint: String,
        /// The length of the interruption.
        after: Duration,
    },
    /// States may have been missed, and items may have been removed. Drop what was received before; the full state follows.
    Gap(GapReason),
}

/// Why a stream has a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The interruption was longer than the service keeps changes.
    CursorTooOld,
    /// The service lost continuity: a new epoch began, or its change feed has a gap.
    Resync,
}

impl fmt::Display for GapReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CursorTooOld => "the cursor is too old; starting from the full state",
            Self::Resync => "the service has lost continuity and sends the full state again",
        })
    }
}

/// A stream of events that ends only with a permanent error. Dropping it ends the call.
pub struct Watch<F> {
    events: BoxStream<'static, Result<WatchEvent<F>, Error>>,
}

impl<F: WatchFrame> Watch<F> {
    pub(super) async fn open<R: WatchRequest<Frame = F>>(client: Client, request: R) -> Result<Self, Error> {
        let mut session = Session {
            cursor: request.cursor().to_owned(),
            client,
            request,
            stream: None,
            silence_max: None,
            failures_in_a_row: 0,
            pause: Duration::ZERO,
            lost: None,
            gap_told: false,
            waiting: VecDeque::new(),
            ended: false,
        };
        session.stream = match session.open_first().await {
            Err(Error::Status(status)) if is_cursor_too_old(&status) && !session.cursor.is_empty() => {
                session.start_afresh();
                Some(session.open_first().await?)
            }
            opened => Some(opened?),
        };
        let events = unfold(session, |mut session| async move { Some((session.next().await?, session)) });
        Ok(Self { events: events.boxed() })
    }

    /// The next event; `None` after an error. Cancel-safe: it can be used in a `select!`.
    pub async fn next(&mut self) -> Option<Result<WatchEvent<F>, Error>> {
        self.events.next().await
    }
}

impl<F> Stream for Watch<F> {
    type Item = Result<WatchEvent<F>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl<F> fmt::Debug for Watch<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// A request that opens a watch stream.
pub trait WatchRequest: Clone + Send + Sync + 'static {
    /// The type of its frames.
    type Frame: WatchFrame;

    /// The cursor to resume from; empty for the full state.
    fn cursor(&self) -> &str;

    /// Sets the cursor to resume from.
    fn set_cursor(&mut self, cursor: String);

    /// Opens the stream on one connection.
    fn send(self, connection: Connection, answer_bytes_max: usize) -> Opening<Self::Frame>;
}

/// A stream that is being opened.
pub(crate) type Opening<F> = BoxFuture<'static, Result<Streaming<F>, Status>>;

/// What frames of all watch streams have in common.
pub trait WatchFrame: Send + 'static {
    /// The position after the frame.
    fn position(&self) -> &str;

    /// The role of the frame in its stream.
    fn stage(&self) -> StreamState;

    /// The configuration as granted; in the first frame.
    fn granted(&self) -> Option<&StreamConfiguration>;
}

macro_rules! watch {
    ($request:ident, $frame:ident, $client:ident.$method:ident) => {
        impl WatchRequest for $request {
            type Frame = $frame;

            fn cursor(&self) -> &str {
                &self.resume_cursor
            }

            fn set_cursor(&mut self, cursor: String) {
                self.resume_cursor = cursor;
            }

            fn send(self, connection: Connection, answer_bytes_max: usize) -> Opening<$frame> {
                Box::pin(async move {
                    let mut client = $client::new(connection).max_decoding_message_size(answer_bytes_max);
                    Ok(client.$method(Request::new(self)).await?.into_inner())
                })
            }
        }

        impl WatchFrame for $frame {
            fn position(&self) -> &str {
                &self.cursor
            }

            fn stage(&self) -> StreamState {
                self.state()
            }

            fn granted(&self) -> Option<&StreamConfiguration> {
                self.configuration.as_ref()
            }
        }
    };
}

watch!(WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse, PriceServiceClient.watch_price_snapshots);
watch!(WatchLongShortRatiosRequest, WatchLongShortRatiosResponse, LongShortServiceClient.watch_long_short_ratios);
watch!(WatchIndexSnapshotsRequest, WatchIndexSnapshotsResponse, IndexServiceClient.watch_index_snapshots);
watch!(WatchComparisonsRequest, WatchComparisonsResponse, IndexServiceClient.watch_comparisons);
watch!(WatchSignalsRequest, WatchSignalsResponse, SignalServiceClient.watch_signals);

struct Open<F> {
    endpoint: usize,
    frames: Streaming<F>,
    opened_at: Instant,
    /// Nothing has been received yet.
    first: bool,
}

struct Session<R: WatchRequest> {
    client: Client,
    request: R,
    /// The position after the last frame; empty before the first.
    cursor: String,
    stream: Option<Open<R::Frame>>,
    /// How long the stream may be silent.
    silence_max: Option<Duration>,
    /// The number of consecutive streams that could not be opened or were lost immediately.
    failures_in_a_row: u32,
    /// The pause before the next opening.
    pause: Duration,
    lost: Option<Loss>,
    /// A gap was reported, and no frame has followed yet.
    gap_told: bool,
    waiting: VecDeque<WatchEvent<R::Frame>>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Loss {
    since: Instant,
    /// The endpoint that failed last; `None` when it was not at fault.
    failed_at: Option<usize>,
}

impl<R: WatchRequest> Session<R> {
    async fn next(&mut self) -> Option<Result<WatchEvent<R::Frame>, Error>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Reads one frame, or makes one attempt to open the stream again.
    async fn advance(&mut self) -> Result<(), Error> {
        if let Some(open) = &mut self.stream {
            match read(open, self.silence_max).await {
                Ok(frame) => {
                    self.take(frame);
                    Ok(())
                }
                Err(status) => {
                    let endpoint = open.endpoint;
                    // A server that ends a stream in order after serving it has not failed, however short the stream was.
                    let served = !open.first && is_orderly_end(&status);
                    let steady = served || open.opened_at.elapsed() >= STEADY_AFTER;
                    self.stream = None;
                    if steady {
                        self.failures_in_a_row = 0;
                    }
                    self.failed(endpoint, status)
                }
            }
        } else {
            // If cancelled within the pause, the pause starts again; it is short and jittered anyway.
            sleep(self.pause).await;
            match self.open_again().await {
                Ok(open) => {
                    self.stream = Some(open);
                    Ok(())
                }
                Err((endpoint, status)) => self.failed(endpoint, status),
            }
        }
    }

    /// Opens the stream for the first time, like a call.
    async fn open_first(&mut self) -> Result<Open<R::Frame>, Error> {
        self.request.set_cursor(self.cursor.clone());
        let client = &self.client;
        let (request, answer_bytes_max) = (&self.request, client.settings.answer_bytes_max);
        let send = |index| request.clone().send(client.pool.connection(index), answer_bytes_max);
        let (endpoint, frames) = client.attempt(Instant::now() + client.settings.deadline, send).await?;
        Ok(Open { endpoint, frames, opened_at: Instant::now(), first: true })
    }

    /// One attempt to open the stream; on failure, the endpoint and the cause.
    async fn open_again(&mut self) -> Result<Open<R::Frame>, (usize, Status)> {
        let endpoint = self.client.pool.pick(self.lost.and_then(|lost| lost.failed_at)).index;
        self.request.set_cursor(self.cursor.clone());
        let settings = &self.client.settings;
        let connection = self.client.pool.connection(endpoint);
        let opening = self.request.clone().send(connection, settings.answer_bytes_max);
        match timeout(settings.attempt_timeout.min(settings.deadline), opening).await {
            Ok(Ok(frames)) => Ok(Open { endpoint, frames, opened_at: Instant::now(), first: true }),
            Ok(Err(status)) => Err((endpoint, status)),
            Err(_) => Err((endpoint, Status::unavailable("the stream took too long to open"))),
        }
    }

    fn take(&mut self, frame: R::Frame) {
        let Some(open) = &mut self.stream else { return };
        let first = std::mem::take(&mut open.first);
        let endpoint = open.endpoint;
        if first {
            self.client.pool.succeeded(endpoint);
        }
        if let Some(heartbeat) = frame.granted().and_then(|granted| granted.heartbeat_interval)
            && let Ok(heartbeat) = Duration::try_from(heartbeat)
            && !heartbeat.is_zero()
        {
            self.silence_max = heartbeat.checked_mul(SILENT_HEARTBEATS_MAX);
        }
        let not_continued = first && !self.cursor.is_empty() && frame.granted().is_some_and(|granted| !granted.resumed);
        let lost = self.lost.take();
        if frame.stage() == StreamState::Resync || not_continued {
            if !self.gap_told {
                self.waiting.push_back(WatchEvent::Gap(GapReason::Resync));
            }
        } else if let Some(lost) = lost
            && !self.gap_told
        {
            self.client.count_resumed();
            let endpoint = self.client.pool.url(endpoint).to_owned();
            self.waiting.push_back(WatchEvent::Resumed { endpoint, after: lost.since.elapsed() });
        }
        self.gap_told = false;
        if !frame.position().is_empty() {
            frame.position().clone_into(&mut self.cursor);
        }
        self.waiting.push_back(WatchEvent::Update(frame));
    }

    /// Decides how to continue after a failure at an endpoint.
    fn failed(&mut self, endpoint: usize, status: Status) -> Result<(), Error> {
        if is_cursor_too_old(&status) && !self.cursor.is_empty() {
            self.start_afresh();
            return Ok(());
        }
        if !may_pass(&status) {
            return Err(Error::Status(Box::new(status)));
        }
        let planned = is_planned_end(&status);
        if !planned {
            self.client.pool.failed(endpoint, retry_delay(&status));
        }
        let since = self.lost.map_or_else(Instant::now, |lost| lost.since);
        if self.client.settings.watch_patience.is_some_and(|patience| since.elapsed() >= patience) {
            return Err(self.client.given_up(self.failures_in_a_row, status));
        }
        self.lost = Some(Loss { since, failed_at: (!planned).then_some(endpoint) });
        self.pause = pause(self.failures_in_a_row);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.waiting.push_back(WatchEvent::Interrupted { cause: status, pause: self.pause });
        Ok(())
    }

    /// Drops the cursor, so that the full state is requested next.
    fn start_afresh(&mut self) {
        self.cursor.clear();
        self.pause = Duration::ZERO;
        self.gap_told = true;
        self.waiting.push_back(WatchEvent::Gap(GapReason::CursorTooOld));
    }
}

/// The next frame of a stream. An end without a status is a failure too: the service ends no stream without one.
async fn read<F>(open: &mut Open<F>, silence_max: Option<Duration>) -> Result<F, Status> {
    let message = open.frames.message();
    let received = match silence_max {
        Some(limit) => match timeout(limit, message).await {
            Ok(received) => received,
            Err(_) => {
                let text = format!("no frame for {:.0} s, though heartbeats were due", limit.as_secs_f64());
                return Err(Status::unavailable(text));
            }
        },
        None => message.await,
    };
    received?.ok_or_else(|| Status::unavailable("the stream ended"))
}

/// The pause before a stream is opened again after `failures_before` failures in a row before this one.
fn pause(failures_before: u32) -> Duration {
    match failures_before.checked_sub(1) {
        None => SPREAD_MAX.mul_f64(rand::random()),
        Some(failed_openings) => BACKOFF.pause(failed_openings),
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn pauses_spread_then_grow_to_a_limit() {
        let ms = Duration::from_millis;
        assert!(pause(0) <= SPREAD_MAX);
        assert!((ms(50)..=ms(100)).contains(&pause(1)));
        assert!((ms(200)..=ms(400)).contains(&pause(3)));
        assert!((ms(2_500)..=ms(5_000)).contains(&pause(u32::MAX)));
    }
}
