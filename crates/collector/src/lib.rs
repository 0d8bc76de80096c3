//! The collector: polls and streams the venues, keeps the board, writes states and histories to the store.
//!
//! ```text
//! feed (HTTP) ──► budget ─► fetch ─► parse ─┐                          ┌─► states, one batch at a time
//! session (WebSocket) ──────► parse ────────┼─► intake ─► board ─► publish
//! backfill (candles) ───────► parse ────────┘                          └─► candles
//! ```
//!
//! Each feed has tasks of its own, and all of them end in one bounded channel: a dead venue holds up nobody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crossmarket_clock::Clock;
use crossmarket_domain::{AssetCode, Feed, Instrument, Shards, VenueId};
use crossmarket_store::{Store, StoreError};
use crossmarket_telemetry::metrics::Calculation;
use crossmarket_venues::{FeedProfile, Secret, Venue};

pub mod backfill;
pub mod board;
pub mod breaker;
pub mod budget;
pub mod equity;
pub mod feed;
pub mod fetch;
mod filler;
mod heard;
pub mod history;
pub mod import;
pub mod index_news;
pub mod indices;
pub mod intake;
pub mod lease;
pub mod long_short;
pub mod market_caps;
pub mod monitor;
pub mod pipeline;
pub mod publish;
mod retention;
pub mod retry;
pub mod session;
pub mod universe;
pub mod writer;

#[cfg(test)]
mod tests;

pub use import::{BackfillProgress, backfill};

use backfill::{Backfiller, Target};
use board::{Board, BoardVenue};
use budget::Budgets;
use equity::{EquityCollector, IndexSourceLink};
use feed::{PolledFeed, VenueLink};
use fetch::{FetchLimits, FetchSetupError, Fetcher};
use indices::IndexOwner;
use intake::Intake;
use lease::{Competition, Leading, Standing};
use long_short::RatioVenue;
use monitor::FeedMonitor;
use pipeline::Pipeline;
use publish::Publisher;
use session::StreamContext;
use session::connection::WebSocketDial;
use universe::Universe;

/// Messages between the feeds and the pipeline at most. One may be a venue's whole list of tickers, a megabyte of memory, so few wait; polls
/// wait longer then, and streams conflate.
const INTAKE_MAX: usize = 16;

/// Time for the feeds to end after a stop; what is late is cut off.
const STOP_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a lease of a shard lasts, unless it is set: with the time that a standby needs for its first prices well under 5 s.
pub const LEASE_LIFE: Duration = Duration::from_millis(2_500);

/// Default number of the largest assets that are tracked.
pub const UNIVERSE_SIZE: usize = 200;

/// Default number of venues that a new aggregate price needs.
pub const REQUIRED_VENUE_COUNT: u32 = 1;

/// Default time between batches.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// Always tracked, since their prices convert the others.
const QUOTE_ASSETS: &[&str] = &["USDT", "USDC", "FDUSD", "DAI", "EUR", "GBP", "BTC", "ETH"];

/// Simulated venues have no meter to protect; the limits are still kept, at this multiple.
const SIMULATED_BUDGET_FACTOR: u32 = 50;

/// One venue's settings.
#[derive(Clone)]
pub struct VenueSettings {
    /// The venue.
    pub venue: &'static dyn Venue,
    /// Where its HTTP API is: https, or http on loopback. When it is on loopback every request goes there, also those for feeds that live at
    /// another of the venue's hosts: whoever simulates a venue means all of it.
    pub rest_url: String,
    /// Where its stream is, without the path that the venue adds: wss, or ws on loopback. `None` for no stream.
    pub ws_url: Option<String>,
    /// False for a venue that is switched off: its feeds are in the catalogue as DISABLED.
    pub enabled: bool,
    /// Its key, for a venue that needs one; without it the venue is not asked.
    pub api_key: Option<Secret>,
}

impl VenueSettings {
    /// The venue at its own addresses, enabled.
    pub fn of(venue: &'static dyn Venue) -> Self {
        let profile = venue.profile();
        let ws_url = profile.stream.map(|stream| stream.url.to_owned());
        Self { venue, rest_url: profile.rest_url.to_owned(), ws_url, enabled: true, api_key: None }
    }

    /// Whether it is asked: switched on, and with the key that it needs.
    fn is_usable(&self) -> bool {
        self.enabled && (self.venue.profile().api_key.is_none() || self.api_key.is_some())
    }
}

