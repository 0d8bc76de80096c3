//! The aggregate price of one asset.
//!
//! 1. Each venue's price (last trade, or halfway between bid and ask when no trade is known) is divided by the
//!    instrument's multiplier and converted to US dollars.
//! 2. A price older than its freshness TTL, counted from the earlier of event and receive time, is stale. So is one
//!    converted at a stale rate.
//!    So is one whose price contradicts a listing: it may be another asset's. Such a quote never counts.
//! 3. Instruments count in three tiers, and the first tier with enough fresh venues is the one that is used: spot
//!    against dollars, stablecoins and other currencies; spot against other crypto assets; perpetual futures. A
//!    perpetual's price carries a funding premium and a BTC-quoted pair the movement of two assets, so both are second
//!    choice. Instruments of tiers that are not needed are not considered and not listed. Instruments of any other kind
//!    never are.
//! 4. With at least three fresh prices, one that lies further from their median than `outlier_deviations` median
//!    absolute deviations (not scaled), and further than `outlier_floor_percent`, is an outlier. Of two that disagree,
//!    either may be wrong: both are used, the larger volume decides (half-way when equal), and the dispersion says how
//!    far apart they are.
//! 5. The price is the median weighted by 24-hour volume in US dollars (in millionths of a dollar, as integers, so that
//!    the order of the venues never matters). When no venue has a volume all weights are equal.
//! 6. With fewer venues than required, the newest known price is carried. When no venue has a price, a listing's is
//!    used.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use super::candidate::{Candidate, TIER_COUNT, appraise, contribution, convert, micro_dollars, order};
use super::median::{self, Weighted, absolute_deviation, distance, weighted_median};
pub use super::quote::Quote;
use super::rate_table::{Rate, RateSource, RateTable};
use crate::numbers::{count, float};
use crossmarket_domain::state::{Aggregation, AggregationMethod, Contribution, ContributionStatus};
use crossmarket_domain::{Decimal, Timestamp};

/// A market-cap listing's own price of the asset, in US dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct ListingPrice {
    /// The listing's venue id.
    pub venue: SmolStr,
    /// The listing's id of the asset: `bitcoin`.
    pub listing_id: SmolStr,
    /// The asset's code.
    pub asset: SmolStr,
    /// The price of one unit.
    pub price: Decimal,
    /// The price's time, by the listing's clock.
    pub event_time: Timestamp,
    /// The receive time.
    pub receive_time: Timestamp,
    /// How long it is fresh.
    pub budget: Duration,
    /// True for a simulated listing.
    pub simulated: bool,
}

/// Aggregation settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Minimum number of venues for an aggregate, at least 1.
    pub required_venue_count: u32,
    /// Maximum distance of a price from the median, in median absolute deviations. For normally distributed prices, 5
    /// are 3.4 standard deviations.
    pub outlier_deviations: Decimal,
    /// Distance from the median that is always allowed, in per cent. Liquid venues differ by a few hundredths. Without
    /// this floor, a market in which most venues agree to the cent would reject the rest.
    pub outlier_floor_percent: Decimal,
}

impl Default for Settings {
    /// Defaults: one venue, 5 deviations, 0.3 %.
    fn default() -> Self {
        Self {
            required_venue_count: 1,
            outlier_deviations: Decimal::from(5),
            outlier_floor_percent: Decimal::from_parts(3, 1).unwrap_or(Decimal::ONE),
        }
    }
}

/// An aggregate price, with the volume and range of the same venues.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The price of one unit, in US dollars; `None` when no source has one.
    pub price: Option<Decimal>,
    /// The derivation. Contributions are in a fixed order: by status, then by weight.
    pub aggregation: Aggregation,
    /// The times of the observation that stays fresh longest among those in the price; `None` without a price.
    pub observed: Option<ObservedTime>,
    /// Value traded in 24 hours at the venues of the price, in US dollars. `None` when no venue reports it.
    pub volume_24h: Option<Decimal>,
    /// Highest price of 24 hours: the weighted median of the highs at the venues of the price, in US dollars.
    pub high_24h: Option<Decimal>,
    /// Lowest price of 24 hours, by the same rule.
    pub low_24h: Option<Decimal>,
    /// The rates used to convert the prices, by quote asset; none for US dollars.
    pub conversions: Vec<(SmolStr, Rate)>,
    /// True when anything in the price is simulated.
    pub simulated: bool,
}

