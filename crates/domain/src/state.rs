//! States: what is stored, fed, held in the live image and answered. Each is the full current value of one key.

use std::time::Duration;

use smol_str::SmolStr;

use super::index::{IndexCode, IndexSnapshot};
use super::long_short::{LongShortKey, LongShortRatio};
use super::{AssetCode, Decimal, Feed, Timestamp};

/// What a state is the value of. Keys order by kind, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An asset's price snapshot.
    Price(AssetCode),
    /// An asset's catalogue entry.
    Asset(AssetCode),
    /// A long/short ratio.
    LongShort(LongShortKey),
    /// An index's snapshot.
    Index(IndexCode),
    /// A feed's health: venue id and feed.
    Feed(SmolStr, Feed),
}

/// One key's full current value.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// When the newest thing in it happened, by the venues' clocks.
    pub event_time: Timestamp,
    /// When that reached the collector.
    pub receive_time: Timestamp,
    /// When the collector published it.
    pub publish_time: Timestamp,
    /// How long after `receive_time` it is fresh. Venues' event times do not count here, except that a state that is
    /// already old when it is received has none of its budget left.
    pub budget: Duration,
    /// True when it comes from simulated venues.
    pub simulated: bool,
    /// The value.
    pub body: Body,
}

impl State {
    /// From when on the state is stale: `min(event_time, receive_time) + budget`.
    pub fn stale_since(&self) -> Timestamp {
        self.event_time.min(self.receive_time) + self.budget
    }
}

/// The kinds of value, one for each kind of [`Key`].
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A price snapshot.
    Price(Box<PriceSnapshot>),
    /// A catalogue entry.
    Asset(Box<AssetInfo>),
    /// A long/short ratio.
    LongShort(Box<LongShortRatio>),
    /// An index's snapshot.
    Index(Box<IndexSnapshot>),
    /// A feed's health.
    Feed(Box<FeedStatus>),
}

/// A revision: the dense position of an update in its shard's change feed, from 1.
pub type Revision = u64;

/// A generation of a shard's writer. A larger epoch fences every smaller one.
pub type Epoch = u64;

/// An asset's price and everything derived from it. Percentages are per cent (1.3 is 1.3 %); what is unknown is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceSnapshot {
    /// The asset.
    pub asset: AssetCode,
    /// The asset's name.
    pub name: Option<SmolStr>,
    /// Aggregate price of one unit, in US dollars.
    pub price: Option<Decimal>,
    /// Change against 1 hour ago.
    pub change_1h_percent: Option<f64>,
    /// Change against 24 hours ago.
    pub change_24h_percent: Option<f64>,
    /// Change against 7 days ago.
    pub change_7d_percent: Option<f64>,
    /// Change against 30 days ago.
    pub change_30d_percent: Option<f64>,
    /// Change against 1 January 00:00 UTC.
    pub change_ytd_percent: Option<f64>,
    /// Highest price of the last 24 hours.
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours.
    pub low_24h: Option<Decimal>,
    /// Highest price of the last 7 days.
    pub high_7d: Option<Decimal>,
    /// Lowest price of the last 7 days.
    pub low_7d: Option<Decimal>,
    /// `(high − low) / low` of the last 24 hours.
    pub range_24h_percent: Option<f64>,
    /// Realized volatility of the last 24 hours, not annualized.
    pub volatility_24h_percent: Option<f64>,
    /// Realized volatility of 30 daily returns, annualized with 365.
    pub volatility_30d_annualized_percent: Option<f64>,
    /// Wilder's relative strength index of 14 daily closes, 0 to 100.
    pub rsi_14d: Option<f64>,
    /// Value traded in the last 24 hours, in US dollars.
    pub volume_24h: Option<Decimal>,
    /// Market capitalization, in US dollars.
    pub market_cap: Option<Decimal>,
    /// Rank by market cap, from 1.
    pub market_cap_rank: Option<u32>,
    /// Circulating supply, in units of the asset.
    pub circulating_supply: Option<Decimal>,
    /// All-time high.
    pub all_time_high: Option<AllTimeHigh>,
    /// Categories by id: `layer-1`, `privacy-coins`.
    pub categories: Vec<SmolStr>,
    /// How the price came about.
    pub aggregation: Aggregation,
    /// How each derived figure came about.
    pub derivations: Vec<Derivation>,
}

