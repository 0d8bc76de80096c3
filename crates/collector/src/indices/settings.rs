//! What the owner of the cross-asset shard is configured with.

use super::baskets::BasketDefinition;
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::{Decimal, Timestamp};

/// A market cap of an equity index that somebody has published.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedMarketCap {
    pub index: IndexCode,
    /// The market cap in US dollars.
    pub market_cap: Decimal,
    /// The date on whose close it was.
    pub date: Timestamp,
    /// Who published it.
    pub source: String,
}

/// What is computed.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    /// The baskets of the configuration.
    pub baskets: Vec<BasketDefinition>,
    /// What estimated market caps rest on.
    pub market_caps: Vec<PublishedMarketCap>,
    /// True when the venues are simulated.
    pub simulated: bool,
}
