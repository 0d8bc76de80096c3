//! A thousand comparisons that are watched: ten streams over loopback, from a service whose image is fed by hand in the same process.

// Each binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossmarket::security::{Guard, Quotas};
use crossmarket::services::{Services, StreamSettings, WireEncoder, api};
use crossmarket_analytics::comparison::{
    Comparer, ComparisonFigures, ComparisonParameters, DAYS_PER_YEAR, Frequency, SESSIONS_PER_YEAR, WindowStart,
};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_api::v1;
use crossmarket_api::v1::index_service_client::IndexServiceClient;
use crossmarket_clock::Clock;
use crossmarket_domain::index::{
    IndexCalendar, IndexCode, IndexMethodology, IndexSnapshot, MarketSession, asset_subject,
};
use crossmarket_domain::state::{Aggregation, AggregationMethod, Body, Key, PriceSnapshot, State};
use crossmarket_domain::{AssetCode, AssetId, Decimal, Timestamp, calendar};
use crossmarket_image::histories::{Histories, History};
use crossmarket_image::{Change, Image, ImageSettings, Position};
use crossmarket_store::EmbeddedStore;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};

/// Indices with sessions and assets around the clock, each the benchmark of one stream.
pub const BENCHMARKS: [&str; 10] = ["RUT", "SPX", "NDX", "IXIC", "DJI", "A0", "A1", "A2", "A3", "A4"];

/// The first of them are indices.
const INDEX_COUNT: usize = 5;

/// Subjects of each stream: assets, and quotients of two in every fifth place.
pub const SUBJECT_COUNT: usize = 100;

const ASSET_COUNT: usize = 105;

const LOOKBACK: usize = 90;

const EPOCH: u64 = 1;

/// Thursday, 15 January 2026, noon in New York: a session goes on.
fn start() -> Timestamp {
    Timestamp::parse("2026-01-15T17:00:00Z").expect("an instant")
}

/// The name of the service's threads, by which their processor time is found.
const SERVICE_THREADS: &str = "service";

/// A service and ten streams of its comparisons.
pub struct World {
    services: Services,
    histories: HashMap<String, Arc<History>>,
    service: Option<Runtime>,
    client: Option<Runtime>,
    told: Arc<Mutex<Told>>,
    levels: HashMap<String, f64>,
    revisions: [u64; 2],
}

/// What the streams have delivered.
#[derive(Default)]
pub struct Told {
    /// The newest comparison by benchmark and subject.
    pub newest: HashMap<(String, String), v1::Comparison>,
    /// When the states of each revision of the assets' shard were put into the image.
    applied: HashMap<i64, Instant>,
    /// From that to the client, in the order of arrival.
    pub lags: Vec<Duration>,
    /// Comparisons that arrived.
    pub delivered: u64,
    /// States that were superseded before they were sent.
    pub conflated: u64,
}

/// What changes with a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Every asset and every index, so that every comparison does.
    Everything,
    /// One asset that is no benchmark: it is a subject of each stream, alone and in a quotient at most.
    OneAsset,
}

fn asset(number: usize) -> String {
    format!("A{number}")
}

/// The subjects of each stream.
pub fn subjects() -> Vec<String> {
    let name = |number: usize| match number % 5 {
        4 => format!("{}/{}", asset(5 + number), asset(number)),
        _ => asset(5 + number),
    };
    (0..SUBJECT_COUNT).map(name).collect()
}

/// A walk of two years whose steps look random, and are the same at each run.
fn history(seed: usize, by_session: bool) -> Arc<History> {
    let today = Day::of(start());
    let mut state = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut level = 100.0;
    let mut walk = |days: &mut dyn Iterator<Item = Day>| {
        Daily::new(days.map(|day| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level *= 1.0 + ((state >> 40) as f64 / 16_777_216.0 - 0.5) * 0.06;
            (day, level)
        }))
    };
    let is_session = |day: &Day| calendar::session_of_day(day.start()).is_some();
    let days = || (1..730).rev().map(|back| today.plus(-back));
    Arc::new(match by_session {
        true => History { closes: walk(&mut days().filter(is_session)), ..History::default() },
        false => History {
            closes: walk(&mut days()),
            session_closes: walk(&mut days().filter(is_session)),
            ..History::default()
        },
    })
}

