//! What a price snapshot is computed from.

use smol_str::SmolStr;

use super::drawdown::Peak;
use super::returns::Candles;
use crate::aggregate::Aggregate;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{AssetCode, Timestamp};

/// Everything that a snapshot is made of.
#[derive(Clone, Debug)]
pub struct SnapshotInputs<'a> {
    pub asset: &'a AssetCode,
    /// Its name; a listing's when absent.
    pub name: Option<&'a SmolStr>,
    /// Its price.
    pub aggregate: Aggregate,
    /// Its histories in US dollars. The last 250 days, 7 days of hours and 24 hours of 5 minutes (and a candle more of each) are enough.
    pub candles: Candles<'a>,
    /// Where the histories are from, for the derivations.
    pub sources: HistorySources<'a>,
    /// The highest price of the whole daily history: [`super::drawdown::history_high`].
    pub history_high: Option<Peak>,
    /// What listings say, the preferred one first. Each figure is that of the first listing that has it.
    pub listings: &'a [Listing<'a>],
    /// Its categories by id, in any order.
    pub categories: &'a [SmolStr],
}

/// Where each history is from: `venue:binance`, `import` or `collected`.
#[derive(Clone, Copy, Debug)]
pub struct HistorySources<'a> {
    /// Of the daily candles.
    pub daily: &'a str,
    /// Of the hourly candles.
    pub hourly: &'a str,
    /// Of the 5-minute candles.
    pub five_minute: &'a str,
}

impl Default for HistorySources<'_> {
    /// All collected here.
    fn default() -> Self {
        Self { daily: "collected", hourly: "collected", five_minute: "collected" }
    }
}

/// A listing's row about the asset.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// The listing's venue id.
    pub venue: &'a str,
    pub row: &'a MarketCap,
    /// When it was, by the listing's clock, or when it was received.
    pub event_time: Timestamp,
}
