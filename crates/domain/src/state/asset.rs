//! Catalogue entries.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use crate::stored::{self, codes};
use crate::{AssetCode, Instrument, Timestamp};

/// A catalogue entry.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AssetInfo {
    #[n(0)]
    pub asset: AssetCode,
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
    /// Where it is traded: venue id and instrument.
    #[cbor(n(6), with = "stored")]
    pub instruments: Vec<(SmolStr, Instrument)>,
    /// First day of daily history.
    #[n(7)]
    pub history_start: Option<Timestamp>,
    /// Number of days of daily history.
    #[n(8)]
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

codes!(AssetKind { Coin = 0, Stablecoin = 1, Wrapped = 2, Staked = 3, AssetBacked = 4, Fiat = 5 });
