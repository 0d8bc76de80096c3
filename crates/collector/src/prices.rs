//! The tracked assets, the state of their markets, and the snapshots built from it.

pub(crate) mod candle_rings;
pub(crate) mod mapping;
pub(crate) mod market_state;
pub(crate) mod snapshots;
pub(crate) mod universe;
