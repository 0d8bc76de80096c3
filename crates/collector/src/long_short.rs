//! Long/short ratios and open interest: which instruments of a venue are asked for, when, and what becomes of the answers.

pub(crate) mod feed;
mod plan;
mod rolling_24h;
pub(crate) mod state;

pub use state::{AssetContext, RatioState, RatioStateVenue, Row};
