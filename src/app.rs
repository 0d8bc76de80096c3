//! Puts the parts together: what each role of the process runs, and how it ends.
//!
//! - [`serve()`], `demo` and [`backfill()`] are what the command line runs.
//! - `run` builds, spawns, waits and drains a process; `settings` says what the configuration means for its parts.
//! - `grpc` and `listener` are the gRPC port, `admin` is the admin port; both read the process through `process_view`.

mod admin;
mod backfill;
#[cfg(feature = "simulator")]
mod demo;
mod error;
mod frames;
mod grpc;
pub(crate) mod known_assets;
mod listener;
mod measured;
mod metrics;
mod process_view;
mod run;
mod security;
mod serve;
mod settings;
mod transport;

pub(crate) use backfill::{BackfillOptions, backfill};
#[cfg(feature = "simulator")]
pub(crate) use demo::{DemoOptions, demo};
pub(crate) use error::AppError;
pub(crate) use serve::{Role, serve};
