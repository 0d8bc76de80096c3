//! `backfill`: history from the venues into the store, with progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use smol_str::SmolStr;

use super::{AppError, BackfillOptions, collector_settings};
use crate::clock::Clock;
use crate::collector::market_caps::{LISTING, MarketCapProgress, backfill_market_caps};
use crate::collector::{self, BackfillProgress};
use crate::config::Config;
use crate::domain::state::{Body, Key};
use crate::domain::{AssetCode, Shards, VenueId};
use crate::store;

/// How far back a backfill goes when it is not told: ten years.
const SPAN_DEFAULT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Fetched when no asset is named and the store knows none yet.
const CODES_DEFAULT: &[&str] = &["BTC", "ETH", "BNB", "XRP", "SOL", "TRX", "DOGE", "ADA", "XMR", "LINK", "LTC", "XLM"];

/// Fetches history from the venues into the store. What the store has is not fetched again.
pub async fn backfill(config: Config, options: BackfillOptions) -> Result<(), AppError> {
    // Another part of the program may have installed it before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = store::open(&config.store.open_options()).await?;
    let clock = Clock::system();
    let since = options.since.unwrap_or(clock.now() - SPAN_DEFAULT);
    let mut codes = options.codes;
    if codes.is_empty() {
        codes = known_codes(store.as_ref(), Shards::new(config.collector.shards)).await?;
        codes.extend(collector::equity::indices().filter_map(|index| AssetCode::parse(index.as_str())));
    }
    let settings = collector_settings(&config);
    let bar = progress_bar();
    let failures = AtomicU64::new(0);
    let shown = |progress: BackfillProgress| {
        bar.set_length(progress.series_count as u64);
        bar.set_position(progress.series_done as u64);
        let from = progress.venue.map_or("", VenueId::as_str);
        let interval = progress.interval.as_str();
        bar.set_message(format!("{} {interval}: {} candles {from}", progress.asset, progress.candle_count));
        if let Some(error) = progress.error {
            failures.fetch_add(1, Ordering::Relaxed);
            bar.suspend(|| eprintln!("{} {interval}: {error}", progress.asset));
        }
    };
    let listed = listing_ids(store.as_ref(), Shards::new(config.collector.shards), &codes).await?;
    collector::backfill(settings.clone(), Arc::clone(&store), clock, since, &codes, shown).await?;
    let shown = |progress: MarketCapProgress| {
        bar.set_message(format!("{}: {} market caps", progress.asset, progress.day_count));
        if let Some(error) = progress.error {
            failures.fetch_add(1, Ordering::Relaxed);
            bar.suspend(|| eprintln!("{} market caps: {error}", progress.asset));
        }
    };
    backfill_market_caps(&settings, store, clock, since, &listed, shown).await?;
    bar.finish_and_clear();
    eprintln!("{} assets, {} series without an answer", codes.len(), failures.into_inner());
    Ok(())
}

/// Every asset that the store has a state of, else the largest ones.
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

/// The assets among `codes` whose id at the listing that tells market caps is known, with it.
async fn listing_ids(
    store: &dyn store::Store,
    shards: Shards,
    codes: &[AssetCode],
) -> Result<Vec<(AssetCode, SmolStr)>, AppError> {
    let mut listed = Vec::new();
    for shard in shards.of_assets() {
        for entry in store.bootstrap(shard).await?.entries {
            let Some(Body::Asset(info)) = entry.state.map(|state| state.body) else { continue };
            let id = info.listing_ids.iter().find(|(venue, _)| venue == LISTING.as_str());
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
