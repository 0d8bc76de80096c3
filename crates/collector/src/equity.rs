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

use super::feed::VenueLink;
use super::index_news::IndexNews;
use super::intake::Intake;
use super::monitor::FeedMonitor;
use crossmarket_clock::Clock;
use crossmarket_domain::index::{IndexCode, KNOWN};
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Feed, Instrument, Timestamp, VenueId};
use crossmarket_store::Store;
use crossmarket_venues as venues;

mod closes;
mod desk;

pub use closes::{FillProgress, fill};
use desk::Desk;

/// Messages from the sources that wait at most: one is the answer about one index.
pub const HEARD_MAX: usize = 32;

/// Histories begin here: the trading calendar is known from then on.
pub fn history_start() -> Timestamp {
    Timestamp::from_date(1990, 1, 1).unwrap_or(Timestamp::EPOCH)
}

/// A close is taken so long after its session's end: the last prints come late.
const SETTLE: Duration = Duration::from_secs(10 * 60);

/// How often the sources are looked at anew when none has said anything.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// How often the histories are looked through for a close that is missing.
const FILL_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The same while a history could not be filled.
const FILL_AGAIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How far back such a look goes.
const RECENT_SPAN: Duration = DAY.saturating_mul(21);

/// A source of index levels.
#[derive(Clone)]
pub struct IndexSourceLink {
    /// Its HTTP side.
    pub link: VenueLink,
    /// Its feed's health.
    pub monitor: Arc<FeedMonitor>,
}

/// Collects the exchange-traded indices.
pub struct EquityCollector {
    /// The sources that are asked, in any order.
    pub sources: Vec<IndexSourceLink>,
    /// The store.
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

impl EquityCollector {
    /// Runs until `stop`. `heard` is what the sources' feeds say.
    pub async fn run(mut self, heard: mpsc::Receiver<Intake>, stop: CancellationToken) {
        if self.sources.is_empty() {
            return;
        }
        self.sources.sort_by_key(|source| place_of(source.link.venue.id()));
        let (rebased, rebased_receiver) = mpsc::channel(indices().count());
        let desk = Desk::new(&self, rebased);
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

/// The indices that are collected from sources: those that others calculate.
pub fn indices() -> impl Iterator<Item = IndexCode> {
    KNOWN.iter().filter(|known| known.kind.is_exchange_traded()).filter_map(|known| IndexCode::parse(known.code))
}

/// How a source calls an index; `None` when it has not got it.
fn listed(source: &IndexSourceLink, index: &IndexCode) -> Option<Instrument> {
    source.link.venue.listing(index.as_str(), "USD")
}

/// The place of a source in the order of preference; those that are not in it come last.
pub fn place_of(venue: VenueId) -> usize {
    let preference = venues::preference(Feed::IndexLevels);
    preference.iter().position(|known| *known == venue).unwrap_or(preference.len())
}
