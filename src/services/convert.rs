//! Between the domain's vocabulary and the wire's. No other module knows both.

mod catalog;
mod encoder;
pub(crate) mod index;
mod long_short;
mod price;
mod provenance;
mod scalar;

pub(crate) use catalog::{feed, instrument, wire_asset_kind, wire_feed_state};
pub use encoder::WireEncoder;
pub(crate) use long_short::{long_short_kind, long_short_period, wire_long_short_kind, wire_long_short_period};
pub(crate) use price::{QUOTE_CURRENCY, candle, candle_interval, price_snapshot, wire_interval};
pub(crate) use provenance::freshness_only;
pub(crate) use scalar::{computed, decimal, duration, instant, span, time};
