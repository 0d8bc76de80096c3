//! Histories: data that the venues still have and the store lacks.

pub(crate) mod candles;
pub(crate) mod closes;
pub(crate) mod filler;
pub(crate) mod import;
pub(crate) mod market_caps;
pub(crate) mod ratios;
pub(crate) mod storage;

pub use market_caps::{MarketCapProgress, backfill_market_caps, listing};
