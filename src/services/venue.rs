//! Venues in the catalogue.

use crossmarket_domain::Feed;

/// A venue as the catalogue lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenueEntry {
    /// The id: `binance-usdm`.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// The feeds that it can give.
    pub feeds: Vec<Feed>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether a simulator answers in its place.
    pub simulated: bool,
    /// Where its API is documented.
    pub documentation_url: String,
    /// Where its terms of use are.
    pub terms_url: String,
    /// What its terms mean for a user of its data.
    pub terms_note: String,
    /// Whether its API is published by its owner.
    pub official: bool,
    /// Whether it needs a key.
    pub key_required: bool,
    /// Whether a key is configured.
    pub key_configured: bool,
}
