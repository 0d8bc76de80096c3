//! Between the domain's vocabulary and the wire's. No other module knows both.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp as WireTime;

use crossmarket_api::v1;
use crossmarket_domain::state::{
    self, AggregationMethod, AssetInfo, Body, ContributionStatus, FeedErrorKind, FeedState, FeedStatus, PriceSnapshot,
    Revision, State,
};
use crossmarket_domain::{Candle, CandleInterval, Decimal, Instrument, InstrumentKind, Timestamp};
use crossmarket_image::{Encoder, Encoding, Freshness};

pub mod index;
mod long_short;

pub use long_short::{long_short_kind, long_short_period, wire_long_short_kind, wire_long_short_period};

/// Encodes states as entries of the responses' field 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireEncoder;

impl Encoder for WireEncoder {
    fn encode(&self, state: &State, revision: Revision, freshness: Freshness) -> Encoding {
        match &state.body {
            Body::Price(price) => {
                // A response with nothing but field 1 is that field's entry.
                let message = price_snapshot(price, state, revision, freshness);
                let mut entry = v1::GetPriceSnapshotResponse { snapshot: Some(message) };
                let full = entry.encode_to_vec().into();
                if let Some(message) = &mut entry.snapshot {
                    message.derivations.clear();
                    message.aggregation.iter_mut().for_each(|aggregation| aggregation.contributions.clear());
                }
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::Asset(info) => {
                let message = asset(info, state.simulated);
                let mut entry = v1::ListAssetsResponse { assets: vec![message], ..Default::default() };
                let full = entry.encode_to_vec().into();
                entry.assets.iter_mut().for_each(|message| message.instruments.clear());
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::LongShort(ratio) => {
                let message = long_short::ratio(ratio, state, revision, freshness);
                let mut entry = v1::GetLongShortRatioResponse { ratio: Some(message) };
                let full = entry.encode_to_vec().into();
                if let Some(message) = &mut entry.ratio {
                    message.derivations.clear();
                    message.aggregation.iter_mut().for_each(|aggregation| aggregation.contributions.clear());
                }
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::Index(index) => index::encode(index, state, revision, freshness),
            // A feed's answer holds its age at the time of the call, so it is made then.
            Body::Feed(_) => Encoding { basic: Bytes::new(), full: Bytes::new() },
        }
    }
}

/// An instant.
pub fn time(instant: Timestamp) -> WireTime {
    let micros = instant.as_micros();
    WireTime { seconds: micros.div_euclid(1_000_000), nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32 }
}

/// An instant from a request; `None` when it is outside the years 1 to 9999 or its nanoseconds are out of range.
pub fn instant(time: &WireTime) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    let micros = time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos / 1_000))?;
    let instant = Timestamp::from_micros(micros);
    (instant.as_micros() == micros).then_some(instant)
}

/// A span.
pub fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

/// A span from a request; `None` when it is negative or not well formed.
pub fn duration(span: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(span.seconds).ok()?, nanos))
}

/// An interval of a request; one day when unspecified, `None` when it is not known.
pub fn candle_interval(interval: i32) -> Option<CandleInterval> {
    Some(match v1::CandleInterval::try_from(interval).ok()? {
        v1::CandleInterval::CandleInterval5m => CandleInterval::FiveMinutes,
        v1::CandleInterval::CandleInterval1h => CandleInterval::OneHour,
        v1::CandleInterval::CandleInterval1d | v1::CandleInterval::Unspecified => CandleInterval::OneDay,
    })
}

/// An interval's name on the wire.
pub fn wire_interval(interval: CandleInterval) -> v1::CandleInterval {
    match interval {
        CandleInterval::FiveMinutes => v1::CandleInterval::CandleInterval5m,
        CandleInterval::OneHour => v1::CandleInterval::CandleInterval1h,
        CandleInterval::OneDay => v1::CandleInterval::CandleInterval1d,
    }
}

