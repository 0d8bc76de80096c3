//! The command line: the service itself, the clients of a running one, and the tools around it.
//!
//! Results go to standard output, everything else to standard error. A reader that goes away (`| head`) is not an error.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(feature = "charts")]
mod charts;
mod client;
mod config;
mod decode;
#[cfg(feature = "simulator")]
mod demo;
mod error;
mod export;
mod get;
pub mod history_csv;
mod import;
mod index_view;
mod instruments;
mod json;
mod list;
mod message;
mod migrate;
mod numbers;
mod parse;
mod runtime;
mod serve;
mod settings;
mod snapshot_view;
mod stores;
mod table;
mod watch;

use error::CliError;
use runtime::block_on;

const EXAMPLES: &str = "\
Examples:
  crossmarket demo                       the whole service with a simulated market
  crossmarket serve --config FILE.toml   the service with real venues
  crossmarket get BTC ETH --full         two assets with every venue's part
  crossmarket list --order-by 'change_24h_percent desc' --limit 20
  crossmarket instruments --state conflict   instruments whose prices are not their assets'
  crossmarket watch BTC ETH SOL          a live table
  crossmarket ratios --svg ratios.svg    who is long, by market-cap rank
  crossmarket compare RUT BTC ETH        indices and assets against a benchmark
  crossmarket season                     is it altcoin season?
  crossmarket cycles OTHERS/BTC          rallies, support and resistance
  crossmarket config show                every setting, its value and where it came from

Settings: defaults, then --config FILE (TOML), then environment (CROSSMARKET__GRPC__LISTEN=0.0.0.0:50051), then flags.";

/// Price snapshots, long/short ratios and index comparisons over gRPC, with the provenance of every figure.
#[derive(Debug, Parser)]
#[command(name = "crossmarket", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    #[cfg(feature = "simulator")]
    Demo(demo::DemoArguments),
    Get(get::GetArguments),
    List(list::ListArguments),
    Instruments(instruments::InstrumentsArguments),
    Watch(watch::WatchArguments),
    #[cfg(feature = "charts")]
    #[command(flatten)]
    Charts(charts::ChartCommand),
    Import(import::ImportArguments),
    Backfill(serve::BackfillArguments),
    Export(export::ExportArguments),
    MigrateStore(migrate::MigrateArguments),
    Decode(decode::DecodeArguments),
    Config(config::ConfigArguments),
}

/// Runs the command line. Exit codes: 0 success, 1 failure, 2 wrong usage.
pub fn run() -> ExitCode {
    let command = CommandLine::parse().command;
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command) -> Result<(), CliError> {
    match command {
        Command::Config(arguments) => config::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Serve(arguments) => serve::serve(arguments),
        #[cfg(feature = "simulator")]
        Command::Demo(arguments) => demo::run(arguments),
        Command::Backfill(arguments) => serve::backfill(arguments),
        Command::Get(arguments) => block_on(get::run(arguments)),
        Command::List(arguments) => block_on(list::run(arguments)),
        Command::Instruments(arguments) => block_on(instruments::run(arguments)),
        Command::Watch(arguments) => block_on(watch::run(arguments)),
        Command::Export(arguments) => block_on(export::run(arguments)),
        Command::MigrateStore(arguments) => block_on(migrate::run(arguments)),
        #[cfg(feature = "charts")]
        Command::Charts(command) => block_on(charts::run(command)),
        Command::Import(arguments) => block_on(import::run(arguments)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
