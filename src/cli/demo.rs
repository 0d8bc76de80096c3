//! `demo`: the service with simulated venues.

use clap::Args;

use super::error::CliError;
use super::runtime::block_on;
use super::serve::{Overrides, start};
use super::settings::SettingsArguments;
use crate::app::{self, DemoOptions};

/// Runs the whole service against simulated venues on loopback. All its data is marked as simulated.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket demo
  crossmarket demo --seed 7 --speed 60        another market, an hour per minute")]
pub(super) struct DemoArguments {
    /// Seed of the market: the same seed gives the same market.
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

pub(super) fn run(arguments: DemoArguments) -> Result<(), CliError> {
    let (config, telemetry) = start(&arguments.settings, arguments.overrides.flags())?;
    let options =
        DemoOptions { config, seed: arguments.seed, speed: arguments.speed, store: arguments.overrides.store };
    block_on(async move { Ok(app::demo(options, telemetry).await?) })
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= 10_000.0 => Ok(speed),
        _ => Err("expected a number above 0 and at most 10000".to_owned()),
    }
}
