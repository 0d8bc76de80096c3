//! Assets, instruments and feeds between the domain and the wire.

use super::scalar::{count, long_count, span, texts, time};
use crossmarket_api::v1;
use crossmarket_domain::state::{
    self, AssetInfo, FeedErrorKind, FeedState, FeedStatus, InstrumentMapping, MappingRule, MappingState, State,
};
use crossmarket_domain::{InstrumentKind, Timestamp};

pub(super) fn asset(info: &AssetInfo, simulated: bool) -> v1::Asset {
    let listing_id = |venue: &str| info.listing_ids.iter().find(|(listing, _)| listing == venue);
    let mut venues = texts(info.instruments.iter().map(|mapping| &mapping.venue));
    venues.sort_unstable();
    venues.dedup();
    v1::Asset {
        asset: info.asset.to_string(),
        asset_id: info.asset_id.to_string(),
        aliases: texts(&info.aliases),
        name: info.name.as_ref().map(ToString::to_string),
        kind: wire_asset_kind(info.kind).into(),
        market_cap_rank: info.market_cap_rank.map(count),
        categories: texts(&info.categories),
        coingecko_id: listing_id("coingecko").map(|(_, id)| id.to_string()),
        coinpaprika_id: listing_id("coinpaprika").map(|(_, id)| id.to_string()),
        instrument_count: count(info.instruments.len()),
        venues,
        instruments: info.instruments.iter().map(|mapping| instrument(info, mapping, simulated)).collect(),
        history_start_time: info.history_start.map(time),
        history_day_count: count(info.history_day_count),
        simulated,
    }
}

pub(crate) fn wire_asset_kind(kind: state::AssetKind) -> v1::AssetKind {
    match kind {
        state::AssetKind::Coin => v1::AssetKind::Coin,
        state::AssetKind::Stablecoin => v1::AssetKind::Stablecoin,
        state::AssetKind::Wrapped => v1::AssetKind::Wrapped,
        state::AssetKind::Staked => v1::AssetKind::Staked,
        state::AssetKind::AssetBacked => v1::AssetKind::AssetBacked,
        state::AssetKind::Fiat => v1::AssetKind::Fiat,
    }
}

/// An instrument of an asset.
pub(crate) fn instrument(info: &AssetInfo, mapping: &InstrumentMapping, simulated: bool) -> v1::Instrument {
    let instrument = &mapping.instrument;
    let (kind, suffix) = match instrument.kind {
        InstrumentKind::Spot => (v1::InstrumentKind::Spot, ""),
        InstrumentKind::PerpetualLinear => (v1::InstrumentKind::LinearPerpetual, ":perpetual"),
        InstrumentKind::PerpetualInverse => (v1::InstrumentKind::InversePerpetual, ":perpetual"),
        InstrumentKind::Listing | InstrumentKind::Index => (v1::InstrumentKind::Reference, ""),
        InstrumentKind::Other => (v1::InstrumentKind::Unspecified, ""),
    };
    v1::Instrument {
        venue: mapping.venue.to_string(),
        instrument: format!("{}/{}{suffix}", instrument.base, instrument.quote),
        venue_symbol: instrument.symbol.to_string(),
        base_asset: instrument.base.to_string(),
        quote_asset: instrument.quote.to_string(),
        kind: kind.into(),
        price_multiplier: instrument.multiplier.to_string(),
        rule: wire_mapping_rule(mapping.rule).into(),
        state: wire_mapping_state(mapping.state).into(),
        state_start_time: Some(time(mapping.since)),
        price_ratio: mapping.price_ratio,
        asset_id: info.asset_id.to_string(),
        simulated,
    }
}

fn wire_mapping_rule(rule: MappingRule) -> v1::MappingRule {
    match rule {
        MappingRule::Ticker => v1::MappingRule::Ticker,
        MappingRule::Registry => v1::MappingRule::Registry,
        MappingRule::Configuration => v1::MappingRule::Configuration,
        MappingRule::FormerTicker => v1::MappingRule::FormerTicker,
        MappingRule::Price => v1::MappingRule::Price,
    }
}

fn wire_mapping_state(state: MappingState) -> v1::MappingState {
    match state {
        MappingState::Provisional => v1::MappingState::Provisional,
        MappingState::Confirmed => v1::MappingState::Confirmed,
        MappingState::Conflict => v1::MappingState::Conflict,
    }
}

pub(crate) fn wire_feed_state(state: FeedState) -> v1::FeedState {
    match state {
        FeedState::Starting => v1::FeedState::Starting,
        FeedState::Ok => v1::FeedState::Ok,
        FeedState::Degraded => v1::FeedState::Degraded,
        FeedState::Down => v1::FeedState::Down,
        FeedState::Disabled => v1::FeedState::Disabled,
    }
}

/// A feed's health as it is at `now`.
pub(crate) fn feed(status: &FeedStatus, state: &State, now: Timestamp) -> v1::Feed {
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
