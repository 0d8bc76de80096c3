//! The collector as a whole: leases, feeds and the coordinator, from start to stop.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::error::CollectorError;
use crate::event::CollectorEvent;
use crate::history::candles::{Backfiller, Target};
use crate::indices::news::{INDEX_NEWS_MAX, IndexNews};
use crate::indices::owner::IndexOwner;
use crate::indices::source::IndexSourceLink;
use crate::indices::sources::{IndexSourceCollector, LEVELS_WAITING_MAX};
use crate::links::links;
use crate::long_short::feed::{self as long_short, RatioVenue};
use crate::polling::PolledFeed;
use crate::prices::market_state::{MarketState, MarketVenue};
use crate::prices::snapshots::Publisher;
use crate::prices::universe::{Universe, VenueCode};
use crate::settings::{CollectorSettings, VenueSettings};
use crate::shard::coordinator::Coordinator;
use crate::shard::lease::{LeaseManager, LeaseState};
use crate::transport::feed_health::FeedMonitor;
use crate::transport::streams;
use crate::transport::venue_link::VenueLink;
use crate::transport::websocket::{StreamContext, WebSocketDial};
use crossmarket_clock::Clock;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::state::MappingRule;
use crossmarket_domain::{AssetName, Feed, Instrument, Shards};
use crossmarket_store::{Store, stored_assets};
use crossmarket_telemetry::metrics::Calculation;
use crossmarket_venues::{FeedProfile, Venue};

/// Capacity of the channel from the feeds to the pipeline. One message may be a venue's whole list of tickers (a
/// megabyte of memory), so the queue is short. When it is full, polls wait and streams conflate.
const EVENTS_MAX: usize = 16;

/// Time for the feeds to end after a stop; late ones are aborted.
const STOP_WAIT_MAX: Duration = Duration::from_secs(3);

/// Always tracked, since their prices convert the others.
const QUOTE_ASSETS: &[&str] = &["USDT", "USDC", "FDUSD", "DAI", "EUR", "GBP", "BTC", "ETH"];

/// Competes for shards, and collects while it leads one, until `shutdown`. Then flushes the store and releases its
/// leases.
///
/// A standby sends no requests to venues. Venues meter by address, so its requests would use up the leader's limits and
/// slow it down. It does not need them either: a venue's first responses arrive a fraction of a second after the first
/// request.
///
/// `index_owner` runs alongside while this process leads the cross-asset shard.
pub async fn run(
    settings: CollectorSettings,
    index_owner: Option<IndexOwner>,
    store: Arc<dyn Store>,
    shards: Shards,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), CollectorError> {
    // Create the links once: the limiters remember what was spent, also while this process led earlier.
    let links = links(&settings, clock)?;
    let resign = CancellationToken::new();
    let mut competing = JoinSet::new();
    let competition = LeaseManager {
        store: Arc::clone(&store),
        shards,
        holder: holder_name(),
        life: settings.lease_life,
        clock,
        seed: settings.seed,
    };
    let mut standing = competition.start(&mut competing, &resign);
    settings.leading.tell(standing.leads.clone());
    info!(shard_count = shards.count(), venue_count = links.len(), "collector started");
    let (leads, end) = (standing.leads.clone(), shutdown.clone());
    let owning = tokio::spawn(async move {
        match index_owner {
            Some(owner) => owner.run(leads, end).await,
            None => Ok(()),
        }
    });
    let mut outcome = Ok(());
    while !shutdown.is_cancelled() {
        let begun = async { standing.collects.wait_for(|collects| *collects).await.map(|_| ()).is_ok() };
        if shutdown.run_until_cancelled(begun).await != Some(true) {
            break;
        }
        let round = shutdown.child_token();
        let mut collects = standing.collects.clone();
        let over = async {
            // The sender lives as long as the competition, which outlives this loop.
            let _ = collects.wait_for(|collects| !collects).await;
            info!("other collectors lead every shard, standing by");
            round.cancel();
            std::future::pending::<()>().await;
        };
        outcome = tokio::select! {
            outcome = collect(&settings, &links, Arc::clone(&store), shards, &standing, clock, &round) => outcome,
            () = over => Ok(()),
        };
    }
    // Nothing aborts the task, so a join error means a panic, which is reported on stderr.
    outcome = outcome.and(owning.await.unwrap_or(Ok(())));
    resign.cancel();
    let resigned = async { while competing.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.lease_life, resigned).await.is_err() {
        competing.shutdown().await;
    }
    outcome
}

/// A name unique to this process, even among containers in which each process has id 1.
fn holder_name() -> SmolStr {
    format_smolstr!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}

