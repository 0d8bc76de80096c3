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

use self::assets::Assets;
use self::baskets::Baskets;
use self::equity::Equities;
use self::records::Records;
use super::CollectorError;
use super::heard::Heard;
use super::index_news::IndexNews;
use super::lease::{Lead, Leads};
use crossmarket_clock::Clock;
use crossmarket_domain::index::{IndexCode, IndexSnapshot};
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetCode, Decimal, Timestamp};
use crossmarket_image::histories::Histories;
use crossmarket_image::{Collection, Image};
use crossmarket_store::{ShardId, Store, StoreError};
use crossmarket_telemetry::trace;

mod assets;
mod baskets;
mod equity;
mod figures;
mod records;
mod sums;

#[cfg(test)]
mod tests;

pub use baskets::{BasketDefinition, Members};

/// Time between two rounds, in life.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a computed index is fresh after the newest of its constituents.
const BUDGET: Duration = Duration::from_secs(300);

/// Histories are computed anew when they have changed, but not more often than this.
const HISTORY_INTERVAL: Duration = Duration::from_secs(8);

/// A market cap of an equity index that somebody has published.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedMarketCap {
    /// The index.
    pub index: IndexCode,
    /// The market cap in US dollars.
    pub market_cap: Decimal,
    /// The date on whose close it was.
    pub date: Timestamp,
    /// Who published it.
    pub source: String,
}

/// What is computed.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    /// The baskets of the configuration.
    pub baskets: Vec<BasketDefinition>,
    /// What estimated market caps rest on.
    pub market_caps: Vec<PublishedMarketCap>,
    /// True when the venues are simulated.
    pub simulated: bool,
}

/// What the owner works with.
pub struct IndexOwner {
    /// The store.
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

/// A snapshot that is to be published, with its times.
struct Made {
    snapshot: IndexSnapshot,
    event_time: Timestamp,
    receive_time: Timestamp,
    budget: Duration,
}

/// What was published of an index last.
struct Published {
    snapshot: IndexSnapshot,
    event_time: Timestamp,
    receive_time: Timestamp,
}

impl IndexOwner {
    /// Runs until `stop`, and works while the shard is led.
    pub async fn run(mut self, leads: watch::Receiver<Leads>, stop: CancellationToken) -> Result<(), CollectorError> {
        let mut led_epoch = None;
        let mut round = Round::new(&self.settings, Equities::new(self.settings.market_caps.clone()));
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listening = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                news = self.news.recv(), if listening => match news {
                    Some(news) => {
                        if let IndexNews::Level { trace: Some(trace), .. } = &news {
                            round.heard.note(*trace);
                        }
                        round.equities.hear(news);
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
            let epoch = lead.as_ref().map(Lead::epoch);
            if epoch != led_epoch {
                // In a new epoch everything is published anew.
                (led_epoch, round) = (epoch, Round::new(&self.settings, round.equities));
            }
            if let Some(lead) = lead {
                round.go(&self, &lead).await;
            }
        }
        if led_epoch.is_none() {
            return Ok(());
        }
        round.records.finish(self.store.as_ref()).await.map_err(CollectorError::Store)
    }
}

struct Round {
    baskets: Baskets,
    equities: Equities,
    heard: Heard,
    records: Records,
    published: HashMap<IndexCode, Published>,
    /// The histories' generation from which the daily levels were computed.
    generation: u64,
    history_at: Instant,
    unavailable: bool,
}

impl Round {
    /// Knows nothing yet but what the sources of levels have said.
    fn new(settings: &IndexSettings, equities: Equities) -> Self {
        Self {
            baskets: Baskets::new(settings.baskets.clone()),
            equities,
            heard: Heard::default(),
            records: Records::default(),
            published: HashMap::new(),
            generation: 0,
            history_at: Instant::now(),
            unavailable: false,
        }
    }

    async fn go(&mut self, owner: &IndexOwner, lead: &Lead) {
        let now = owner.clock.now();
        let assets = Assets::of(&owner.image);
        if owner.image.is_loaded(Collection::Indices) {
            self.baskets.restore(&owner.image, &assets);
        }
        let mut made = sums::snapshots(&assets, &owner.histories, now);
        made.extend(self.baskets.snapshots(&assets, &owner.histories, now));
        for one in &made {
            self.records.note(&one.snapshot, now);
        }
        made.extend(self.equities.snapshots(&owner.histories, now));
        self.publish(owner, lead, made, now).await;
        self.records.note_caps(&assets, now);
        let stored = self.store(owner, &assets, now).await;
        self.told("histories of indices not stored", stored);
    }

    /// Writes what has changed.
    async fn publish(&mut self, owner: &IndexOwner, lead: &Lead, made: Vec<Made>, now: Timestamp) {
        let span = self.heard.aggregate(owner.shard);
        let mut batch = Vec::new();
        for one in made {
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
                // Made again in the next round, as it is by then.
                self.published.clear();
                self.told("indices not written", Err(error));
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
    fn told(&mut self, what: &str, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => self.unavailable = false,
            Err(error) if !std::mem::replace(&mut self.unavailable, true) => warn!(%error, "{what}, going on"),
            Err(_) => {}
        }
    }
}
