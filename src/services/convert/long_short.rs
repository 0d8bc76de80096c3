//! Long/short ratios between the domain and the wire.

use super::provenance::wire_freshness;
use super::scalar::{count, decimal, finite, long_count, time};
use crossmarket_api::v1;
use crossmarket_domain::long_short::{LongShortContribution, LongShortMethod, LongShortRatio, LongShortStatus, Shares};
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::state::{Revision, State};
use crossmarket_domain::{LongShortKind, Period};
use crossmarket_image::Freshness;

/// A kind of a request; all accounts when unspecified, `None` when it is not known.
pub(crate) fn long_short_kind(kind: i32) -> Option<LongShortKind> {
    Some(match v1::LongShortKind::try_from(kind).ok()? {
        v1::LongShortKind::GlobalAccount | v1::LongShortKind::Unspecified => LongShortKind::GlobalAccount,
        v1::LongShortKind::TopTraderAccount => LongShortKind::TopTraderAccount,
        v1::LongShortKind::TopTraderPosition => LongShortKind::TopTraderPosition,
        v1::LongShortKind::TakerVolume => LongShortKind::TakerVolume,
        v1::LongShortKind::GlobalPosition => LongShortKind::GlobalPosition,
    })
}

pub(crate) fn wire_long_short_kind(kind: LongShortKind) -> v1::LongShortKind {
    match kind {
        LongShortKind::GlobalAccount => v1::LongShortKind::GlobalAccount,
        LongShortKind::TopTraderAccount => v1::LongShortKind::TopTraderAccount,
        LongShortKind::TopTraderPosition => v1::LongShortKind::TopTraderPosition,
        LongShortKind::TakerVolume => v1::LongShortKind::TakerVolume,
        LongShortKind::GlobalPosition => v1::LongShortKind::GlobalPosition,
    }
}

/// A period of a request; one hour when unspecified, `None` when it is not known.
pub(crate) fn long_short_period(period: i32) -> Option<Period> {
    Some(match v1::LongShortPeriod::try_from(period).ok()? {
        v1::LongShortPeriod::LongShortPeriod5m => Period::FiveMinutes,
        v1::LongShortPeriod::LongShortPeriod15m => Period::FifteenMinutes,
        v1::LongShortPeriod::LongShortPeriod30m => Period::ThirtyMinutes,
        v1::LongShortPeriod::LongShortPeriod1h | v1::LongShortPeriod::Unspecified => Period::OneHour,
        v1::LongShortPeriod::LongShortPeriod4h => Period::FourHours,
        v1::LongShortPeriod::LongShortPeriod1d => Period::OneDay,
    })
}

pub(crate) fn wire_long_short_period(period: Period) -> v1::LongShortPeriod {
    match period {
        Period::FiveMinutes => v1::LongShortPeriod::LongShortPeriod5m,
        Period::FifteenMinutes => v1::LongShortPeriod::LongShortPeriod15m,
        Period::ThirtyMinutes => v1::LongShortPeriod::LongShortPeriod30m,
        Period::OneHour => v1::LongShortPeriod::LongShortPeriod1h,
        Period::FourHours => v1::LongShortPeriod::LongShortPeriod4h,
        Period::OneDay => v1::LongShortPeriod::LongShortPeriod1d,
    }
}

/// A ratio with everything behind it.
pub(super) fn ratio(
    ratio: &LongShortRatio,
    state: &State,
    revision: Revision,
    freshness: Freshness,
) -> v1::LongShortRatio {
    v1::LongShortRatio {
        asset: ratio.ticker.to_string(),
        asset_id: ratio.key.asset.to_string(),
        kind: wire_long_short_kind(ratio.key.kind).into(),
        venue: ratio.key.venue.as_ref().map(ToString::to_string).unwrap_or_default(),
        period: wire_long_short_period(ratio.key.period).into(),
        ratio: ratio.shares.and_then(|shares| finite(Some(shares.ratio))),
        long_share: ratio.shares.and_then(|shares| finite(Some(shares.long_share))),
        short_share: ratio.shares.and_then(|shares| finite(Some(shares.short_share()))),
        open_interest: ratio.open_interest.map(decimal),
        market_cap_rank: ratio.market_cap_rank.map(count),
        rsi_14d: finite(ratio.rsi_14d),
        change_24h: finite(ratio.change_24h()),
        event_time: Some(time(state.event_time)),
        receive_time: Some(time(state.receive_time)),
        freshness: Some(wire_freshness(state, freshness)),
        revision: long_count(revision),
        aggregation: Some(v1::LongShortAggregation {
            method: wire_method(ratio.method).into(),
            contributions: ratio.contributions.iter().map(contribution).collect(),
            venue_count: count(ratio.venue_count()),
        }),
        simulated: state.simulated,
        publish_time: Some(time(state.publish_time)),
        derivations: derivations(ratio, state),
    }
}

