//! Venues in the catalogue.

use crossmarket_domain::Feed;

/// A venue as the catalogue lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenueEntry {
    /// The id: `binance-usdm`.
    pub id: String,
    pub title: String,
    pub feeds: Vec<Feed>,
    pub enabled: bool,
    /// Whether a simulator replaces it.
    pub simulated: bool,
    pub documentation_url: String,
    pub terms_url: String,
    /// What its terms mean for a user of its data.
    pub terms_note: String,
    /// Whether its owner publishes the API.
    pub official: bool,
    pub key_required: bool,
    pub key_configured: bool,
}
