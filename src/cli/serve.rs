//! `serve`, `demo`, `backfill`: reads the settings, sets up logs and hands over to [`crate::app`].

use std::net::SocketAddr;

use clap::Args;

use super::error::CliError;
use super::parse::{asset, date};
use super::runtime::block_on;
use super::settings::{SettingsArguments, flag};
use crate::app::{self, BackfillOptions, DemoOptions, Role};
use crate::config::{Config, Flag};
use crate::telemetry::{self, Telemetry};
use crossmarket_domain::{AssetCode, Timestamp};

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

/// Runs the whole service against simulated venues on loopback. All its data is marked as simulated.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket demo
  crossmarket demo --seed 7 --speed 60        another market, an hour every minute")]
pub(super) struct DemoArguments {
    /// The seed of the market: the same seed gives the same market.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How many times faster than real time the demo's clock runs, above 0 and at most 10,000.
    #[arg(long, default_value_t = 1.0, value_name = "X", value_parser = speed)]
    speed: f64,
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
    /// The assets; by default the whole universe.
    #[arg(value_name = "CODES", value_parser = asset)]
    codes: Vec<AssetCode>,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Settings that have their own flag.
#[derive(Args, Debug)]
struct Overrides {
    /// The gRPC address (setting grpc.listen); port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The address of probes and metrics (setting admin.listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// The store (setting store.url).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The log filter (setting telemetry.log).
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Overrides {
    fn flags(&self) -> Vec<Flag> {
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

pub(super) fn demo(arguments: DemoArguments) -> Result<(), CliError> {
    let (config, telemetry) = start(&arguments.settings, arguments.overrides.flags())?;
    let options =
        DemoOptions { config, seed: arguments.seed, speed: arguments.speed, store: arguments.overrides.store };
    block_on(async move { Ok(app::demo(options, telemetry).await?) })
}

pub(super) fn backfill(arguments: BackfillArguments) -> Result<(), CliError> {
    // It ends by itself, so it needs no telemetry beyond logs.
    let (config, _) = start(&arguments.settings, Vec::new())?;
    let options = BackfillOptions { since: arguments.since, codes: arguments.codes };
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

fn start(settings: &SettingsArguments, flags: Vec<Flag>) -> Result<(Config, Telemetry), CliError> {
    let config = settings.load(flags)?.config;
    let telemetry = telemetry::init(config.telemetry.options())?;
    Ok((config, telemetry))
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= 10_000.0 => Ok(speed),
        _ => Err("expected a number above 0 and at most 10000".to_owned()),
    }
}
