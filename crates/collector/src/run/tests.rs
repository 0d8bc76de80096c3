//! The collector as a whole, against venues on loopback and an in-memory store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::get;

use super::*;
use crate::history::candles::series_key;
use crate::history::import::{BackfillProgress, backfill};

use crossmarket_domain::index::Subject;
use crossmarket_domain::observation::{MarketCap, Ticker};
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{Body, Epoch, FeedState, FeedStatus, Key, PriceSnapshot, Revision, State};
use crossmarket_domain::{
    AssetCode, AssetId, Candle, CandleInterval, Decimal, Observation, Payload, Timestamp, TraceContext, VenueId,
};
use crossmarket_store::{Bootstrap, SeriesInfo, ShardId, StoreError, Tail, Update};
use crossmarket_venues::{
    Ask, FeedProfile, Parsed, Profile, RateLimit, Request, RequestOptions, Response, Unresolved, UnresolvedReason,
    VenueError,
};

/// A venue whose responses are lines: `SYMBOL PRICE VOLUME`, `id TICKER PRICE CAP CATEGORY`, `START PRICE`.
struct TestVenue(Profile);

static ALPHA: TestVenue = test_venue("alpha", &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles)]);
static BETA: TestVenue = test_venue("beta", &[FeedProfile::of(Feed::Tickers)]);
static DEAD: TestVenue = test_venue("dead", &[FeedProfile::of(Feed::Tickers)]);
static GARBAGE: TestVenue = test_venue("garbage", &[FeedProfile::of(Feed::Tickers)]);
static LISTING: TestVenue =
    test_venue("coingecko", &[FeedProfile::of(Feed::MarketCaps).every(60), FeedProfile::of(Feed::Categories)]);

const LIMITS: &[RateLimit] = &[RateLimit::of("weight", 1_000, 60)];

const fn test_venue(id: &'static str, feeds: &'static [FeedProfile]) -> TestVenue {
    let rest_url = "https://venue.example";
    TestVenue(Profile { id: VenueId(id), rest_url, feeds, limits: LIMITS, ..Profile::NONE })
}

impl Venue for TestVenue {
    fn profile(&self) -> &'static Profile {
        // Every one of these venues is a static.
        let all = [&ALPHA, &BETA, &DEAD, &GARBAGE, &LISTING];
        &all.into_iter().find(|venue| venue.0.id == self.0.id).expect("a test venue").0
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (base, quote) = symbol.split_once('-')?;
        Some(Instrument::spot(symbol, base, quote))
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{base}-{quote}"))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let interval = options.interval.map(CandleInterval::as_str).unwrap_or_default();
        let range = |time: Option<Timestamp>| time.map(Timestamp::as_seconds).unwrap_or_default();
        let query = asked.first().map_or_else(String::new, |instrument| {
            let (start, end) = (range(options.start), range(options.end));
            format!("?symbol={}&interval={interval}&start={start}&end={end}", instrument.symbol)
        });
        if feed == Feed::Candles && asked.is_empty() {
            return Vec::new();
        }
        let path = format!("/{}/{feed}{query}", self.0.id);
        let ask = Ask { interval: options.interval, ..Ask::about(feed, asked) };
        vec![Request { ask, path, host: None, scope: "weight", weight: 1 }]
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        match response.status {
            200 => {}
            429 => return Err(VenueError::RateLimited { retry_after: response.retry_after }),
            status => return Err(VenueError::Transient(smol_str::format_smolstr!("status {status}"))),
        }
        let text = std::str::from_utf8(&response.body).map_err(|_| VenueError::Malformed("not text".into()))?;
        let mut parsed = Parsed::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            match self.line(ask.feed, &ask.instruments, &fields) {
                Some(observation) => parsed.observations.push(observation),
                None => parsed.unresolved.push(Unresolved {
                    symbol: line.into(),
                    reason: UnresolvedReason::Malformed,
                    field: "",
                }),
            }
        }
        if parsed.observations.is_empty() && !parsed.unresolved.is_empty() {
            return Err(VenueError::Malformed("nothing readable".into()));
        }
        Ok(parsed)
    }
}

