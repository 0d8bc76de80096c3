//! Prices between the domain and the wire.

use super::provenance::{contribution_status, derivation, wire_freshness};
use super::scalar::{count, decimal, finite, long_count, texts, time};
use crossmarket_api::v1;
use crossmarket_domain::state::{self, AggregationMethod, PriceSnapshot, Revision, State};
use crossmarket_domain::{Candle, CandleInterval, Timestamp};
use crossmarket_image::Freshness;

/// A price snapshot in the view FULL.
pub(crate) fn price_snapshot(
    price: &PriceSnapshot,
    state: &State,
    revision: Revision,
    freshness: Freshness,
) -> v1::PriceSnapshot {
    v1::PriceSnapshot {
        asset: price.asset.to_string(),
        asset_id: price.asset_id.to_string(),
        quote_currency: QUOTE_CURRENCY.to_owned(),
        price: price.price.map(decimal),
        change_1h_percent: finite(price.change_1h_percent),
        change_24h_percent: finite(price.change_24h_percent),
        change_7d_percent: finite(price.change_7d_percent),
        change_30d_percent: finite(price.change_30d_percent),
        change_ytd_percent: finite(price.change_ytd_percent),
        high_24h: price.high_24h.map(decimal),
        low_24h: price.low_24h.map(decimal),
        high_7d: price.high_7d.map(decimal),
        low_7d: price.low_7d.map(decimal),
        range_24h_percent: finite(price.range_24h_percent),
        volatility_24h_percent: finite(price.volatility_24h_percent),
        volatility_30d_annualized_percent: finite(price.volatility_30d_annualized_percent),
        rsi_14d: finite(price.rsi_14d),
        volume_24h: price.volume_24h.map(decimal),
        market_cap: price.market_cap.map(decimal),
        market_cap_rank: price.market_cap_rank.map(count),
        circulating_supply: price.circulating_supply.map(decimal),
        all_time_high: price.all_time_high.as_ref().map(all_time_high),
        categories: texts(&price.categories),
        event_time: Some(time(state.event_time)),
        receive_time: Some(time(state.receive_time)),
        publish_time: Some(time(state.publish_time)),
        freshness: Some(wire_freshness(state, freshness)),
        revision: long_count(revision),
        aggregation: Some(aggregation(&price.aggregation)),
        simulated: state.simulated,
        name: price.name.as_ref().map(ToString::to_string),
        derivations: price.derivations.iter().map(derivation).collect(),
    }
}

/// The currency of every amount.
pub(crate) const QUOTE_CURRENCY: &str = "USD";

fn all_time_high(high: &state::AllTimeHigh) -> v1::AllTimeHigh {
    v1::AllTimeHigh {
        price: decimal(high.price),
        time: high.time.map(time),
        drawdown_percent: finite(high.drawdown_percent),
        source: high.source.to_string(),
    }
}

fn aggregation(aggregation: &state::Aggregation) -> v1::PriceAggregation {
    v1::PriceAggregation {
        method: match aggregation.method {
            AggregationMethod::VolumeWeightedMedian => v1::AggregationMethod::VolumeWeightedMedian,
            AggregationMethod::Median => v1::AggregationMethod::Median,
            AggregationMethod::SingleVenue => v1::AggregationMethod::SingleVenue,
            AggregationMethod::LastKnown => v1::AggregationMethod::LastKnown,
            AggregationMethod::Listing => v1::AggregationMethod::Listing,
        }
        .into(),
        venue_count: count(aggregation.venue_count),
        dispersion_percent: finite(aggregation.dispersion_percent),
        contributions: aggregation.contributions.iter().map(contribution).collect(),
        candidate_count: count(aggregation.candidate_count),
        required_venue_count: count(aggregation.required_venue_count),
        outlier_limit_percent: finite(aggregation.outlier_limit_percent),
    }
}

fn contribution(contribution: &state::Contribution) -> v1::PriceContribution {
    v1::PriceContribution {
        venue: contribution.venue.to_string(),
        instrument: contribution.instrument.to_string(),
        price: contribution.price.map(decimal),
        weight: finite(Some(contribution.weight)).unwrap_or(0.0),
        event_time: Some(time(contribution.event_time)),
        status: contribution_status(contribution.status).into(),
        observed_price: contribution.observed_price.map(decimal),
        quote_asset: contribution.quote_asset.to_string(),
        conversion_rate: contribution.conversion_rate.map(decimal),
        volume_24h: contribution.volume_24h.map(decimal),
        venue_symbol: contribution.venue_symbol.to_string(),
        receive_time: Some(time(contribution.receive_time)),
        deviation_percent: finite(contribution.deviation_percent),
        simulated: contribution.simulated,
    }
}

/// An interval of a request; one day when unspecified, `None` when it is not known.
pub(crate) fn candle_interval(interval: i32) -> Option<CandleInterval> {
    Some(match v1::CandleInterval::try_from(interval).ok()? {
        v1::CandleInterval::CandleInterval5m => CandleInterval::FiveMinutes,
        v1::CandleInterval::CandleInterval1h => CandleInterval::OneHour,
        v1::CandleInterval::CandleInterval1d | v1::CandleInterval::Unspecified => CandleInterval::OneDay,
    })
}

/// An interval's name on the wire.
pub(crate) fn wire_interval(interval: CandleInterval) -> v1::CandleInterval {
    match interval {
        CandleInterval::FiveMinutes => v1::CandleInterval::CandleInterval5m,
        CandleInterval::OneHour => v1::CandleInterval::CandleInterval1h,
        CandleInterval::OneDay => v1::CandleInterval::CandleInterval1d,
    }
}

/// A candle, closed once `now` is past its end.
pub(crate) fn candle(candle: &Candle, interval: CandleInterval, now: Timestamp) -> v1::Candle {
    let end = candle.start + interval.duration();
    v1::Candle {
        start_time: Some(time(candle.start)),
        end_time: Some(time(end)),
        open: Some(decimal(candle.open)),
        high: Some(decimal(candle.high)),
        low: Some(decimal(candle.low)),
        close: decimal(candle.close),
        base_volume: candle.base_volume.map(decimal),
        quote_volume: candle.quote_volume.map(decimal),
        closed: end <= now,
        sources: Vec::new(),
        market_cap: None,
    }
}
