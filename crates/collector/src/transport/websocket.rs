//! One WebSocket connection, run by three tasks that cannot block each other. One reads, one writes, and one watches
//! both: it sends the pings, and ends the connection when nothing is received or a write does not complete.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_util::sync::CancellationToken;

use crate::event::{CollectorEvent, Observed, conflate};
use crate::transport::feed_health::FeedMonitor;
use crossmarket_clock::Clock;
use crossmarket_domain::{Feed, Instrument, InstrumentKind, Observation, Payload};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::Histogram;
use crossmarket_telemetry::trace;
use crossmarket_venues::{Frame, Ping, SessionPolicy, StreamingVenue, VenueError};

/// The write half of a connection.
pub(crate) type FrameSink = Pin<Box<dyn Sink<Message, Error = WebSocketError> + Send>>;

/// The read half of a connection.
pub(crate) type FrameSource = Pin<Box<dyn Stream<Item = Result<Message, WebSocketError>> + Send>>;

/// What the stream of one venue needs.
#[derive(Clone)]
pub(crate) struct StreamContext {
    /// Index of the venue in the collector's list.
    pub venue_index: u16,
    pub stream: &'static dyn StreamingVenue,
    /// Limits and rules of a session.
    pub session: SessionPolicy,
    pub dial: Arc<dyn Dial>,
    /// Health of the tickers feed.
    pub monitor: Arc<FeedMonitor>,
    /// Destination of the observations.
    pub events: mpsc::Sender<CollectorEvent>,
    pub clock: Clock,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Opens connections.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Opens a new connection, including the handshake.
    async fn dial(&self) -> Result<(FrameSink, FrameSource), VenueError>;
}

/// Opens WebSocket connections to one address.
pub(crate) struct WebSocketDial {
    /// Full address.
    pub url: String,
}

const MESSAGE_BYTES_MAX: usize = 4 << 20;
const FRAME_BYTES_MAX: usize = 1 << 20;
const WRITE_BUFFER_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES_MAX: usize = 256 << 10;

const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum number of pings and replies waiting to be written.
const REPLIES_MAX: usize = 16;

/// Maximum number of instruments waiting to be forwarded. If a venue sends more than requested, the rest is dropped.
const PENDING_MAX: usize = 20_000;

#[async_trait]
impl Dial for WebSocketDial {
    async fn dial(&self) -> Result<(FrameSink, FrameSource), VenueError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX))
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
        let connecting = tokio_tungstenite::connect_async_with_config(self.url.as_str(), Some(config), true);
        match connecting.await {
            Ok((socket, _)) => {
                let (sink, source) = socket.split();
                Ok((Box::pin(sink), Box::pin(source)))
            }
            Err(error) => Err(VenueError::Transient(SmolStr::new_static(text_of(&error)))),
        }
    }
}

/// Progress of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Nothing received yet.
    Connecting,
    /// Something received, but no data yet.
    Quiet,
    /// Has delivered data.
    Delivering,
    /// The venue is about to close it.
    Closing,
    /// Ended, and why.
    Ended(SmolStr),
}

/// A running connection. Dropping it aborts it.
pub(crate) struct Connection {
    phase: watch::Receiver<Phase>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Connection {
    /// Starts connecting and subscribing.
    pub(crate) fn open(context: &StreamContext, instruments: Vec<Instrument>) -> Self {
        let (phase_sender, phase) = watch::channel(Phase::Connecting);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (context, token) = (context.clone(), stop.clone());
        tasks.spawn(async move {
            let reason = drive(&context, instruments, &phase_sender, token).await;
            phase_sender.send_replace(Phase::Ended(reason));
        });
        Self { phase, stop, tasks }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&Phase) -> bool) -> Phase {
        match self.phase.wait_for(wanted).await {
            Ok(phase) => phase.clone(),
            Err(_) => Phase::Ended("stopped".into()),
        }
    }

    /// Closes the connection cleanly, within a second.
    pub(crate) async fn close(mut self) {
        self.stop.cancel();
        // The timeout limits this: dropping the set aborts its tasks.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT * 2, self.tasks.join_next()).await;
    }
}

/// What the watching task knows of the other two, in milliseconds since the start.
struct Pulse {
    started: Instant,
    received: AtomicU64,
    /// 0 while nothing is being written.
    writing_since: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self { started: Instant::now(), received: AtomicU64::new(0), writing_since: AtomicU64::new(0) }
    }

    fn millis(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }

    fn ended(&self, silence_max: Duration) -> Option<&'static str> {
        let now = self.millis();
        let writing_since = self.writing_since.load(Ordering::Relaxed);
        if now.saturating_sub(self.received.load(Ordering::Relaxed)) > silence_max.as_millis() as u64 {
            Some("silent for too long")
        } else if writing_since > 0 && now.saturating_sub(writing_since) > WRITE_TIMEOUT.as_millis() as u64 {
            Some("a write timed out")
        } else {
            None
        }
    }
}

