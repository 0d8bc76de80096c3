//! Long/short ratios and open interest: which instruments are polled at a venue, when, and how responses are processed.

pub(crate) mod feed;
mod plan;
mod rolling_24h;
pub(crate) mod state;

pub use state::{AssetContext, RatioState, RatioStateVenue, Row};
