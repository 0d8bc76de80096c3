//! crossmarket: price snapshots, long/short ratios and index comparisons over gRPC, with the provenance of every figure.
//!
//! This package is the service. The libraries below it are in `crates/`; ARCHITECTURE.md has the map.
//!
//! - `figures`: how the figures of a price snapshot are named, ordered and shown.
//! - [`services`]: the gRPC services over the live image; [`servers`]: their generated traits.
//! - [`security`]: who may connect and call.
//! - `app`: puts the parts together; [`config`], `telemetry`, `shutdown`.
//! - [`cli`]: the command line.

#![deny(unreachable_pub)]

mod app;
pub mod cli;
pub mod config;
mod figures;
pub mod security;
pub mod servers;
pub mod services;
mod shutdown;
mod telemetry;
