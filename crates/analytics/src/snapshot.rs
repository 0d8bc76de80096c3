//! The price snapshot: the aggregate, what follows from the histories, and what listings say, each figure with its derivation.
//!
//! A figure is absent while what it needs is missing; none is ever 0 for that reason. All of them are as of
//! [`Aggregate::as_of`]: a carried price is compared with the prices before it, not with those before now.
//!
//! Market cap, rank and supply are the listing's own, as observed and at its own pace. The market cap is not recomputed from supply and a
//! newer price: the listing's supply and price belong together, and a reader who wants the product has both factors.

mod figures;
#[cfg(test)]
mod tests;

use smol_str::SmolStr;

use self::figures::Figures;
use super::aggregate::Aggregate;
use super::drawdown::Peak;
use super::returns::Candles;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::state::PriceSnapshot;
use crossmarket_domain::{AssetCode, Timestamp};

/// Everything that a snapshot is made of.
#[derive(Clone, Debug)]
pub struct SnapshotInputs<'a> {
    /// The asset.
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
    /// The row.
    pub row: &'a MarketCap,
    /// When it was, by the listing's clock, or when it was received.
    pub event_time: Timestamp,
}

/// The snapshot at `now`.
pub fn build(inputs: SnapshotInputs<'_>, now: Timestamp) -> PriceSnapshot {
    let listed_name = || inputs.listings.iter().map(|listing| &listing.row.name).find(|name| !name.is_empty());
    let name = inputs.name.or_else(listed_name).cloned();
    let mut categories = inputs.categories.to_vec();
    categories.sort_unstable();
    categories.dedup();
    let rank = inputs.listings.iter().find_map(|listing| listing.row.market_cap_rank).filter(|rank| *rank > 0);
    let mut figures = Figures::new(&inputs, now);
    figures.derive_price();
    let [change_1h_percent, change_24h_percent, change_7d_percent, change_30d_percent, change_ytd_percent] =
        super::returns::Span::ALL.map(|span| figures.change(span));
    let day = figures.day_range();
    let week = figures.week_range(day);
    PriceSnapshot {
        asset: inputs.asset.clone(),
        name,
        price: inputs.aggregate.price,
        change_1h_percent,
        change_24h_percent,
        change_7d_percent,
        change_30d_percent,
        change_ytd_percent,
        high_24h: day.map(|(high, _)| high),
        low_24h: day.map(|(_, low)| low),
        high_7d: week.map(|(high, _)| high),
        low_7d: week.map(|(_, low)| low),
        range_24h_percent: day.and_then(|range| figures.range_percent(range)),
        volatility_24h_percent: figures.volatility_24h(),
        volatility_30d_annualized_percent: figures.volatility_30d(),
        rsi_14d: figures.rsi(),
        volume_24h: figures.volume_24h(),
        market_cap: figures.market_cap(),
        market_cap_rank: rank,
        circulating_supply: figures.listed(|row| row.circulating_supply).map(|(supply, _)| supply),
        all_time_high: figures.all_time_high(),
        categories,
        derivations: figures.into_derivations(),
        aggregation: inputs.aggregate.aggregation,
    }
}
