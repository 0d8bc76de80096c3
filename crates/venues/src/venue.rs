//! What a venue is asked and what it answers: the traits that every venue implements, and the types that they speak.

use std::time::Duration;

use bytes::Bytes;
use smol_str::SmolStr;

use super::profile::Profile;
use crossmarket_domain::{CandleInterval, Feed, Instrument, LongShortKind, Observation, Period, Timestamp, VenueId};

/// A market-data venue. Implementations hold no state.
pub trait Venue: Send + Sync {
    /// What is known of it before it is asked anything.
    fn profile(&self) -> &'static Profile;

    fn id(&self) -> VenueId {
        self.profile().id
    }

    /// The instrument behind one of its symbols, or `None` when the symbol cannot be split.
    fn instrument(&self, symbol: &str) -> Option<Instrument>;

    /// The instrument as which it would list `base` against `quote` (it need not exist), or `None` when it has no such market.
    /// A spot venue answers for spot, a futures venue for its perpetual.
    fn listing(&self, base: &str, quote: &str) -> Option<Instrument>;

    /// The requests that answer for `asked`. Empty `asked` means all that the venue has, where one request can say that;
    /// where none can, no request is made.
    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request>;

    /// Reads the answer to `ask`. With no instruments asked for, everything in it is resolved; otherwise every instrument asked for ends up
    /// in exactly one of `observations` (at least once) and `unresolved`, and others in the answer are passed over.
    /// A broken entry costs that entry and no other.
    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError>;

    /// Its stream, if its profile has one.
    fn stream(&self) -> Option<&dyn StreamingVenue> {
        None
    }
}

/// A venue's WebSocket stream of tickers. Where it is and how long a connection lasts is in [`Profile::stream`].
pub trait StreamingVenue: Send + Sync {
    /// The text frames that subscribe to `asked` (at most `SessionPolicy::instruments_max`).
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String>;

    /// Reads one text frame. In a ticker, an absent field has not changed.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError>;
}

/// What a request asks for. It stays with the request, because many answers say neither whose rows they hold nor over which interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What kind of data.
    pub feed: Feed,
    /// Of which instruments; empty for all that the venue has.
    pub instruments: Vec<Instrument>,
    /// Length of the candles.
    pub interval: Option<CandleInterval>,
    /// Period of the long/short ratios.
    pub period: Option<Period>,
    /// Population of the long/short ratios; `None` where the rows say it.
    pub kind: Option<LongShortKind>,
    /// The category whose members are listed, by the venue's id.
    pub category: Option<SmolStr>,
    /// Reports every broken entry, for whoever inspects an answer. The collector counts instruments: one with an observation is resolved,
    /// whatever its other entries are.
    pub reports_every_entry: bool,
}

impl Ask {
    /// Asks for all that a feed has.
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

    /// Asks for an instrument's candles.
    pub(super) fn candles(instrument: &Instrument, interval: CandleInterval) -> Self {
        Self { interval: Some(interval), ..Self::about(Feed::Candles, [instrument.clone()]) }
    }

    /// Asks for an instrument's long/short ratios: of one population, or of all that the rows tell.
    pub(super) fn ratios(instrument: &Instrument, period: Period, kind: Option<LongShortKind>) -> Self {
        Self { period: Some(period), kind, ..Self::about(Feed::LongShortRatios, [instrument.clone()]) }
    }

    /// The interval, for an answer that does not say it.
    pub(super) fn required_interval(&self) -> Result<CandleInterval, VenueError> {
        self.interval.ok_or(VenueError::Unasked(AskPart::Interval))
    }

    /// The population, for an answer that does not say it.
    pub(super) fn required_kind(&self) -> Result<LongShortKind, VenueError> {
        self.kind.ok_or(VenueError::Unasked(AskPart::Kind))
    }
}

/// A part of a question without which an answer cannot be read.
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

/// What a caller wants beyond the instruments; `None` where it does not matter.
#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    /// Candle interval; [`CandleInterval::OneDay`] when absent.
    pub interval: Option<CandleInterval>,
    /// Long/short period; 5 minutes when absent.
    pub period: Option<Period>,
    /// From when on; absent means the newest.
    pub start: Option<Timestamp>,
    /// Until when, exclusive.
    pub end: Option<Timestamp>,
    /// At most so many rows; the venue's own maximum caps it.
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

/// One HTTP GET and the question behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for; empty instruments mean all.
    pub ask: Ask,
    /// Path and query, from the slash: `/api/v3/ticker/24hr?symbol=BTCUSDT`.
    pub path: String,
    /// Another host than the venue's `rest_url`, where one feed lives elsewhere (absolute, without a trailing slash).
    pub host: Option<&'static str>,
    /// The metered scope that it draws on.
    pub scope: &'static str,
    /// What it costs there.
    pub weight: u32,
}

impl Request {
    /// A request at the venue's `rest_url` that costs 1.
    pub(super) fn of(ask: Ask, scope: &'static str, path: impl Into<String>) -> Self {
        Self { ask, path: path.into(), host: None, scope, weight: 1 }
    }
}

/// One HTTP answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// `Retry-After`, as a span.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, empty when absent.
    pub content_type: SmolStr,
    /// The decompressed body.
    pub body: Bytes,
}

/// What an answer says.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// What could be read.
    pub observations: Vec<Observation>,
    /// What could not: instruments asked for and not answered, and broken entries.
    pub unresolved: Vec<Unresolved>,
}

/// An entry that gave no observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The venue's symbol, or whatever stands in its place in a broken entry (at most 64 bytes of it).
    pub symbol: SmolStr,
    /// Why.
    pub reason: UnresolvedReason,
    /// The field at fault, empty when none is.
    pub field: &'static str,
}

/// Why an entry gave no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnresolvedReason {
    /// Asked for and not in the answer.
    NotAnswered,
    /// The venue says that it does not list it.
    NotListed,
    /// The entry has no usable value: a price of 0, empty or null.
    NoValue,
    /// The symbol cannot be split into base and quote.
    UnknownSymbol,
    /// The entry is not what the venue documents.
    Malformed,
    /// A number that cannot be: negative, not finite, out of any range.
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

/// Why an answer as a whole gave nothing. Only the collector decides on retries. Texts never hold an upstream body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// The venue asks to slow down.
    #[error("rate limited{}", retry_after.map(|wait| format!(", retry after {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It may work next time.
    #[error("transient: {0}")]
    Transient(SmolStr),
    /// The answer is not what the venue documents.
    #[error("malformed: {0}")]
    Malformed(SmolStr),
    /// The venue refuses, and asking again does not help: a geo-block, a bad parameter, an unknown symbol.
    #[error("rejected: {0}")]
    Rejected(SmolStr),
    /// Neither the answer nor the question says this. It does not happen to an answer that is read with its request's own question.
    #[error("neither the answer nor the question says the {}", .0.as_str())]
    Unasked(AskPart),
}

/// What a frame says.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Market data.
    Data(Parsed),
    /// Alive and nothing else: a heartbeat, a pong, a welcome.
    Alive,
    /// A subscription was accepted.
    Subscribed,
    /// A subscription was refused: which (if said) and why.
    Refused {
        /// The symbol or channel, empty if not said.
        symbol: SmolStr,
        /// A short text of our own or the venue's error code.
        reason: SmolStr,
    },
    /// Send this text immediately.
    Reply(String),
    /// The venue is about to close: connect again now.
    Closing,
    /// Something else that is documented and of no use here.
    Ignored,
}
