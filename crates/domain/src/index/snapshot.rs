//! The current state of an index.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use super::code::{IndexCode, IndexKind};
use crate::provenance::{ContributionStatus, Derivation};
use crate::stored::{self, codes};
use crate::{AssetCode, AssetId, Decimal, Timestamp};

/// Where a market is in its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarketSession {
    /// Regular trading.
    Open,
    /// Night, weekend or holiday.
    Closed,
    /// Before the regular session.
    Pre,
    /// After the regular session.
    Post,
    /// The market never closes.
    Continuous,
}

codes!(MarketSession { Open = 0, Closed = 1, Pre = 2, Post = 3, Continuous = 4 });

/// The days on which an index has a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexCalendar {
    UtcDays,
    /// The sessions of the New York exchanges.
    NewYork,
}

codes!(IndexCalendar { UtcDays = 0, NewYork = 1 });

/// How weights within an index are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexWeighting {
    MarketCap,
    /// By market cap, no constituent above a cap.
    CappedMarketCap,
    /// The same for each at every rebalancing.
    Equal,
}

codes!(IndexWeighting { MarketCap = 0, CappedMarketCap = 1, Equal = 2 });

/// Why an asset was left out of a computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExclusionReason {
    /// It is pegged to a currency.
    Stablecoin,
    /// It is a wrapped or bridged form of another asset.
    Wrapped,
    /// It is a staked form of another asset.
    Staked,
    /// It is backed by an asset outside.
    AssetBacked,
    /// Its history is younger than the window.
    InsufficientHistory,
    /// Its value is stale.
    Stale,
    /// It has no value.
    NoData,
    /// It has no market cap or rank.
    NoMarketCap,
    /// It is the benchmark itself.
    Benchmark,
}

codes!(ExclusionReason {
    Stablecoin = 0,
    Wrapped = 1,
    Staked = 2,
    AssetBacked = 3,
    InsufficientHistory = 4,
    Stale = 5,
    NoData = 6,
    NoMarketCap = 7,
    Benchmark = 8,
});

/// An asset that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Exclusion {
    #[n(0)]
    pub asset_id: AssetId,
    #[n(1)]
    pub reason: ExclusionReason,
    /// The reason in words.
    #[cbor(n(2), with = "stored")]
    pub message: SmolStr,
    /// Its ticker.
    #[n(3)]
    pub asset: AssetCode,
}

/// An index's level and everything derived from it. Percentages are per cent; what is unknown is absent.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct IndexSnapshot {
    #[n(0)]
    pub index: IndexCode,
    /// Its name for people.
    #[cbor(n(1), with = "stored")]
    pub title: SmolStr,
    #[n(2)]
    pub kind: IndexKind,
    /// The level, in the unit of `kind`.
    #[n(3)]
    pub level: Option<Decimal>,
    /// Change against the prior session's close, or 24 hours ago where the market never closes.
    #[n(4)]
    pub change_1d_percent: Option<f64>,
    /// Change against 7 days ago.
    #[n(5)]
    pub change_7d_percent: Option<f64>,
    /// Change against 30 days ago.
    #[n(6)]
    pub change_30d_percent: Option<f64>,
    /// Change against the last close of the prior year, or 1 January 00:00 UTC where the market never closes.
    #[n(7)]
    pub change_ytd_percent: Option<f64>,
    /// The highest level ever seen.
    #[n(8)]
    pub all_time_high: Option<IndexHigh>,
    /// Market cap of the constituents, in US dollars; an estimate when `market_cap_reference` is there.
    #[n(9)]
    pub market_cap: Option<Decimal>,
    /// The same minus its value at the reference of `change_ytd_percent`, in US dollars.
    #[n(10)]
    pub market_cap_change_ytd: Option<Decimal>,
    /// What an estimated market cap rests on.
    #[n(11)]
    pub market_cap_reference: Option<MarketCapReference>,
    /// Where the market is in its day.
    #[n(12)]
    pub market_session: MarketSession,
    /// The market is closed and the level is its last: nothing newer is due before this time.
    #[n(13)]
    pub closed_until: Option<Timestamp>,
    #[n(14)]
    pub methodology: IndexMethodology,
    /// The constituents by weight, the largest first.
    #[n(15)]
    pub constituents: Vec<IndexConstituent>,
    /// What each source said, the preferred first.
    #[n(16)]
    pub sources: Vec<IndexSource>,
    /// How each derived figure came about.
    #[n(17)]
    pub derivations: Vec<Derivation>,
}

/// The highest level ever seen of an index.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct IndexHigh {
    #[n(0)]
    pub level: Decimal,
    /// When it was reached; for daily history the session's close.
    #[n(1)]
    pub time: Timestamp,
    /// `level now / all-time high − 1`, in per cent; 0 or less.
    #[n(2)]
    pub drawdown_percent: Option<f64>,
    /// True when it was reached in the current or the latest session.
    #[n(3)]
    pub is_new: bool,
    /// True when it was taken over closes only.
    #[n(4)]
    pub closes_only: bool,
    /// Where the history begins over which it was taken.
    #[n(5)]
    pub history_start: Option<Timestamp>,
}