fn wire_method(method: LongShortMethod) -> v1::AggregationMethod {
    match method {
        LongShortMethod::OpenInterestWeightedMean => v1::AggregationMethod::OpenInterestWeightedMean,
        LongShortMethod::Mean => v1::AggregationMethod::Mean,
        LongShortMethod::SingleVenue => v1::AggregationMethod::SingleVenue,
        LongShortMethod::LastKnown => v1::AggregationMethod::LastKnown,
    }
}

fn contribution(contribution: &LongShortContribution) -> v1::LongShortContribution {
    let share = |of: fn(Shares) -> f64| contribution.shares.and_then(|shares| finite(Some(of(shares))));
    v1::LongShortContribution {
        venue: contribution.venue.to_string(),
        ratio: share(|shares| shares.ratio),
        long_share: share(|shares| shares.long_share),
        weight: finite(Some(contribution.weight)).unwrap_or(0.0),
        status: match contribution.status {
            LongShortStatus::Used => v1::ContributionStatus::Used,
            LongShortStatus::Stale => v1::ContributionStatus::Stale,
            LongShortStatus::NoOpenInterest => v1::ContributionStatus::NoOpenInterest,
            LongShortStatus::NotOffered => v1::ContributionStatus::NotOffered,
            LongShortStatus::NoValue => v1::ContributionStatus::NoPrice,
            LongShortStatus::NotPooled => v1::ContributionStatus::NotPooled,
            LongShortStatus::Carried => v1::ContributionStatus::Carried,
        }
        .into(),
        open_interest: contribution.open_interest.map(decimal),
        observed_open_interest: contribution.observed_open_interest.map(|(amount, _)| decimal(amount)),
        observed_open_interest_unit: match contribution.observed_open_interest {
            None => v1::OpenInterestUnit::Unspecified,
            Some((_, OpenInterestUnit::Base)) => v1::OpenInterestUnit::BaseAsset,
            Some((_, OpenInterestUnit::Quote)) => v1::OpenInterestUnit::QuoteAsset,
            Some((_, OpenInterestUnit::Contracts)) => v1::OpenInterestUnit::Contracts,
        }
        .into(),
        instrument: contribution.instrument.to_string(),
        venue_symbol: contribution.venue_symbol.to_string(),
        event_time: contribution.times.map(|(event, _)| time(event)),
        receive_time: contribution.times.map(|(_, receive)| time(receive)),
        simulated: contribution.simulated,
    }
}

/// How the figures came about. All of it follows from the state, so it is not kept there.
fn derivations(ratio: &LongShortRatio, state: &State) -> Vec<v1::Derivation> {
    let mut derivations = Vec::new();
    if ratio.key.venue.is_none() && ratio.shares.is_some() {
        derivations.push(long_share(ratio, state));
    }
    if let (Some(_), Some(before)) = (ratio.shares, ratio.day_before) {
        derivations.push(v1::Derivation {
            field: "change_24h".to_owned(),
            method: "ratio minus the ratio of 24 hours before, of the same kind, venue and period".to_owned(),
            inputs: vec![v1::Input {
                name: "reference_ratio".to_owned(),
                value: crossmarket_domain::Decimal::from_f64(before.ratio).map(decimal),
                time: Some(time(before.time)),
                source: source(ratio),
                ..Default::default()
            }],
            observation_count: 2,
            start_time: Some(time(before.time)),
            end_time: Some(time(state.event_time)),
            source: source(ratio),
            ..Default::default()
        });
    }
    if ratio.rsi_14d.is_some() {
        derivations.push(v1::Derivation {
            field: "rsi_14d".to_owned(),
            method: "RSI, Wilder 1978: the one of the asset's price snapshot when this state was published".to_owned(),
            parameters: vec![v1::Parameter { name: "period".to_owned(), value: "14".to_owned() }],
            end_time: Some(time(state.publish_time)),
            source: "crossmarket".to_owned(),
            ..Default::default()
        });
    }
    derivations
}

fn source(ratio: &LongShortRatio) -> String {
    ratio.key.venue.as_ref().map_or_else(|| "crossmarket".to_owned(), ToString::to_string)
}

fn long_share(ratio: &LongShortRatio, state: &State) -> v1::Derivation {
    let used = || {
        let counts = |status| matches!(status, LongShortStatus::Used | LongShortStatus::Carried);
        ratio.contributions.iter().filter(move |contribution| counts(contribution.status))
    };
    let method = match ratio.method {
        LongShortMethod::OpenInterestWeightedMean => "mean of the long shares weighted by open interest in USD",
        LongShortMethod::Mean => "plain mean of the long shares, since no venue gave its open interest",
        LongShortMethod::SingleVenue => "the long share of the only venue that could be used",
        LongShortMethod::LastKnown => "mean of the last known long shares weighted by open interest in USD",
    };
    let event_times = || used().filter_map(|contribution| Some(contribution.times?.0));
    let venues: Vec<&str> = used().map(|contribution| contribution.venue.as_str()).collect();
    v1::Derivation {
        field: "long_share".to_owned(),
        method: method.to_owned(),
        observation_count: count(venues.len()),
        start_time: event_times().min().map(time),
        end_time: event_times().max().or(Some(state.event_time)).map(time),
        source: venues.join(","),
        ..Default::default()
    }
}
