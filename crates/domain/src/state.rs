//! States: what is stored, fed, held in the live image and answered. Each is the full current value of one key.

mod asset;
mod feed;
mod price;

use std::time::Duration;

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use super::index::{IndexCode, IndexSnapshot};
use super::long_short::{LongShortKey, LongShortRatio};
use super::{AssetId, Feed, Timestamp};

pub use super::provenance::{Aggregation, AggregationMethod, Contribution, ContributionStatus, Derivation};
pub use asset::{AssetInfo, AssetKind, InstrumentMapping, MappingRule, MappingState};
pub use feed::{FeedErrorKind, FeedState, FeedStatus, PlanTier, RateBudget};
pub use price::{AllTimeHigh, PriceSnapshot};

/// What a state is the value of. Keys order by kind, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An asset's price snapshot.
    Price(AssetId),
    /// An asset's catalogue entry.
    Asset(AssetId),
    /// A long/short ratio.
    LongShort(LongShortKey),
    /// An index's snapshot.
    Index(IndexCode),
    /// A feed's health: venue id and feed.
    Feed(SmolStr, Feed),
}

impl Key {
    /// The same key of another asset; a key that is not of an asset stays as it is.
    pub fn with_asset(&self, asset: AssetId) -> Self {
        match self {
            Self::Price(_) => Self::Price(asset),
            Self::Asset(_) => Self::Asset(asset),
            Self::LongShort(key) => Self::LongShort(LongShortKey { asset, ..key.clone() }),
            Self::Index(_) | Self::Feed(..) => self.clone(),
        }
    }

    /// The asset that the key is of.
    pub fn asset(&self) -> Option<&AssetId> {
        match self {
            Self::Price(asset) | Self::Asset(asset) => Some(asset),
            Self::LongShort(key) => Some(&key.asset),
            Self::Index(_) | Self::Feed(..) => None,
        }
    }
}

/// One key's full current value.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct State {
    /// When the newest thing in it happened, by the venues' clocks.
    #[n(0)]
    pub event_time: Timestamp,
    /// When that reached the collector.
    #[n(1)]
    pub receive_time: Timestamp,
    /// When the collector published it.
    #[n(2)]
    pub publish_time: Timestamp,
    /// How long after `receive_time` it is fresh. Venues' event times do not count here, except that a state that is
    /// already old when it is received has none of its budget left.
    #[n(3)]
    pub budget: Duration,
    /// True when it comes from simulated venues.
    #[n(4)]
    pub simulated: bool,
    #[n(5)]
    pub body: Body,
}

impl State {
    /// From when on the state is stale: `min(event_time, receive_time) + budget`.
    pub fn stale_since(&self) -> Timestamp {
        self.event_time.min(self.receive_time) + self.budget
    }
}

/// The kinds of value, one for each kind of [`Key`].
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(flat)]
pub enum Body {
    #[n(0)]
    Price(#[n(0)] Box<PriceSnapshot>),
    #[n(1)]
    Asset(#[n(0)] Box<AssetInfo>),
    #[n(2)]
    LongShort(#[n(0)] Box<LongShortRatio>),
    #[n(3)]
    Index(#[n(0)] Box<IndexSnapshot>),
    #[n(4)]
    Feed(#[n(0)] Box<FeedStatus>),
}

/// A revision: the dense position of an update in its shard's change feed, from 1.
pub type Revision = u64;

/// A generation of a shard's writer. A larger epoch fences every smaller one.
pub type Epoch = u64;
