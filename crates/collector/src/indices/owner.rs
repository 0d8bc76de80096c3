//! The owner of the cross-asset shard: publishes every index and keeps the histories of those computed here.
//!
//! ```text
//! live image (prices, market caps) ─┐                     ┌─► states of the cross-asset shard, one batch at a time
//! histories in memory ──────────────┼─► sums, baskets ────┤
//! index news (equity levels) ───────┘   equity snapshots  └─► daily and hourly closes, daily market caps
//! ```
//!
//! It reads assets from an image, so it works both next to the asset collectors and in a separate process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::pending::PendingSnapshot;
use super::settings::IndexSettings;
use super::{records, sums};
use crate::error::CollectorError;
use crate::indices::assets::Assets;
use crate::indices::baskets::Baskets;
use crate::indices::equity::Equities;
use crate::indices::news::IndexNews;
use crate::indices::records::Records;
use crate::shard::lease::{HeldShards, ShardLease};
use crate::shard::pending_traces::PendingTraces;
use crossmarket_clock::Clock;
use crossmarket_domain::index::{IndexCode, IndexSnapshot};
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetId, Timestamp};
use crossmarket_image::histories::Histories;
use crossmarket_image::{Collection, Image};
use crossmarket_store::{ShardId, Store, StoreError};
use crossmarket_telemetry::trace;

#[cfg(test)]
mod tests;

/// Wall-clock time between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Minimum time between two recomputations of the daily levels, which follow changed histories.
const HISTORY_INTERVAL: Duration = Duration::from_secs(8);

/// Inputs of the owner.
pub struct IndexOwner {
    pub store: Arc<dyn Store>,
    pub shard: ShardId,
    pub clock: Clock,
    pub image: Arc<Image>,
    /// Histories of the assets and indices.
    pub histories: Arc<Histories>,
    /// Messages from the collection of exchange-traded indices.
    pub news: mpsc::Receiver<IndexNews>,
    pub settings: IndexSettings,
}

/// What was last published for an index.
struct Published {
    snapshot: IndexSnapshot,
    event_time: Timestamp,
    receive_time: Timestamp,
}

impl IndexOwner {
    /// Runs until `stop`, and works while this process leads the shard.
    pub async fn run(
        mut self,
        leads: watch::Receiver<HeldShards>,
        stop: CancellationToken,
    ) -> Result<(), CollectorError> {
        let mut led_epoch = None;
        let mut cycle = Cycle::new(&self.settings, Equities::new(self.settings.market_caps.clone()));
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listening = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                news = self.news.recv(), if listening => match news {
                    Some(news) => {
                        if let IndexNews::Level { trace: Some(trace), .. } = &news {
                            cycle.traces.record(*trace);
                        }
                        cycle.equities.ingest(news);
                        continue;
                    }
                    None => listening = false,
                },
                _ = tick.tick() => {}
            }
            if !self.image.is_ready() || !self.histories.is_loaded() {
                continue;
            }
            let lead = leads.borrow().get(&self.shard).cloned();
            let epoch = lead.as_ref().map(ShardLease::epoch);
            if epoch != led_epoch {
                // A new epoch publishes everything again.
                (led_epoch, cycle) = (epoch, Cycle::new(&self.settings, cycle.equities));
            }
            if let Some(lead) = lead {
                cycle.run(&self, &lead).await;
            }
        }
        if led_epoch.is_none() {
            return Ok(());
        }
        cycle.records.finish(self.store.as_ref()).await.map_err(CollectorError::Store)
    }
}

struct Cycle {
    baskets: Baskets,
    equities: Equities,
    traces: PendingTraces,
    records: Records,
    published: HashMap<IndexCode, Published>,
    /// Generation of the histories from which the daily levels were computed.
    generation: u64,
    history_at: Instant,
    unavailable: bool,
}