/// The highest price ever seen.
#[derive(Clone, Debug, PartialEq)]
pub struct AllTimeHigh {
    /// That price, in US dollars.
    pub price: Decimal,
    /// When it was, if known.
    pub time: Option<Timestamp>,
    /// `price now / all-time high − 1`, in per cent; 0 or less.
    pub drawdown_percent: Option<f64>,
    /// Where it is known from: a listing's venue id, or `history`.
    pub source: SmolStr,
}

/// How an aggregate price was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregationMethod {
    /// Median of the venues' prices weighted by their 24-hour volume.
    VolumeWeightedMedian,
    /// Unweighted median: no venue gave a volume.
    Median,
    /// Only one venue had a usable price.
    SingleVenue,
    /// No venue has a fresh price: the newest known one is carried.
    LastKnown,
    /// No venue trades it: the price of a market-cap listing.
    Listing,
}

/// What happened to one venue's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContributionStatus {
    /// It counts.
    Used,
    /// Older than its feed's budget.
    Stale,
    /// Too far from the others.
    Outlier,
    /// Its quote asset has no price in US dollars.
    UnpricedQuote,
    /// The venue lists the instrument and gives no price.
    NoPrice,
    /// It gives no volume where the others do, so it has no weight.
    NoVolume,
    /// Nothing is fresh, and this is the price that is carried.
    Carried,
    /// It differs from the preferred source by more than the tolerance.
    Disagrees,
    /// It agrees with the preferred source, which was taken instead.
    Standby,
}

/// How a price was aggregated.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// The method.
    pub method: AggregationMethod,
    /// Number of venues used.
    pub venue_count: u32,
    /// Number of venues considered.
    pub candidate_count: u32,
    /// Number of venues that the configuration asks for.
    pub required_venue_count: u32,
    /// Median absolute deviation of the used prices from their median, in per cent of it.
    pub dispersion_percent: Option<f64>,
    /// Deviation from the median beyond which a price was an outlier, in per cent of it.
    pub outlier_limit_percent: Option<f64>,
    /// One entry for every instrument considered.
    pub contributions: Vec<Contribution>,
}

/// One instrument's part in an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The venue's id.
    pub venue: SmolStr,
    /// The instrument as `BASE/QUOTE`, with `:perpetual` for a perpetual.
    pub instrument: SmolStr,
    /// The venue's own symbol.
    pub venue_symbol: SmolStr,
    /// The quote asset.
    pub quote_asset: SmolStr,
    /// The price as observed, in the quote asset and for the venue's unit.
    pub observed_price: Option<Decimal>,
    /// US dollars for one unit of the quote asset.
    pub conversion_rate: Option<Decimal>,
    /// The price of one unit, in US dollars.
    pub price: Option<Decimal>,
    /// Share of the total weight, 0 to 1; 0 when not used.
    pub weight: f64,
    /// Value traded in the last 24 hours, in US dollars.
    pub volume_24h: Option<Decimal>,
    /// `price / aggregate price − 1`, in per cent.
    pub deviation_percent: Option<f64>,
    /// When it was, by the venue's clock.
    pub event_time: Timestamp,
    /// When it was received.
    pub receive_time: Timestamp,
    /// What became of it.
    pub status: ContributionStatus,
    /// True for a simulated venue.
    pub simulated: bool,
}

/// How one derived figure was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    /// The field of the snapshot: `rsi_14d`.
    pub field: SmolStr,
    /// The method in words.
    pub method: SmolStr,
    /// Its parameters, name and value.
    pub parameters: Vec<(SmolStr, SmolStr)>,
    /// The figures that it started from: name and value.
    pub inputs: Vec<(SmolStr, Decimal)>,
    /// How many observations it rests on.
    pub observation_count: u32,
    /// How many were missing between the first and the last.
    pub missing_count: u32,
    /// The first observation's time.
    pub start_time: Timestamp,
    /// The last observation's time.
    pub end_time: Timestamp,
    /// Where the observations are from: `venue:binance`, `collected`.
    pub source: SmolStr,
}

