//! Catalogue entries.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use crate::stored::{self, codes};
use crate::{AssetCode, AssetId, Instrument, Timestamp};

/// A catalogue entry.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct AssetInfo {
    #[n(0)]
    pub asset_id: AssetId,
    #[cbor(n(1), with = "stored", has_nil)]
    pub name: Option<SmolStr>,
    #[n(2)]
    pub kind: AssetKind,
    /// Rank by market cap, from 1.
    #[n(3)]
    pub market_cap_rank: Option<u32>,
    /// Categories by id.
    #[cbor(n(4), with = "stored")]
    pub categories: Vec<SmolStr>,
    /// The listings' ids of it: venue id and id there.
    #[cbor(n(5), with = "stored")]
    pub listing_ids: Vec<(SmolStr, SmolStr)>,
    /// Where it is traded, with the evidence that it is this asset there.
    #[n(6)]
    pub instruments: Vec<InstrumentMapping>,
    /// First day of daily history.
    #[n(7)]
    pub history_start: Option<Timestamp>,
    /// Number of days of daily history.
    #[n(8)]
    pub history_day_count: u32,
    /// The ticker: a handle that resolves to the id and may change.
    #[n(9)]
    pub asset: AssetCode,
    /// Other names that resolve to it: former tickers.
    #[cbor(n(10), with = "stored")]
    pub aliases: Vec<SmolStr>,
}

/// One venue's instrument and why it counts as the asset's.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct InstrumentMapping {
    /// The venue's id.
    #[cbor(n(0), with = "stored")]
    pub venue: SmolStr,
    #[n(1)]
    pub instrument: Instrument,
    #[n(2)]
    pub rule: MappingRule,
    #[n(3)]
    pub state: MappingState,
    /// The instrument's price of one unit divided by the price that it was last compared with. Rounded to two digits, so
    /// that it does not change with every trade. Absent when there was nothing to compare with.
    #[n(4)]
    pub price_ratio: Option<f64>,
    /// When the state began.
    #[n(5)]
    pub since: Timestamp,
}

/// What told which asset an instrument is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MappingRule {
    /// The base asset has the asset's ticker.
    Ticker,
    /// The registry knows what the venue's code means.
    Registry,
    /// The configuration says so.
    Configuration,
    /// The base asset has a former ticker of the asset.
    FormerTicker,
    /// Several assets have the ticker, and the price is this one's.
    Price,
}

codes!(MappingRule { Ticker = 0, Registry = 1, Configuration = 2, FormerTicker = 3, Price = 4 });

/// How certain it is that an instrument is of its asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MappingState {
    /// Nothing to compare the price with yet.
    Provisional,
    /// The price agrees with a listing or with confirmed venues.
    Confirmed,
    /// The price has contradicted them for too long. The instrument contributes to nothing.
    Conflict,
}

codes!(MappingState { Provisional = 0, Confirmed = 1, Conflict = 2 });

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

codes!(AssetKind { Coin = 0, Stablecoin = 1, Wrapped = 2, Staked = 3, AssetBacked = 4, Fiat = 5 });
