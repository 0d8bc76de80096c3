//! A source of index levels, and which indices are collected from sources.

use std::sync::Arc;
use std::time::Duration;

use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_domain::index::{IndexCode, KNOWN};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Feed, Instrument, VenueId};
use crossmarket_venues as venues;

/// A close is taken so long after its session's end: the last prints come late.
pub(crate) const SETTLE: Duration = Duration::from_secs(10 * 60);

/// How far back stored closes are looked through again and again.
pub(crate) const RECENT_SPAN: Duration = DAY.saturating_mul(21);

/// A source of index levels.
#[derive(Clone)]
pub(crate) struct IndexSourceLink {
    /// Its HTTP side.
    pub link: VenueLink,
    /// Its feed's health.
    pub monitor: Arc<FeedMonitor>,
}

/// The indices that are collected from sources: those that others calculate.
pub fn indices() -> impl Iterator<Item = IndexCode> {
    KNOWN.iter().filter(|known| known.kind.is_exchange_traded()).filter_map(|known| IndexCode::parse(known.code))
}

/// How a source calls an index; `None` when it has not got it.
pub(crate) fn listed(source: &IndexSourceLink, index: &IndexCode) -> Option<Instrument> {
    source.link.venue.listing(index.as_str(), "USD")
}

/// The place of a source in the order of preference; those that are not in it come last.
pub(crate) fn place_of(venue: VenueId) -> usize {
    let preference = venues::preference(Feed::IndexLevels);
    preference.iter().position(|known| *known == venue).unwrap_or(preference.len())
}
