//! crossmarket: price snapshots, long/short ratios and index comparisons over gRPC, with the provenance of every figure.
//!
//! The modules in reading order, from the vocabulary to the command line:
//!
//! 1. [`domain`]: the vocabulary and its invariants; [`clock`]: what time it is.
//! 2. [`analytics`]: figures from observations and histories.
//! 3. [`venues`]: what to ask each venue and how to read its answer.
//! 4. [`collector`]: asks the venues, aggregates, and publishes.
//! 5. [`store`]: latest values, change feed and histories.
//! 6. [`image`]: the complete live image in memory; [`follow`]: keeps it on the store's feed; [`histories`]: daily histories in memory.
//! 7. [`services`]: the gRPC services over the image; [`proto`]: the generated API; [`security`]: who may connect and call.
//! 8. [`simulator`]: loopback venues for the demo and the tests.
//! 9. [`app`]: puts the parts together; [`cli`]: the command line; [`config`], [`telemetry`], [`shutdown`].
//!
//! Beside them, [`client`] is what programs that call the service depend on. It stands on [`proto`] alone: with `default-features = false`
//! and the feature `client` nothing else of this crate is compiled. Everything else is behind the feature `server`.

#[cfg(feature = "server")]
pub mod analytics;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod collector;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod follow;
#[cfg(feature = "server")]
pub mod histories;
#[cfg(feature = "server")]
pub mod image;
#[cfg(feature = "client")]
pub mod proto;
#[cfg(feature = "server")]
pub mod security;
#[cfg(feature = "server")]
pub mod services;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod simulator;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod venues;
