//! Converts the configuration into the settings of each part of a process.

use crate::config::{BasketConfig, BasketMembers, BasketRebalance, BasketWeighting, Config, GrpcConfig};
use crate::services::{StreamSettings, VenueEntry};
use crossmarket_analytics::basket::{Schedule, Weighting};
use crossmarket_collector::indices::{BasketDefinition, IndexSettings, Members, PublishedMarketCap};
use crossmarket_collector::{CollectorSettings, VenueSettings};
use crossmarket_store::LEASE_LIFE_MAX;
use crossmarket_venues::{REGISTRY, Venue};

pub(super) fn collector(config: &Config) -> CollectorSettings {
    let venue_settings = |venue: &&'static dyn Venue| {
        let mut settings = VenueSettings::of(*venue);
        if let Some(configured) = config.venues.get(venue.id()) {
            settings.enabled = configured.enabled;
            settings.rest_url.clone_from(&configured.rest_url);
            settings.ws_url = settings.ws_url.and(configured.ws_url.clone());
            settings.api_key.clone_from(&configured.api_key);
            settings.codes.clone_from(&configured.codes);
        }
        settings
    };
    CollectorSettings {
        venues: REGISTRY.iter().map(venue_settings).collect(),
        universe_size: config.universe.size,
        extra_assets: config.universe.assets.clone(),
        required_venue_count: config.collector.required_venue_count,
        publish_interval: config.collector.publish_interval,
        // No other process competes for a store that is not shared, and a machine that is briefly too slow is no reason
        // to start over.
        lease_life: if config.store.is_shared() { config.collector.lease_life } else { LEASE_LIFE_MAX },
        seed: rand::random(),
        ..CollectorSettings::default()
    }
}

/// The catalogue of venues.
pub(super) fn venue_entries(config: &Config, simulated: bool) -> Vec<VenueEntry> {
    let entry = |venue: &&'static dyn Venue| {
        let profile = venue.profile();
        VenueEntry {
            id: venue.id().to_string(),
            title: profile.title.to_owned(),
            feeds: profile.feed_ids().collect(),
            enabled: config.venues.get(venue.id()).is_none_or(|configured| configured.enabled),
            simulated,
            documentation_url: profile.documentation_url.to_owned(),
            terms_url: profile.terms_url.to_owned(),
            terms_note: String::new(),
            official: profile.official,
            key_required: profile.api_key.is_some(),
            key_configured: config.venues.get(venue.id()).is_some_and(|configured| configured.api_key.is_some()),
        }
    };
    REGISTRY.iter().map(entry).collect()
}

pub(super) fn streams(grpc: &GrpcConfig) -> StreamSettings {
    let age_max = Some(grpc.stream_age_max).filter(|age| !age.is_zero());
    StreamSettings { age_max, age_jitter: 0.1, ..StreamSettings::default() }
}

/// The inputs of the cross-asset shard's owner: baskets and published market caps.
pub(super) fn indices(config: &Config, simulated: bool) -> IndexSettings {
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
