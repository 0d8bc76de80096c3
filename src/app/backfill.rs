//! `backfill`: fetches history from the venues into the store, with progress.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use smol_str::SmolStr;

use super::error::AppError;
use super::known_assets::KnownAssets;
use super::settings;
use crate::config::Config;
use crossmarket_clock::Clock;
use crossmarket_collector::history::{MarketCapProgress, backfill_market_caps, listing};
use crossmarket_collector::{self as collector, BackfillProgress};
use crossmarket_domain::index::Subject;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::time::DAY;
use crossmarket_domain::{AssetCode, AssetId, AssetName, Shards, Timestamp, VenueId};
use crossmarket_store as store;

/// How far back a backfill goes by default: ten years.
const SPAN_DEFAULT: Duration = DAY.saturating_mul(10 * 365);

/// The assets to fetch when none is named and the store has none yet.
const TICKERS_DEFAULT: &[&str] =
    &["BTC", "ETH", "BNB", "XRP", "SOL", "TRX", "DOGE", "ADA", "XMR", "LINK", "LTC", "XLM"];

#[derive(Clone, Debug)]
pub(crate) struct BackfillOptions {
    /// The first day; `None` fetches as much as the venues provide.
    pub since: Option<Timestamp>,
    /// The assets and indices; empty means all that are known.
    pub names: Vec<Subject<AssetName>>,
}

/// The number of series in a backfill, and how many had no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackfillReport {
    pub series_count: usize,
    /// Series for which a venue failed or that no venue has.
    pub unanswered_count: usize,
}

/// Fetches history from the venues into the store. Existing data is not fetched again. Each series without an answer is
/// printed on standard error.
pub(crate) async fn backfill(config: Config, options: BackfillOptions) -> Result<BackfillReport, AppError> {
    // Another part of the program may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = store::open(&config.store.open_options()).await?;
    let clock = Clock::system();
    let since = options.since.unwrap_or(clock.now() - SPAN_DEFAULT);
    let known = KnownAssets::of(store.as_ref(), Shards::new(config.collector.shards)).await?;
    let subjects = subjects(&options.names, &known);
    let listed = listing_ids(&subjects, &known);
    let name_of = |subject: &Subject| {
        let ticker = subjects.iter().find(|(known, _)| known == subject).map(|(_, ticker)| ticker.to_string());
        ticker.unwrap_or_else(|| subject.to_string())
    };
    let settings = settings::collector(&config);
    let bar = progress_bar();
    // Each piece of a series reports progress.
    let (series, unanswered) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let note = |set: &Mutex<BTreeSet<String>>, name: &str| {
        set.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned())
    };
    let failed = |name: &str, error: &str| {
        if note(&unanswered, name) {
            bar.suspend(|| eprintln!("{name}: {error}"));
        }
    };
    let shown = |progress: BackfillProgress| {
        bar.set_length(progress.series_count as u64);
        bar.set_position(progress.series_done as u64);
        let from = progress.venue.map_or("", VenueId::as_str);
        let name = format!("{} {}", name_of(&progress.subject), progress.interval.as_str());
        note(&series, &name);
        bar.set_message(format!("{name}: {} candles {from}", progress.candle_count));
        if let Some(error) = progress.error {
            failed(&name, &error);
        }
    };
    collector::backfill(settings.clone(), Arc::clone(&store), clock, since, &subjects, shown).await?;
    let shown = |progress: MarketCapProgress| {
        let name = format!("{} market caps", name_of(&Subject::Asset(progress.asset)));
        note(&series, &name);
        bar.set_message(format!("{name}: {} days", progress.day_count));
        if let Some(error) = progress.error {
            failed(&name, &error);
        }
    };
    backfill_market_caps(&settings, store, clock, since, &listed, shown).await?;
    bar.finish_and_clear();
    let count = |set: Mutex<BTreeSet<String>>| set.into_inner().unwrap_or_else(PoisonError::into_inner).len();
    let is_unlisted = |(subject, _): &&(Subject, AssetCode)| match subject {
        Subject::Asset(id) => listed.iter().all(|(known, _)| known != id),
        Subject::Index(_) => false,
    };
    let unlisted = subjects.iter().filter(is_unlisted).count();
    if unlisted > 0 {
        let listing = listing().map_or("a listing", |listing| listing.as_str());
        eprintln!(
            "{unlisted} assets without market caps: their ids at {listing} are known once the service has collected into this store"
        );
    }
    Ok(BackfillReport { series_count: count(series), unanswered_count: count(unanswered) })
}

/// What was named or, if nothing was, every asset of the store (otherwise the largest ones) and every exchange-traded
/// index; with the tickers by which venues know them.
fn subjects(names: &[Subject<AssetName>], known: &KnownAssets) -> Vec<(Subject, AssetCode)> {
    let mut subjects: Vec<Subject> = names.iter().filter_map(|name| name.resolve(|asset| known.find(asset))).collect();
    if names.is_empty() {
        let stored = known.stored.iter().map(|info| Subject::Asset(info.asset_id.clone()));
        subjects.extend(stored);
        if subjects.is_empty() {
            let largest = TICKERS_DEFAULT.iter().filter_map(|ticker| Registry::shipped().by_ticker(ticker));
            subjects.extend(largest.map(|asset| Subject::Asset(asset.id.clone())));
        }
        subjects.extend(collector::indices::indices().map(Subject::Index));
    }
    let ticker = |subject: &Subject| match subject {
        Subject::Index(index) => AssetCode::parse(index.as_str()),
        Subject::Asset(id) => known.ticker(id),
    };
    subjects.into_iter().filter_map(|subject| Some((subject.clone(), ticker(&subject)?))).collect()
}

/// The assets with a known id at the market-cap listing, each with its id there.
fn listing_ids(subjects: &[(Subject, AssetCode)], known: &KnownAssets) -> Vec<(AssetId, SmolStr)> {
    let Some(listing) = listing() else { return Vec::new() };
    let of = |(subject, _): &(Subject, AssetCode)| {
        let Subject::Asset(id) = subject else { return None };
        let info = known.stored.iter().find(|info| info.asset_id == *id)?;
        let listed = info.listing_ids.iter().find(|(venue, _)| venue == listing.as_str());
        listed.map(|(_, listing_id)| (id.clone(), listing_id.clone()))
    };
    subjects.iter().filter_map(of).collect()
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
