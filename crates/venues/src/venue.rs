//! The venue traits, and the types of requests and responses.

use std::time::Duration;

use bytes::Bytes;
use smol_str::SmolStr;

use super::profile::Profile;
use crossmarket_domain::{CandleInterval, Feed, Instrument, LongShortKind, Observation, Period, Timestamp, VenueId};

/// A market-data venue. Implementations are stateless.
pub trait Venue: Send + Sync {
    /// The venue's static facts.
    fn profile(&self) -> &'static Profile;

    fn id(&self) -> VenueId {
        self.profile().id
    }

    /// Returns the instrument behind a venue symbol, or `None` when the symbol cannot be split.
    fn instrument(&self, symbol: &str) -> Option<Instrument>;

    /// Returns the instrument under which the venue would list `base` against `quote`, or `None` when it has no such
    /// market. The instrument need not exist. A spot venue returns a spot instrument, a futures venue its perpetual.
    fn listing(&self, base: &str, quote: &str) -> Option<Instrument>;

    /// Builds the requests for `asked`. An empty `asked` means everything the venue has, if one request can ask for it;
    /// otherwise no request is made.
    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request>;

    /// Decodes the answer to `ask`. If `ask` names no instruments, everything in the answer is resolved. Otherwise
    /// every requested instrument ends up in exactly one of `observations` (at least once) and `unresolved`, and other
    /// instruments are skipped. A malformed entry does not affect the others.
    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError>;

    /// The venue's stream, if its profile has one.
    fn stream(&self) -> Option<&dyn StreamingVenue> {
        None
    }
}

/// A venue's WebSocket stream of tickers. [`Profile::stream`] has its URL and the lifetime of a connection.
pub trait StreamingVenue: Send + Sync {
    /// The text frames that subscribe to `asked` (at most `SessionPolicy::instruments_max`).
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String>;

    /// Decodes one text frame. In a ticker, an absent field means unchanged.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError>;
}

/// What a request asks for. Decoding needs it, because many answers name neither the instruments nor the interval of
/// their rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub feed: Feed,
    /// The requested instruments; empty for everything the venue has.
    pub instruments: Vec<Instrument>,
    /// Length of the candles.
    pub interval: Option<CandleInterval>,
    /// Period of the long/short ratios.
    pub period: Option<Period>,
    /// Population of the long/short ratios; `None` when each row names its own.
    pub kind: Option<LongShortKind>,
    /// The category whose members are listed, as the venue's id.
    pub category: Option<SmolStr>,
    /// Report every malformed entry, for tools that inspect an answer. The collector counts instruments only: an
    /// instrument with an observation is resolved, whatever its other entries are.
    pub reports_every_entry: bool,
}

impl Ask {
    /// Asks for everything in a feed.
    pub fn all(feed: Feed) -> Self {
        Self::about(feed, Vec::new())
    }

    /// Asks for some instruments of a feed.
    pub fn about(feed: Feed, instruments: impl Into<Vec<Instrument>>) -> Self {
        Self {
            feed,
            instruments: instruments.into(),
            interval: None,
            period: None,
            kind: None,
            category: None,
            reports_every_entry: false,
        }
    }

    /// Asks for the candles of one instrument.
    pub(super) fn candles(instrument: &Instrument, interval: CandleInterval) -> Self {
        Self { interval: Some(interval), ..Self::about(Feed::Candles, [instrument.clone()]) }
    }

    /// Asks for the long/short ratios of one instrument: of one population, or of all that the rows name.
    pub(super) fn ratios(instrument: &Instrument, period: Period, kind: Option<LongShortKind>) -> Self {
        Self { period: Some(period), kind, ..Self::about(Feed::LongShortRatios, [instrument.clone()]) }
    }

    /// Returns the interval, for decoding an answer that does not state it.
    pub(super) fn required_interval(&self) -> Result<CandleInterval, VenueError> {
        self.interval.ok_or(VenueError::Unasked(AskPart::Interval))
    }

    /// Returns the population, for decoding an answer that does not state it.
    pub(super) fn required_kind(&self) -> Result<LongShortKind, VenueError> {
        self.kind.ok_or(VenueError::Unasked(AskPart::Kind))
    }
}

/// A part of an [`Ask`] that decoding an answer requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskPart {
    /// [`Ask::instruments`] with one element.
    Instrument,
    /// [`Ask::interval`].
    Interval,
    /// [`Ask::kind`].
    Kind,
}

impl AskPart {
    /// `instrument`, `interval` or `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instrument => "instrument",
            Self::Interval => "interval",
            Self::Kind => "kind",
        }
    }
}

