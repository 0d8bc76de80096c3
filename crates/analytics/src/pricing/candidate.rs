//! A quote during aggregation.

use std::cmp::Ordering;

use smol_str::format_smolstr;

use super::quote::Quote;
use super::rate_table::{Rate, RateTable, is_currency};
use crate::numbers::change_percent;
use crossmarket_domain::state::{Contribution, ContributionStatus};
use crossmarket_domain::{Decimal, Instrument, InstrumentKind, Timestamp};

/// Number of tiers, from 0: the first tier with enough venues determines the price.
pub(super) const TIER_COUNT: u8 = 3;

/// A quote during aggregation.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Position in the caller's slice.
    pub(super) quote: usize,
    pub(super) tier: u8,
    pub(super) observed: Option<Decimal>,
    pub(super) rate: Option<Rate>,
    pub(super) price: Option<Decimal>,
    pub(super) volume: Option<Decimal>,
    /// Weight in the median: millionths of a dollar, or 1.
    pub(super) weight: u128,
    pub(super) status: ContributionStatus,
}

/// Converts a quote to US dollars; `None` for kinds of instrument that never count.
pub(super) fn appraise(index: usize, quote: &Quote, rates: &RateTable, now: Timestamp) -> Option<Candidate> {
    let tier = tier(&quote.instrument)?;
    let observed = quote.observed_price();
    let rate = rates.get(&quote.instrument.quote);
    let multiplier = quote.instrument.multiplier;
    let price = observed.zip(rate).and_then(|(price, rate)| convert(price, multiplier, rate.usd));
    let fresh = now <= quote.known_time() + quote.budget && rate.is_some_and(|rate| now <= rate.stale_since);
    let status = match (observed, rate, price) {
        (None, _, _) => ContributionStatus::NoPrice,
        (_, None, _) => ContributionStatus::UnpricedQuote,
        (_, _, None) => ContributionStatus::NoPrice,
        _ if quote.contradicted => ContributionStatus::Disagrees,
        _ if !fresh => ContributionStatus::Stale,
        _ => ContributionStatus::Used,
    };
    // The base volume is in the venue's unit, as the observed price is, so the multiplier cancels out.
    let by_base = || quote.base_volume_24h.zip(observed).and_then(|(volume, price)| volume.checked_mul(price));
    let volume = quote.quote_volume_24h.or_else(by_base).zip(rate);
    let volume =
        volume.and_then(|(volume, rate)| volume.checked_mul(rate.usd)).filter(|volume| *volume >= Decimal::ZERO);
    Some(Candidate { quote: index, tier, observed, rate, price, volume, weight: 0, status })
}

fn tier(instrument: &Instrument) -> Option<u8> {
    match instrument.kind {
        InstrumentKind::Spot if is_currency(&instrument.quote) => Some(0),
        InstrumentKind::Spot => Some(1),
        InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse => Some(2),
        InstrumentKind::Other | InstrumentKind::Listing | InstrumentKind::Index => None,
    }
}

/// US dollars for one unit of the base asset. `None` unless positive and in range.
pub(super) fn convert(observed: Decimal, multiplier: u32, rate: Decimal) -> Option<Decimal> {
    let unit = if multiplier > 1 { observed.checked_div(Decimal::from(i64::from(multiplier)))? } else { observed };
    let price = if rate == Decimal::ONE { unit } else { unit.checked_mul(rate)? };
    Some(price).filter(|price| price.is_positive())
}

/// A volume in millionths of a dollar, rounded down; 0 when absent.
pub(super) fn micro_dollars(volume: Option<Decimal>) -> u128 {
    let (mantissa, scale) = volume.unwrap_or(Decimal::ZERO).parts();
    let mantissa = u128::try_from(mantissa).unwrap_or(0);
    // A mantissa has 96 bits, and a million 20, so the product fits.
    if scale <= 6 { mantissa.saturating_mul(10u128.pow(6 - scale)) } else { mantissa / 10u128.pow(scale - 6) }
}

pub(super) fn contribution(
    quote: &Quote,
    candidate: &Candidate,
    aggregate: Option<Decimal>,
    total: u128,
) -> Contribution {
    let instrument = &quote.instrument;
    let name = match instrument.kind {
        InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse => {
            format_smolstr!("{}/{}:perpetual", instrument.base, instrument.quote)
        }
        _ => format_smolstr!("{}/{}", instrument.base, instrument.quote),
    };
    let deviation = candidate.price.zip(aggregate).and_then(|(price, whole)| change_percent(price, whole));
    Contribution {
        venue: quote.venue.clone(),
        instrument: name,
        venue_symbol: instrument.symbol.clone(),
        quote_asset: instrument.quote.clone(),
        observed_price: candidate.observed,
        conversion_rate: candidate.rate.map(|rate| rate.usd),
        price: candidate.price.map(Decimal::normalized),
        weight: if total == 0 { 0.0 } else { candidate.weight as f64 / total as f64 },
        volume_24h: candidate.volume.map(Decimal::normalized),
        deviation_percent: deviation,
        event_time: quote.event_time,
        receive_time: quote.receive_time,
        status: candidate.status,
        simulated: quote.simulated,
    }
}

/// The published order: by status, then by weight and volume, the largest first, then by name.
pub(super) fn order(one: &Contribution, other: &Contribution) -> Ordering {
    let by_weight = other.weight.total_cmp(&one.weight).then_with(|| other.volume_24h.cmp(&one.volume_24h));
    let by_name = (&one.venue, &one.venue_symbol).cmp(&(&other.venue, &other.venue_symbol));
    status_order(one.status).cmp(&status_order(other.status)).then(by_weight).then(by_name)
}

fn status_order(status: ContributionStatus) -> u8 {
    match status {
        ContributionStatus::Used => 0,
        ContributionStatus::Carried => 1,
        ContributionStatus::NoVolume => 2,
        ContributionStatus::Outlier => 3,
        ContributionStatus::Stale => 4,
        ContributionStatus::UnpricedQuote => 5,
        ContributionStatus::NoPrice => 6,
        // Never applies to a price: only indices have preferred sources.
        ContributionStatus::Standby => 7,
        ContributionStatus::Disagrees => 8,
    }
}