impl TestVenue {
    fn line(&self, feed: Feed, asked: &[Instrument], fields: &[&str]) -> Option<Observation> {
        let number = |index: usize| fields.get(index).and_then(|text| Decimal::parse(text).ok());
        let (instrument, payload) = match feed {
            Feed::Tickers => {
                let ticker = Ticker { last_price: Some(number(1)?), quote_volume_24h: number(2), ..Ticker::default() };
                (self.instrument(fields.first()?)?, Payload::Ticker(ticker))
            }
            Feed::Candles => {
                let start = Timestamp::from_seconds(fields.first()?.parse().ok()?);
                let price = number(1)?;
                let candle = Candle {
                    start,
                    open: price,
                    high: price,
                    low: price,
                    close: price,
                    base_volume: None,
                    quote_volume: None,
                };
                let interval = CandleInterval::parse(fields.get(2)?)?;
                (asked.first()?.clone(), Payload::Candle(interval, candle))
            }
            _ => {
                let row = MarketCap {
                    listing_id: (*fields.first()?).into(),
                    name: (*fields.first()?).into(),
                    price: number(2),
                    market_cap: number(3),
                    category: (feed == Feed::Categories).then(|| "layer-1".into()),
                    ..MarketCap::default()
                };
                let kind = crossmarket_domain::InstrumentKind::Listing;
                let instrument = Instrument { kind, ..Instrument::spot(*fields.first()?, *fields.get(1)?, "USD") };
                (instrument, Payload::MarketCap(Box::new(row)))
            }
        };
        Some(Observation { instrument, event_time: None, payload })
    }
}

/// What the loopback venues respond.
#[derive(Default)]
struct World {
    btc_price_cents: AtomicU64,
    limited_once: AtomicBool,
    beta_requests: Mutex<Vec<Instant>>,
    candle_requests: AtomicU32,
}

#[derive(serde::Deserialize)]
struct Range {
    interval: String,
    start: i64,
    end: i64,
}

async fn serve(world: Arc<World>) -> String {
    let router = Router::new()
        .route("/alpha/tickers", get(alpha))
        .route("/alpha/candles", get(candles))
        .route("/beta/tickers", get(beta))
        .route("/garbage/tickers", get(|| async { "<html>\n\u{fffd}" }))
        .route("/coingecko/market-caps", get(|| async { "bitcoin BTC 99 1900\nethereum ETH 33 400\nlonely LON 7 5" }))
        .route("/coingecko/categories", get(|| async { "bitcoin BTC 99 1900" }))
        .with_state(world);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn alpha(Shared(world): Shared<Arc<World>>) -> String {
    let cents = world.btc_price_cents.load(Ordering::Relaxed);
    let btc = format!("BTC-USD {}.{:02} 900", cents / 100, cents % 100);
    format!("{btc}\nETH-USD 33 10\nbroken line\nETH-BTC -1 5\nUSDT-USD 1 1000")
}

async fn beta(Shared(world): Shared<Arc<World>>) -> Answer {
    world.beta_requests.lock().expect("unpoisoned").push(Instant::now());
    if !world.limited_once.swap(true, Ordering::Relaxed) {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "").into_response();
    }
    "BTC-USDT 100.10 800".into_response()
}

/// At most 500 rows, the oldest of the range first.
async fn candles(Shared(world): Shared<Arc<World>>, Query(range): Query<Range>) -> String {
    world.candle_requests.fetch_add(1, Ordering::Relaxed);
    let interval = CandleInterval::parse(&range.interval).expect("known");
    let step = interval.duration().as_secs() as i64;
    let first = range.start.div_euclid(step) * step;
    let rows = (0..500).map(|row| first + row * step).take_while(|start| *start < range.end);
    rows.map(|start| format!("{start} 50 {}", interval.as_str())).collect::<Vec<_>>().join("\n")
}

/// An in-memory store that can be fenced off and made unavailable.
#[derive(Default)]
struct TestStore {
    states: Mutex<BTreeMap<Key, State>>,
    candles: Mutex<BTreeMap<SeriesKey, BTreeMap<Timestamp, Candle>>>,
    holder: AtomicU64,
    unavailable: AtomicBool,
    refuses_candles: AtomicBool,
    flushes: AtomicU32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("unpoisoned")
}

#[async_trait]
impl Store for TestStore {
    async fn open_writer(&self, shard: ShardId, _: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        // The cross-asset shard does not matter here.
        if shard > 0 {
            return Ok((1, 0));
        }
        Ok((self.holder.fetch_add(1, Ordering::Relaxed) + 1, 0))
    }

