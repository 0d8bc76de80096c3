//! Filters: which items a reader wants.

use smol_str::SmolStr;

use crate::item::Item;
use crossmarket_domain::long_short::LongShortKey;
use crossmarket_domain::state::{Body, Key};
use crossmarket_domain::{LongShortKind, Period};

/// All given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these keys; `None` means all.
    pub keys: Option<Vec<Key>>,
    /// Only items in at least one of these categories; empty means all.
    pub categories: Vec<SmolStr>,
    /// Only items with a rank of at least this.
    pub market_cap_rank_min: Option<u32>,
    /// Only items with a rank of at most this.
    pub market_cap_rank_max: Option<u32>,
    /// Of long/short ratios, only those of this series.
    pub long_short: Option<LongShortSeries>,
}

/// One kind of long/short ratio of all assets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongShortSeries {
    /// Which population is counted.
    pub kind: LongShortKind,
    /// The interval that a reading covers.
    pub period: Period,
    /// The venue's id; `None` for the aggregate.
    pub venue: Option<SmolStr>,
}

impl LongShortSeries {
    fn contains(&self, key: &LongShortKey) -> bool {
        self.kind == key.kind && self.period == key.period && self.venue == key.venue
    }
}

impl Filter {
    /// Whether the item satisfies the conditions on rank and category. Keys are not checked.
    pub fn admits(&self, item: &Item) -> bool {
        let (categories, rank) = match &item.state.body {
            Body::Price(price) => (price.categories.as_slice(), price.market_cap_rank),
            Body::Asset(asset) => (asset.categories.as_slice(), asset.market_cap_rank),
            Body::LongShort(ratio) => (Default::default(), ratio.market_cap_rank),
            Body::Index(_) | Body::Feed(_) => (Default::default(), None),
        };
        let in_category =
            self.categories.is_empty() || self.categories.iter().any(|wanted| categories.contains(wanted));
        let above_min = self.market_cap_rank_min.is_none_or(|limit| rank.is_some_and(|rank| rank >= limit));
        let below_max = self.market_cap_rank_max.is_none_or(|limit| rank.is_some_and(|rank| rank <= limit));
        let in_series = match (&self.long_short, &item.key) {
            (Some(series), Key::LongShort(key)) => series.contains(key),
            _ => true,
        };
        in_series && in_category && above_min && below_max
    }
}