/// Collects until `round` is cancelled.
async fn collect(
    settings: &CollectorSettings,
    links: &[VenueLink],
    store: Arc<dyn Store>,
    shards: Shards,
    standing: &LeaseState,
    clock: Clock,
    round: &CancellationToken,
) -> Result<(), CollectorError> {
    Calculation::OF_COLLECTORS.into_iter().for_each(Calculation::expect);
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let (index_events, index_receiver) = mpsc::channel(LEVELS_WAITING_MAX);
    let stop = round.child_token();
    let mut tasks = JoinSet::new();
    let mut started = Started::default();
    for (settings_of_venue, link) in settings.venues.iter().zip(links) {
        started.venue(settings, settings_of_venue, link, [&events, &index_events], &stop, &mut tasks);
    }
    let index_sources = std::mem::take(&mut started.index_sources);
    collect_indices(settings, index_sources, &store, clock, index_receiver, &stop, &mut tasks);
    let (targets, targets_receiver) = watch::channel::<Arc<[Target]>>(Arc::from([]));
    let (backlog, backlog_receiver) = watch::channel(0);
    let nobody = || started.candles.iter().map(|_| None).collect();
    let backfiller = Backfiller {
        // Without venues to ask, it still loads the stored candles.
        links: if settings.backfill { started.candles } else { nobody() },
        store: Arc::clone(&store),
        events: events.clone(),
        backlog: backlog_receiver,
        clock,
        seed: settings.seed,
    };
    let context = long_short::Context {
        store: Arc::clone(&store),
        events: events.clone(),
        targets: targets_receiver.clone(),
        clock,
        simulated: settings.simulated,
        backfill: settings.backfill,
        seed: settings.seed,
    };
    long_short::start(started.ratios, &context, &stop, &mut tasks);
    tasks.spawn(backfiller.run(targets_receiver, stop.clone()));
    let mut market = MarketState::new(started.venues, universe(settings), settings.mapping, settings.simulated);
    // Assets keep the ids of earlier runs.
    for info in stored_assets(store.as_ref(), shards).await.map_err(CollectorError::Store)? {
        market.seed(&info);
    }
    let coordinator = Coordinator {
        market,
        publisher: Publisher::new(settings.required_venue_count),
        monitors: started.monitors,
        store,
        shards,
        leads: standing.leads.clone(),
        clock,
        publish_interval: settings.publish_interval,
        streams: started.streams,
        targets,
        backlog,
        seed: settings.seed,
    };
    let outcome = coordinator.run(receiver, stop.clone()).await;
    // Keep the senders until here, so that a collector without any venue waits for its stop like every other.
    drop((events, index_events));
    stop.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WAIT_MAX, ended).await.is_err() {
        tasks.shutdown().await;
    }
    outcome
}

/// Starts the sources of index levels.
fn collect_indices(
    settings: &CollectorSettings,
    sources: Vec<IndexSourceLink>,
    store: &Arc<dyn Store>,
    clock: Clock,
    levels: mpsc::Receiver<CollectorEvent>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let (unread_news, news_receiver) = mpsc::channel(INDEX_NEWS_MAX);
    let collector = IndexSourceCollector {
        sources,
        store: Arc::clone(store),
        clock,
        news: settings.index_news.clone().unwrap_or(unread_news),
        backfill: settings.backfill,
        seed: settings.seed,
    };
    tasks.spawn(collector.run(levels, stop.clone()));
    tasks.spawn(unread(news_receiver, stop.clone()));
}

/// Drains the index news if nothing else reads them, so that the collection never blocks.
async fn unread(mut news: mpsc::Receiver<IndexNews>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = async { while news.recv().await.is_some() {} } => {}
    }
}