    async fn write(
        &self,
        shard: ShardId,
        epoch: Epoch,
        updates: Vec<Update>,
        _: Option<TraceContext>,
    ) -> Result<Revision, StoreError> {
        let holder = self.holder.load(Ordering::Relaxed);
        if shard == 0 && epoch < holder {
            return Err(StoreError::Fenced { epoch, holder });
        }
        if self.unavailable.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("switched off".into()));
        }
        let mut states = locked(&self.states);
        for (key, state) in updates {
            match state {
                Some(state) => states.insert(key, state),
                None => states.remove(&key),
            };
        }
        Ok(1)
    }

    async fn published(&self, _: ShardId, _: Epoch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn bootstrap(&self, _: ShardId) -> Result<Bootstrap, StoreError> {
        Ok(Bootstrap { epoch: 1, revision: 0, entries: Vec::new(), complete: true })
    }

    async fn tail(&self, _: ShardId, _: Epoch, _: Revision, _: Duration) -> Result<Tail, StoreError> {
        Ok(Tail::Gap)
    }

    async fn put_candles(&self, series: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        if self.refuses_candles.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("switched off".into()));
        }
        let mut all = locked(&self.candles);
        all.entry(series.clone()).or_default().extend(candles.iter().map(|candle| (candle.start, candle.clone())));
        Ok(())
    }

    async fn candles(&self, series: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        let all = locked(&self.candles);
        let held = all.get(series).map(|held| held.range(from..until).map(|(_, candle)| candle.clone()).collect());
        Ok(held.unwrap_or_default())
    }

    async fn put_points(&self, _: &SeriesKey, _: &[Point]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn points(&self, _: &SeriesKey, _: Timestamp, _: Timestamp) -> Result<Vec<Point>, StoreError> {
        Ok(Vec::new())
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        Ok(Vec::new())
    }

    async fn trim_series(&self, _: &SeriesKey, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl TestStore {
    fn price(&self, code: &str) -> Option<PriceSnapshot> {
        locked(&self.states).values().find_map(|state| match &state.body {
            Body::Price(snapshot) if snapshot.asset.as_str() == code => Some(snapshot.as_ref().clone()),
            _ => None,
        })
    }

    fn feed(&self, venue: &str, feed: Feed) -> Option<FeedStatus> {
        match locked(&self.states).get(&Key::Feed(venue.into(), feed))?.body.clone() {
            Body::Feed(status) => Some(*status),
            _ => None,
        }
    }
}

struct Fixture {
    world: Arc<World>,
    store: Arc<TestStore>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), CollectorError>>,
    started: Instant,
}

fn settings(base: &str, venues: &[&'static TestVenue]) -> CollectorSettings {
    let venue = |venue: &&'static TestVenue| VenueSettings {
        api_key: None,
        venue: *venue,
        rest_url: if venue.id() == VenueId("dead") { "http://127.0.0.1:9".to_owned() } else { base.to_owned() },
        ws_url: None,
        enabled: true,
        codes: Default::default(),
    };
    CollectorSettings {
        venues: venues.iter().map(venue).collect(),
        publish_interval: Duration::from_millis(20),
        ..CollectorSettings::default()
    }
}

/// The clock runs 20 times as fast as wall-clock time, so that schedules show.
async fn start(venues: &[&'static TestVenue]) -> Fixture {
    let world = Arc::new(World { btc_price_cents: AtomicU64::new(10_000), ..World::default() });
    let base = serve(Arc::clone(&world)).await;
    let store = Arc::new(TestStore::default());
    let stop = CancellationToken::new();
    let clock = Clock::simulated(Timestamp::parse("2026-01-15T12:00:00Z").expect("valid"), 20.0);
    let port: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let task = tokio::spawn(run(settings(&base, venues), None, port, Shards::default(), clock, stop.clone()));
    Fixture { world, store, stop, task, started: Instant::now() }
}

impl Fixture {
    async fn wait_until(&self, what: &str, condition: impl Fn(&TestStore) -> bool) {
        while !condition(&self.store) {
            assert!(self.started.elapsed() < Duration::from_secs(20), "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("ends well");
        assert!(self.store.flushes.load(Ordering::Relaxed) > 0);
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::parse(text).ok()
}

#[tokio::test]
async fn prices_come_at_once_and_a_dead_venue_harms_nobody() {
    let fixture = start(&[&DEAD, &GARBAGE, &ALPHA, &LISTING]).await;
    let price = |store: &TestStore| store.price("BTC").and_then(|snapshot| snapshot.price);
    fixture.wait_until("a first price", |store| price(store) == decimal("100.00")).await;
    assert!(fixture.started.elapsed() < Duration::from_secs(5), "first price after {:?}", fixture.started.elapsed());
    fixture.wait_until("a listed asset without a venue", |store| store.price("LON").is_some()).await;
    let lonely = fixture.store.price("LON").expect("published");
    assert_eq!(lonely.aggregation.method, crossmarket_domain::state::AggregationMethod::Listing);
    assert_eq!((lonely.price, lonely.market_cap), (decimal("7"), decimal("5")));
    fixture.wait_until("categories", |store| store.price("BTC").is_some_and(|btc| btc.categories == ["layer-1"])).await;
    let state = |venue: &'static str| move |store: &TestStore| store.feed(venue, Feed::Tickers).map(|feed| feed.state);
    fixture.wait_until("dead is down", |store| state("dead")(store) == Some(FeedState::Down)).await;
    fixture.wait_until("garbage is down", |store| state("garbage")(store) == Some(FeedState::Down)).await;
    let dead = fixture.store.feed("dead", Feed::Tickers).expect("published");
    assert_eq!(dead.last_error.map(|(_, _, text)| text.to_string()).as_deref(), Some("transient: could not connect"));
    // One broken entry and one negative price are counted, and do not affect the others.
    let alpha = fixture.store.feed("alpha", Feed::Tickers).expect("published");
    let reasons: Vec<_> = alpha.rejections.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["malformed", "negative"]);
    assert_eq!(fixture.store.price("ETH").and_then(|snapshot| snapshot.price), decimal("33"));
    fixture.end().await;
}

#[tokio::test]
async fn an_implausible_price_is_dropped_and_the_last_good_one_stays() {
    let fixture = start(&[&ALPHA]).await;
    let price = |store: &TestStore| store.price("BTC").and_then(|snapshot| snapshot.price);
    fixture.wait_until("a price", |store| price(store) == decimal("100.00")).await;
    for absurd in [0, 99_999_999_999_999_999] {
        fixture.world.btc_price_cents.store(absurd, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(price(&fixture.store), decimal("100.00"));
    }
    fixture.world.btc_price_cents.store(10_123, Ordering::Relaxed);
    fixture.wait_until("the next good price", |store| price(store) == decimal("101.23")).await;
    fixture
        .wait_until("counted reasons", |store| {
            let rejections = store.feed("alpha", Feed::Tickers).map(|feed| feed.rejections).unwrap_or_default();
            ["zero", "too_large"].iter().all(|reason| rejections.iter().any(|(name, _)| name == reason))
        })
        .await;
    fixture.end().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let fixture = start(&[&BETA]).await;
    fixture.wait_until("a price", |store| store.price("BTC").is_some()).await;
    fixture
        .wait_until("the status", |store| store.feed("beta", Feed::Tickers).is_some_and(|feed| feed.error_count > 0))
        .await;
    // One second by the clock, which runs at 20 times the speed.
    let requests = locked(&fixture.world.beta_requests).clone();
    assert!(requests[1] - requests[0] >= Duration::from_millis(50), "{requests:?}");
    fixture.end().await;
}

#[tokio::test]
async fn histories_are_filled_and_stored() {
    let fixture = start(&[&ALPHA, &LISTING]).await;
    fixture
        .wait_until("figures that rest on history", |store| {
            store.price("BTC").is_some_and(|btc| {
                btc.change_ytd_percent == Some(100.0)
                    && btc.change_30d_percent == Some(100.0)
                    && btc.change_7d_percent.is_some()
                    && btc.change_1h_percent.is_some()
                    && btc.rsi_14d.is_some()
                    && btc.volatility_24h_percent.is_some()
            })
        })
        .await;
    let btc = AssetId::parse("bitcoin").expect("valid");
    let key = series_key(&btc, CandleInterval::OneDay);
    fixture
        .wait_until("stored days", |store| locked(&store.candles).get(&key).is_some_and(|held| held.len() >= 400))
        .await;
    fixture
        .wait_until("the catalogue", |store| {
            matches!(locked(&store.states).get(&Key::Asset(btc.clone())).map(|state| &state.body),
                Some(Body::Asset(info)) if info.history_day_count >= 400 && info.instruments.len() == 1)
        })
        .await;
    fixture.end().await;
}

#[tokio::test]
async fn histories_that_the_store_did_not_take_are_stored_when_it_is_back() {
    let fixture = start(&[&ALPHA, &LISTING]).await;
    fixture.store.refuses_candles.store(true, Ordering::Relaxed);
    let has_history = |store: &TestStore| store.price("BTC").is_some_and(|btc| btc.change_ytd_percent.is_some());
    fixture.wait_until("history in memory", has_history).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(locked(&fixture.store.candles).is_empty());
    let requests = fixture.world.candle_requests.load(Ordering::Relaxed);
    fixture.store.refuses_candles.store(false, Ordering::Relaxed);
    let key = series_key(&AssetId::parse("bitcoin").expect("valid"), CandleInterval::OneDay);
    fixture
        .wait_until("stored days", |store| locked(&store.candles).get(&key).is_some_and(|held| held.len() >= 400))
        .await;
    let further = fixture.world.candle_requests.load(Ordering::Relaxed) - requests;
    assert!(further <= requests, "the venue is not asked for all of it again: {further} requests after {requests}");
    fixture.end().await;
}

#[tokio::test]
async fn a_fenced_writer_stops_and_competes_again() {
    let fixture = start(&[&ALPHA]).await;
    fixture.wait_until("a price", |store| store.price("BTC").is_some()).await;
    fixture.store.holder.store(77, Ordering::Relaxed);
    locked(&fixture.store.states).clear();
    fixture.wait_until("a lead in an epoch of its own", |store| store.holder.load(Ordering::Relaxed) == 78).await;
    let everything = |store: &TestStore| {
        store.price("BTC").is_some() && store.price("ETH").is_some() && store.feed("alpha", Feed::Tickers).is_some()
    };
    fixture.wait_until("everything published again", everything).await;
    fixture.end().await;
}

#[tokio::test]
async fn an_unavailable_store_gets_everything_when_it_is_back() {
    let fixture = start(&[&ALPHA]).await;
    fixture.wait_until("a price", |store| store.price("ETH").is_some()).await;
    fixture.store.unavailable.store(true, Ordering::Relaxed);
    fixture.world.btc_price_cents.store(10_500, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(800)).await;
    locked(&fixture.store.states).clear();
    fixture.store.unavailable.store(false, Ordering::Relaxed);
    fixture
        .wait_until("the newest price", |store| store.price("BTC").and_then(|btc| btc.price) == decimal("105.00"))
        .await;
    fixture.wait_until("the feed's state", |store| store.feed("alpha", Feed::Tickers).is_some()).await;
    fixture.end().await;
}

#[tokio::test]
async fn a_backfill_on_request_is_resumable() {
    let world = Arc::new(World::default());
    let base = serve(Arc::clone(&world)).await;
    let store = Arc::new(TestStore::default());
    let now = Timestamp::parse("2026-01-15T12:00:00Z").expect("valid");
    let since = Timestamp::parse("2020-01-01T00:00:00Z").expect("valid");
    let clock = Clock::simulated(now, 1.0);
    let btc = AssetId::parse("bitcoin").expect("valid");
    let codes = [(Subject::Asset(btc.clone()), AssetCode::parse("BTC").expect("valid"))];
    let mut told_counts = Vec::new();
    for _ in 0..2 {
        let reports = Mutex::new(Vec::new());
        let port: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let note = |progress: BackfillProgress| locked(&reports).push(progress);
        backfill(settings(&base, &[&ALPHA]), port, clock, since, &codes, note).await.expect("works");
        let reports = locked(&reports).clone();
        let last = reports.last().expect("told");
        assert_eq!((last.series_done, last.series_count, last.error.clone()), (3, 3, None));
        told_counts.push((reports.len(), world.candle_requests.swap(0, Ordering::Relaxed)));
    }
    let key = series_key(&btc, CandleInterval::OneDay);
    let held = locked(&store.candles).get(&key).cloned().expect("stored");
    assert_eq!(held.len() as u64, now.since(since).as_secs() / 86_400);
    assert!(told_counts[0].1 >= 8, "{told_counts:?}");
    assert_eq!(told_counts[1], (3, 0), "nothing is asked for twice");
}