/// Request options besides the instruments; `None` where it does not matter.
#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    /// Candle interval; [`CandleInterval::OneDay`] when absent.
    pub interval: Option<CandleInterval>,
    /// Long/short period; 5 minutes when absent.
    pub period: Option<Period>,
    /// Start, inclusive; absent means the newest data.
    pub start: Option<Timestamp>,
    /// End, exclusive.
    pub end: Option<Timestamp>,
    /// Maximum number of rows; the venue's own maximum caps it.
    pub limit: Option<u32>,
}

impl RequestOptions {
    pub(super) fn interval_or_default(&self) -> CandleInterval {
        self.interval.unwrap_or(CandleInterval::OneDay)
    }

    pub(super) fn period_or_default(&self) -> Period {
        self.period.unwrap_or(Period::FiveMinutes)
    }
}

/// One HTTP GET request and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the request asks for; empty instruments mean all.
    pub ask: Ask,
    /// Path and query, from the slash: `/api/v3/ticker/24hr?symbol=BTCUSDT`.
    pub path: String,
    /// A host other than the venue's `rest_url`, for a feed that lives elsewhere (absolute, without a trailing slash).
    pub host: Option<&'static str>,
    /// The metered scope that the request counts against.
    pub scope: &'static str,
    /// The request's weight in that scope.
    pub weight: u32,
}

impl Request {
    /// A request to the venue's `rest_url` with weight 1.
    pub(super) fn of(ask: Ask, scope: &'static str, path: impl Into<String>) -> Self {
        Self { ask, path: path.into(), host: None, scope, weight: 1 }
    }
}

/// One HTTP response.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    /// `Retry-After`, as a duration.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, empty when absent.
    pub content_type: SmolStr,
    /// The decompressed body.
    pub body: Bytes,
}

/// A decoded answer.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    pub observations: Vec<Observation>,
    /// Requested instruments without an observation, and malformed entries.
    pub unresolved: Vec<Unresolved>,
}

/// An entry that produced no observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The venue's symbol; in a malformed entry, whatever value is in its place (at most 64 bytes of it).
    pub symbol: SmolStr,
    pub reason: UnresolvedReason,
    /// The field at fault, empty when none is.
    pub field: &'static str,
}

/// Why an entry produced no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnresolvedReason {
    /// Requested but missing from the answer.
    NotAnswered,
    /// The venue reports that it does not list the symbol.
    NotListed,
    /// The entry has no usable value: a price of 0, empty or null.
    NoValue,
    /// The symbol cannot be split into base and quote.
    UnknownSymbol,
    /// The entry differs from the venue's documentation.
    Malformed,
    /// An impossible number: negative, not finite or out of range.
    Implausible,
}

impl UnresolvedReason {
    /// The reason's label in metrics and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnswered => "not_answered",
            Self::NotListed => "not_listed",
            Self::NoValue => "no_value",
            Self::UnknownSymbol => "unknown_symbol",
            Self::Malformed => "malformed",
            Self::Implausible => "implausible",
        }
    }
}

/// Why an answer as a whole could not be used. Only the collector decides on retries. Error texts never contain an
/// upstream body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// The venue is rate limiting.
    #[error("rate limited{}", retry_after.map(|wait| format!(", retry after {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The requested wait.
        retry_after: Option<Duration>,
    },
    /// A retry may succeed.
    #[error("transient: {0}")]
    Transient(SmolStr),
    /// The answer differs from the venue's documentation.
    #[error("malformed: {0}")]
    Malformed(SmolStr),
    /// The venue refuses and a retry does not help: a geo-block, a bad parameter, an unknown symbol.
    #[error("rejected: {0}")]
    Rejected(SmolStr),
    /// Neither the answer nor the [`Ask`] contains this part. This cannot happen when an answer is decoded with the ask
    /// of its own request.
    #[error("neither the answer nor the question says the {}", .0.as_str())]
    Unasked(AskPart),
}

/// A decoded frame.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Market data.
    Data(Parsed),
    /// Proof of life only: a heartbeat, a pong or a welcome message.
    Alive,
    /// A subscription was accepted.
    Subscribed,
    /// A subscription was refused.
    Refused {
        /// The symbol or channel, empty if the venue did not name it.
        symbol: SmolStr,
        /// A short text of our own, or the venue's error code.
        reason: SmolStr,
    },
    /// Send this text immediately.
    Reply(String),
    /// The venue is about to close the connection: reconnect now.
    Closing,
    /// Another documented message, which is ignored.
    Ignored,
}
