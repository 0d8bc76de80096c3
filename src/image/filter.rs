//! Which items a reader wants.

use smol_str::SmolStr;

use super::Item;
use crate::domain::state::{Body, Key};

/// All conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these keys; `None` means all.
    pub keys: Option<Vec<Key>>,
    /// Only items in at least one of these categories; empty means all.
    pub categories: Vec<SmolStr>,
    /// Only items with a rank of at most this.
    pub market_cap_rank_max: Option<u32>,
}

impl Filter {
    /// Whether the item's figures satisfy the conditions on rank and category. Keys are not looked at.
    pub fn admits(&self, item: &Item) -> bool {
        let (categories, rank) = match &item.state.body {
            Body::Price(price) => (price.categories.as_slice(), price.market_cap_rank),
            Body::Asset(asset) => (asset.categories.as_slice(), asset.market_cap_rank),
            Body::Index(_) | Body::Feed(_) => (Default::default(), None),
        };
        let in_category =
            self.categories.is_empty() || self.categories.iter().any(|wanted| categories.contains(wanted));
        let in_rank = self.market_cap_rank_max.is_none_or(|limit| rank.is_some_and(|rank| rank <= limit));
        in_category && in_rank
    }
}
