//! The owner of the cross-asset shard: publishes every index and keeps the histories of those that are computed here.
//!
//! ```text
//! live image (prices, market caps) ─┐                     ┌─► states of the cross-asset shard, one batch at a time
//! histories in memory ──────────────┼─► sums, baskets ────┤
//! index news (equity levels) ───────┘   equity snapshots  └─► daily and hourly closes, daily market caps
//! ```
//!
//! It follows assets through an image, so that it works alike beside the collectors of the assets and in a process of its own.

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
use crossmarket_domain::{AssetCode, Timestamp};
use crossmarket_image::histories::Histories;
use crossmarket_image::{Collection, Image};
use crossmarket_store::{ShardId, Store, StoreError};
use crossmarket_telemetry::trace;

#[cfg(test)]
mod tests;

/// Time between two rounds, in life.
const INTERVAL: Duration = Duration::from_secs(1);

/// Histories are computed anew when they have changed, but not more often than this.
const HISTORY_INTERVAL: Duration = Duration::from_secs(8);

/// What the owner works with.
pub struct IndexOwner {
    pub store: Arc<dyn Store>,
    /// The cross-asset shard.
    pub shard: ShardId,
    /// The time.
    pub clock: Clock,
    /// The assets' states.
    pub image: Arc<Image>,
    /// The assets' and indices' histories.
    pub histories: Arc<Histories>,
    /// What the collection of exchange-traded indices tells.
    pub news: mpsc::Receiver<IndexNews>,
    /// What is computed.
    pub settings: IndexSettings,
}

/// What was published of an index last.
struct Published {
    snapshot: IndexSnapshot,
    event_time: Timestamp,
    receive_time: Timestamp,
}

impl IndexOwner {
    /// Runs until `stop`, and works while the shard is led.
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
                // In a new epoch everything is published anew.
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
    /// The histories' generation from which the daily levels were computed.
    generation: u64,
    history_at: Instant,
    unavailable: bool,
}

impl Cycle {
    /// Knows nothing yet but what the sources of levels have said.
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
        self.report("histories of indices not stored", stored);
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
            // The store leaves out what was received before what it has.
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
            // There may be none at all.
            lead.published().await;
            return;
        }
        span.record("crossmarket.state_count", batch.len().cast_signed() as i64);
        match lead.write(batch, trace::context_of(&span)).await {
            Ok(_) => lead.published().await,
            Err(error) => {
                // PendingSnapshot again in the next cycle, as it is by then.
                self.published.clear();
                self.report("indices not written", Err(error));
            }
        }
    }

    /// Stores closes, and daily levels where the histories have changed.
    async fn store(&mut self, owner: &IndexOwner, assets: &Assets, now: Timestamp) -> Result<(), StoreError> {
        let store = owner.store.as_ref();
        self.records.store(store, now).await?;
        let generation = *owner.histories.generation().borrow();
        if generation == self.generation || Instant::now() < self.history_at {
            return Ok(());
        }
        self.generation = generation;
        self.history_at = Instant::now() + HISTORY_INTERVAL;
        let kinds: HashMap<AssetCode, _> = assets.kinds();
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

    /// Tells of a store that does not answer once, until it does again.
    fn report(&mut self, what: &str, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => self.unavailable = false,
            Err(error) if !std::mem::replace(&mut self.unavailable, true) => warn!(%error, "{what}, going on"),
            Err(_) => {}
        }
    }
}