/// The collector's settings.
#[derive(Clone)]
pub struct CollectorSettings {
    /// The venues.
    pub venues: Vec<VenueSettings>,
    /// Number of assets tracked, by market cap.
    pub universe_size: usize,
    /// Assets tracked besides.
    pub extra_assets: Vec<AssetCode>,
    /// Number of venues that an aggregate price needs, at least 1.
    pub required_venue_count: u32,
    /// Time between batches, in life whatever the clock's speed.
    pub publish_interval: Duration,
    /// True when the venues are simulated; everything published says so.
    pub simulated: bool,
    /// Decides all jitter.
    pub seed: u64,
    /// Limits of one HTTP request.
    pub fetch_limits: FetchLimits,
    /// How long a lease of a shard lasts: a collector that is gone without a word is replaced after so long. Renewed at a third of it.
    pub lease_life: Duration,
    /// False to leave histories to what is collected, stored and imported: no venue is asked for candles.
    pub backfill: bool,
    /// Where the collection of exchange-traded indices tells its news; `None` where nobody publishes indices.
    pub index_news: Option<mpsc::Sender<index_news::IndexNews>>,
    /// Is told which shards are led.
    pub leading: Leading,
}

impl Default for CollectorSettings {
    /// Every registered venue at its own address.
    fn default() -> Self {
        Self {
            venues: crossmarket_venues::REGISTRY.iter().map(|venue| VenueSettings::of(*venue)).collect(),
            universe_size: UNIVERSE_SIZE,
            extra_assets: Vec::new(),
            required_venue_count: REQUIRED_VENUE_COUNT,
            publish_interval: PUBLISH_INTERVAL,
            simulated: false,
            seed: 0,
            fetch_limits: FetchLimits::default(),
            lease_life: LEASE_LIFE,
            backfill: true,
            index_news: None,
            leading: Leading::default(),
        }
    }
}

/// Why a collector cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// An address or the HTTP client is unusable.
    #[error("venue {venue} cannot be set up")]
    Setup {
        /// The venue's id.
        venue: VenueId,
        /// Why.
        #[source]
        source: FetchSetupError,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] FetchSetupError),
    /// The store failed at the end.
    #[error("the store failed")]
    Store(#[source] StoreError),
}

/// Competes for shards and collects while it leads one, until `shutdown`; then it flushes the store and gives its leases back.
///
/// A standby asks no venue. Its requests would come out of the same budgets, which venues meter by address, so that they would slow the leader
/// down; and the first answers of a venue are there a fraction of a second after the first request.
///
/// `index_owner` works beside it while the cross-asset shard is led.
pub async fn run(
    settings: CollectorSettings,
    index_owner: Option<IndexOwner>,
    store: Arc<dyn Store>,
    shards: Shards,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), CollectorError> {
    // Made once: the budgets remember what was spent, also by an earlier lead of this process.
    let links = links(&settings, clock)?;
    let resign = CancellationToken::new();
    let mut competing = JoinSet::new();
    let competition = Competition {
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
            // Its sender lives as long as the competition, which is longer.
            let _ = collects.wait_for(|collects| !collects).await;
            info!("others lead every shard, standing by");
            round.cancel();
            std::future::pending::<()>().await;
        };
        outcome = tokio::select! {
            outcome = collect(&settings, &links, Arc::clone(&store), shards, &standing, clock, &round) => outcome,
            () = over => Ok(()),
        };
    }
    // Nothing aborts it, so it ends without a word only by a defect, which was told on stderr.
    outcome = outcome.and(owning.await.unwrap_or(Ok(())));
    resign.cancel();
    let resigned = async { while competing.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.lease_life, resigned).await.is_err() {
        competing.shutdown().await;
    }
    outcome
}

/// A name that no other process has: also of two in containers that both are process 1.
fn holder_name() -> SmolStr {
    format_smolstr!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}

