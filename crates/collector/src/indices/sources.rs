//! Exchange-traded indices: levels from several sources in order of preference, and daily histories in the store.
//!
//! ```text
//! feed (HTTP, one task a source) ──► desk ──► news for the owner of the cross-asset shard
//!                                     └─────► closes ──► store
//! filler (histories, one at a time) ────────► closes ──► store and news
//! ```
//!
//! Nothing here writes a state. A source that fails is a feed in state DOWN, and its last word ages; nothing stands in for it but another source.

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

/// Messages from the sources that wait at most: one is the answer about one index.
pub(crate) const LEVELS_WAITING_MAX: usize = 32;

/// Histories begin here: the trading calendar is known from then on.
pub(crate) fn history_start() -> Timestamp {
    Timestamp::from_date(1990, 1, 1).unwrap_or(Timestamp::EPOCH)
}

/// How often the histories are looked through for a close that is missing.
const FILL_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The same while a history could not be filled.
const FILL_AGAIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Collects the exchange-traded indices.
pub(crate) struct IndexSourceCollector {
    /// The sources that are asked, in any order.
    pub sources: Vec<IndexSourceLink>,
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// Where levels and new closes are told.
    pub news: mpsc::Sender<IndexNews>,
    /// False to ask for no history.
    pub backfill: bool,
    /// Decides the jitter.
    pub seed: u64,
}

impl IndexSourceCollector {
    /// Runs until `stop`. `heard` is what the sources' feeds say.
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

    /// Fills the histories from their beginning, again while that fails, and looks for missing closes from time to time.
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

    /// False when no source gave all that it has.
    async fn fill_one(&self, index: &IndexCode, since: Timestamp) -> bool {
        let news = |stored: IndexNews| async { self.news.send(stored).await.is_ok() };
        match fill(&self.sources, &*self.store, self.clock, index, since, self.seed, news, |_| {}).await {
            Ok(told) => {
                if told.close_count > 0 {
                    tracing::info!(%index, close_count = told.close_count, source = told.source, "history filled");
                }
                if let Some(error) = &told.error {
                    tracing::debug!(%index, %error, "history not filled");
                }
                told.error.is_none()
            }
            Err(error) => {
                tracing::warn!(%index, %error, "history not stored");
                false
            }
        }
    }
}
