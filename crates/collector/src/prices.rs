//! Which assets are tracked, what is known of their markets, and the snapshots made of it.

pub(crate) mod candle_rings;
pub(crate) mod market_state;
pub(crate) mod snapshots;
pub(crate) mod universe;