impl World {
    /// Starts the service and opens the streams; returns when each has its full state.
    pub fn start() -> Self {
        let names = (0..ASSET_COUNT).map(asset).map(|name| (name, false));
        let indices = BENCHMARKS.iter().take(INDEX_COUNT).map(|name| ((*name).to_owned(), true));
        let histories: HashMap<String, Arc<History>> = names
            .chain(indices)
            .enumerate()
            .map(|(seed, (name, by_session))| (name, history(seed, by_session)))
            .collect();
        let held = Histories::default();
        // Histories are stored under an asset's id, which is its ticker in lower case here, or an index's code.
        let stored = |name: &str| match IndexCode::parse(name) {
            Some(index) => index.as_str().into(),
            None => asset_subject(&AssetId::parse(name).expect("an id")),
        };
        held.put(histories.iter().map(|(name, history)| (stored(name), Arc::clone(history))));
        let services = Services {
            image: Arc::new(Image::new(WireEncoder, ImageSettings::default())),
            store: Arc::new(EmbeddedStore::in_memory().expect("a store")),
            histories: Arc::new(held),
            clock: Clock::simulated(start(), 1.0),
            drain: CancellationToken::new(),
            venues: Arc::new([]),
            simulated: true,
            streams: StreamSettings { age_max: None, ..StreamSettings::default() },
            measured: true,
            send_gzip: false,
        };
        let runtime = |name: &str| Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build();
        let (service, client) = (runtime(SERVICE_THREADS).expect("threads"), runtime("client").expect("threads"));
        let mut world = Self {
            services,
            histories,
            service: Some(service),
            client: Some(client),
            told: Arc::default(),
            levels: HashMap::new(),
            revisions: [0; 2],
        };
        world.bootstrap();
        world.open_streams();
        let expected = BENCHMARKS.len() * SUBJECT_COUNT;
        world.wait_for("every comparison", |told| told.newest.len() == expected);
        world
    }

    fn bootstrap(&mut self) {
        let shards = self.services.image.shards();
        let (assets, indices) = self.changes(0, Ticks::Everything);
        for (shard, changes, at) in [(shards.of_assets().start, assets, 0), (shards.cross_asset(), indices, 1)] {
            let position = Position { epoch: EPOCH, revision: self.revisions[at] };
            self.services.image.bootstrap(shard, position, changes, self.services.clock.now());
        }
    }

    fn open_streams(&self) {
        let (service, client) = (self.service.as_ref().expect("running"), self.client.as_ref().expect("running"));
        let services = self.services.clone();
        let address = service.block_on(async move {
            let guard = Guard::open(Quotas::default());
            let api = api(services, guard, true).await.expect("the descriptor is compiled in");
            tokio::spawn(api.health);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            tokio::spawn(
                Server::builder().add_routes(api.routes).serve_with_incoming(TcpListenerStream::new(listener)),
            );
            address
        });
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URL");
        for benchmark in BENCHMARKS {
            let (told, endpoint) = (Arc::clone(&self.told), endpoint.clone());
            client.spawn(async move {
                let mut client = IndexServiceClient::connect(endpoint).await.expect("listening");
                let request = v1::WatchComparisonsRequest {
                    benchmark: benchmark.to_owned(),
                    subjects: subjects(),
                    lookback_observations: Some(LOOKBACK as i32),
                    ..Default::default()
                };
                let mut stream = client.watch_comparisons(request).await.expect("opens").into_inner();
                // Ends with the service.
                while let Ok(Some(frame)) = stream.message().await {
                    told.lock().unwrap_or_else(PoisonError::into_inner).hear(frame);
                }
            });
        }
    }

