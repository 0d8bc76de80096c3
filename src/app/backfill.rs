//! `backfill`: fetches history from the venues into the store, with progress.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use smol_str::SmolStr;

use super::error::AppError;
use super::settings;
use crate::config::Config;
use crossmarket_clock::Clock;
use crossmarket_collector::history::{MarketCapProgress, backfill_market_caps, listing};
use crossmarket_collector::{self as collector, BackfillProgress};
use crossmarket_domain::state::{Body, Key};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{AssetCode, Shards, Timestamp, VenueId};
use crossmarket_store as store;

/// How far back a backfill goes by default: ten years.
const SPAN_DEFAULT: Duration = DAY.saturating_mul(10 * 365);

/// The assets to fetch when none is named and the store has none yet.
const CODES_DEFAULT: &[&str] = &["BTC", "ETH", "BNB", "XRP", "SOL", "TRX", "DOGE", "ADA", "XMR", "LINK", "LTC", "XLM"];

#[derive(Clone, Debug)]
pub(crate) struct BackfillOptions {
    /// The first day; `None` fetches as much as the venues provide.
    pub since: Option<Timestamp>,
    /// The assets; empty means the universe.
    pub codes: Vec<AssetCode>,
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
    let mut codes = options.codes;
    if codes.is_empty() {
        codes = known_codes(store.as_ref(), Shards::new(config.collector.shards)).await?;
        codes.extend(collector::indices::indices().filter_map(|index| AssetCode::parse(index.as_str())));
    }
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
        let name = format!("{} {}", progress.asset, progress.interval.as_str());
        note(&series, &name);
        bar.set_message(format!("{name}: {} candles {from}", progress.candle_count));
        if let Some(error) = progress.error {
            failed(&name, &error);
        }
    };
    let listed = listing_ids(store.as_ref(), Shards::new(config.collector.shards), &codes).await?;
    collector::backfill(settings.clone(), Arc::clone(&store), clock, since, &codes, shown).await?;
    let shown = |progress: MarketCapProgress| {
        let name = format!("{} market caps", progress.asset);
        note(&series, &name);
        bar.set_message(format!("{name}: {} days", progress.day_count));
        if let Some(error) = progress.error {
            failed(&name, &error);
        }
    };
    backfill_market_caps(&settings, store, clock, since, &listed, shown).await?;
    bar.finish_and_clear();
    let count = |set: Mutex<BTreeSet<String>>| set.into_inner().unwrap_or_else(PoisonError::into_inner).len();
    let is_asset = |code: &&AssetCode| collector::indices::indices().all(|index| index.as_str() != code.as_str());
    let unlisted = codes.iter().filter(is_asset).filter(|code| listed.iter().all(|(known, _)| known != *code)).count();
    if unlisted > 0 {
        let listing = listing().map_or("a listing", |listing| listing.as_str());
        eprintln!(
            "{unlisted} assets without market caps: their ids at {listing} are known once the service has collected into this store"
        );
    }
    Ok(BackfillReport { series_count: count(series), unanswered_count: count(unanswered) })
}

/// Every asset with a state in the store, otherwise the largest ones.
async fn known_codes(store: &dyn store::Store, shards: Shards) -> Result<Vec<AssetCode>, AppError> {
    let mut known: Vec<AssetCode> = Vec::new();
    for shard in shards.of_assets() {
        let entries = store.bootstrap(shard).await?.entries;
        known.extend(entries.into_iter().filter_map(|entry| match entry.key {
            Key::Price(asset) => Some(asset),
            _ => None,
        }));
    }
    if known.is_empty() {
        Ok(CODES_DEFAULT.iter().filter_map(|code| AssetCode::parse(code)).collect())
    } else {
        Ok(known)
    }
}

/// The assets among `codes` with a known id at the market-cap listing, each with its id.
async fn listing_ids(
    store: &dyn store::Store,
    shards: Shards,
    codes: &[AssetCode],
) -> Result<Vec<(AssetCode, SmolStr)>, AppError> {
    let mut listed = Vec::new();
    let Some(listing) = listing() else { return Ok(listed) };
    for shard in shards.of_assets() {
        for entry in store.bootstrap(shard).await?.entries {
            let Some(Body::Asset(info)) = entry.state.map(|state| state.body) else { continue };
            let id = info.listing_ids.iter().find(|(venue, _)| venue == listing.as_str());
            if let Some((_, id)) = id.filter(|_| codes.contains(&info.asset)) {
                listed.push((info.asset.clone(), id.clone()));
            }
        }
    }
    Ok(listed)
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