/// An observation's times, and how long it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedTime {
    /// The time by the venue's clock.
    pub event_time: Timestamp,
    /// The receive time.
    pub receive_time: Timestamp,
    /// How long it is fresh, counted from the earlier of the two.
    pub budget: Duration,
}

impl ObservedTime {
    pub fn stale_since(&self) -> Timestamp {
        self.event_time.min(self.receive_time) + self.budget
    }
}

impl Aggregate {
    /// The price's time: `now` for a current price, otherwise the time of the carried price.
    pub fn as_of(&self, now: Timestamp) -> Timestamp {
        match (self.aggregation.method, self.observed) {
            (AggregationMethod::LastKnown | AggregationMethod::Listing, Some(observed)) => {
                observed.event_time.min(observed.receive_time).min(now)
            }
            _ => now,
        }
    }
}

/// Aggregates one asset after another. Keeps the settings and scratch buffers, so that an asset needs few allocations.
#[derive(Debug)]
pub struct Aggregator {
    settings: Settings,
    candidates: Vec<Candidate>,
    prices: Vec<Decimal>,
    deviations: Vec<Decimal>,
    weighted: Vec<Weighted>,
}

/// The result of a tier.
struct Selection {
    method: AggregationMethod,
    price: Option<Decimal>,
    venue_count: u32,
    dispersion_percent: Option<f64>,
    outlier_limit_percent: Option<f64>,
}

/// True for a price that must not be carried either.
fn is_rejected(status: ContributionStatus) -> bool {
    matches!(status, ContributionStatus::Outlier | ContributionStatus::Disagrees)
}

impl Aggregator {
    /// An aggregator with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, candidates: Vec::new(), prices: Vec::new(), deviations: Vec::new(), weighted: Vec::new() }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Aggregates one asset's quotes, given in any order, one per instrument. All have the same base asset.
    pub fn aggregate<Q: Borrow<Quote>>(
        &mut self,
        quotes: &[Q],
        rates: &RateTable,
        listing: Option<&ListingPrice>,
        now: Timestamp,
    ) -> Aggregate {
        self.candidates.clear();
        let candidates =
            quotes.iter().enumerate().filter_map(|(index, quote)| appraise(index, quote.borrow(), rates, now));
        self.candidates.extend(candidates);
        for tier in 0..TIER_COUNT {
            if let Some(selection) = self.select(quotes, tier) {
                return self.finish(quotes, selection);
            }
        }
        match self.newest(quotes) {
            Some(position) => {
                let selection = self.carry(position);
                self.finish(quotes, selection)
            }
            None => match listing {
                Some(listing) => self.finish_listing(quotes, listing, now),
                None => self.finish(quotes, Selection::without_price()),
            },
        }
    }

    /// The price from one tier, or `None` when the tier has too few venues. On success, keeps only that tier's
    /// candidates.
    fn select<Q: Borrow<Quote>>(&mut self, quotes: &[Q], tier: u8) -> Option<Selection> {
        let limit = self.mark_outliers(tier);
        let fresh = |candidate: &Candidate| candidate.tier == tier && candidate.status == ContributionStatus::Used;
        let with_volume =
            self.candidates.iter().any(|candidate| fresh(candidate) && micro_dollars(candidate.volume) > 0);
        self.weighted.clear();
        self.prices.clear();
        for candidate in self.candidates.iter_mut().filter(|candidate| fresh(candidate)) {
            candidate.weight = if with_volume { micro_dollars(candidate.volume) } else { 1 };
            if let Some(price) = candidate.price.filter(|_| candidate.weight > 0) {
                self.weighted.push((price, candidate.weight));
                self.prices.push(price);
            } else {
                candidate.status = ContributionStatus::NoVolume;
            }
        }
        let venue_count = self.venue_count(quotes, fresh);
        if venue_count < self.settings.required_venue_count.max(1) {
            self.unmark(tier);
            return None;
        }
        self.candidates.retain(|candidate| candidate.tier == tier);
        let method = match (venue_count, with_volume) {
            (1, _) => AggregationMethod::SingleVenue,
            (_, true) => AggregationMethod::VolumeWeightedMedian,
            (_, false) => AggregationMethod::Median,
        };
        Some(Selection {
            method,
            price: weighted_median(&mut self.weighted),
            venue_count,
            dispersion_percent: self.dispersion_percent(),
            outlier_limit_percent: limit,
        })
    }