/// Runs a connection to its end. Returns why it ended.
async fn drive(
    context: &StreamContext,
    instruments: Vec<Instrument>,
    phase: &watch::Sender<Phase>,
    stop: CancellationToken,
) -> SmolStr {
    let dialled = tokio::select! {
        () = stop.cancelled() => return "stopped".into(),
        dialled = tokio::time::timeout(DIAL_TIMEOUT, context.dial.dial()) => dialled,
    };
    let (sink, source) = match dialled {
        Ok(Ok(halves)) => halves,
        Ok(Err(VenueError::Transient(text))) => return text,
        Ok(Err(error)) => return smol_str::format_smolstr!("{error}"),
        Err(_) => return "timed out connecting".into(),
    };
    let policy = context.session;
    let subscriptions = context.stream.subscribe(&instruments);
    let pulse = Arc::new(Pulse::new());
    let (replies, replies_receiver) = mpsc::channel(REPLIES_MAX);
    let mut tasks = JoinSet::new();
    tasks.spawn(write(sink, subscriptions, replies_receiver, policy, Arc::clone(&pulse), stop.clone()));
    let reader = Reader {
        context: context.clone(),
        replies: replies.clone(),
        pulse: Arc::clone(&pulse),
        phase: phase.clone(),
        parse_duration: metrics::VENUE_PARSE.with(&[context.monitor.venue().as_str()]),
    };
    tasks.spawn(reader.run(source));
    watch_over(&mut tasks, &pulse, policy, &replies, &stop).await
}

async fn watch_over(
    tasks: &mut JoinSet<SmolStr>,
    pulse: &Pulse,
    policy: SessionPolicy,
    replies: &mpsc::Sender<String>,
    stop: &CancellationToken,
) -> SmolStr {
    let mut check = tokio::time::interval(CHECK_INTERVAL);
    let mut next_ping = match policy.ping {
        Ping::Text { every, .. } => Some(Instant::now() + every),
        Ping::Answer => None,
    };
    loop {
        tokio::select! {
            ended = tasks.join_next() => {
                return ended.and_then(Result::ok).unwrap_or_else(|| "stopped".into());
            }
            _ = check.tick() => {}
        }
        if let Some(reason) = pulse.ended(policy.silence_max).filter(|_| !stop.is_cancelled()) {
            return reason.into();
        }
        if let (Ping::Text { text, every }, Some(due)) = (policy.ping, next_ping)
            && Instant::now() >= due
        {
            next_ping = Some(due + every);
            if replies.try_send(text.to_owned()).is_err() {
                return "too many messages wait to be written".into();
            }
        }
    }
}

/// Writes the subscriptions and replies, replies first, no faster than the venue allows.
async fn write(
    mut sink: FrameSink,
    subscriptions: Vec<String>,
    mut replies: mpsc::Receiver<String>,
    policy: SessionPolicy,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
) -> SmolStr {
    let gap = Duration::from_secs(1) / policy.messages_per_second_max.max(1);
    let mut subscriptions = subscriptions.into_iter();
    loop {
        let text = match replies.try_recv().ok().or_else(|| subscriptions.next()) {
            Some(text) => text,
            None => tokio::select! {
                () = stop.cancelled() => break,
                reply = replies.recv() => match reply {
                    Some(text) => text,
                    None => break,
                },
            },
        };
        pulse.writing_since.store(pulse.millis(), Ordering::Relaxed);
        let sent = tokio::select! {
            () = stop.cancelled() => break,
            sent = sink.send(Message::text(text)) => sent,
        };
        pulse.writing_since.store(0, Ordering::Relaxed);
        if let Err(error) = sent {
            return SmolStr::new_static(text_of(&error));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(gap) => {}
        }
    }
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, sink.close()).await;
    "closed".into()
}

/// Observations waiting to be forwarded. A spot market and a perpetual may share a symbol.
type Pending = HashMap<(InstrumentKind, SmolStr), Observation>;

struct Reader {
    context: StreamContext,
    replies: mpsc::Sender<String>,
    pulse: Arc<Pulse>,
    phase: watch::Sender<Phase>,
    parse_duration: Arc<Histogram>,
}

