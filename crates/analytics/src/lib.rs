//! The figures and their definitions: pure functions from the vocabulary to the vocabulary. No I/O, no clock, no async, no
//! serialization: the same arguments always give the same answer, and the time is an argument.
//!
//! Prices stay exact decimals up to the published price; statistics (changes, volatility, RSI) are floats.
//!
//! 1. [`plausibility`]: which observations are let in at all.
//! 2. [`rates`]: US dollars per quote asset.
//! 3. [`aggregate`]: one price out of those of several venues.
//! 4. [`history`]: finding candles in a history; then the figures that rest on it, [`returns`], [`ranges`], [`volatility`], [`rsi`]
//!    and [`drawdown`].
//! 5. [`snapshot`]: all of it put together, each figure with its derivation.
//! 6. [`daily`]: days and series as dense columns; on them [`comparison`], [`altcoin_season`], [`cycles`], [`levels`] and
//!    [`patterns`].
//! 7. [`cap_index`] and [`basket`]: indices computed here; [`index_level`]: what is said of any index's level;
//!    [`index_sources`]: which source of an exchange-traded index is used.

pub mod aggregate;
pub mod altcoin_season;
pub mod basket;
pub mod cap_index;
pub mod comparison;
pub mod cycles;
pub mod daily;
pub mod drawdown;
pub mod history;
pub mod index_level;
pub mod index_sources;
pub mod levels;
pub mod long_short;
pub mod patterns;
pub mod plausibility;
pub mod ranges;
pub mod rates;
pub mod returns;
pub mod rsi;
pub mod snapshot;
pub mod volatility;

use crossmarket_domain::{Decimal, Timestamp};

/// A statistic and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure, in the unit that its function states.
    pub value: f64,
    /// How many prices it rests on.
    pub observation_count: u32,
    /// How many prices are missing in its window.
    pub missing_count: u32,
    /// The time of the first price.
    pub start_time: Timestamp,
    /// The time of the last price.
    pub end_time: Timestamp,
}

/// The float nearest to a decimal but for the last bit. Statistics need no more, and it is many times as fast as
/// [`Decimal::to_f64`] where a product has more digits than a float holds.
fn float(decimal: Decimal) -> f64 {
    let (mantissa, scale) = decimal.parts();
    // Scales reach 28 at most, so the conversion loses nothing.
    mantissa as f64 / 10f64.powi(scale as i32)
}

/// A count for a published figure; histories are far shorter than what does not fit.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
