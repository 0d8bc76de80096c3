//! `import` reads a daily history from a CSV file into the store, or with --all restores a backup.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::export;
use super::history_csv::{self, Effect, History, Row};
use super::settings::SettingsArguments;
use super::stores::in_use;
use crate::app::known_assets::KnownAssets;
use crate::cli::parse::subject;
use crossmarket_domain::Candle;
use crossmarket_domain::index::Subject;
use crossmarket_domain::series::Point;
use crossmarket_domain::{AssetName, Shards};
use crossmarket_store::daily::put_days;
use crossmarket_store::{self as store, Store};

/// Maximum file size, in bytes: more than a daily history of many centuries.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The number of problems of one kind that are printed, unless --verbose asks for all.
const PROBLEMS_SHOWN: usize = 10;

/// Reads a daily history of an asset or index from a CSV file into the store, or with --all restores a backup.
#[derive(Args, Debug)]
#[command(after_help = "\
The header names the columns, in any letter case: date, time or timestamp; close or value; and open, high, low, volume,
turnover, market_cap where the file has them. Dates are YYYY-MM-DD, YYYY-MM-DD HH:MM:SS, MM/DD/YYYY, YYYYMMDD, or seconds
or milliseconds since 1970, all UTC. Lines that are skipped or corrected are printed. Days that the store has are replaced.

Examples:
  crossmarket import BTC bitcoin.csv
  crossmarket import RUT russell-2000.csv --dry-run
  crossmarket import DXY macro.csv --column dxy
  crossmarket import --all backup.cm")]
pub(super) struct ImportArguments {
    /// The asset or index: BTC, RUT.
    #[arg(value_name = "CODE", value_parser = subject, required_unless_present = "all")]
    code: Option<Subject<AssetName>>,
    /// The file.
    #[arg(value_name = "FILE.csv", required_unless_present = "all")]
    file: Option<PathBuf>,
    /// Restore this backup, written by `crossmarket export`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["code", "file", "column", "volume", "verbose"])]
    all: Option<PathBuf>,
    /// The column of closes, when it is not named close or value. Other prices in the file are then ignored.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What a column named volume counts; by default shares for an index, units if the file has a turnover column, otherwise money.
    #[arg(long, value_enum, value_name = "WHAT")]
    volume: Option<Volume>,
    /// Only report what would be imported.
    #[arg(long)]
    dry_run: bool,
    /// Prints every problem.
    #[arg(long)]
    verbose: bool,
    /// The store (setting store.url).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// What a volume counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Volume {
    /// Units of the asset, or shares.
    Units,
    /// Money, in US dollars.
    Money,
}

pub(super) async fn run(arguments: ImportArguments) -> Result<(), CliError> {
    let flags = super::settings::flag("store.url", "--store", arguments.store.as_ref());
    let config = arguments.settings.load(flags.into_iter().collect())?.config;
    if let Some(backup) = &arguments.all {
        return export::restore(backup, &config, arguments.dry_run).await;
    }
    let (Some(code), Some(file)) = (&arguments.code, &arguments.file) else {
        return Err(CliError::Usage("CODE and FILE.csv are missing".to_owned()));
    };
    let history = history_csv::parse_of(&read(file)?, arguments.column.as_deref(), traded(code));
    report(&history, arguments.verbose);
    if let Some(refused) = history.problems.iter().find(|problem| problem.effect == Effect::Refused) {
        return Err(CliError::Failed(format!("{}: {}", file.display(), refused.message)));
    }
    if history.rows.is_empty() {
        return Err(CliError::Failed(format!("{}: no usable line", file.display())));
    }
    let volume = arguments.volume.unwrap_or_else(|| guess_volume(code, &history.rows));
    if history.rows.iter().any(|row| row.volume.is_some()) && arguments.volume.is_none() {
        let taken = if volume == Volume::Units { "units" } else { "money in US dollars" };
        eprintln!("volume is taken as {taken}; use --volume to change that");
    }
    if !arguments.dry_run {
        let store =
            store::open(&config.store.open_options()).await.map_err(|error| in_use(error, &config.store.url))?;
        let known = KnownAssets::of(store.as_ref(), Shards::new(config.collector.shards)).await?;
        let unknown = || CliError::Failed(format!("{code}: no asset can have this ticker"));
        let subject = code.resolve(|name| known.find(name)).ok_or_else(unknown)?;
        if let Subject::Asset(id) = &subject
            && id.is_unlisted()
        {
            eprintln!("{code} is not known: stored as id:{id}; name it by its id (id:bitcoin) if a listing has it");
        }
        write(store.as_ref(), &subject, &history.rows, volume).await?;
    }
    Ok(summary(code, arguments.dry_run, &history)?)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::Read { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(CliError::Failed(format!("{}: {length} bytes; at most {FILE_BYTES_MAX}", path.display())));
    }
    std::fs::read(path).map_err(failed)
}