    /// Marks prices too far from the median of a tier's fresh prices; returns the limit in per cent of the median, if
    /// there is one.
    fn mark_outliers(&mut self, tier: u8) -> Option<f64> {
        let fresh = |candidate: &Candidate| candidate.tier == tier && candidate.status == ContributionStatus::Used;
        self.prices.clear();
        self.prices.extend(self.candidates.iter().filter(|candidate| fresh(candidate)).filter_map(|one| one.price));
        if self.prices.len() < 3 {
            return None;
        }
        self.prices.sort_unstable();
        let centre = median::median(&self.prices)?;
        let deviation = absolute_deviation(&self.prices, centre, &mut self.deviations)?;
        let by_deviation = deviation.checked_mul(self.settings.outlier_deviations)?;
        let by_floor = centre.checked_mul(self.settings.outlier_floor_percent)?.checked_div(Decimal::from(100))?;
        let limit = by_deviation.max(by_floor);
        for candidate in self.candidates.iter_mut().filter(|candidate| fresh(candidate)) {
            if candidate.price.is_some_and(|price| distance(price, centre) > limit) {
                candidate.status = ContributionStatus::Outlier;
            }
        }
        Some(100.0 * float(limit) / float(centre))
    }

    /// Resets a tier that had too few venues: clears its weights, and makes its prices without volume usable again.
    fn unmark(&mut self, tier: u8) {
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.tier == tier) {
            candidate.weight = 0;
            if candidate.status == ContributionStatus::NoVolume {
                candidate.status = ContributionStatus::Used;
            }
        }
    }

    fn dispersion_percent(&mut self) -> Option<f64> {
        if self.prices.len() < 2 {
            return None;
        }
        self.prices.sort_unstable();
        let centre = median::median(&self.prices)?;
        let deviation = absolute_deviation(&self.prices, centre, &mut self.deviations)?;
        Some(100.0 * float(deviation) / float(centre))
    }

    /// Number of distinct venues. There are few instruments, so a linear search is faster than a set.
    fn venue_count<Q: Borrow<Quote>>(&self, quotes: &[Q], counts: impl Fn(&Candidate) -> bool) -> u32 {
        let venue = |candidate: &Candidate| quotes.get(candidate.quote).map(|quote| &quote.borrow().venue);
        let counted = self.candidates.iter().enumerate().filter(|(position, candidate)| {
            let earlier = self.candidates.iter().take(*position);
            counts(candidate) && !earlier.filter(|one| counts(one)).any(|one| venue(one) == venue(candidate))
        });
        count(counted.count())
    }

    /// The position of the price to carry: fresh before stale, then the better tier, then the newest. Volume, venue and
    /// symbol break ties, so the order of the quotes does not matter.
    fn newest<Q: Borrow<Quote>>(&self, quotes: &[Q]) -> Option<usize> {
        let priced = self
            .candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.price.is_some() && !is_rejected(candidate.status));
        let best = priced.max_by_key(|(_, candidate)| {
            let fresh = candidate.status == ContributionStatus::Used;
            let quote = quotes.get(candidate.quote).map(Borrow::borrow);
            let names = quote.map(|quote| Reverse((&quote.venue, &quote.instrument.symbol)));
            (fresh, Reverse(candidate.tier), quote.map(Quote::known_time), micro_dollars(candidate.volume), names)
        });
        best.map(|(position, _)| position)
    }

    /// Marks the carried price. Other fresh prices, too few for an aggregate, come after it without weight.
    fn carry(&mut self, position: usize) -> Selection {
        let mut selection = Selection::without_price();
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            let carried = index == position;
            candidate.weight = u128::from(carried);
            if carried || candidate.status == ContributionStatus::Used {
                candidate.status = ContributionStatus::Carried;
            }
            if carried {
                selection.price = candidate.price;
            }
        }
        selection
    }

    fn finish<Q: Borrow<Quote>>(&mut self, quotes: &[Q], selection: Selection) -> Aggregate {
        let price = selection.price.map(Decimal::normalized);
        let total = self.candidates.iter().fold(0u128, |sum, candidate| sum.saturating_add(candidate.weight));
        let mut contributions = Vec::with_capacity(self.candidates.len() + 1);
        let mut aggregate = Aggregate {
            price,
            aggregation: Aggregation {
                method: selection.method,
                venue_count: selection.venue_count,
                candidate_count: count(self.candidates.len()),
                required_venue_count: self.settings.required_venue_count,
                dispersion_percent: selection.dispersion_percent,
                outlier_limit_percent: selection.outlier_limit_percent,
                contributions: Vec::new(),
            },
            observed: None,
            volume_24h: None,
            high_24h: self.extreme(quotes, |quote| quote.high_24h),
            low_24h: self.extreme(quotes, |quote| quote.low_24h),
            conversions: Vec::new(),
            simulated: false,
        };
        for candidate in &self.candidates {
            let Some(quote) = quotes.get(candidate.quote).map(Borrow::borrow) else { continue };
            if candidate.weight > 0 {
                aggregate.take_in(quote, candidate);
            }
            contributions.push(contribution(quote, candidate, price, total));
        }
        contributions.sort_unstable_by(order);
        aggregate.aggregation.contributions = contributions;
        aggregate.conversions.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        aggregate
    }

    /// The weighted median of the highs or of the lows at the venues of the price, in US dollars.
    fn extreme<Q: Borrow<Quote>>(
        &mut self,
        quotes: &[Q],
        observed: impl Fn(&Quote) -> Option<Decimal>,
    ) -> Option<Decimal> {
        self.weighted.clear();
        for candidate in self.candidates.iter().filter(|candidate| candidate.weight > 0) {
            let Some(quote) = quotes.get(candidate.quote).map(Borrow::borrow) else { continue };
            let value = observed(quote).filter(|value| value.is_positive());
            if let (Some(value), Some(rate)) = (value, candidate.rate) {
                let converted = convert(value, quote.instrument.multiplier, rate.usd);
                self.weighted.extend(converted.map(|price| (price, candidate.weight)));
            }
        }
        weighted_median(&mut self.weighted).map(Decimal::normalized)
    }

    fn finish_listing<Q: Borrow<Quote>>(&mut self, quotes: &[Q], listing: &ListingPrice, now: Timestamp) -> Aggregate {
        let mut aggregate = self.finish(quotes, Selection::without_price());
        if !listing.price.is_positive() {
            return aggregate;
        }
        let observed =
            ObservedTime { event_time: listing.event_time, receive_time: listing.receive_time, budget: listing.budget };
        let fresh = now <= observed.stale_since();
        aggregate.price = Some(listing.price);
        aggregate.observed = Some(observed);
        aggregate.simulated = listing.simulated;
        aggregate.aggregation.method = AggregationMethod::Listing;
        aggregate.aggregation.venue_count = 1;
        aggregate.aggregation.candidate_count += 1;
        let entry = Contribution {
            venue: listing.venue.clone(),
            instrument: format_smolstr!("{}/USD", listing.asset),
            venue_symbol: listing.listing_id.clone(),
            quote_asset: SmolStr::new_static("USD"),
            observed_price: Some(listing.price),
            conversion_rate: Some(Decimal::ONE),
            price: Some(listing.price),
            weight: 1.0,
            volume_24h: None,
            deviation_percent: Some(0.0),
            event_time: listing.event_time,
            receive_time: listing.receive_time,
            status: if fresh { ContributionStatus::Used } else { ContributionStatus::Carried },
            simulated: listing.simulated,
        };
        aggregate.aggregation.contributions.insert(0, entry);
        aggregate
    }
}