/// A published market cap of an index, with its date.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MarketCapReference {
    /// The market cap, in US dollars.
    #[n(0)]
    pub market_cap: Decimal,
    /// The level at the same time.
    #[n(1)]
    pub level: Decimal,
    /// The time of both.
    #[n(2)]
    pub time: Timestamp,
    /// Who published it.
    #[cbor(n(3), with = "stored")]
    pub source: SmolStr,
}

/// How an index is made.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct IndexMethodology {
    /// In sentences.
    #[cbor(n(0), with = "stored")]
    pub definition: SmolStr,
    /// How weights are set; `None` for an index that somebody else computes.
    #[n(1)]
    pub weighting: Option<IndexWeighting>,
    #[n(2)]
    pub constituent_count: Option<u32>,
    /// The most that one constituent may weigh, in per cent.
    #[n(3)]
    pub weight_cap_percent: Option<f64>,
    /// `level = Σ units × price / divisor`.
    #[n(4)]
    pub divisor: Option<Decimal>,
    /// The level at `base_time`.
    #[n(5)]
    pub base_level: Option<Decimal>,
    #[n(6)]
    pub base_time: Option<Timestamp>,
    /// When the constituents were last set.
    #[n(7)]
    pub last_rebalance: Option<Timestamp>,
    /// When they will be set next.
    #[n(8)]
    pub next_rebalance: Option<Timestamp>,
    /// The days on which there is a close.
    #[n(9)]
    pub calendar: IndexCalendar,
    /// Where the level is from: a venue's id, or `crossmarket`.
    #[cbor(n(10), with = "stored")]
    pub source: SmolStr,
    /// The index that a fund replaces.
    #[cbor(n(11), with = "stored", has_nil)]
    pub proxy_for: Option<SmolStr>,
    /// The sides of a quotient, the numerator first.
    #[cbor(n(12), with = "stored")]
    pub operands: Vec<SmolStr>,
    /// Assets that belong to it and were left out.
    #[n(13)]
    pub excluded: Vec<Exclusion>,
}

/// One constituent of an index computed here.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct IndexConstituent {
    #[n(0)]
    pub asset_id: AssetId,
    /// Its share, 0 to 1.
    #[n(1)]
    pub weight: f64,
    /// Its market cap, in US dollars.
    #[n(2)]
    pub market_cap: Option<Decimal>,
    /// Its price, in US dollars.
    #[n(3)]
    pub price: Option<Decimal>,
    /// The units that the index holds.
    #[n(4)]
    pub units: Option<Decimal>,
    /// Its part in the level's change of one day, in percentage points.
    #[n(5)]
    pub contribution_1d_percent: Option<f64>,
    /// True when its value is stale; it counts all the same.
    #[n(6)]
    pub stale: bool,
    /// Its ticker.
    #[n(7)]
    pub asset: AssetCode,
}

/// What one source says about an index's level.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct IndexSource {
    /// The venue's id.
    #[cbor(n(0), with = "stored")]
    pub venue: SmolStr,
    #[cbor(n(1), with = "stored")]
    pub venue_symbol: SmolStr,
    /// The level that it gave.
    #[n(2)]
    pub level: Option<Decimal>,
    /// The source's time of it.
    #[n(3)]
    pub event_time: Option<Timestamp>,
    /// `level / level of the source used − 1`, in per cent.
    #[n(4)]
    pub deviation_percent: Option<f64>,
    #[n(5)]
    pub status: ContributionStatus,
    /// True when its closes are adjusted for splits and dividends.
    #[n(6)]
    pub adjusted: bool,
}

impl IndexMethodology {
    /// The methodology of an index that somebody else computes.
    pub fn observed(definition: impl Into<SmolStr>, source: impl Into<SmolStr>, calendar: IndexCalendar) -> Self {
        Self {
            definition: definition.into(),
            weighting: None,
            constituent_count: None,
            weight_cap_percent: None,
            divisor: None,
            base_level: None,
            base_time: None,
            last_rebalance: None,
            next_rebalance: None,
            calendar,
            source: source.into(),
            proxy_for: None,
            operands: Vec::new(),
            excluded: Vec::new(),
        }
    }
}

impl IndexSnapshot {
    /// A snapshot of which nothing is known yet but how it is made.
    pub fn empty(index: IndexCode, methodology: IndexMethodology, market_session: MarketSession) -> Self {
        Self {
            title: index.title(),
            kind: index.kind(),
            index,
            level: None,
            change_1d_percent: None,
            change_7d_percent: None,
            change_30d_percent: None,
            change_ytd_percent: None,
            all_time_high: None,
            market_cap: None,
            market_cap_change_ytd: None,
            market_cap_reference: None,
            market_session,
            closed_until: None,
            methodology,
            constituents: Vec::new(),
            sources: Vec::new(),
            derivations: Vec::new(),
        }
    }
}