    /// Puts the next states into the image.
    pub fn tick(&mut self, number: usize, ticks: Ticks) {
        let (assets, indices) = self.changes(number, ticks);
        let image = &self.services.image;
        let (shards, now) = (image.shards(), self.services.clock.now());
        if !indices.is_empty() {
            image.apply(shards.cross_asset(), EPOCH, indices, now).expect("continues");
        }
        let at = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.applied.extend(assets.iter().map(|change| (change.revision as i64, at)));
        drop(told);
        image.apply(shards.of_assets().start, EPOCH, assets, now).expect("continues");
    }

    /// Updates of the assets' shard and of the cross-asset one, with levels that no other tick has.
    fn changes(&mut self, number: usize, ticks: Ticks) -> (Vec<Change>, Vec<Change>) {
        let now = self.services.clock.now();
        let names: Vec<String> = match ticks {
            Ticks::Everything => (0..ASSET_COUNT).map(asset).collect(),
            Ticks::OneAsset => vec![asset(5 + number % SUBJECT_COUNT)],
        };
        let indices = BENCHMARKS.iter().take(if ticks == Ticks::Everything { INDEX_COUNT } else { 0 });
        let mut level = |name: &str, place: usize| {
            let step = (number * 7_919 + place * 104_729) % 10_007;
            let level = Decimal::from_f64(100.0 + step as f64 / 1_000.0).expect("finite").rounded_to_significant(9);
            self.levels.insert(name.to_owned(), level.to_f64());
            level
        };
        let prices: Vec<Body> = names
            .iter()
            .enumerate()
            .map(|(place, name)| Body::Price(Box::new(snapshot(name, level(name, place)))))
            .collect();
        let indices: Vec<Body> = indices
            .enumerate()
            .map(|(place, name)| Body::Index(Box::new(index(name, level(name, ASSET_COUNT + place)))))
            .collect();
        let mut numbered = |at: usize, bodies: Vec<Body>| -> Vec<Change> {
            let numbered = bodies.into_iter().map(|body| {
                self.revisions[at] += 1;
                Change { key: key(&body), revision: self.revisions[at], state: Some(state(body, now)) }
            });
            numbered.collect()
        };
        (numbered(0, prices), numbered(1, indices))
    }