/// The index whose sessions the days of the file must be.
fn traded(code: &Subject<AssetName>) -> Option<&str> {
    match code {
        Subject::Index(index) if index.kind().is_exchange_traded() => Some(index.as_str()),
        _ => None,
    }
}

fn guess_volume(code: &Subject<AssetName>, rows: &[Row]) -> Volume {
    let is_index = matches!(code, Subject::Index(_));
    let has_turnover = rows.iter().any(|row| row.quote_volume.is_some());
    if has_turnover || is_index { Volume::Units } else { Volume::Money }
}

async fn write(store: &dyn Store, code: &Subject, rows: &[Row], volume: Volume) -> Result<(), CliError> {
    let candles: Vec<Candle> = rows.iter().map(|row| candle(row, volume)).collect();
    let market_caps: Vec<Point> =
        rows.iter().filter_map(|row| Some(Point { time: row.day, value: row.market_cap? })).collect();
    let progress = progress(rows.len());
    put_days(store, &code.series_subject(), &candles, &market_caps, |days| progress.inc(days as u64)).await?;
    progress.finish_and_clear();
    Ok(())
}

/// The candle of a day. Missing open, high or low default to the close, widened to contain the others.
fn candle(row: &Row, volume: Volume) -> Candle {
    let open = row.open.unwrap_or(row.close);
    let units = row.volume.filter(|_| volume == Volume::Units);
    let money = row.volume.filter(|_| volume == Volume::Money);
    Candle {
        start: row.day,
        open,
        high: row.high.unwrap_or(row.close).max(open).max(row.low.unwrap_or(row.close)),
        low: row.low.unwrap_or(row.close).min(open).min(row.high.unwrap_or(row.close)),
        close: row.close,
        base_volume: units,
        quote_volume: row.quote_volume.or(money),
    }
}

