//! What the collection of exchange-traded indices tells the one task that owns the cross-asset shard.
//!
//! The collection asks the sources and stores daily histories; it writes no state. The owner of the shard takes these messages from a bounded
//! channel of [`INDEX_NEWS_MAX`], derives the figures and publishes.

use std::time::Duration;

use crossmarket_domain::index::{IndexCode, IndexSource};
use crossmarket_domain::{Candle, Decimal, Timestamp, TraceContext};

/// Messages between the collection and the owner of the shard at most; the collection waits then.
pub const INDEX_NEWS_MAX: usize = 64;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum IndexNews {
    /// What the sources say of an index now. The newest of an index is all there is to know; sent when a source has answered or fallen silent.
    Level {
        /// What they say.
        level: Box<EquityLevel>,
        /// The span that asked, when a source has answered and that is traced.
        trace: Option<TraceContext>,
    },
    /// Daily candles that have been stored under the index's code just now, oldest first. Each starts at midnight UTC of its session's
    /// date, and its session is over.
    Stored {
        index: IndexCode,
        /// What was added or replaced.
        candles: Vec<Candle>,
        /// Where they are from: a venue's id.
        source: &'static str,
    },
}

/// What the sources say of an index at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct EquityLevel {
    pub index: IndexCode,
    /// What the source says that is used; `None` when none has a level that is fit for use.
    pub used: Option<UsedLevel>,
    /// What each source says, the preferred first.
    pub sources: Vec<IndexSource>,
}

/// The level of the source that is used.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedLevel {
    /// The venue's id.
    pub venue: &'static str,
    pub level: Decimal,
    /// Close of the session before, where the source tells it.
    pub previous_close: Option<Decimal>,
    /// The source's time of the level.
    pub event_time: Timestamp,
    /// When it was received.
    pub receive_time: Timestamp,
    /// How long it is fresh while the market is open.
    pub budget: Duration,
}
