//! Exchange-traded indices: levels from several sources in order of preference, and daily histories in the store.
//!
//! ```text
//! feed (HTTP, one task per source) ──► level selector ──► news for the owner of the cross-asset shard
//!                                            └──────────► closes ──► store
//! filler (histories, one at a time) ────────────────────► closes ──► store and news
//! ```
//!
//! Nothing here writes a state. The feed of a failing source is DOWN and its last level ages; only another source
//! replaces it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::level_selector::LevelSelector;
use super::source::{IndexSourceLink, RECENT_SPAN, indices, place_of};
use crate::event::CollectorEvent;
use crate::history::closes::fill;
use crate::indices::news::IndexNews;
use crossmarket_clock::Clock;
use crossmarket_domain::Timestamp;
use crossmarket_domain::index::IndexCode;
use crossmarket_store::Store;

/// Capacity of the queue of messages from the sources. One message is the response for one index.
pub(crate) const LEVELS_WAITING_MAX: usize = 32;

/// Start of the histories: the trading calendar is known from then on.
pub(crate) fn history_start() -> Timestamp {
    Timestamp::from_date(1990, 1, 1).unwrap_or(Timestamp::EPOCH)
}

/// How often the histories are checked for missing closes.
const FILL_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The same interval while a history could not be filled.
const FILL_AGAIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Collects the exchange-traded indices.
pub(crate) struct IndexSourceCollector {
    /// The polled sources, in any order.
    pub sources: Vec<IndexSourceLink>,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    /// Receives levels and new closes.
    pub news: mpsc::Sender<IndexNews>,
    /// False to request no history.
    pub backfill: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

impl IndexSourceCollector {
    /// Runs until `stop`. `heard` carries the messages of the sources' feeds.
    pub(crate) async fn run(mut self, heard: mpsc::Receiver<CollectorEvent>, stop: CancellationToken) {
        if self.sources.is_empty() {
            return;
        }
        self.sources.sort_by_key(|source| place_of(source.link.venue.id()));
        let (rebased, rebased_receiver) = mpsc::channel(indices().count());
        let desk =
            LevelSelector::new(self.sources.clone(), Arc::clone(&self.store), self.clock, self.news.clone(), rebased);
        tokio::select! {
            () = stop.cancelled() => {}
            () = desk.run(heard) => {}
            () = self.keep_filled(rebased_receiver), if self.backfill => {}
        }
    }

    /// Fills the histories from their start, retries while that fails, and checks periodically for missing closes.
    async fn keep_filled(&self, mut rebased: mpsc::Receiver<IndexCode>) {
        let mut wanting: BTreeSet<IndexCode> = indices().collect();
        loop {
            let recent = self.clock.now() - RECENT_SPAN;
            for index in indices() {
                let since = if wanting.contains(&index) { history_start() } else { recent };
                if self.fill_one(&index, since).await {
                    wanting.remove(&index);
                }
            }
            let wait = if wanting.is_empty() { FILL_INTERVAL } else { FILL_AGAIN_INTERVAL };
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                Some(index) = rebased.recv() => {
                    wanting.insert(index);
                }
            }
        }
    }

    /// False if no source returned everything it has.
    async fn fill_one(&self, index: &IndexCode, since: Timestamp) -> bool {
        let news = |stored: IndexNews| async { self.news.send(stored).await.is_ok() };
        match fill(&self.sources, &*self.store, self.clock, index, since, self.seed, news, |_| {}).await {
            Ok(told) => {
                if told.close_count > 0 {
                    tracing::info!(%index, close_count = told.close_count, source = told.source, "history filled");
                }
                if let Some(error) = &told.error {
                    tracing::debug!(%index, %error, "cannot fill the history");
                }
                told.error.is_none()
            }
            Err(error) => {
                tracing::warn!(%index, %error, "cannot store the history");
                false
            }
        }
    }
}
