//! Puts the parts together: what each role of the process runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::domain::{AssetCode, Timestamp};

/// Which parts of the service a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything in one process.
    #[default]
    All,
    /// Answers gRPC from the store's change feed; asks no venue.
    Server,
    /// Asks the venues and writes to the store; answers no gRPC.
    Collector,
}

/// What the demo runs with.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The settings; venues' URLs and the store are the demo's own.
    pub config: Config,
    /// The seed of the simulated market: the same seed gives the same market.
    pub seed: u64,
    /// How many times as fast as life, above 0.
    pub speed: f64,
    /// A directory of recorded responses to answer with instead of a simulated market.
    pub replay: Option<PathBuf>,
    /// Where to listen, when the command line says so; the settings' `grpc.listen` holds the same.
    pub listen: Option<SocketAddr>,
}

/// What is fetched by a backfill.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// From which day on; `None` takes as much as the venues give.
    pub since: Option<Timestamp>,
    /// Of which assets; empty means the universe.
    pub codes: Vec<AssetCode>,
}

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A part is not there yet.
    #[error("{0} is not wired yet")]
    NotWired(&'static str),
}

/// Runs the service until it is told to stop.
pub async fn serve(config: Config, role: Role) -> Result<(), AppError> {
    let _ = (config, role);
    Err(AppError::NotWired("serve"))
}

/// Runs the whole service against simulated venues until it is told to stop.
pub async fn demo(options: DemoOptions) -> Result<(), AppError> {
    let _ = options;
    Err(AppError::NotWired("demo"))
}

/// Fetches history from the venues into the store, with progress.
pub async fn backfill(config: Config, options: BackfillOptions) -> Result<(), AppError> {
    let _ = (config, options);
    Err(AppError::NotWired("backfill"))
}