impl Selection {
    /// No tier has enough venues.
    fn without_price() -> Self {
        Self {
            method: AggregationMethod::LastKnown,
            price: None,
            venue_count: 0,
            dispersion_percent: None,
            outlier_limit_percent: None,
        }
    }
}

impl Aggregate {
    /// Adds the times, volume and rate of one of the price's venues.
    fn take_in(&mut self, quote: &Quote, candidate: &Candidate) {
        let observed =
            ObservedTime { event_time: quote.event_time, receive_time: quote.receive_time, budget: quote.budget };
        // The aggregate is fresh while any price in it is. Among equally fresh ones, the event times decide.
        let key = |time: ObservedTime| (time.stale_since(), time.event_time, time.receive_time);
        if self.observed.is_none_or(|longest| key(observed) > key(longest)) {
            self.observed = Some(observed);
        }
        self.simulated |= quote.simulated;
        if let Some(volume) = candidate.volume {
            self.volume_24h = self.volume_24h.unwrap_or(Decimal::ZERO).checked_add(volume);
        }
        let asset = &quote.instrument.quote;
        if let Some(rate) = candidate.rate.filter(|rate| rate.source != RateSource::Dollar)
            && !self.conversions.iter().any(|(known, _)| known == asset)
        {
            self.conversions.push((asset.clone(), rate));
        }
    }
}
