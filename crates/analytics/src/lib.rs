//! The figures and their definitions: pure functions over the domain types. No I/O, no clock, no async, no
//! serialization: the same arguments always give the same result, and the time is an argument.
//!
//! Prices stay exact decimals up to the published price; statistics (changes, volatility, RSI) are floats.
//!
//! - Prices: [`plausibility`] decides which observations count; [`rates`] finds US dollars per quote asset;
//!   [`aggregate`] combines the prices of several venues into one.
//! - Figures of one asset: [`snapshot`] combines them, each with its derivation; [`returns`] and [`drawdown`] are two
//!   of them; [`redenomination`] keeps candles in one unit.
//! - [`long_short`]: pools ratios, and computes their breadth over ranks.
//! - Indices: [`daily`] has days and series as dense columns; on them [`comparison`], [`altcoin_season`], [`cycles`],
//!   [`levels`] and [`patterns`]. [`cap_index`] and [`basket`] are computed here; [`index_level`] has the figures of
//!   any index's level; [`index_sources`] chooses between the sources of an exchange-traded index.

#![deny(unreachable_pub)]

mod figures;
mod indices;
pub mod long_short;
mod numbers;
mod pricing;

pub use figures::{drawdown, redenomination, returns, snapshot};
pub use indices::{
    altcoin_season, basket, cap_index, comparison, cycles, daily, index_level, index_sources, levels, patterns,
};
pub use numbers::Estimate;
pub use pricing::{aggregate, plausibility, rates};
