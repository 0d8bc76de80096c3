//! The inputs of a price snapshot.

use smol_str::SmolStr;

use super::drawdown::Peak;
use super::returns::Candles;
use crate::aggregate::Aggregate;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{AssetCode, AssetId, Timestamp};

/// The inputs of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotInputs<'a> {
    pub asset_id: &'a AssetId,
    /// Its ticker.
    pub asset: &'a AssetCode,
    /// The asset's name; the listing's name when absent.
    pub name: Option<SmolStr>,
    pub aggregate: Aggregate,
    /// Histories in US dollars. The last 250 days, 7 days of hours and 24 hours of 5 minutes (plus one candle of each)
    /// are enough.
    pub candles: Candles<'a>,
    /// The sources of the histories, for the derivations.
    pub sources: HistorySources<'a>,
    /// The highest price of the entire daily history: [`super::drawdown::history_high`].
    pub history_high: Option<Peak>,
    /// Listing rows, in order of preference. Each figure comes from the first listing that has it.
    pub listings: &'a [Listing<'a>],
    /// Category ids, in any order.
    pub categories: &'a [SmolStr],
}

/// The source of each history: `venue:binance`, `import` or `collected`.
#[derive(Clone, Copy, Debug)]
pub struct HistorySources<'a> {
    /// Source of the daily candles.
    pub daily: &'a str,
    /// Source of the hourly candles.
    pub hourly: &'a str,
    /// Source of the 5-minute candles.
    pub five_minute: &'a str,
}

impl Default for HistorySources<'_> {
    /// All collected by this service.
    fn default() -> Self {
        Self { daily: "collected", hourly: "collected", five_minute: "collected" }
    }
}

/// A listing's row for the asset.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// The listing's venue id.
    pub venue: &'a str,
    pub row: &'a MarketCap,
    /// The row's time by the listing's clock, or the receive time.
    pub event_time: Timestamp,
}