impl Derivation {
    /// Adds a parameter.
    pub fn parameter(&mut self, name: &'static str, value: &str) {
        self.parameters.push((SmolStr::new_static(name), SmolStr::new(value)));
    }
}

/// A catalogue entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetInfo {
    /// The asset.
    pub asset: AssetCode,
    /// Its name.
    pub name: Option<SmolStr>,
    /// What it is.
    pub kind: AssetKind,
    /// Rank by market cap, from 1.
    pub market_cap_rank: Option<u32>,
    /// Categories by id.
    pub categories: Vec<SmolStr>,
    /// The listings' ids of it: venue id and id there.
    pub listing_ids: Vec<(SmolStr, SmolStr)>,
    /// Where it is traded: venue id and instrument.
    pub instruments: Vec<(SmolStr, super::Instrument)>,
    /// First day of daily history.
    pub history_start: Option<Timestamp>,
    /// Number of days of daily history.
    pub history_day_count: u32,
}

/// What an asset is, for indices and breadth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// A coin or token of its own value.
    Coin,
    /// Pegged to a currency.
    Stablecoin,
    /// A wrapped or bridged form of another asset.
    Wrapped,
    /// A staked form of another asset.
    Staked,
    /// Backed by an asset outside: gold, shares, bills.
    AssetBacked,
    /// A state currency.
    Fiat,
}

/// Whether a feed works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedState {
    /// Not heard from yet.
    Starting,
    /// The last request succeeded within the budget.
    Ok,
    /// It answers, and something is amiss: errors between successes, entries refused.
    Degraded,
    /// No success within the budget, or the circuit is open.
    Down,
    /// Switched off by configuration.
    Disabled,
}

/// What kind of error a feed had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedErrorKind {
    /// The venue asks to slow down.
    RateLimited,
    /// It may work next time: a time-out, a connection error, a 5xx.
    Transient,
    /// The answer is not what the venue documents.
    Malformed,
    /// The venue refuses: a geo-block, a bad parameter.
    Rejected,
    /// Not asked, since it failed too often.
    CircuitOpen,
}

/// One metered scope's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateBudget {
    /// The scope's name: `binance:weight`.
    pub scope: SmolStr,
    /// Weight allowed in a window.
    pub limit: u64,
    /// Weight used in the last window.
    pub used: u64,
    /// The window.
    pub window: Duration,
    /// Weight that crossmarket allows itself in a window.
    pub planned: u64,
}

/// How often one tier of market-cap ranks is asked for within a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanTier {
    /// First rank, from 1.
    pub rank_min: u32,
    /// Last rank; `None` when it is open.
    pub rank_max: Option<u32>,
    /// Instruments in it.
    pub instrument_count: u32,
    /// Time between two requests for the same instrument.
    pub interval: Duration,
    /// What that costs, in thousandths of the scope's weight a minute.
    pub milliweight_per_minute: u64,
    /// The scope that it draws on.
    pub scope: SmolStr,
}

/// A feed's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStatus {
    /// The venue's id.
    pub venue: SmolStr,
    /// The feed.
    pub feed: Feed,
    /// True when it arrives by WebSocket.
    pub streaming: bool,
    /// Whether it works.
    pub state: FeedState,
    /// Since when it is in that state.
    pub state_time: Timestamp,
    /// The last success.
    pub last_success: Option<Timestamp>,
    /// The last error.
    pub last_error: Option<(Timestamp, FeedErrorKind, SmolStr)>,
    /// Requests (or frames) so far.
    pub request_count: u64,
    /// Errors so far.
    pub error_count: u64,
    /// Observations so far.
    pub observation_count: u64,
    /// Entries refused so far, by reason.
    pub rejections: Vec<(SmolStr, u64)>,
    /// Instruments asked for; 0 when all are.
    pub instrument_count: u32,
    /// Instruments answered last.
    pub resolved_count: u32,
    /// Time between requests.
    pub interval: Duration,
    /// Reconnects of a stream so far.
    pub reconnect_count: u64,
    /// The rate-limit budgets that it draws on.
    pub rate_budgets: Vec<RateBudget>,
    /// How it is planned by market-cap rank; empty where ranks are treated alike.
    pub plan: Vec<PlanTier>,
}