/// Collects until `round` is over.
async fn collect(
    settings: &CollectorSettings,
    links: &[VenueLink],
    store: Arc<dyn Store>,
    shards: Shards,
    standing: &Standing,
    clock: Clock,
    round: &CancellationToken,
) -> Result<(), CollectorError> {
    Calculation::OF_COLLECTORS.into_iter().for_each(Calculation::expect);
    let (intake, receiver) = mpsc::channel(INTAKE_MAX);
    let (index_intake, index_receiver) = mpsc::channel(equity::HEARD_MAX);
    let stop = round.child_token();
    let mut tasks = JoinSet::new();
    let mut started = Started::default();
    for (settings_of_venue, link) in settings.venues.iter().zip(links) {
        started.venue(settings, settings_of_venue, link, [&intake, &index_intake], &stop, &mut tasks);
    }
    let (unread_news, news_receiver) = mpsc::channel(index_news::INDEX_NEWS_MAX);
    let news = settings.index_news.clone().unwrap_or(unread_news);
    let equity = EquityCollector {
        sources: std::mem::take(&mut started.index_sources),
        store: Arc::clone(&store),
        clock,
        news,
        backfill: settings.backfill,
        seed: settings.seed,
    };
    tasks.spawn(equity.run(index_receiver, stop.clone()));
    tasks.spawn(unread(news_receiver, stop.clone()));
    let (targets, targets_receiver) = watch::channel::<Arc<[Target]>>(Arc::from([]));
    let (backlog, backlog_receiver) = watch::channel(0);
    let nobody = || started.candles.iter().map(|_| None).collect();
    let backfiller = Backfiller {
        // Without venues to ask it still loads what is stored.
        links: if settings.backfill { started.candles } else { nobody() },
        store: Arc::clone(&store),
        intake: intake.clone(),
        backlog: backlog_receiver,
        clock,
        seed: settings.seed,
    };
    let context = long_short::Context {
        store: Arc::clone(&store),
        intake: intake.clone(),
        targets: targets_receiver.clone(),
        clock,
        simulated: settings.simulated,
        backfill: settings.backfill,
        seed: settings.seed,
    };
    long_short::start(started.ratios, &context, &stop, &mut tasks);
    tasks.spawn(backfiller.run(targets_receiver, stop.clone()));
    let universe = universe(settings);
    let pipeline = Pipeline {
        board: Board::new(started.venues, universe, settings.simulated),
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
    let outcome = pipeline.run(receiver, stop.clone()).await;
    // Held until here, so that a collector without any venue waits for its stop like every other.
    drop((intake, index_intake));
    stop.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WAIT_MAX, ended).await.is_err() {
        tasks.shutdown().await;
    }
    outcome
}

/// Reads the news of indices where nobody else does, so that their collection never waits.
async fn unread(mut news: mpsc::Receiver<index_news::IndexNews>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = async { while news.recv().await.is_some() {} } => {}
    }
}

/// The HTTP side of every venue.
fn links(settings: &CollectorSettings, clock: Clock) -> Result<Vec<VenueLink>, CollectorError> {
    let fetcher: Arc<dyn fetch::Fetch> = Arc::new(Fetcher::new(settings.fetch_limits).map_err(CollectorError::Client)?);
    let link = |(index, venue_settings): (usize, &VenueSettings)| {
        let VenueSettings { venue, rest_url, ws_url, api_key, .. } = venue_settings;
        let venue = *venue;
        let setup = |source| CollectorError::Setup { venue: venue.id(), source };
        if venue_settings.is_usable() {
            fetch::check_address(rest_url, "http", "https").map_err(setup)?;
            if let Some(ws_url) = ws_url {
                fetch::check_address(ws_url, "ws", "wss").map_err(setup)?;
            }
        }
        let factor = if settings.simulated { SIMULATED_BUDGET_FACTOR } else { 1 };
        Ok(VenueLink {
            index: u16::try_from(index).unwrap_or(u16::MAX),
            venue,
            rest_url: rest_url.trim_end_matches('/').into(),
            redirected: url::Url::parse(rest_url).is_ok_and(|url| fetch::is_loopback(&url)),
            budgets: Budgets::new(venue.id(), venue.profile().limits, factor, clock),
            api_key: venue.profile().api_key.zip(api_key.clone()),
            fetcher: Arc::clone(&fetcher),
            clock,
        })
    };
    settings.venues.iter().enumerate().map(link).collect()
}

fn universe(settings: &CollectorSettings) -> Universe {
    let always: HashSet<AssetCode> = QUOTE_ASSETS
        .iter()
        .filter_map(|code| AssetCode::parse(code))
        .chain(settings.extra_assets.iter().cloned())
        .collect();
    let mut listings: Vec<(u8, u16)> = settings
        .venues
        .iter()
        .enumerate()
        .filter(|(_, venue)| venue.is_usable())
        .filter_map(|(index, venue)| {
            let rank = venue.venue.profile().feed(Feed::MarketCaps)?.rank.unwrap_or(u8::MAX);
            Some((rank, u16::try_from(index).unwrap_or(u16::MAX)))
        })
        .collect();
    listings.sort_unstable();
    let listing_venues: Vec<u16> = listings.into_iter().map(|(_, index)| index).collect();
    Universe::new(settings.universe_size, always, &listing_venues)
}