impl Reader {
    /// Reads frames and forwards their observations. While the pipeline is busy they wait here, the latest per
    /// instrument.
    async fn run(self, mut source: FrameSource) -> SmolStr {
        let events = self.context.events.clone();
        let mut pending = Pending::new();
        let mut end = None;
        loop {
            tokio::select! {
                message = source.next(), if end.is_none() => {
                    self.pulse.received.store(self.pulse.millis(), Ordering::Relaxed);
                    end = match message {
                        None => Some(SmolStr::new_static("the connection ended")),
                        Some(Err(error)) => Some(SmolStr::new_static(text_of(&error))),
                        Some(Ok(message)) => self.take(message, &mut pending),
                    };
                }
                permit = events.reserve(), if !pending.is_empty() => match permit {
                    Ok(permit) => permit.send(self.observed(&mut pending)),
                    Err(_) => return "stopped".into(),
                },
            }
            // Forward everything received before the end, then report the end.
            if pending.is_empty()
                && let Some(reason) = end.take()
            {
                return reason;
            }
        }
    }

    fn observed(&self, pending: &mut Pending) -> CollectorEvent {
        // Frames were parsed as they arrived. A trace begins where their observations are forwarded together.
        let span = trace::span!(
            trace::begin(),
            "collect",
            otel.kind = "consumer",
            crossmarket.venue = self.context.monitor.venue().as_str(),
            crossmarket.feed = Feed::Tickers.as_str(),
            crossmarket.observation_count = pending.len().cast_signed() as i64,
        );
        CollectorEvent::Observed(Observed {
            trace: trace::context_of(&span),
            venue_index: self.context.venue_index,
            feed: Feed::Tickers,
            receive_time: self.context.clock.now(),
            streaming: true,
            observations: pending.drain().map(|(_, observation)| observation).collect(),
        })
    }

    /// Processes one message. Returns the reason if it was the last.
    fn take(&self, message: Message, pending: &mut Pending) -> Option<SmolStr> {
        let parse = |bytes: &[u8]| self.parse_duration.time(|| self.context.stream.parse_frame(bytes));
        let frame = match &message {
            Message::Text(text) => parse(text.as_bytes()),
            Message::Binary(bytes) => parse(bytes),
            Message::Close(_) => return Some("closed by the venue".into()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Frame::Alive),
        };
        match frame {
            Ok(Frame::Data(parsed)) => {
                self.context.monitor.frame(parsed.observations.len(), &parsed.unresolved);
                for observation in parsed.observations {
                    match observation.payload {
                        Payload::Ticker(_) => self.hold(pending, observation),
                        _ => self.context.monitor.rejected("not_collected", 1),
                    }
                }
                self.advance(&Phase::Delivering);
            }
            Ok(Frame::Alive | Frame::Subscribed | Frame::Ignored) => self.advance(&Phase::Quiet),
            Ok(Frame::Refused { symbol, reason }) => {
                tracing::debug!(%symbol, %reason, "subscription refused");
                self.context.monitor.rejected("refused_subscription", 1);
                self.advance(&Phase::Quiet);
            }
            Ok(Frame::Reply(text)) => {
                if self.replies.try_send(text).is_err() {
                    return Some("too many messages wait to be written".into());
                }
                self.advance(&Phase::Quiet);
            }
            Ok(Frame::Closing) => self.advance(&Phase::Closing),
            Err(error) => {
                // An unreadable frame affects no other frame.
                tracing::debug!(%error, "unreadable frame");
                self.context.monitor.rejected("malformed_frame", 1);
            }
        }
        None
    }

    fn hold(&self, pending: &mut Pending, observation: Observation) {
        let pending_count = pending.len();
        let key = (observation.instrument.kind, observation.instrument.symbol.clone());
        match pending.get_mut(&key) {
            Some(held) => conflate(held, observation),
            None if pending_count < PENDING_MAX => {
                pending.insert(key, observation);
            }
            None => self.context.monitor.rejected("overflow", 1),
        }
    }

    /// Phases only go forward.
    fn advance(&self, to: &Phase) {
        let order = |phase: &Phase| match phase {
            Phase::Connecting => 0,
            Phase::Quiet => 1,
            Phase::Delivering => 2,
            Phase::Closing => 3,
            Phase::Ended(_) => 4,
        };
        self.phase.send_if_modified(|phase| {
            let forward = order(to) > order(phase);
            if forward {
                *phase = to.clone();
            }
            forward
        });
    }
}

/// Maps to a closed set of texts: the error's own text may contain an address with a key in it.
fn text_of(error: &WebSocketError) -> &'static str {
    match error {
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => "the connection ended",
        WebSocketError::Io(_) => "could not connect or the connection was lost",
        WebSocketError::Tls(_) => "the TLS handshake failed",
        WebSocketError::Capacity(_) => "a message over the size limit",
        WebSocketError::Protocol(_) => "not a valid WebSocket frame",
        WebSocketError::WriteBufferFull(_) => "too many messages wait to be written",
        WebSocketError::Http(_) | WebSocketError::HttpFormat(_) => "the WebSocket handshake was refused",
        WebSocketError::Url(_) => "the address is malformed",
        WebSocketError::Utf8(_) | WebSocketError::AttackAttempt => "not a valid WebSocket message",
    }
}