/// A candle, closed once `now` is past its end.
pub fn candle(candle: &Candle, interval: CandleInterval, now: Timestamp) -> v1::Candle {
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

/// A decimal as the API writes it: plain, without trailing zeros.
pub fn decimal(value: Decimal) -> String {
    value.to_text()
}

/// A count or rank; what does not fit is as large as it gets.
fn count(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

fn long_count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Statistics on the wire are finite.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a smol_str::SmolStr>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

/// A price snapshot in the view FULL.
pub fn price_message(
    price: &PriceSnapshot,
    state: &State,
    revision: Revision,
    freshness: Freshness,
) -> v1::PriceSnapshot {
    price_snapshot(price, state, revision, freshness)
}

fn price_snapshot(price: &PriceSnapshot, state: &State, revision: Revision, freshness: Freshness) -> v1::PriceSnapshot {
    v1::PriceSnapshot {
        asset: price.asset.to_string(),
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
pub const QUOTE_CURRENCY: &str = "USD";

fn all_time_high(high: &state::AllTimeHigh) -> v1::AllTimeHigh {
    v1::AllTimeHigh {
        price: decimal(high.price),
        time: high.time.map(time),
        drawdown_percent: finite(high.drawdown_percent),
        source: high.source.to_string(),
    }
}

fn wire_freshness(state: &State, freshness: Freshness) -> v1::Freshness {
    v1::Freshness {
        state: match freshness {
            Freshness::Fresh => v1::FreshnessState::Fresh,
            Freshness::Stale => v1::FreshnessState::Stale,
            Freshness::Closed => v1::FreshnessState::Closed,
        }
        .into(),
        budget: Some(span(state.budget)),
        stale_since_time: (freshness != Freshness::Closed).then(|| time(state.stale_since())),
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

fn contribution_status(status: ContributionStatus) -> v1::ContributionStatus {
    match status {
        ContributionStatus::Used => v1::ContributionStatus::Used,
        ContributionStatus::Stale => v1::ContributionStatus::Stale,
        ContributionStatus::Outlier => v1::ContributionStatus::Outlier,
        ContributionStatus::UnpricedQuote => v1::ContributionStatus::UnpricedQuote,
        ContributionStatus::NoPrice => v1::ContributionStatus::NoPrice,
        ContributionStatus::NoVolume => v1::ContributionStatus::NoVolume,
        ContributionStatus::Carried => v1::ContributionStatus::Carried,
        ContributionStatus::Disagrees => v1::ContributionStatus::Disagrees,
        ContributionStatus::Standby => v1::ContributionStatus::Standby,
    }
}

fn derivation(derivation: &state::Derivation) -> v1::Derivation {
    let parameter = |(name, value): &(smol_str::SmolStr, smol_str::SmolStr)| v1::Parameter {
        name: name.to_string(),
        value: value.to_string(),
    };
    let input = |(name, value): &(smol_str::SmolStr, Decimal)| v1::Input {
        name: name.to_string(),
        value: Some(decimal(*value)),
        ..Default::default()
    };
    v1::Derivation {
        field: derivation.field.to_string(),
        method: derivation.method.to_string(),
        parameters: derivation.parameters.iter().map(parameter).collect(),
        inputs: derivation.inputs.iter().map(input).collect(),
        observation_count: count(derivation.observation_count),
        start_time: Some(time(derivation.start_time)),
        end_time: Some(time(derivation.end_time)),
        source: derivation.source.to_string(),
        estimated: false,
        missing_count: count(derivation.missing_count),
    }
}

fn asset(info: &AssetInfo, simulated: bool) -> v1::Asset {
    let listing_id = |venue: &str| info.listing_ids.iter().find(|(listing, _)| listing == venue);
    let mut venues = texts(info.instruments.iter().map(|(venue, _)| venue));
    venues.sort_unstable();
    venues.dedup();
    v1::Asset {
        asset: info.asset.to_string(),
        name: info.name.as_ref().map(ToString::to_string),
        kind: wire_asset_kind(info.kind).into(),
        market_cap_rank: info.market_cap_rank.map(count),
        categories: texts(&info.categories),
        coingecko_id: listing_id("coingecko").map(|(_, id)| id.to_string()),
        coinpaprika_id: listing_id("coinpaprika").map(|(_, id)| id.to_string()),
        instrument_count: count(info.instruments.len()),
        venues,
        instruments: info.instruments.iter().map(|(venue, traded)| instrument(venue, traded)).collect(),
        history_start_time: info.history_start.map(time),
        history_day_count: count(info.history_day_count),
        simulated,
    }
}

/// A kind of asset on the wire.
pub fn wire_asset_kind(kind: state::AssetKind) -> v1::AssetKind {
    match kind {
        state::AssetKind::Coin => v1::AssetKind::Coin,
        state::AssetKind::Stablecoin => v1::AssetKind::Stablecoin,
        state::AssetKind::Wrapped => v1::AssetKind::Wrapped,
        state::AssetKind::Staked => v1::AssetKind::Staked,
        state::AssetKind::AssetBacked => v1::AssetKind::AssetBacked,
        state::AssetKind::Fiat => v1::AssetKind::Fiat,
    }
}

fn instrument(venue: &str, instrument: &Instrument) -> v1::Instrument {
    let (kind, suffix) = match instrument.kind {
        InstrumentKind::Spot => (v1::InstrumentKind::Spot, ""),
        InstrumentKind::PerpetualLinear => (v1::InstrumentKind::LinearPerpetual, ":perpetual"),
        InstrumentKind::PerpetualInverse => (v1::InstrumentKind::InversePerpetual, ":perpetual"),
        InstrumentKind::Listing | InstrumentKind::Index => (v1::InstrumentKind::Reference, ""),
        InstrumentKind::Other => (v1::InstrumentKind::Unspecified, ""),
    };
    v1::Instrument {
        venue: venue.to_owned(),
        instrument: format!("{}/{}{suffix}", instrument.base, instrument.quote),
        venue_symbol: instrument.symbol.to_string(),
        base_asset: instrument.base.to_string(),
        quote_asset: instrument.quote.to_string(),
        kind: kind.into(),
        price_multiplier: instrument.multiplier.to_string(),
    }
}

/// A feed's state on the wire.
pub fn wire_feed_state(state: FeedState) -> v1::FeedState {
    match state {
        FeedState::Starting => v1::FeedState::Starting,
        FeedState::Ok => v1::FeedState::Ok,
        FeedState::Degraded => v1::FeedState::Degraded,
        FeedState::Down => v1::FeedState::Down,
        FeedState::Disabled => v1::FeedState::Disabled,
    }
}

/// A feed's health as it is at `now`.
pub fn feed(status: &FeedStatus, state: &State, now: Timestamp) -> v1::Feed {
    // An error that a success has followed is over.
    let error = status.last_error.as_ref().filter(|(at, ..)| status.last_success.is_none_or(|success| success < *at));
    let polled = !status.streaming && status.state != FeedState::Disabled;
    v1::Feed {
        venue: status.venue.to_string(),
        feed: status.feed.to_string(),
        transport: match status.streaming {
            true => v1::FeedTransport::Websocket,
            false => v1::FeedTransport::Http,
        }
        .into(),
        state: wire_feed_state(status.state).into(),
        state_time: Some(time(status.state_time)),
        last_success_time: status.last_success.map(time),
        age: status.last_success.map(|success| span(now.since(success))),
        budget: Some(span(state.budget)),
        error_kind: error.map_or(v1::FeedErrorKind::Unspecified, |(_, kind, _)| feed_error_kind(*kind)).into(),
        error: error.map(|(_, _, text)| text.to_string()).unwrap_or_default(),
        last_error_time: status.last_error.as_ref().map(|(at, ..)| time(*at)),
        rate_limits: status.rate_budgets.iter().map(rate_limit).collect(),
        request_count: long_count(status.request_count),
        error_count: long_count(status.error_count),
        observation_count: long_count(status.observation_count),
        rejections: status.rejections.iter().map(rejection).collect(),
        instrument_count: count(status.instrument_count),
        resolved_count: count(status.resolved_count),
        schedule_interval: polled.then(|| span(status.interval)),
        plan: status.plan.iter().map(plan_tier).collect(),
        reconnect_count: status.streaming.then(|| long_count(status.reconnect_count)),
        simulated: state.simulated,
        next_request_time: None,
    }
}

fn feed_error_kind(kind: FeedErrorKind) -> v1::FeedErrorKind {
    match kind {
        FeedErrorKind::RateLimited => v1::FeedErrorKind::RateLimited,
        FeedErrorKind::Transient => v1::FeedErrorKind::Transient,
        FeedErrorKind::Malformed => v1::FeedErrorKind::Malformed,
        FeedErrorKind::Rejected => v1::FeedErrorKind::Rejected,
        FeedErrorKind::CircuitOpen => v1::FeedErrorKind::CircuitOpen,
    }
}

fn rate_limit(budget: &state::RateBudget) -> v1::RateLimitBudget {
    v1::RateLimitBudget {
        scope: budget.scope.to_string(),
        limit: long_count(budget.limit),
        used: long_count(budget.used),
        window: Some(span(budget.window)),
        planned: long_count(budget.planned.clamp(1, budget.limit.max(1))),
        retry_time: None,
    }
}

fn plan_tier(tier: &state::PlanTier) -> v1::FeedPlanTier {
    v1::FeedPlanTier {
        market_cap_rank_min: count(tier.rank_min),
        market_cap_rank_max: tier.rank_max.map(count),
        instrument_count: count(tier.instrument_count),
        interval: Some(span(tier.interval)),
        weight_per_minute: tier.milliweight_per_minute as f64 / 1_000.0,
        scope: tier.scope.to_string(),
    }
}

fn rejection((reason, number): &(smol_str::SmolStr, u64)) -> v1::RejectionCount {
    v1::RejectionCount { reason: reason.to_string(), count: long_count(*number) }
}