impl Cycle {
    /// Starts empty except for the levels already reported by the sources.
    fn new(settings: &IndexSettings, equities: Equities) -> Self {
        Self {
            baskets: Baskets::new(settings.baskets.clone()),
            equities,
            traces: PendingTraces::default(),
            records: Records::default(),
            published: HashMap::new(),
            generation: 0,
            history_at: Instant::now(),
            unavailable: false,
        }
    }

    async fn run(&mut self, owner: &IndexOwner, lead: &ShardLease) {
        let now = owner.clock.now();
        let assets = Assets::of(&owner.image);
        if owner.image.is_loaded(Collection::Indices) {
            self.baskets.restore(&owner.image, &assets);
        }
        let mut pending = sums::snapshots(&assets, &owner.histories, now);
        pending.extend(self.baskets.snapshots(&assets, &owner.histories, now));
        for one in &pending {
            self.records.record(&one.snapshot, now);
        }
        pending.extend(self.equities.snapshots(&owner.histories, now));
        self.publish(owner, lead, pending, now).await;
        self.records.record_caps(&assets, now);
        let stored = self.store(owner, &assets, now).await;
        self.report("cannot store histories of indices", stored);
    }

    /// Writes what has changed.
    async fn publish(&mut self, owner: &IndexOwner, lead: &ShardLease, pending: Vec<PendingSnapshot>, now: Timestamp) {
        let span = self.traces.aggregate(owner.shard);
        let mut batch = Vec::new();
        for one in pending {
            let code = one.snapshot.index.clone();
            let before = self.published.get(&code);
            if before.is_some_and(|before| before.snapshot == one.snapshot && before.event_time == one.event_time) {
                continue;
            }
            // The store drops a state that was received before the stored one.
            let receive_time = before.map_or(one.receive_time, |before| before.receive_time.max(one.receive_time));
            let state = State {
                event_time: one.event_time,
                receive_time,
                publish_time: now,
                budget: one.budget,
                simulated: owner.settings.simulated,
                body: Body::Index(Box::new(one.snapshot.clone())),
            };
            batch.push((Key::Index(code.clone()), Some(state)));
            self.published.insert(code, Published { snapshot: one.snapshot, event_time: one.event_time, receive_time });
        }
        if batch.is_empty() {
            // The shard may have no indices at all.
            lead.published().await;
            return;
        }
        span.record("crossmarket.state_count", batch.len().cast_signed() as i64);
        match lead.write(batch, trace::context_of(&span)).await {
            Ok(_) => lead.published().await,
            Err(error) => {
                // Build these snapshots again in the next cycle, with the data of that time.
                self.published.clear();
                self.report("cannot write indices", Err(error));
            }
        }
    }

    /// Stores closes, and daily levels if the histories have changed.
    async fn store(&mut self, owner: &IndexOwner, assets: &Assets, now: Timestamp) -> Result<(), StoreError> {
        let store = owner.store.as_ref();
        self.records.store(store, now).await?;
        let generation = *owner.histories.generation().borrow();
        if generation == self.generation || Instant::now() < self.history_at {
            return Ok(());
        }
        self.generation = generation;
        self.history_at = Instant::now() + HISTORY_INTERVAL;
        let kinds: HashMap<AssetId, _> = assets.kinds();
        let histories = Arc::clone(&owner.histories);
        let live = assets.caps();
        let computed = tokio::task::spawn_blocking(move || sums::daily_levels(&histories, &kinds, &live, now)).await;
        let Ok(levels) = computed else { return Ok(()) };
        for (index, candles) in levels {
            records::put_daily(store, &index, &candles).await?;
        }
        for (index, candles) in self.baskets.take_past() {
            records::put_daily(store, &index, &candles).await?;
        }
        Ok(())
    }

    /// Logs a failing store once, until it works again.
    fn report(&mut self, what: &str, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => self.unavailable = false,
            Err(error) if !std::mem::replace(&mut self.unavailable, true) => warn!(%error, "{what}, continuing"),
            Err(_) => {}
        }
    }
}
