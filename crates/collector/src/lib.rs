//! The collector: polls and streams the venues, keeps the state of the markets, and writes states and histories to the
//! store.
//!
//! ```text
//! polling (HTTP) ───► rate limit ─► fetch ─► parse ─┐                                 ┌─► states, one batch at a time
//! streams (WebSocket) ────────────► parse ──────────┼─► events ─► market state ─► coordinator
//! history (HTTP) ───► filler ─────► parse ──────────┘                                 └─► candles, ratios
//! ```
//!
//! Each feed has its own tasks, and all of them feed one bounded channel, so a dead venue does not hold up the others.
//!
//! - [`mod@run`]: the collector from start to stop; `settings`, `error` and `links` belong to it.
//! - `transport`: HTTP, WebSocket, rate limits, retries, circuit breakers, and the health of every feed.
//! - `polling`: data that is requested periodically.
//! - `prices`: the tracked assets, the state of their markets, and the snapshots built from it.
//! - `long_short`: ratios and open interest.
//! - `indices`: the sources of index levels, and the owner of the cross-asset shard.
//! - `history`: data that the venues still have and the store lacks.
//! - `shard`: leases, the task that owns the market state, and one writer per shard.

#![deny(unreachable_pub)]

mod error;
mod event;
pub mod history;
pub mod indices;
mod links;
pub mod long_short;
mod polling;
mod prices;
mod run;
mod settings;
mod shard;
mod transport;

pub use error::CollectorError;
pub use history::import::{BackfillProgress, backfill};
pub use prices::candle_rings::span;
pub use run::run;
pub use settings::{
    CollectorSettings, LEASE_LIFE, PUBLISH_INTERVAL, REQUIRED_VENUE_COUNT, UNIVERSE_SIZE, VenueSettings,
};
pub use shard::lease::HeldShardsHandle;
