//! The price snapshot: the aggregate, what follows from the histories, and what listings say, each figure with its derivation.
//!
//! A figure is absent while what it needs is missing; none is ever 0 for that reason. All of them are as of
//! [`Aggregate::as_of`](crate::aggregate::Aggregate::as_of): a carried price is compared with the prices before it, not with those before now.
//!
//! Market cap, rank and supply are the listing's own, as observed and at its own pace. The market cap is not recomputed from supply and a
//! newer price: the listing's supply and price belong together, and a reader who wants the product has both factors.

#[cfg(test)]
mod tests;

use super::derived::Figures;
pub use super::inputs::{HistorySources, Listing, SnapshotInputs};
use super::returns::Span;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::PriceSnapshot;

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
        Span::ALL.map(|span| figures.change(span));
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
