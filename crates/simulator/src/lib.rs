//! A simulated market and its venues on loopback, for the demo and for tests: invented data in the venues' own wire
//! formats, over HTTP and WebSocket, the same for the same seed.
//!
//! [`Market`] is the truth; each venue reports it with a small deviation of its own. The venues themselves are next to
//! their decoders in `crossmarket-venues`; this crate has their shared parts. Two of them each quote one asset far off
//! the market, and `gate` is down for a minute in every six.

#![deny(unreachable_pub)]

mod asset;
mod assets;
mod daily_history;
pub mod equity;
pub mod exchange;
pub mod listings;
pub mod long_short;
pub mod market;
mod noise;
mod options;
mod path;
mod simulator;
pub mod socket;

pub use asset::Asset;
pub use assets::ASSETS;
pub use daily_history::{DailyHistory, DailyRecord};
pub use market::{Market, START_SECONDS, start_time};
pub use options::SimulatorOptions;
pub use simulator::{NotSimulated, Simulator, VenueEndpoint, start};
