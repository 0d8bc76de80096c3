//! `serve`: the service with the roles of this process.

use super::error::AppError;
use super::run::{Process, run};
use super::settings;
use crate::config::Config;
use crate::telemetry::Telemetry;
use crossmarket_clock::Clock;
use crossmarket_store::{self as store, OpenOptions};

/// Which parts of the service a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Everything in one process.
    #[default]
    All,
    /// Answers gRPC from the store's change feed; polls no venue.
    Server,
    /// Polls the venues and writes to the store; answers no gRPC.
    Collector,
}

/// Runs the service until a signal, or until a part of it fails.
pub(crate) async fn serve(config: Config, role: Role, telemetry: Telemetry) -> Result<(), AppError> {
    let part = match role {
        Role::All => None,
        Role::Server => Some("server"),
        Role::Collector => Some("collector"),
    };
    if let Some(role) = part.filter(|_| !config.store.is_shared()) {
        return Err(AppError::Role { role });
    }
    let shard_count = Some(config.collector.shards);
    let store = store::open(&OpenOptions { shard_count, ..config.store.open_options() }).await?;
    let collects = role == Role::Collector || (role == Role::All && config.collector.enabled);
    let collector = collects.then(|| settings::collector(&config));
    let serves = role != Role::Collector;
    let venues = settings::venue_entries(&config, false);
    let banner = |_: &str| String::new();
    let store_kind = store::kind_of(&config.store.url);
    let clock = Clock::system();
    run(Process { clock, store, store_kind, serves, collector, venues, simulated: false, banner, config, telemetry })
        .await
}
