//! crossmarket: price snapshots, long/short ratios and index comparisons over gRPC, with the provenance of every figure.
//!
//! The modules in reading order; an arrow of the data flow goes from each to the next:
//!
//! 1. [`domain`]: the vocabulary.
//! 2. [`analytics`]: the figures and their definitions.
//! 3. [`venues`]: what to ask each venue and how to read its answer.
//! 4. [`store`]: latest values, change feed and histories.
//! 5. [`collector`]: asks and listens, keeps the board, writes to the store.

pub mod analytics;
pub mod clock;
pub mod collector;
pub mod domain;
pub mod proto;
pub mod store;
pub mod venues;
