//! HTTP links to all configured venues.

use std::sync::Arc;

use crate::error::CollectorError;
use crate::settings::{CollectorSettings, VenueSettings};
use crate::transport::http::{self, Fetcher};
use crate::transport::rate_limit::RateLimiters;
use crate::transport::venue_link::VenueLink;
use crossmarket_clock::Clock;

/// Simulated venues have no rate meter to protect. The limits still apply, multiplied by this factor.
const SIMULATED_LIMIT_FACTOR: u32 = 50;

pub(crate) fn links(settings: &CollectorSettings, clock: Clock) -> Result<Vec<VenueLink>, CollectorError> {
    let fetcher: Arc<dyn http::Fetch> = Arc::new(Fetcher::new(settings.fetch_limits).map_err(CollectorError::Client)?);
    let link = |(index, venue_settings): (usize, &VenueSettings)| {
        let VenueSettings { venue, rest_url, ws_url, api_key, .. } = venue_settings;
        let venue = *venue;
        let setup = |source| CollectorError::Setup { venue: venue.id(), source };
        if venue_settings.is_usable() {
            http::check_address(rest_url, "http", "https").map_err(setup)?;
            if let Some(ws_url) = ws_url {
                http::check_address(ws_url, "ws", "wss").map_err(setup)?;
            }
        }
        let factor = if settings.simulated { SIMULATED_LIMIT_FACTOR } else { 1 };
        Ok(VenueLink {
            index: u16::try_from(index).unwrap_or(u16::MAX),
            venue,
            rest_url: rest_url.trim_end_matches('/').into(),
            redirected: url::Url::parse(rest_url).is_ok_and(|url| http::is_loopback(&url)),
            limiters: RateLimiters::new(venue.id(), venue.profile().limits, factor, clock),
            api_key: venue.profile().api_key.zip(api_key.clone()),
            fetcher: Arc::clone(&fetcher),
            clock,
        })
    };
    settings.venues.iter().enumerate().map(link).collect()
}
