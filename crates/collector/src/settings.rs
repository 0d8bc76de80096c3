//! Configuration of the collector.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::indices::news::IndexNews;
use crate::prices::mapping::MappingSettings;
use crate::shard::lease::HeldShardsHandle;
use crate::transport::http::FetchLimits;
use crossmarket_domain::AssetName;
use crossmarket_venues::{Secret, Venue};

/// Default lifetime of a shard's lease. Together with the time a standby needs for its first prices, it stays well
/// under 5 s.
pub const LEASE_LIFE: Duration = Duration::from_millis(2_500);

/// Default number of the largest assets that are tracked.
pub const UNIVERSE_SIZE: usize = 200;

/// Default number of venues required for a new aggregate price.
pub const REQUIRED_VENUE_COUNT: u32 = 1;

/// Default time between batches.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct VenueSettings {
    pub venue: &'static dyn Venue,
    /// Base address of its HTTP API: https, or http on loopback. A loopback address receives every request, even those
    /// for feeds at another of the venue's hosts, since a simulator replaces the whole venue.
    pub rest_url: String,
    /// Address of its stream, without the path that the venue adds: wss, or ws on loopback. `None` for no stream.
    pub ws_url: Option<String>,
    /// False for a disabled venue: its feeds appear in the catalogue as DISABLED.
    pub enabled: bool,
    /// API key, for a venue that needs one. Without the key, no request is sent to the venue.
    pub api_key: Option<Secret>,
    /// What the venue means by codes of its own, beside those that its profile knows: a ticker, an id (`id:bitcoin`) or
    /// a name; `None` for a code to be ignored.
    pub codes: BTreeMap<SmolStr, Option<SmolStr>>,
}

impl VenueSettings {
    /// The venue at its own addresses, enabled.
    pub fn of(venue: &'static dyn Venue) -> Self {
        let profile = venue.profile();
        let ws_url = profile.stream.map(|stream| stream.url.to_owned());
        Self {
            venue,
            rest_url: profile.rest_url.to_owned(),
            ws_url,
            enabled: true,
            api_key: None,
            codes: BTreeMap::new(),
        }
    }

    /// True if the venue is enabled and has the key it needs.
    pub(crate) fn is_usable(&self) -> bool {
        self.enabled && (self.venue.profile().api_key.is_none() || self.api_key.is_some())
    }
}

#[derive(Clone)]
pub struct CollectorSettings {
    pub venues: Vec<VenueSettings>,
    /// Number of assets tracked, by market cap.
    pub universe_size: usize,
    /// Assets tracked in addition.
    pub extra_assets: Vec<AssetName>,
    /// How an instrument is recognised as an asset's.
    pub mapping: MappingSettings,
    /// Number of venues required for an aggregate price, at least 1.
    pub required_venue_count: u32,
    /// Wall-clock time between batches, whatever the clock's speed.
    pub publish_interval: Duration,
    /// True when the venues are simulated; everything published is marked accordingly.
    pub simulated: bool,
    /// Seed of all jitter.
    pub seed: u64,
    /// Limits of one HTTP request.
    pub fetch_limits: FetchLimits,
    /// Lifetime of a shard's lease: a collector that disappears is replaced after this time. Renewed at a third of it.
    pub lease_life: Duration,
    /// False to request no candles from venues: histories then come only from collected, stored and imported data.
    pub backfill: bool,
    /// Receives the news of exchange-traded indices; `None` if nothing publishes indices.
    pub index_news: Option<mpsc::Sender<IndexNews>>,
    /// Receives the shards that this process leads.
    pub leading: HeldShardsHandle,
}

impl Default for CollectorSettings {
    /// Every registered venue at its own address.
    fn default() -> Self {
        Self {
            venues: crossmarket_venues::REGISTRY.iter().map(|venue| VenueSettings::of(*venue)).collect(),
            universe_size: UNIVERSE_SIZE,
            extra_assets: Vec::new(),
            mapping: MappingSettings::default(),
            required_venue_count: REQUIRED_VENUE_COUNT,
            publish_interval: PUBLISH_INTERVAL,
            simulated: false,
            seed: 0,
            fetch_limits: FetchLimits::default(),
            lease_life: LEASE_LIFE,
            backfill: true,
            index_news: None,
            leading: HeldShardsHandle::default(),
        }
    }
}
