//! `migrate-store` copies one store into another.

use std::io::{self, Write};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::settings::SettingsArguments;
use super::stores::{check_lasting, check_source};
use crossmarket_clock::Clock;
use crossmarket_store::migrate::{self, Existing, Migrated, Progress};
use crossmarket_store::{self as store, OpenOptions};

/// Copies every history and every latest value from one store into another, and verifies each by count and checksum.
#[derive(Args, Debug)]
#[command(after_help = "\
First stop the service if it has an embedded store open, and the collectors that write to the target. You can interrupt
and repeat the command: histories are merged by time, newer values of the target stay. Nothing is deleted anywhere.
The user, password and certificates of Redis come from the URL or the settings (store.password, store.password_file …).

Examples:
  crossmarket migrate-store embedded:./data redis://cache:6379
  crossmarket migrate-store redis+sentinel://s1:26379,s2:26379/main embedded:./backup")]
pub(super) struct MigrateArguments {
    /// The store to read, as in store.url.
    #[arg(value_name = "FROM")]
    from: String,
    /// The store to write, as in store.url.
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) async fn run(arguments: MigrateArguments) -> Result<(), CliError> {
    let config = arguments.settings.load(Vec::new())?.config;
    if arguments.from == arguments.to {
        return Err(CliError::Usage("FROM and TO are the same store".to_owned()));
    }
    check_lasting(&arguments.to)?;
    check_source(&arguments.from)?;
    let options = |url: String| OpenOptions { url, ..config.store.open_options() };
    let from = store::open(&options(arguments.from)).await?;
    let to = store::open(&options(arguments.to)).await?;
    let bar = progress();
    let holder = format!("migrate-store-{}", std::process::id());
    let tell = |progress| match progress {
        Progress::Series(count) => bar.set_length(count),
        Progress::Copied(series, count) => {
            bar.set_message(format!("{}: {count}", store::encoding::series_name(&series)));
            bar.inc(1);
        }
        Progress::Shard(shard, count) => bar.set_message(format!("shard {shard}: {count} latest values")),
    };
    let migrated =
        migrate::migrate(from.as_ref(), to.as_ref(), &holder, Clock::system().now(), Existing::Replaced, tell).await;
    bar.finish_and_clear();
    let migrated = migrated.map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(summary(migrated)?)
}

/// A progress bar on standard error; hidden when that is not a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} series  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn summary(migrated: Migrated) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} series with {} records (checksum {:08x}) and {} latest values in {} shards (checksum {:08x}, {} were there already): \
         copied and verified",
        migrated.series_count,
        migrated.record_count,
        migrated.record_checksum,
        migrated.state_count,
        migrated.shard_count,
        migrated.state_checksum,
        migrated.states_there_count,
    )?;
    out.flush()
}
