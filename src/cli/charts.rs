//! The commands that draw charts. They are the cargo feature `charts`.

use clap::Subcommand;

use super::error::CliError;

mod chart;
mod compare;
mod cycles;
mod output;
mod ratios;
mod season;

#[derive(Debug, Subcommand)]
pub(super) enum ChartCommand {
    Ratios(ratios::RatiosArguments),
    Compare(compare::CompareArguments),
    Season(season::SeasonArguments),
    Cycles(cycles::CyclesArguments),
}

pub(super) async fn run(command: ChartCommand) -> Result<(), CliError> {
    match command {
        ChartCommand::Ratios(arguments) => ratios::run(arguments).await,
        ChartCommand::Compare(arguments) => compare::run(arguments).await,
        ChartCommand::Season(arguments) => season::run(arguments).await,
        ChartCommand::Cycles(arguments) => cycles::run(arguments).await,
    }
}
