//! Sources of index levels, and the indices collected from them.

use std::sync::Arc;
use std::time::Duration;

use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_domain::index::{IndexCode, KNOWN};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Feed, Instrument, VenueId};
use crossmarket_venues as venues;

/// Delay after a session's end before its close is accepted: the last prints arrive late.
pub(crate) const SETTLE: Duration = Duration::from_secs(10 * 60);

/// How far back stored closes are checked repeatedly.
pub(crate) const RECENT_SPAN: Duration = DAY.saturating_mul(21);

#[derive(Clone)]
pub(crate) struct IndexSourceLink {
    pub link: VenueLink,
    pub monitor: Arc<FeedMonitor>,
}

/// The indices collected from sources, that is, those calculated by others.
pub fn indices() -> impl Iterator<Item = IndexCode> {
    KNOWN.iter().filter(|known| known.kind.is_exchange_traded()).filter_map(|known| IndexCode::parse(known.code))
}

/// The source's instrument for an index; `None` if the source does not offer it.
pub(crate) fn listed(source: &IndexSourceLink, index: &IndexCode) -> Option<Instrument> {
    source.link.venue.listing(index.as_str(), "USD")
}

/// Position of a source in the order of preference. Sources outside it come last.
pub(crate) fn place_of(venue: VenueId) -> usize {
    let preference = venues::preference(Feed::IndexLevels);
    preference.iter().position(|known| *known == venue).unwrap_or(preference.len())
}