/// What was started of all venues, by place.
#[derive(Default)]
struct Started {
    venues: Vec<BoardVenue>,
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
        [intake, index_intake]: [&mpsc::Sender<Intake>; 2],
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let venue = link.venue;
        let profile = venue.profile();
        let streaming = venue_settings.ws_url.is_some() && profile.stream.is_some();
        let mut monitors: HashMap<Feed, Arc<FeedMonitor>> = HashMap::new();
        for (place, FeedProfile { feed, interval, interval_streaming, .. }) in profile.feeds.iter().enumerate() {
            let enabled = venue_settings.is_usable();
            let budgets = link.budgets.clone();
            let simulated = settings.simulated;
            let monitor =
                Arc::new(FeedMonitor::new(venue.id(), *feed, *interval, enabled, simulated, budgets, link.clock));
            self.monitors.push(Arc::clone(&monitor));
            monitors.insert(*feed, Arc::clone(&monitor));
            let is_planned = matches!(feed, Feed::LongShortRatios | Feed::OpenInterest);
            if enabled && *feed != Feed::Candles && !is_planned {
                let polled = PolledFeed {
                    link: link.clone(),
                    feed: *feed,
                    monitor,
                    intake: if *feed == Feed::IndexLevels { index_intake.clone() } else { intake.clone() },
                    interval: *interval,
                    interval_streaming: *interval_streaming,
                    row_count_max: u32::try_from(settings.universe_size).ok().filter(|_| *feed == Feed::MarketCaps),
                    instruments: listed_instruments(venue, settings),
                    seed: settings.seed.wrapping_add(u64::from(link.index) * 16 + place as u64),
                };
                if *feed == Feed::IndexLevels {
                    self.index_sources
                        .push(IndexSourceLink { link: link.clone(), monitor: Arc::clone(&polled.monitor) });
                }
                tasks.spawn(polled.run(stop.clone()));
            }
        }
        let both = (monitors.get(&Feed::LongShortRatios), monitors.get(&Feed::OpenInterest));
        if let (Some(ratios), Some(open_interest)) = both
            && venue_settings.is_usable()
        {
            let (ratios, open_interest) = (Arc::clone(ratios), Arc::clone(open_interest));
            self.ratios.push(RatioVenue { link: link.clone(), ratios, open_interest });
        }
        let candles = monitors.get(&Feed::Candles).filter(|_| venue_settings.is_usable());
        self.candles.push(candles.map(|monitor| (link.clone(), Arc::clone(monitor))));
        let tickers = monitors.get(&Feed::Tickers).filter(|_| venue_settings.is_usable() && streaming);
        self.streams.push(tickers.and_then(|monitor| {
            let url = format!("{}{}", venue_settings.ws_url.as_deref()?, profile.stream?.path);
            let (wanted, wanted_receiver) = watch::channel::<Arc<[Instrument]>>(Arc::from([]));
            let context = StreamContext {
                venue_index: link.index,
                stream: venue.stream()?,
                session: profile.stream?.session,
                dial: Arc::new(WebSocketDial { url }),
                monitor: Arc::clone(monitor),
                intake: intake.clone(),
                clock: link.clock,
                seed: settings.seed.wrapping_add(u64::from(link.index)),
            };
            tasks.spawn(session::run(context, wanted_receiver, stop.clone()));
            Some(wanted)
        }));
        self.venues.push(BoardVenue {
            id: venue.id(),
            budget: if streaming { TICKER_BUDGET_STREAMING } else { TICKER_BUDGET },
            has_candles: candles.is_some(),
            long_short_kinds: if venue_settings.is_usable() { profile.long_short_kinds } else { &[] },
            monitors,
        });
    }
}

/// How long a ticker is fresh. A stream sends only what changes, so between two polls a quiet instrument is silent.
const TICKER_BUDGET: Duration = Duration::from_secs(30);
const TICKER_BUDGET_STREAMING: Duration = Duration::from_secs(60);

/// What to ask a venue for that cannot answer for everything at once: the always tracked assets against dollars.
fn listed_instruments(venue: &dyn Venue, settings: &CollectorSettings) -> Vec<Instrument> {
    let codes = QUOTE_ASSETS.iter().copied().chain(settings.extra_assets.iter().map(AssetCode::as_str));
    let pairs = codes.flat_map(|code| ["USD", "USDT"].map(|quote| (code, quote)));
    pairs.filter(|(code, quote)| code != quote).filter_map(|(code, quote)| venue.listing(code, quote)).collect()
}
