//! Venues: what to ask each of them, and how to read what it answers. Sans-I/O: no clock, no socket, no async.
//!
//! One file per venue, one row each in [`REGISTRY`]. Everything else (configuration keys, metric labels, rate limiters, the catalogue,
//! contract tests, the demo) iterates the registry.

use std::time::Duration;

use bytes::Bytes;
use smol_str::SmolStr;

pub use key::{ApiKey, Secret};

use crossmarket_domain::{CandleInterval, Feed, Instrument, LongShortKind, Observation, Period, Timestamp, VenueId};

pub mod binance;
mod binance_format;
pub mod binance_usdm;
pub mod bitget;
pub mod bybit;
pub mod coinbase;
pub mod coingecko;
pub mod coinpaprika;
pub mod envelope;
pub mod fred;
pub mod gate;
mod gather;
pub mod htx;
pub mod json;
mod key;
pub mod kraken;
pub mod kucoin;
mod levels;
pub mod listings;
pub mod mexc;
pub mod okx;
pub mod status;
pub mod stooq;
pub mod symbols;
pub mod twelvedata;
pub mod yahoo;

/// A market-data venue. Implementations hold no state.
pub trait Venue: Send + Sync {
    /// The venue's id.
    fn id(&self) -> VenueId;

    /// What the catalogue says about it.
    fn about(&self) -> About;

    /// The feeds that it has by HTTP.
    fn feeds(&self) -> &'static [Feed];

    /// Where its HTTP API is, without a trailing slash. Configuration may say otherwise.
    fn rest_url(&self) -> &'static str;

    /// The metered scopes of its HTTP API. Every [`Request::scope`] is one of them.
    fn limits(&self) -> &'static [RateLimit];

    /// How its key is sent, for a venue that answers nothing without one. The key itself is configured, and never part of a [`Request`].
    fn api_key(&self) -> Option<ApiKey> {
        None
    }

    /// The instrument behind one of its symbols, or `None` when the symbol cannot be split.
    fn instrument(&self, symbol: &str) -> Option<Instrument>;

    /// The symbol under which it would list `base` against `quote` (it need not exist), or `None` when it has no such market.
    /// A spot venue answers for spot, a futures venue for its perpetual.
    fn listing(&self, base: &str, quote: &str) -> Option<Instrument>;

    /// The kinds of long/short ratio that it has.
    fn long_short_kinds(&self) -> &'static [LongShortKind] {
        &[]
    }

    /// Rows of long/short ratios in one answer at most.
    fn long_short_rows_max(&self) -> u32 {
        100
    }

    /// True when it has the past of open interest in dollars, asked for as [`Feed::OpenInterest`] with a period.
    fn has_open_interest_history(&self) -> bool {
        false
    }

    /// The feeds for which an answer to this feed's request can be read as well.
    fn also_answers(&self, _feed: Feed) -> &'static [Feed] {
        &[]
    }

    /// The requests that answer for `asked`. Empty `asked` means all that the venue has, where one request can say that;
    /// where none can, no request is made.
    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request>;

    /// Reads an answer. With empty `asked`, everything in it is resolved; otherwise every instrument asked for ends up in exactly
    /// one of `observations` (at least once) and `unresolved`, and others in the answer are passed over.
    /// A broken entry costs that entry and no other.
    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError>;

    /// Its stream, if there is one.
    fn stream(&self) -> Option<&dyn StreamingVenue> {
        None
    }
}

/// A venue's WebSocket stream of tickers.
pub trait StreamingVenue: Send + Sync {
    /// Where it is. Configuration may say otherwise.
    fn ws_url(&self) -> &'static str;

    /// False when only recorded frames can be read, because a connection needs more than this trait tells (a token, gzip, protobuf).
    fn connects(&self) -> bool {
        true
    }

    /// What to add to the URL's path for one connection, often nothing.
    fn path(&self) -> &'static str {
        ""
    }

    /// The session's limits and habits.
    fn session(&self) -> SessionPolicy;

    /// The text frames that subscribe to `asked` (at most [`SessionPolicy::instruments_max`]).
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String>;

    /// Reads one text frame. In a ticker, an absent field has not changed.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError>;
}

/// What the catalogue says about a venue.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// `Binance spot`.
    pub title: &'static str,
    /// Where the API is documented.
    pub documentation_url: &'static str,
    /// Where its terms of use are.
    pub terms_url: &'static str,
    /// False for an interface that the venue does not document.
    pub official: bool,
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

/// One HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query, from the slash: `/api/v3/ticker/24hr?symbol=BTCUSDT`.
    pub path: String,
    /// Another host than the venue's `rest_url`, where one feed lives elsewhere (absolute, without a trailing slash).
    pub host: Option<&'static str>,
    /// The metered scope that it draws on.
    pub scope: &'static str,
    /// What it costs there.
    pub weight: u32,
    /// The instruments that it asks for; empty means all.
    pub asked: Vec<Instrument>,
}

/// One HTTP answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The path that it answers (for a recorded body, the file's name): some bodies do not say what they are.
    pub path: String,
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
}

/// One metered scope: at most `limit` weight in any window of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The scope's name within the venue: `weight`, `futures-data`.
    pub scope: &'static str,
    /// Weight allowed in a window.
    pub limit: u32,
    /// The window.
    pub window: Duration,
}

/// A stream session's limits and habits.
#[derive(Clone, Copy, Debug)]
pub struct SessionPolicy {
    /// The venue closes a connection at this age; the collector reconnects before.
    pub life_max: Option<Duration>,
    /// With nothing received for so long the connection is dead.
    pub silence_max: Duration,
    /// What the client must send when.
    pub ping: Ping,
    /// Instruments on one connection at most.
    pub instruments_max: usize,
    /// Messages that the client may send in a second.
    pub messages_per_second_max: u32,
}

/// What the client sends to keep a connection alive.
#[derive(Clone, Copy, Debug)]
pub enum Ping {
    /// Nothing of its own: it answers protocol pings.
    Answer,
    /// This text, so often.
    Text {
        /// The frame.
        text: &'static str,
        /// How often.
        every: Duration,
    },
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
    /// Send this text at once.
    Reply(String),
    /// The venue is about to close: connect anew now.
    Closing,
    /// Something else that is documented and of no use here.
    Ignored,
}

/// Declares the venues: a row is the module and the type in it.
macro_rules! registry {
    ($($module:ident::$venue:ident,)*) => {
        /// Every venue, in the order of the documentation.
        pub static REGISTRY: &[&dyn Venue] = &[$(&$module::$venue),*];

        /// The simulated side of every venue.
        #[cfg(feature = "simulator")]
        pub static SIMULATED: &[crossmarket_simulator::exchange::SimulatedVenue] = &[$($module::simulated::VENUE),*];
    };
}

// A new venue is one folder and one row.
registry! {
    binance::Binance,
    binance_usdm::BinanceUsdm,
    coinbase::Coinbase,
    kraken::Kraken,
    okx::Okx,
    bybit::Bybit,
    bitget::Bitget,
    gate::Gate,
    kucoin::Kucoin,
    mexc::Mexc,
    htx::Htx,
    coingecko::CoinGecko,
    coinpaprika::CoinPaprika,
    yahoo::Yahoo,
    twelvedata::TwelveData,
    stooq::Stooq,
    fred::Fred,
}

/// The venue of that id.
pub fn find(id: &str) -> Option<&'static dyn Venue> {
    REGISTRY.iter().copied().find(|venue| venue.id().as_str() == id)
}
