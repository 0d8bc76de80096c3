//! crossmarket: price snapshots, long/short ratios and index comparisons over gRPC, with the provenance of every figure.
//!
//! The modules in reading order, from the vocabulary to the command line:
//!
//! 1. [`domain`]: the vocabulary and its invariants; [`clock`]: what time it is.
//! 2. [`analytics`]: figures from observations and histories.
//! 3. [`venues`]: what to ask each venue and how to read its answer.
//! 4. [`collector`]: asks the venues, aggregates, and publishes.
//! 5. [`store`]: latest values, change feed and histories.
//! 6. [`image`]: the complete live image in memory; [`follow`]: keeps it on the store's feed.
//! 7. [`services`]: the gRPC services over the image; [`proto`]: the generated API.
//! 8. [`simulator`]: loopback venues for the demo and the tests.
//! 9. [`app`]: puts the parts together; [`cli`]: the command line; [`config`], [`telemetry`], [`shutdown`].

pub mod analytics;
pub mod app;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod config;
pub mod domain;
pub mod follow;
pub mod histories;
pub mod image;
pub mod proto;
pub mod services;
pub mod shutdown;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod venues;
