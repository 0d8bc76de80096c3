//! `serve` and `backfill`: reads the settings, sets up logs and hands over to [`crate::app`].

use std::net::SocketAddr;

use clap::Args;

use super::error::CliError;
use super::parse::{date, subject};
use super::runtime::block_on;
use super::settings::{SettingsArguments, flag};
use crate::app::{self, BackfillOptions, Role};
use crate::config::{Config, Flag};
use crate::telemetry::{self, Telemetry};
use crossmarket_domain::index::Subject;
use crossmarket_domain::{AssetName, Timestamp};

/// Runs the service: collects from the venues, stores, answers gRPC.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket serve
  crossmarket serve --listen 0.0.0.0:50051 --store embedded:/var/lib/crossmarket
  crossmarket serve --config FILE.toml --set venues.okx.enabled=false")]
pub(super) struct ServeArguments {
    /// Which parts of the service this process runs.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Fetches daily history from the venues into the store, except what the store has. Lists the series without an answer, and then exits with 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket backfill                        as much as the venues give, for the whole universe
  crossmarket backfill --since 2020-01-01 BTC ETH")]
pub(super) struct BackfillArguments {
    /// The first day to fetch, as YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date)]
    since: Option<Timestamp>,
    /// The assets and indices; by default the whole universe.
    #[arg(value_name = "CODES", value_parser = subject)]
    codes: Vec<Subject<AssetName>>,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Settings that have their own flag.
#[derive(Args, Debug)]
pub(super) struct Overrides {
    /// The gRPC address (setting grpc.listen); port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The address of probes and metrics (setting admin.listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// The store (setting store.url).
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    /// The log filter (setting telemetry.log).
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Overrides {
    pub(super) fn flags(&self) -> Vec<Flag> {
        let given = [
            flag("grpc.listen", "--listen", self.listen),
            flag("admin.listen", "--admin-listen", self.admin_listen),
            flag("store.url", "--store", self.store.as_ref()),
            flag("telemetry.log", "--log", self.log.as_ref()),
        ];
        given.into_iter().flatten().collect()
    }
}

pub(super) fn serve(arguments: ServeArguments) -> Result<(), CliError> {
    let (config, telemetry) = start(&arguments.settings, arguments.overrides.flags())?;
    block_on(async move { Ok(app::serve(config, arguments.role, telemetry).await?) })
}

pub(super) fn backfill(arguments: BackfillArguments) -> Result<(), CliError> {
    // It ends by itself, so it needs no telemetry beyond logs.
    let (config, _) = start(&arguments.settings, Vec::new())?;
    let options = BackfillOptions { since: arguments.since, names: arguments.codes };
    block_on(async move {
        let report = app::backfill(config, options).await?;
        let told = format!("{} of {} series without an answer", report.unanswered_count, report.series_count);
        if report.unanswered_count > 0 {
            return Err(CliError::Failed(told));
        }
        eprintln!("{told}");
        Ok(())
    })
}

pub(super) fn start(settings: &SettingsArguments, flags: Vec<Flag>) -> Result<(Config, Telemetry), CliError> {
    let config = settings.load(flags)?.config;
    let telemetry = telemetry::init(config.telemetry.options())?;
    Ok((config, telemetry))
}
