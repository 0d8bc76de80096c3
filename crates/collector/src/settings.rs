//! What the collector is configured with.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::indices::news::IndexNews;
use crate::shard::lease::HeldShardsHandle;
use crate::transport::http::FetchLimits;
use crossmarket_domain::AssetCode;
use crossmarket_venues::{Secret, Venue};

/// How long a lease of a shard lasts, unless it is set: with the time that a standby needs for its first prices well under 5 s.
pub const LEASE_LIFE: Duration = Duration::from_millis(2_500);

/// Default number of the largest assets that are tracked.
pub const UNIVERSE_SIZE: usize = 200;

/// Default number of venues that a new aggregate price needs.
pub const REQUIRED_VENUE_COUNT: u32 = 1;

/// Default time between batches.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct VenueSettings {
    pub venue: &'static dyn Venue,
    /// Where its HTTP API is: https, or http on loopback. When it is on loopback every request goes there, also those for feeds that live at
    /// another of the venue's hosts: whoever simulates a venue means all of it.
    pub rest_url: String,
    /// Where its stream is, without the path that the venue adds: wss, or ws on loopback. `None` for no stream.
    pub ws_url: Option<String>,
    /// False for a venue that is switched off: its feeds are in the catalogue as DISABLED.
    pub enabled: bool,
    /// Its key, for a venue that needs one; without it the venue is not asked.
    pub api_key: Option<Secret>,
}

impl VenueSettings {
    /// The venue at its own addresses, enabled.
    pub fn of(venue: &'static dyn Venue) -> Self {
        let profile = venue.profile();
        let ws_url = profile.stream.map(|stream| stream.url.to_owned());
        Self { venue, rest_url: profile.rest_url.to_owned(), ws_url, enabled: true, api_key: None }
    }

    /// Whether it is asked: switched on, and with the key that it needs.
    pub(crate) fn is_usable(&self) -> bool {
        self.enabled && (self.venue.profile().api_key.is_none() || self.api_key.is_some())
    }
}

#[derive(Clone)]
pub struct CollectorSettings {
    pub venues: Vec<VenueSettings>,
    /// Number of assets tracked, by market cap.
    pub universe_size: usize,
    /// Assets tracked besides.
    pub extra_assets: Vec<AssetCode>,
    /// Number of venues that an aggregate price needs, at least 1.
    pub required_venue_count: u32,
    /// Time between batches, in life whatever the clock's speed.
    pub publish_interval: Duration,
    /// True when the venues are simulated; everything published says so.
    pub simulated: bool,
    /// Decides all jitter.
    pub seed: u64,
    /// Limits of one HTTP request.
    pub fetch_limits: FetchLimits,
    /// How long a lease of a shard lasts: a collector that is gone without a word is replaced after so long. Renewed at a third of it.
    pub lease_life: Duration,
    /// False to leave histories to what is collected, stored and imported: no venue is asked for candles.
    pub backfill: bool,
    /// Where the collection of exchange-traded indices tells its news; `None` where nobody publishes indices.
    pub index_news: Option<mpsc::Sender<IndexNews>>,
    /// Is told which shards are led.
    pub leading: HeldShardsHandle,
}

impl Default for CollectorSettings {
    /// Every registered venue at its own address.
    fn default() -> Self {
        Self {
            venues: crossmarket_venues::REGISTRY.iter().map(|venue| VenueSettings::of(*venue)).collect(),
            universe_size: UNIVERSE_SIZE,
            extra_assets: Vec::new(),
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
