//! What the owner of the cross-asset shard is given: the configuration's baskets and published market caps.

use crate::config::{BasketConfig, BasketMembers, BasketRebalance, BasketWeighting, Config};
use crossmarket_analytics::basket::{Schedule, Weighting};
use crossmarket_collector::indices::{BasketDefinition, IndexSettings, Members, PublishedMarketCap};

/// The settings as configured.
pub(super) fn settings(config: &Config, simulated: bool) -> IndexSettings {
    let market_caps = config.index_references.0.iter().map(|reference| PublishedMarketCap {
        index: reference.index.clone(),
        market_cap: reference.market_cap,
        date: reference.date,
        source: reference.source.clone(),
    });
    IndexSettings {
        baskets: config.baskets.0.iter().map(basket).collect(),
        market_caps: market_caps.collect(),
        simulated,
    }
}

fn basket(basket: &BasketConfig) -> BasketDefinition {
    BasketDefinition {
        index: basket.index.clone(),
        members: match &basket.members {
            BasketMembers::Assets(assets) => Members::Assets(assets.clone()),
            BasketMembers::Category(category) => Members::Category(category.as_str().into()),
        },
        weighting: match (basket.weighting, basket.cap_percent) {
            (BasketWeighting::Equal, _) => Weighting::Equal,
            (BasketWeighting::CappedMarketCap, Some(cap)) => Weighting::CappedMarketCap { weight_max: cap / 100.0 },
            (BasketWeighting::MarketCap | BasketWeighting::CappedMarketCap, _) => Weighting::MarketCap,
        },
        schedule: match basket.rebalance {
            BasketRebalance::Never => Schedule::Never,
            BasketRebalance::Weekly => Schedule::Weekly,
            BasketRebalance::Monthly => Schedule::Monthly,
            BasketRebalance::Quarterly => Schedule::Quarterly,
        },
        base_level: basket.base_level,
    }
}