fn universe(settings: &CollectorSettings) -> Universe {
    let quotes = QUOTE_ASSETS.iter().filter_map(|ticker| AssetName::parse(ticker));
    let always = quotes.chain(settings.extra_assets.iter().cloned()).collect();
    let mut listings: Vec<(u8, u16, &'static str)> = Vec::new();
    let mut codes = HashMap::new();
    for (venue, index) in settings.venues.iter().zip(0u16..).filter(|(venue, _)| venue.is_usable()) {
        let profile = venue.venue.profile();
        if let Some(feed) = profile.feed(Feed::MarketCaps) {
            listings.push((feed.rank.unwrap_or(u8::MAX), index, profile.id.as_str()));
        }
        for (code, means) in profile.codes {
            let meaning = VenueCode { rule: MappingRule::Registry, means: Some(SmolStr::new_static(means)) };
            codes.insert((index, SmolStr::new_static(code)), meaning);
        }
        for (code, means) in &venue.codes {
            let meaning = VenueCode { rule: MappingRule::Configuration, means: means.clone() };
            codes.insert((index, code.clone()), meaning);
        }
    }
    listings.sort_unstable();
    let listings: Vec<(u16, &'static str)> = listings.into_iter().map(|(_, index, id)| (index, id)).collect();
    Universe::new(settings.universe_size, always, codes, &listings)
}

/// What was started for all venues, by index.
#[derive(Default)]
struct Started {
    venues: Vec<MarketVenue>,
    monitors: Vec<Arc<FeedMonitor>>,
    streams: Vec<Option<watch::Sender<Arc<[Instrument]>>>>,
    candles: Vec<Option<(VenueLink, Arc<FeedMonitor>)>>,
    ratios: Vec<RatioVenue>,
    index_sources: Vec<IndexSourceLink>,
}

impl Started {
    fn venue(
        &mut self,
        settings: &CollectorSettings,
        venue_settings: &VenueSettings,
        link: &VenueLink,
        [events, index_events]: [&mpsc::Sender<CollectorEvent>; 2],
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let venue = link.venue;
        let profile = venue.profile();
        let streaming = venue_settings.ws_url.is_some() && profile.stream.is_some();
        let mut monitors: HashMap<Feed, Arc<FeedMonitor>> = HashMap::new();
        for (place, FeedProfile { feed, interval, interval_streaming, .. }) in profile.feeds.iter().enumerate() {
            let enabled = venue_settings.is_usable();
            let limiters = link.limiters.clone();
            let simulated = settings.simulated;
            let monitor =
                Arc::new(FeedMonitor::new(venue.id(), *feed, *interval, enabled, simulated, limiters, link.clock));
            self.monitors.push(Arc::clone(&monitor));
            monitors.insert(*feed, Arc::clone(&monitor));
            let is_planned = matches!(feed, Feed::LongShortRatios | Feed::OpenInterest);
            if enabled && *feed != Feed::Candles && !is_planned {
                let polled = PolledFeed {
                    link: link.clone(),
                    feed: *feed,
                    monitor,
                    events: if *feed == Feed::IndexLevels { index_events.clone() } else { events.clone() },
                    interval: *interval,
                    interval_streaming: *interval_streaming,
                    row_count_max: u32::try_from(settings.universe_size).ok().filter(|_| *feed == Feed::MarketCaps),
                    instruments: listed_instruments(venue, settings),
                    seed: settings.seed.wrapping_add(u64::from(link.index) * 16 + place as u64),
                };
                if *feed == Feed::IndexLevels {
                    let monitor = Arc::clone(&polled.monitor);
                    self.index_sources.push(IndexSourceLink { link: link.clone(), monitor });
                }
                tasks.spawn(polled.run(stop.clone()));
            }
        }
        self.ratios.extend(ratio_venue(link, &monitors).filter(|_| venue_settings.is_usable()));
        let candles = monitors.get(&Feed::Candles).filter(|_| venue_settings.is_usable());
        self.candles.push(candles.map(|monitor| (link.clone(), Arc::clone(monitor))));
        let tickers = monitors.get(&Feed::Tickers).filter(|_| venue_settings.is_usable() && streaming);
        self.streams.push(tickers.and_then(|monitor| {
            let url = format!("{}{}", venue_settings.ws_url.as_deref()?, profile.stream?.path);
            let context = StreamContext {
                venue_index: link.index,
                stream: venue.stream()?,
                session: profile.stream?.session,
                dial: Arc::new(WebSocketDial { url }),
                monitor: Arc::clone(monitor),
                events: events.clone(),
                clock: link.clock,
                seed: settings.seed.wrapping_add(u64::from(link.index)),
            };
            Some(stream(context, stop, tasks))
        }));
        self.venues.push(MarketVenue {
            id: venue.id(),
            budget: if streaming { TICKER_FRESH_FOR_STREAMING } else { TICKER_FRESH_FOR },
            has_candles: candles.is_some(),
            long_short_kinds: if venue_settings.is_usable() { profile.long_short_kinds } else { &[] },
            monitors,
        });
    }
}

/// Starts a venue's stream; returns the sender of its wanted instruments.
fn stream(
    context: StreamContext,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> watch::Sender<Arc<[Instrument]>> {
    let (wanted, wanted_receiver) = watch::channel::<Arc<[Instrument]>>(Arc::from([]));
    tasks.spawn(streams::run(context, wanted_receiver, stop.clone()));
    wanted
}

fn ratio_venue(link: &VenueLink, monitors: &HashMap<Feed, Arc<FeedMonitor>>) -> Option<RatioVenue> {
    let ratios = Arc::clone(monitors.get(&Feed::LongShortRatios)?);
    let open_interest = Arc::clone(monitors.get(&Feed::OpenInterest)?);
    Some(RatioVenue { link: link.clone(), ratios, open_interest })
}

/// How long a ticker stays fresh. A stream sends only changes, so a quiet instrument is silent between two polls.
const TICKER_FRESH_FOR: Duration = Duration::from_secs(30);
const TICKER_FRESH_FOR_STREAMING: Duration = Duration::from_secs(60);

/// Instruments to request from a venue that cannot answer for all at once: the always tracked assets against dollars.
fn listed_instruments(venue: &dyn Venue, settings: &CollectorSettings) -> Vec<Instrument> {
    let extra = settings.extra_assets.iter().filter_map(|name| match name {
        AssetName::Ticker(ticker) => Some(ticker.as_str()),
        AssetName::Id(id) => Registry::shipped().by_id(id.as_str()).map(|asset| asset.ticker.as_str()),
    });
    let codes = QUOTE_ASSETS.iter().copied().chain(extra);
    let pairs = codes.flat_map(|code| ["USD", "USDT"].map(|quote| (code, quote)));
    pairs.filter(|(code, quote)| code != quote).filter_map(|(code, quote)| venue.listing(code, quote)).collect()
}
