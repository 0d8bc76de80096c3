//! The figures of one asset.

pub mod drawdown;
pub(crate) mod history;
mod inputs;
mod ranges;
pub mod redenomination;
pub mod returns;
mod rsi;
pub mod snapshot;
mod volatility;
