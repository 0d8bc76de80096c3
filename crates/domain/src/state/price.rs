//! Price snapshots.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use crate::provenance::{Aggregation, Derivation};
use crate::{AssetCode, AssetId, Decimal, Timestamp, stored};

/// An asset's price and everything derived from it. Percentages are per cent (1.3 is 1.3 %); what is unknown is absent.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PriceSnapshot {
    #[n(0)]
    pub asset_id: AssetId,
    #[cbor(n(1), with = "stored", has_nil)]
    pub name: Option<SmolStr>,
    /// Aggregate price of one unit, in US dollars.
    #[n(2)]
    pub price: Option<Decimal>,
    /// Change against 1 hour ago.
    #[n(3)]
    pub change_1h_percent: Option<f64>,
    /// Change against 24 hours ago.
    #[n(4)]
    pub change_24h_percent: Option<f64>,
    /// Change against 7 days ago.
    #[n(5)]
    pub change_7d_percent: Option<f64>,
    /// Change against 30 days ago.
    #[n(6)]
    pub change_30d_percent: Option<f64>,
    /// Change against 1 January 00:00 UTC.
    #[n(7)]
    pub change_ytd_percent: Option<f64>,
    /// Highest price of the last 24 hours.
    #[n(8)]
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours.
    #[n(9)]
    pub low_24h: Option<Decimal>,
    /// Highest price of the last 7 days.
    #[n(10)]
    pub high_7d: Option<Decimal>,
    /// Lowest price of the last 7 days.
    #[n(11)]
    pub low_7d: Option<Decimal>,
    /// `(high − low) / low` of the last 24 hours.
    #[n(12)]
    pub range_24h_percent: Option<f64>,
    /// Realized volatility of the last 24 hours, not annualized.
    #[n(13)]
    pub volatility_24h_percent: Option<f64>,
    /// Realized volatility of 30 daily returns, annualized with 365.
    #[n(14)]
    pub volatility_30d_annualized_percent: Option<f64>,
    /// Wilder's relative strength index of 14 daily closes, 0 to 100.
    #[n(15)]
    pub rsi_14d: Option<f64>,
    /// Value traded in the last 24 hours, in US dollars.
    #[n(16)]
    pub volume_24h: Option<Decimal>,
    /// Market capitalization, in US dollars.
    #[n(17)]
    pub market_cap: Option<Decimal>,
    /// Rank by market cap, from 1.
    #[n(18)]
    pub market_cap_rank: Option<u32>,
    /// Circulating supply, in units of the asset.
    #[n(19)]
    pub circulating_supply: Option<Decimal>,
    #[n(20)]
    pub all_time_high: Option<AllTimeHigh>,
    /// Categories by id: `layer-1`, `privacy-coins`.
    #[cbor(n(21), with = "stored")]
    pub categories: Vec<SmolStr>,
    /// How the price came about.
    #[n(22)]
    pub aggregation: Aggregation,
    /// How each derived figure came about.
    #[n(23)]
    pub derivations: Vec<Derivation>,
    /// The asset's ticker: a handle that resolves to the id and may change.
    #[n(24)]
    pub asset: AssetCode,
}

/// The highest price ever seen.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct AllTimeHigh {
    /// In US dollars.
    #[n(0)]
    pub price: Decimal,
    #[n(1)]
    pub time: Option<Timestamp>,
    /// `price now / all-time high − 1`, in per cent; 0 or less.
    #[n(2)]
    pub drawdown_percent: Option<f64>,
    /// Where it is known from: a listing's venue id, or `history`.
    #[cbor(n(3), with = "stored")]
    pub source: SmolStr,
}