    /// Waits until a condition holds for what the streams have delivered.
    pub fn wait_for(&self, what: &str, is_met: impl Fn(&Told) -> bool) {
        let given_up = Instant::now() + super::process::PATIENCE;
        while !is_met(&self.told()) {
            assert!(Instant::now() < given_up, "{what} did not arrive");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the streams have delivered so far.
    pub fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every comparison matches the levels of the last tick, computed over whole columns instead of incrementally.
    pub fn is_up_to_date(&self, told: &Told) -> bool {
        BENCHMARKS.iter().all(|benchmark| {
            subjects().iter().all(|subject| {
                let newest = told.newest.get(&((*benchmark).to_owned(), subject.clone()));
                newest.is_some_and(|newest| is_same(newest, &self.expected(subject, benchmark)))
            })
        })
    }

    fn expected(&self, subject: &str, benchmark: &str) -> ComparisonFigures {
        let has_sessions = BENCHMARKS.iter().take(INDEX_COUNT).any(|name| *name == benchmark);
        let today = Day::of(start());
        let column = |name: &str| {
            let history = &self.histories[name];
            let closes = match has_sessions && !history.session_closes.is_empty() {
                true => &history.session_closes,
                false => &history.closes,
            };
            let mut column = closes.clone();
            column.set(today, self.levels[name]);
            column
        };
        let subject = match subject.split_once('/') {
            Some((above, below)) => column(above).over(&column(below)),
            None => column(subject),
        };
        let is_kept = |day: &Day| !has_sessions || calendar::session_of_day(day.start()).is_some();
        let days: Vec<Day> = (0..730).rev().map(|back| today.plus(-back)).filter(is_kept).collect();
        let parameters = ComparisonParameters {
            frequency: Frequency::Daily,
            start: WindowStart::Lookback(LOOKBACK),
            end: today,
            periods_per_year: if has_sessions { SESSIONS_PER_YEAR } else { DAYS_PER_YEAR },
        };
        Comparer::new(&column(benchmark), &days, parameters).compare(&subject).expect("two years")
    }

    /// Processor time that the service's threads have used.
    pub fn service_time(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir("/proc/self/task").ok()?;
        let nanoseconds = tasks.filter_map(|task| {
            let task = task.ok()?.path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let times = std::fs::read_to_string(task.join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<u64>().ok().filter(|_| name.trim() == SERVICE_THREADS)
        });
        Some(Duration::from_nanos(nanoseconds.sum()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.services.drain.cancel();
        for runtime in [self.client.take(), self.service.take()].into_iter().flatten() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Told {
    /// Resets the counts.
    pub fn reset(&mut self) {
        (self.delivered, self.conflated) = (0, 0);
        self.lags.clear();
        self.applied.clear();
    }

    fn hear(&mut self, frame: v1::WatchComparisonsResponse) {
        let now = Instant::now();
        self.conflated += frame.conflated_count.unsigned_abs();
        for comparison in frame.comparisons {
            self.delivered += 1;
            let applied = comparison.revision.and_then(|revision| self.applied.get(&revision));
            self.lags.extend(applied.map(|at| now.duration_since(*at)));
            self.newest.insert((comparison.benchmark.clone(), comparison.subject.clone()), comparison);
        }
    }
}

fn is_same(comparison: &v1::Comparison, figures: &ComparisonFigures) -> bool {
    let is_near = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * (1.0 + other.abs()),
        (one, other) => one == other,
    };
    let some = Some::<f64>;
    comparison.observation_count == figures.observation_count as i32
        && is_near(comparison.subject_return_percent, some(figures.subject_return_percent))
        && is_near(comparison.benchmark_return_percent, some(figures.benchmark_return_percent))
        && is_near(comparison.relative_strength_percent, some(figures.relative_strength_percent))
        && is_near(comparison.correlation, figures.correlation)
        && is_near(comparison.beta, figures.beta)
        && is_near(comparison.alpha_annualized_percent, figures.alpha_annualized_percent)
        && is_near(comparison.tracking_error_percent, some(figures.tracking_error_percent))
        && is_near(comparison.max_drawdown_subject_percent, some(figures.max_drawdown_subject_percent))
}

fn key(body: &Body) -> Key {
    match body {
        Body::Index(index) => Key::Index(index.index.clone()),
        Body::Price(price) => Key::Price(price.asset_id.clone()),
        _ => unreachable!("only prices and indices here"),
    }
}

fn state(body: Body, now: Timestamp) -> State {
    let budget = Duration::from_secs(3_600);
    State { event_time: now, receive_time: now, publish_time: now, budget, simulated: true, body }
}

fn index(name: &str, level: Decimal) -> IndexSnapshot {
    let code = IndexCode::parse(name).expect("an index");
    let methodology = IndexMethodology::observed("", "yahoo", IndexCalendar::NewYork);
    IndexSnapshot { level: Some(level), ..IndexSnapshot::empty(code, methodology, MarketSession::Open) }
}

fn snapshot(asset: &str, price: Decimal) -> PriceSnapshot {
    PriceSnapshot {
        asset_id: AssetId::parse(asset).expect("an id"),
        asset: AssetCode::parse(asset).expect("a ticker"),
        name: None,
        price: Some(price),
        change_1h_percent: None,
        change_24h_percent: None,
        change_7d_percent: None,
        change_30d_percent: None,
        change_ytd_percent: None,
        high_24h: None,
        low_24h: None,
        high_7d: None,
        low_7d: None,
        range_24h_percent: None,
        volatility_24h_percent: None,
        volatility_30d_annualized_percent: None,
        rsi_14d: None,
        volume_24h: None,
        market_cap: None,
        market_cap_rank: None,
        circulating_supply: None,
        all_time_high: None,
        categories: Vec::new(),
        aggregation: Aggregation {
            method: AggregationMethod::SingleVenue,
            venue_count: 1,
            candidate_count: 1,
            required_venue_count: 1,
            dispersion_percent: None,
            outlier_limit_percent: None,
            contributions: Vec::new(),
        },
        derivations: Vec::new(),
    }
}