/// A progress bar on standard error; hidden when that is not a terminal.
fn progress(rows: usize) -> ProgressBar {
    let bar = ProgressBar::new(rows as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} days") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Prints the problems on standard error, at most [`PROBLEMS_SHOWN`] of each effect.
fn report(history: &History, verbose: bool) {
    let most = if verbose { usize::MAX } else { PROBLEMS_SHOWN };
    for (effect, word) in [(Effect::Skipped, "skipped"), (Effect::Adjusted, "adjusted"), (Effect::Noted, "note")] {
        let all = history.problems.iter().filter(|problem| problem.effect == effect);
        let count = all.clone().count() as u64 + history.problems_not_listed.get(&effect).copied().unwrap_or(0);
        let mut shown = 0;
        for problem in all.take(most) {
            eprintln!("line {}: {word}: {}", problem.line, problem.message);
            shown += 1;
        }
        if count > shown {
            let how = if verbose { "" } else { "; --verbose prints more" };
            eprintln!("{} more {word}{how}", count - shown);
        }
    }
}

fn summary(code: &Subject<AssetName>, dry_run: bool, history: &History) -> io::Result<()> {
    let verb = if dry_run { "would be imported (dry run)" } else { "imported" };
    let day = |row: Option<&Row>| row.map(|row| row.day.to_string().chars().take(10).collect::<String>());
    let market_caps = history.rows.iter().filter(|row| row.market_cap.is_some()).count();
    let adjusted = history.problems.iter().filter(|problem| problem.effect == Effect::Adjusted).count() as u64
        + history.problems_not_listed.get(&Effect::Adjusted).copied().unwrap_or(0);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: {} days {verb}, {} to {}, {market_caps} with market cap; of {} lines {} skipped; {adjusted} adjustments",
        code,
        history.rows.len(),
        day(history.rows.first()).unwrap_or_default(),
        day(history.rows.last()).unwrap_or_default(),
        history.line_count,
        history.skipped_count,
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crossmarket_domain::series::{SeriesKey, SeriesKind};
    use crossmarket_domain::state::{Epoch, Revision};
    use crossmarket_domain::{AssetId, CandleInterval};
    use crossmarket_domain::{Decimal, Timestamp, TraceContext};
    use crossmarket_store::daily::DAYS_PER_WRITE;
    use crossmarket_store::{Bootstrap, SeriesInfo, ShardId, StoreError, Tail, Update};

    /// What was imported: subject and kind of the series, and the number of values.
    #[derive(Default)]
    struct Recorder {
        puts: Mutex<Vec<(SeriesKey, usize)>>,
        flushes: Mutex<usize>,
    }

    fn not_here<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable("an import does not ask for this".to_owned()))
    }

    #[async_trait]
    impl Store for Recorder {
        async fn open_writer(&self, _: ShardId, _: Timestamp) -> Result<(Epoch, Revision), StoreError> {
            not_here()
        }

        async fn write(
            &self,
            _: ShardId,
            _: Epoch,
            _: Vec<Update>,
            _: Option<TraceContext>,
        ) -> Result<Revision, StoreError> {
            not_here()
        }

        async fn published(&self, _: ShardId, _: Epoch) -> Result<(), StoreError> {
            Ok(())
        }

        async fn bootstrap(&self, _: ShardId) -> Result<Bootstrap, StoreError> {
            not_here()
        }

        async fn tail(&self, _: ShardId, _: Epoch, _: Revision, _: Duration) -> Result<Tail, StoreError> {
            not_here()
        }

        async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
            self.puts.lock().expect("not poisoned").push((series.clone(), candles.len()));
            Ok(())
        }

        async fn candles(&self, _: &SeriesKey, _: Timestamp, _: Timestamp) -> Result<Vec<Candle>, StoreError> {
            not_here()
        }

        async fn put_points(&self, series: &SeriesKey, points: &[Point]) -> Result<(), StoreError> {
            self.puts.lock().expect("not poisoned").push((series.clone(), points.len()));
            Ok(())
        }

        async fn points(&self, _: &SeriesKey, _: Timestamp, _: Timestamp) -> Result<Vec<Point>, StoreError> {
            not_here()
        }

        async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
            not_here()
        }

        async fn trim_series(&self, _: &SeriesKey, _: Timestamp) -> Result<(), StoreError> {
            not_here()
        }

        async fn flush(&self) -> Result<(), StoreError> {
            *self.flushes.lock().expect("not poisoned") += 1;
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_row_is_put_and_made_durable() {
        let store = Recorder::default();
        let mut rows = vec![row(None, None, None, 5); DAYS_PER_WRITE + 1];
        rows.last_mut().expect("a row").market_cap = Some(Decimal::from(70));
        let code = Subject::Asset(AssetId::parse("bitcoin").expect("valid"));
        write(&store, &code, &rows, Volume::Money).await.expect("written");
        let series = |kind| SeriesKey { subject: "id:bitcoin".into(), kind };
        let candles = series(SeriesKind::Candles(CandleInterval::OneDay));
        let expected = [(candles.clone(), DAYS_PER_WRITE), (candles, 1), (series(SeriesKind::DailyMarketCap), 1)];
        assert_eq!(*store.puts.lock().expect("not poisoned"), expected);
        assert_eq!(*store.flushes.lock().expect("not poisoned"), 1);
    }

    fn row(open: Option<i64>, high: Option<i64>, low: Option<i64>, close: i64) -> Row {
        Row {
            line: 2,
            day: Timestamp::EPOCH,
            open: open.map(Decimal::from),
            high: high.map(Decimal::from),
            low: low.map(Decimal::from),
            close: Decimal::from(close),
            volume: Some(Decimal::from(7)),
            quote_volume: None,
            market_cap: None,
        }
    }

    #[test]
    fn a_close_alone_is_a_flat_candle() {
        let flat = candle(&row(None, None, None, 5), Volume::Money);
        assert_eq!([flat.open, flat.high, flat.low], [flat.close; 3]);
        assert_eq!((flat.base_volume, flat.quote_volume), (None, Some(Decimal::from(7))));
    }

    #[test]
    fn missing_prices_never_break_the_order_of_a_candle() {
        for (open, high, low) in
            [(Some(9), None, None), (Some(1), None, None), (None, Some(9), None), (None, None, Some(1))]
        {
            let candle = candle(&row(open, high, low, 5), Volume::Units);
            assert!(candle.high >= candle.open.max(candle.close).max(candle.low), "{candle:?}");
            assert!(candle.low <= candle.open.min(candle.close).min(candle.high), "{candle:?}");
        }
    }

    #[test]
    fn volume_counts_shares_for_an_index() {
        let code = |text| Subject::parse(text).expect("valid");
        assert_eq!(guess_volume(&code("RUT"), &[]), Volume::Units);
        assert_eq!(guess_volume(&code("BTC"), &[row(None, None, None, 5)]), Volume::Money);
    }
}
