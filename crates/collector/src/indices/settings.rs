//! Configuration of the owner of the cross-asset shard.

use super::baskets::BasketDefinition;
use crossmarket_domain::index::IndexCode;
use crossmarket_domain::{Decimal, Timestamp};

/// A published market cap of an equity index.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedMarketCap {
    pub index: IndexCode,
    /// In US dollars.
    pub market_cap: Decimal,
    /// Date of the close it refers to.
    pub date: Timestamp,
    /// Publisher.
    pub source: String,
}

/// Which indices are computed, and from what.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    pub baskets: Vec<BasketDefinition>,
    /// Reference values for estimated market caps.
    pub market_caps: Vec<PublishedMarketCap>,
    pub simulated: bool,
}
