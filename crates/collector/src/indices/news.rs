//! Messages from the collection of exchange-traded indices to the task that owns the cross-asset shard.
//!
//! The collection polls the sources and stores daily histories; it writes no state. The owner of the shard receives
//! these messages from a channel bounded to [`INDEX_NEWS_MAX`], derives the figures and publishes.

use std::time::Duration;

use crossmarket_domain::index::{IndexCode, IndexSource};
use crossmarket_domain::{Candle, Decimal, Timestamp, TraceContext};

/// Capacity of the channel from the collection to the owner of the shard. When it is full, the collection waits.
pub const INDEX_NEWS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum IndexNews {
    /// The current levels of an index at its sources. The newest message of an index replaces earlier ones. Sent when a
    /// source has answered or fallen silent.
    Level {
        level: Box<EquityLevel>,
        /// Span of the request, if a source has answered and the request is traced.
        trace: Option<TraceContext>,
    },
    /// Daily candles just stored under the index's code, oldest first. Each starts at midnight UTC of its session's
    /// date, and its session is over.
    Stored {
        index: IndexCode,
        /// The candles added or replaced.
        candles: Vec<Candle>,
        /// Id of the venue they come from.
        source: &'static str,
    },
}

/// The levels of an index at its sources at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct EquityLevel {
    pub index: IndexCode,
    /// The level in use; `None` if no source has a usable level.
    pub used: Option<UsedLevel>,
    /// The level at each source, in order of preference.
    pub sources: Vec<IndexSource>,
}

/// The level of the source in use.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedLevel {
    /// The venue's id.
    pub venue: &'static str,
    pub level: Decimal,
    /// Close of the previous session, if the source reports it.
    pub previous_close: Option<Decimal>,
    /// Time of the level according to the source.
    pub event_time: Timestamp,
    pub receive_time: Timestamp,
    /// How long the level stays fresh while the market is open.
    pub budget: Duration,
}
