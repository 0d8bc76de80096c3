//! `export` writes a whole store into one file; `import --all` restores it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;

use super::error::CliError;
use super::settings::SettingsArguments;
use super::stores::{check_lasting, check_source, in_use};
use crate::config::Config;
use crossmarket_clock::Clock;
use crossmarket_store as store;
use crossmarket_store::backup::{self, BackupError, Saved};
use crossmarket_store::encoding::series_name;
use crossmarket_store::migrate::{self, Existing};

/// Writes every history and every latest value of the store into one file, with checksums.
#[derive(Args, Debug)]
#[command(after_help = "\
With Redis the service can keep running; an embedded store belongs to one process, so stop the service first.
`crossmarket import --all FILE` restores everything into this or another store, of any kind.

Examples:
  crossmarket export backup.cm --store redis://cache:6379
  crossmarket import --all backup.cm --store embedded:./data")]
pub(super) struct ExportArguments {
    /// The file, which must not exist yet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The store (setting store.url).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) async fn run(arguments: ExportArguments) -> Result<(), CliError> {
    let flags = super::settings::flag("store.url", "--store", arguments.store.as_ref());
    let config = arguments.settings.load(flags.into_iter().collect())?.config;
    let file = &arguments.file;
    if file.exists() {
        return Err(CliError::Failed(format!("{} exists already; name another file", file.display())));
    }
    check_source(&config.store.url)?;
    let store = store::open(&config.store.open_options()).await.map_err(|error| in_use(error, &config.store.url))?;
    // Only a complete backup gets the requested name.
    let mut partial = file.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = |source| CliError::Write { path: partial.clone(), source };
    let mut out = BufWriter::new(File::create(&partial).map_err(written)?);
    let bar = ProgressBar::new_spinner();
    let tell = |series: &_| {
        bar.set_message(series_name(series));
        bar.tick();
    };
    let saved = backup::save(store.as_ref(), &mut out, tell).await;
    bar.finish_and_clear();
    let saved = saved.map_err(|error| failed(&partial, error))?;
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(written)?;
    std::fs::rename(&partial, file).map_err(|source| CliError::Write { path: file.clone(), source })?;
    Ok(summary(saved, "saved")?)
}

/// Restores a backup into the configured store, or only checks it.
pub(super) async fn restore(file: &Path, config: &Config, dry_run: bool) -> Result<(), CliError> {
    check_lasting(&config.store.url)?;
    let now = Clock::system().now();
    let input = File::open(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    let (from, saved) = backup::load(&mut BufReader::new(input), now).await.map_err(|error| failed(file, error))?;
    if dry_run {
        return Ok(summary(saved, "would be imported (dry run)")?);
    }
    let to = store::open(&config.store.open_options()).await.map_err(|error| in_use(error, &config.store.url))?;
    let bar = ProgressBar::new(saved.series_count);
    let tell = |progress| {
        if let migrate::Progress::Copied(series, _) = progress {
            bar.set_message(series_name(&series));
            bar.inc(1);
        }
    };
    let holder = format!("import-{}", std::process::id());
    let migrated = migrate::migrate(&from, to.as_ref(), &holder, now, Existing::Kept, tell).await;
    bar.finish_and_clear();
    migrated.map_err(|error| CliError::Failed(error.to_string()))?;
    Ok(summary(saved, "imported and verified")?)
}

fn failed(file: &Path, error: BackupError) -> CliError {
    match error {
        BackupError::Store(error) => CliError::Store(error),
        error => CliError::Failed(format!("{}: {error}", file.display())),
    }
}

fn summary(saved: Saved, verb: &str) -> io::Result<()> {
    let Saved { series_count, record_count, state_count, checksum } = saved;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{series_count} series with {record_count} records and {state_count} latest values (checksum {checksum:08x}): {verb}"
    )?;
    out.flush()
}
