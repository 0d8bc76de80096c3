//! The price snapshot: the aggregate price, the figures from the histories and the listings' figures, each with its
//! derivation.
//!
//! A figure is absent while its input is missing; it is never 0 for that reason. All figures are as of
//! [`Aggregate::as_of`](crate::aggregate::Aggregate::as_of): a carried price is compared with the prices before its own
//! time, not with those before now.
//!
//! Market cap, rank and supply are the listing's own, as observed and at the listing's pace. The market cap is not
//! recomputed from supply and a newer price: the listing's supply and price belong together, and a reader who wants the
//! product has both factors.

#[cfg(test)]
mod tests;

use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use super::drawdown::{self, Peak};
pub use super::inputs::{HistorySources, Listing, SnapshotInputs};
use super::ranges::{self, HighLow};
use super::returns::{self, Span};
use super::{rsi, volatility};
use crate::numbers::{Estimate, count};
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::state::{AggregationMethod, AllTimeHigh, Derivation, PriceSnapshot};
use crossmarket_domain::{CandleInterval, Decimal, Timestamp};

/// The snapshot at `now`.
pub fn build(inputs: SnapshotInputs<'_>, now: Timestamp) -> PriceSnapshot {
    let listed_name = || inputs.listings.iter().map(|listing| &listing.row.name).find(|name| !name.is_empty());
    let name = inputs.name.clone().or_else(|| listed_name().cloned());
    let mut categories = inputs.categories.to_vec();
    categories.sort_unstable();
    categories.dedup();
    let rank = inputs.listings.iter().find_map(|listing| listing.row.market_cap_rank).filter(|rank| *rank > 0);
    let mut figures = SnapshotFigures::new(&inputs, now);
    figures.derive_price();
    let [change_1h_percent, change_24h_percent, change_7d_percent, change_30d_percent, change_ytd_percent] =
        Span::ALL.map(|span| figures.change(span));
    let day = figures.day_range();
    let week = figures.week_range(day);
    PriceSnapshot {
        asset_id: inputs.asset_id.clone(),
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

/// High and low.
type Range = (Decimal, Decimal);

/// Computes figures and collects their derivations, in call order.
struct SnapshotFigures<'a> {
    inputs: &'a SnapshotInputs<'a>,
    as_of: Timestamp,
    derivations: Vec<Derivation>,
}

impl<'a> SnapshotFigures<'a> {
    fn new(inputs: &'a SnapshotInputs<'a>, now: Timestamp) -> Self {
        Self { inputs, as_of: inputs.aggregate.as_of(now), derivations: Vec::with_capacity(18) }
    }

    fn into_derivations(self) -> Vec<Derivation> {
        self.derivations
    }

    /// The price's own derivation: the rates used to convert it, and which of them are assumed.
    fn derive_price(&mut self) {
        let aggregate = &self.inputs.aggregate;
        let (Some(_), Some(observed)) = (aggregate.price, aggregate.observed) else { return };
        let mut derivation = self.derivation("price", method_text(aggregate.aggregation.method));
        let used = aggregate.aggregation.contributions.iter().filter(|entry| entry.weight > 0.0);
        derivation.observation_count = count(used.clone().count());
        let times = used.map(|entry| entry.event_time.min(entry.receive_time));
        derivation.start_time = times.min().unwrap_or(observed.event_time);
        derivation.source = SmolStr::new_static("venues");
        derivation.parameter("required_venue_count", &aggregate.aggregation.required_venue_count.to_smolstr());
        for (asset, rate) in &aggregate.conversions {
            let text = format_smolstr!("{}/USD", asset);
            derivation.parameters.push((format_smolstr!("{text} rate"), SmolStr::new_static(rate.source.as_str())));
            derivation.inputs.push((text, rate.usd));
        }
        self.derivations.push(derivation);
    }

    fn change(&mut self, span: Span) -> Option<f64> {
        let price = self.inputs.aggregate.price?;
        let reference = returns::reference_price(span, self.inputs.candles, self.as_of)?;
        let change = returns::change_percent(price, reference.price)?;
        let field = format_smolstr!("change_{}_percent", span.as_str());
        let mut derivation =
            self.derivation(field, "price / reference price − 1, the newest close at or before the start of the span");
        derivation.parameter("span", span.as_str());
        derivation.parameter("reference_interval", reference.interval.as_str());
        derivation.inputs = vec![input("price", price), input("reference_price", reference.price)];
        derivation.observation_count = 2;
        derivation.start_time = reference.time;
        derivation.source = self.source(reference.interval);
        self.derivations.push(derivation);
        Some(change)
    }

    /// High and low of 24 hours: from the candles, else from the venues of the price, else from a listing. The range
    /// always includes the price.
    fn day_range(&mut self) -> Option<Range> {
        if let Some(found) = ranges::last_24h(self.inputs.candles, self.as_of) {
            let widened = self.inputs.aggregate.price.map_or(found, |price| found.including(price));
            return Some(self.derive_range(["high_24h", "low_24h"], widened));
        }
        let aggregate = &self.inputs.aggregate;
        let venues_method = "weighted median of the 24-hour figures of the venues of the price, and the price";
        let by_venues = aggregate.high_24h.zip(aggregate.low_24h);
        let by_venues = by_venues.map(|range| (range, SmolStr::new_static("venues"), venues_method));
        let by_listing = || {
            let both = |listing: &&Listing<'_>| {
                positive(listing.row.high_24h).is_some() && positive(listing.row.low_24h).is_some()
            };
            let listing = self.inputs.listings.iter().find(both)?;
            let range = (listing.row.high_24h?, listing.row.low_24h?);
            Some((range, SmolStr::new(listing.venue), "24-hour figure of the listing, and the price"))
        };
        let ((high, low), source, method) = by_venues.or_else(by_listing)?;
        let (high, low) = (high.max(low), low.min(high));
        let range = aggregate.price.map_or((high, low), |price| (high.max(price), low.min(price)));
        for field in ["high_24h", "low_24h"] {
            let mut derivation = self.derivation(field, method);
            derivation.observation_count = aggregate.aggregation.venue_count.max(1);
            derivation.start_time = Span::OneDay.start(self.as_of);
            derivation.source = source.clone();
            self.derivations.push(derivation);
        }
        Some(range)
    }

    /// High and low of 7 days, from the candles and the 24-hour range.
    fn week_range(&mut self, day: Option<Range>) -> Option<Range> {
        let mut found = ranges::last_7d(self.inputs.candles, self.as_of)?;
        for price in day.into_iter().flat_map(|(high, low)| [high, low]).chain(self.inputs.aggregate.price) {
            found = found.including(price);
        }
        Some(self.derive_range(["high_7d", "low_7d"], found))
    }

    fn derive_range(&mut self, fields: [&'static str; 2], found: HighLow) -> Range {
        let methods = ["highest of the candles' highs and the price", "lowest of the candles' lows and the price"];
        for (field, method) in fields.into_iter().zip(methods) {
            let mut derivation = self.derivation(field, method);
            derivation.parameter("interval", found.interval.as_str());
            derivation.observation_count = found.observation_count;
            derivation.missing_count = found.missing_count;
            derivation.start_time = found.start_time;
            derivation.end_time = found.end_time;
            derivation.source = self.source(found.interval);
            self.derivations.push(derivation);
        }
        (found.high, found.low)
    }

    fn range_percent(&mut self, (high, low): Range) -> Option<f64> {
        let range = ranges::range_percent(high, low)?;
        let mut derivation = self.derivation("range_24h_percent", "(high − low) / low");
        derivation.inputs = vec![input("high_24h", high), input("low_24h", low)];
        derivation.observation_count = 2;
        derivation.start_time = Span::OneDay.start(self.as_of);
        self.derivations.push(derivation);
        Some(range)
    }

    fn volatility_24h(&mut self) -> Option<f64> {
        let found = volatility::realized_24h(self.inputs.candles.five_minute, self.as_of)?;
        let method =
            "square root of the sum of squared log returns, zero mean, not annualized (Andersen and Bollerslev 1998)";
        let parameters = [
            ("interval", SmolStr::new_static("5m")),
            ("window", SmolStr::new_static("24h")),
            ("missing_max", volatility::DAY_MISSING_MAX.to_smolstr()),
            ("gap_max", SmolStr::new_static("1h")),
        ];
        Some(self.derive_estimate("volatility_24h_percent", method, &parameters, found, CandleInterval::FiveMinutes))
    }

    fn volatility_30d(&mut self) -> Option<f64> {
        let found = volatility::annualized_30d(self.inputs.candles.daily, self.as_of)?;
        let method = "sample standard deviation of daily log returns, annualized";
        let parameters = [
            ("return_count", volatility::MONTH_RETURN_COUNT.to_smolstr()),
            ("days_per_year", SmolStr::new_static("365")),
        ];
        let field = "volatility_30d_annualized_percent";
        Some(self.derive_estimate(field, method, &parameters, found, CandleInterval::OneDay))
    }

    fn rsi(&mut self) -> Option<f64> {
        let found = rsi::daily(self.inputs.candles.daily, self.as_of)?;
        let method = "RSI of daily closes with Wilder's smoothing (Wilder 1978)";
        let parameters = [("period", rsi::PERIOD.to_smolstr()), ("close_count_max", rsi::CLOSE_COUNT_MAX.to_smolstr())];
        Some(self.derive_estimate("rsi_14d", method, &parameters, found, CandleInterval::OneDay))
    }

    fn derive_estimate(
        &mut self,
        field: &'static str,
        method: &'static str,
        parameters: &[(&'static str, SmolStr)],
        found: Estimate,
        interval: CandleInterval,
    ) -> f64 {
        let mut derivation = self.derivation(field, method);
        derivation.parameters =
            parameters.iter().map(|(name, value)| (SmolStr::new_static(name), value.clone())).collect();
        derivation.observation_count = found.observation_count;
        derivation.missing_count = found.missing_count;
        derivation.start_time = found.start_time;
        derivation.end_time = found.end_time;
        derivation.source = self.source(interval);
        self.derivations.push(derivation);
        found.value
    }

    /// A listing's figure if there is one, otherwise the sum over the venues of the price.
    fn volume_24h(&mut self) -> Option<Decimal> {
        if let Some((volume, listing)) = self.listed(|row| row.volume_24h) {
            self.derive_listed("volume_24h", "24-hour volume as the listing gives it", listing);
            return Some(volume);
        }
        let volume = positive(self.inputs.aggregate.volume_24h)?;
        let mut derivation =
            self.derivation("volume_24h", "sum of the 24-hour volumes of the venues of the price, in US dollars");
        let contributions = &self.inputs.aggregate.aggregation.contributions;
        let summed = contributions.iter().filter(|entry| entry.weight > 0.0 && entry.volume_24h.is_some());
        derivation.observation_count = count(summed.count());
        derivation.start_time = Span::OneDay.start(self.as_of);
        derivation.source = SmolStr::new_static("venues");
        self.derivations.push(derivation);
        Some(volume)
    }

    fn market_cap(&mut self) -> Option<Decimal> {
        let (market_cap, listing) = self.listed(|row| row.market_cap)?;
        self.derive_listed("market_cap", "market capitalization as the listing gives it, not recomputed", listing);
        Some(market_cap)
    }

    fn derive_listed(&mut self, field: &'static str, method: &'static str, listing: &Listing<'_>) {
        let mut derivation = self.derivation(field, method);
        derivation.observation_count = 1;
        derivation.start_time = listing.event_time;
        derivation.end_time = listing.event_time;
        derivation.source = SmolStr::new(listing.venue);
        self.derivations.push(derivation);
    }

    fn all_time_high(&mut self) -> Option<AllTimeHigh> {
        let price = self.inputs.aggregate.price;
        let listing = self.inputs.listings.iter().find_map(|listing| {
            let price = positive(listing.row.all_time_high)?;
            Some(Peak { price, time: listing.row.all_time_high_time, source: SmolStr::new(listing.venue) })
        });
        let now = price.map(|price| (price, self.as_of));
        let high = drawdown::all_time_high(listing, self.inputs.history_high.clone(), now)?;
        if let Some(price) = price {
            let mut derivation = self.derivation("all_time_high.drawdown_percent", "price / all-time high − 1");
            derivation.inputs = vec![input("price", price), input("all_time_high", high.price)];
            derivation.observation_count = 2;
            derivation.start_time = high.time.unwrap_or(self.as_of);
            derivation.source = high.source.clone();
            self.derivations.push(derivation);
        }
        Some(high)
    }

    /// A figure of the first listing that has it. Listings write 0 for unknown, so 0 counts as absent.
    fn listed(&self, figure: impl Fn(&MarketCap) -> Option<Decimal>) -> Option<(Decimal, &'a Listing<'a>)> {
        self.inputs.listings.iter().find_map(|listing| Some((positive(figure(listing.row))?, listing)))
    }

    /// The derivation of a figure as of now, to be filled in by the caller.
    fn derivation(&self, field: impl Into<SmolStr>, method: &'static str) -> Derivation {
        Derivation {
            field: field.into(),
            method: SmolStr::new_static(method),
            parameters: Vec::new(),
            inputs: Vec::new(),
            observation_count: 0,
            missing_count: 0,
            start_time: self.as_of,
            end_time: self.as_of,
            source: SmolStr::new_static("collected"),
        }
    }

    fn source(&self, interval: CandleInterval) -> SmolStr {
        let sources = &self.inputs.sources;
        SmolStr::new(match interval {
            CandleInterval::FiveMinutes => sources.five_minute,
            CandleInterval::OneHour => sources.hourly,
            CandleInterval::OneDay => sources.daily,
        })
    }
}

fn input(name: &'static str, value: Decimal) -> (SmolStr, Decimal) {
    (SmolStr::new_static(name), value)
}

fn positive(figure: Option<Decimal>) -> Option<Decimal> {
    figure.filter(|value| value.is_positive())
}

fn method_text(method: AggregationMethod) -> &'static str {
    match method {
        AggregationMethod::VolumeWeightedMedian => "median of the venues' prices weighted by 24-hour volume",
        AggregationMethod::Median => "median of the venues' prices",
        AggregationMethod::SingleVenue => "price of the only venue that could be used",
        AggregationMethod::LastKnown => "newest known price, carried",
        AggregationMethod::Listing => "price of a listing",
    }
}
