//! The plan at work: all six venues for an hour of simulated time, and the effect of a faulty venue on the others.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::long_short::feed::*;
use crate::transport::http::Fetch;
use crate::transport::rate_limit::RateLimiters;
use crossmarket_clock::Clock;
use crossmarket_domain::series::{LongShortSeriesNames, SeriesKey, SeriesKind};
use crossmarket_domain::state::FeedState;
use crossmarket_domain::{AssetId, LongShortKind};
use crossmarket_store::EmbeddedStore;
use crossmarket_venues::{self as venues, Response};

const VENUES: [&str; 6] = ["binance-usdm", "bybit", "okx", "bitget", "gate", "htx"];

const ASSET_COUNT: u32 = 500;

/// Response time of a venue.
const LATENCY: Duration = Duration::from_millis(40);

/// How a venue misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Error,
    Empty,
    OtherPeriod,
    /// Refuses one symbol that it no longer has.
    Delisted(&'static str),
}

/// A venue that answers in its own format, with a log of its requests and their times.
struct FakeVenue {
    id: &'static str,
    asset_count: u32,
    fault: Mutex<Fault>,
    clock: Clock,
    log: Mutex<Vec<(Instant, &'static str, u32, String)>>,
}

#[async_trait]
impl Fetch for FakeVenue {
    async fn get(&self, _: &str, request: &Request) -> Result<Response, VenueError> {
        let entry = (Instant::now(), request.scope, request.weight, request.path.clone());
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        tokio::time::sleep(LATENCY).await;
        let is_ratio = request.path.contains("eriod=") || request.path.contains("interval=");
        let (status, body) = match self.fault() {
            Fault::Error => (503, "<html>down</html>".to_owned()),
            Fault::Delisted(symbol) if is_ratio && value(&request.path, &SYMBOL_KEYS) == Some(symbol) => {
                (400, r#"{"code":-1121,"msg":"Invalid symbol.","label":"CONTRACT_NOT_FOUND"}"#.to_owned())
            }
            _ => (200, self.body(&request.path)),
        };
        Ok(Response { status, content_type: "application/json".into(), body: body.into(), ..Response::default() })
    }
}

const SYMBOL_KEYS: [&str; 4] = ["symbol", "instId", "contract", "contract_code"];
const PERIOD_KEYS: [&str; 2] = ["period", "interval"];

fn value<'p>(path: &'p str, keys: &[&str]) -> Option<&'p str> {
    let query = path.split_once('?')?.1;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| keys.contains(key)).map(|(_, value)| value)
}

/// Seconds of a period, in any venue's notation.
fn seconds(word: &str) -> i64 {
    match word {
        "5m" | "5min" => 300,
        "15m" | "15min" => 900,
        "30m" | "30min" => 1_800,
        "1h" | "1H" | "60min" => 3_600,
        "4h" | "4H" | "4hour" => 14_400,
        _ => 86_400,
    }
}

impl FakeVenue {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn symbol(&self, number: u32) -> String {
        match self.id {
            "okx" => format!("A{number}X-USDT-SWAP"),
            "gate" => format!("A{number}X_USDT"),
            "htx" => format!("A{number}X-USDT"),
            _ => format!("A{number}XUSDT"),
        }
    }

    fn listed(&self, row: impl Fn(&str) -> String) -> String {
        (1..=self.asset_count).map(|number| row(&self.symbol(number))).collect::<Vec<_>>().join(",")
    }

    /// Rows of the newest times within the requested range, oldest first. An empty venue returns none, and one that
    /// mixes up periods always returns rows two hours apart.
    fn rows(&self, path: &str, row: impl Fn(i64) -> String) -> Vec<String> {
        let asked = value(path, &PERIOD_KEYS).map_or(3_600, seconds);
        let length = if self.fault() == Fault::OtherPeriod { 7_200 } else { asked };
        let number = |key: &str| value(path, &[key]).and_then(|text| text.parse::<i64>().ok());
        let limit = if number("startTime").is_some() { 500 } else { 30 };
        let count = if self.fault() == Fault::Empty { 0 } else { number("limit").unwrap_or(30).min(limit) };
        let end = number("endTime").map_or(i64::MAX, |end| end / 1_000).min(self.clock.now().as_seconds());
        let start = number("startTime").map_or(i64::MIN, |start| start / 1_000);
        let newest = end.div_euclid(length) * length;
        (0..count).rev().map(|back| newest - back * length).filter(|at| *at >= start).map(row).collect()
    }

    fn body(&self, path: &str) -> String {
        let symbol = value(path, &SYMBOL_KEYS).unwrap_or_default();
        let now = self.clock.now().as_millis();
        match self.id {
            "binance-usdm" if path.contains("ticker/24hr") => {
                format!("[{}]", self.listed(|symbol| format!(r#"{{"symbol":"{symbol}","lastPrice":"1"}}"#)))
            }
            "binance-usdm" if path.contains("openInterest") => {
                format!(r#"{{"openInterest":"10","symbol":"{symbol}","time":{now}}}"#)
            }
            "binance-usdm" => {
                let rows = self.rows(path, |at| {
                    format!(r#"{{"symbol":"{symbol}","longAccount":"0.6","shortAccount":"0.4","longShortRatio":"1.5","timestamp":{at}000}}"#)
                });
                format!("[{}]", rows.join(","))
            }
            "bybit" if path.contains("tickers") => {
                let list = self.listed(|symbol| {
                    format!(r#"{{"symbol":"{symbol}","openInterest":"10","openInterestValue":"20"}}"#)
                });
                format!(r#"{{"retCode":0,"result":{{"category":"linear","list":[{list}]}},"time":{now}}}"#)
            }
            "bybit" => {
                let mut rows = self.rows(path, |at| {
                    format!(r#"{{"symbol":"{symbol}","buyRatio":"0.6","sellRatio":"0.4","timestamp":"{at}000"}}"#)
                });
                rows.reverse();
                format!(r#"{{"retCode":0,"result":{{"list":[{}]}},"time":{now}}}"#, rows.join(","))
            }
            "okx" if path.contains("open-interest") => {
                let list = self.listed(|symbol| {
                    format!(r#"{{"instId":"{symbol}","oi":"10","oiCcy":"1","oiUsd":"5","ts":"{now}"}}"#)
                });
                format!(r#"{{"code":"0","data":[{list}]}}"#)
            }
            "okx" => {
                let volume = path.contains("taker-volume");
                let figures = if volume { r#""20","30""# } else { r#""1.5""# };
                let mut rows = self.rows(path, |at| format!(r#"["{at}000",{figures}]"#));
                rows.reverse();
                format!(r#"{{"code":"0","data":[{}]}}"#, rows.join(","))
            }
            "bitget" if path.contains("tickers") => {
                let list = self.listed(|symbol| {
                    format!(r#"{{"category":"USDT-FUTURES","symbol":"{symbol}","openInterest":"5","ts":"{now}"}}"#)
                });
                format!(r#"{{"code":"00000","data":[{list}]}}"#)
            }
            "bitget" => {
                let sides = match path {
                    path if path.contains("account") => ("longAccountRatio", "shortAccountRatio"),
                    path if path.contains("position") => ("longPositionRatio", "shortPositionRatio"),
                    _ => ("buyVolume", "sellVolume"),
                };
                let rows =
                    self.rows(path, |at| format!(r#"{{"{}":"0.6","{}":"0.4","ts":"{at}000"}}"#, sides.0, sides.1));
                format!(r#"{{"code":"00000","data":[{}]}}"#, rows.join(","))
            }
            "gate" if path.contains("tickers") => {
                format!("[{}]", self.listed(|symbol| format!(r#"{{"contract":"{symbol}","total_size":"7"}}"#)))
            }
            "gate" => {
                let rows = self.rows(path, |at| {
                    format!(r#"{{"time":{at},"lsr_account":1.5,"lsr_taker":1,"top_lsr_account":2,"top_lsr_size":"1.2","open_interest":"7","open_interest_usd":70}}"#)
                });
                format!("[{}]", rows.join(","))
            }
            _ if path.contains("open_interest") => {
                let list = self.listed(|symbol| format!(r#"{{"contract_code":"{symbol}","amount":5,"value":10}}"#));
                format!(r#"{{"status":"ok","ts":{now},"data":[{list}]}}"#)
            }
            _ => {
                let rows = self.rows(path, |at| format!(r#"{{"buy_ratio":0.54,"sell_ratio":0.36,"ts":{at}000}}"#));
                let list = rows.join(",");
                format!(
                    r#"{{"status":"ok","ts":{now},"data":{{"list":[{list}],"symbol":"A","contract_code":"{symbol}"}}}}"#
                )
            }
        }
    }
}

/// One running venue.
struct Running {
    venue: Arc<FakeVenue>,
    link: VenueLink,
    ratios: Arc<FeedMonitor>,
    open_interest: Arc<FeedMonitor>,
    perpetuals: watch::Receiver<Arc<[RatioInstrument]>>,
}

/// Starts venues; drains their events and counts them by venue and feed.
struct Bench {
    running: Vec<Running>,
    clock: Clock,
    stop: CancellationToken,
    counts: Arc<Mutex<BTreeMap<(u16, bool), usize>>>,
    events: mpsc::Sender<CollectorEvent>,
}

impl Bench {
    fn start(asset_count: u32, faults: impl Fn(&str) -> Fault) -> Self {
        let clock = Clock::simulated(Timestamp::from_seconds(1_768_478_400 - 400), 1.0);
        let stop = CancellationToken::new();
        let (events, mut receiver) = mpsc::channel(16);
        let target = |number: u32| Target {
            asset: AssetId::parse(&format!("a{number}x")).expect("an id"),
            instruments: Vec::new(),
            codes: (0..VENUES.len() as u16).map(|venue| (venue, format!("A{number}X").into())).collect(),
        };
        let (sender, targets) = watch::channel::<Arc<[Target]>>((1..=asset_count).map(target).collect());
        let mut running = Vec::new();
        for (id, index) in VENUES.into_iter().zip(0u16..) {
            let venue = venues::find(id).expect("registered");
            let fake =
                Arc::new(FakeVenue { id, asset_count, fault: Mutex::new(faults(id)), clock, log: Mutex::default() });
            let limiters = RateLimiters::new(venue.id(), venue.profile().limits, 1, clock);
            let fetcher: Arc<dyn Fetch> = Arc::clone(&fake) as _;
            let (rest_url, redirected) = ("http://localhost".into(), true);
            let budgets_of_link = limiters.clone();
            let link = VenueLink {
                index,
                venue,
                rest_url,
                redirected,
                limiters: budgets_of_link,
                api_key: None,
                fetcher,
                clock,
            };
            let monitor = |feed| {
                let interval = Duration::from_secs(300);
                Arc::new(FeedMonitor::new(venue.id(), feed, interval, true, false, limiters.clone(), clock))
            };
            let (ratios, open_interest) = (monitor(Feed::LongShortRatios), monitor(Feed::OpenInterest));
            let (instruments, perpetuals) = watch::channel::<Arc<[RatioInstrument]>>(Arc::from([]));
            let feed = LongShortFeed {
                link: link.clone(),
                ratios: Arc::clone(&ratios),
                open_interest: Arc::clone(&open_interest),
                events: events.clone(),
                instruments,
                simulated: false,
                seed: u64::from(index),
            };
            tokio::spawn(feed.run(targets.clone(), stop.clone()));
            running.push(Running { venue: fake, link, ratios, open_interest, perpetuals });
        }
        let counts: Arc<Mutex<BTreeMap<(u16, bool), usize>>> = Arc::default();
        let counted = Arc::clone(&counts);
        tokio::spawn(async move {
            let _held = sender;
            while let Some(message) = receiver.recv().await {
                let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                match message {
                    CollectorEvent::LongShort(answer) => {
                        *counted.entry((answer.venue_index, true)).or_default() += answer.observations.len()
                    }
                    CollectorEvent::Observed(observed) => {
                        *counted.entry((observed.venue_index, false)).or_default() += observed.observations.len();
                    }
                    _ => {}
                }
            }
        });
        Self { running, clock, stop, counts, events }
    }

    /// Fills the history of all venues into a store.
    fn fill_past(&self, store: &Arc<dyn Store>) {
        let venues = self.running.iter().map(|running| RatioBackfillVenue {
            link: running.link.clone(),
            monitor: Arc::clone(&running.ratios),
            instruments: running.perpetuals.clone(),
        });
        let past = RatioBackfill {
            venues: venues.collect(),
            store: Arc::clone(store),
            events: self.events.clone(),
            clock: self.clock,
            simulated: false,
            asks: true,
        };
        tokio::spawn(past.run(self.stop.clone()));
    }

    fn set_faults(&self, fault: Fault) {
        for Running { venue, .. } in &self.running {
            *venue.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        }
    }

    /// Polls the feeds that share scopes with the ratios, as often as the collector does.
    fn load_others(&self) {
        for Running { link, .. } in &self.running {
            let (link, stop) = (link.clone(), self.stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    for request in link.venue.requests(Feed::Tickers, &[], &RequestOptions::default()) {
                        let _ = link.ask(Feed::Tickers, &request).await;
                    }
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
        }
    }

    fn count(&self, index: u16, ratios: bool) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&(index, ratios)).copied().unwrap_or(0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_all_venues_stays_within_every_window() {
    let bench = Bench::start(ASSET_COUNT, |_| Fault::None);
    bench.load_others();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    bench.stop.cancel();
    for Running { venue, link, ratios, .. } in &bench.running {
        let log = venue.log.lock().unwrap_or_else(PoisonError::into_inner);
        for limit in link.venue.profile().limits {
            let of_scope: Vec<(Instant, u32)> = log
                .iter()
                .filter(|(_, scope, ..)| *scope == limit.scope)
                .map(|(at, _, weight, _)| (*at, *weight))
                .collect();
            let (mut first, mut in_window, mut most) = (0, 0, 0);
            for (at, weight) in &of_scope {
                in_window += weight;
                while at.duration_since(of_scope[first].0) > limit.window {
                    in_window -= of_scope[first].1;
                    first += 1;
                }
                most = most.max(in_window);
            }
            assert!(most <= limit.limit, "{}:{}: {most} in a window of {}", venue.id, limit.scope, limit.limit);
            println!("{}:{}: at most {most} of {} in {:?}", venue.id, limit.scope, limit.limit, limit.window);
        }
        // Every asset has its hourly ratios in every kind, and the first two hundred also have 5-minute ratios.
        let symbols = |word: &str| {
            let of_period = log
                .iter()
                .filter(|(.., path)| value(path, &PERIOD_KEYS).is_some_and(|asked| seconds(asked) == seconds(word)));
            of_period.filter_map(|(.., path)| value(path, &SYMBOL_KEYS)).collect::<BTreeSet<_>>().len()
        };
        assert_eq!((symbols("1h"), symbols("5m")), (500, 200), "{}", venue.id);
        let status = ratios.status();
        assert_eq!((status.instrument_count, status.resolved_count), (500, 500), "{}", venue.id);
        assert_eq!(status.state, FeedState::Ok, "{}", venue.id);
        assert!(
            status.plan.len() >= 3 && status.plan.iter().all(|tier| tier.milliweight_per_minute > 0),
            "{}",
            venue.id
        );
        let five_minutes = log.iter().filter(|(.., path)| {
            value(path, &SYMBOL_KEYS) == Some(venue.symbol(1).as_str())
                && value(path, &PERIOD_KEYS).is_some_and(|asked| seconds(asked) == 300)
        });
        let per_round = if venue.id == "gate" { 1 } else { link.venue.profile().long_short_kinds.len() };
        let rounds = five_minutes.count() / per_round;
        assert!((11..=14).contains(&rounds), "{}: {rounds} rounds of five minutes in an hour", venue.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_misbehaves_is_counted_and_holds_up_nobody() {
    let bench = Bench::start(ASSET_COUNT, |id| match id {
        "binance-usdm" => Fault::Delisted("A1XUSDT"),
        "okx" => Fault::Error,
        "bitget" => Fault::Empty,
        "gate" => Fault::OtherPeriod,
        _ => Fault::None,
    });
    tokio::time::sleep(Duration::from_secs(900)).await;
    let status = |id: &str| {
        let place = VENUES.iter().position(|known| *known == id).expect("known");
        (bench.running[place].ratios.status(), bench.count(place as u16, true), bench.count(place as u16, false))
    };
    let rejections = |id: &str, reason: &str| {
        status(id).0.rejections.iter().find(|(known, _)| known == reason).map_or(0, |(_, count)| *count)
    };
    for id in ["bybit", "htx", "binance-usdm"] {
        let (feed, ratios, _) = status(id);
        assert_eq!(feed.state, FeedState::Ok, "{id}: {feed:?}");
        assert!(ratios > 1_000, "{id}: {ratios}");
    }
    assert!(rejections("binance-usdm", "refused_by_venue") >= 4, "{:?}", status("binance-usdm").0.rejections);
    let (feed, ratios, interests) = status("okx");
    assert_eq!((feed.state, ratios, interests), (FeedState::Down, 0, 0), "{feed:?}");
    assert!(feed.error_count > 0);
    let (feed, ratios, _) = status("bitget");
    assert_eq!(ratios, 0);
    assert!(rejections("bitget", "not_answered") > 100, "{:?}", feed.rejections);
    let (_, ratios, interests) = status("gate");
    assert_eq!(ratios, 0);
    assert!(rejections("gate", "other_period") > 100 && interests > 0);
    assert_eq!(bench.running[0].open_interest.status().state, FeedState::Ok);
    assert!(bench.clock.now() > Timestamp::from_seconds(1_768_478_400));
    bench.stop.cancel();
}

/// Number of stored 5-minute readings of a series within the last `hours`.
async fn stored(store: &Arc<dyn Store>, venue: Option<&str>, now: Timestamp, hours: u32) -> usize {
    let names = LongShortSeriesNames::of(LongShortKind::GlobalAccount, Period::FiveMinutes, venue);
    let key = SeriesKey { subject: "id:a1x".into(), kind: SeriesKind::Sampled(names.long_share) };
    let until = now.floor_to(Period::FiveMinutes.duration());
    store.points(&key, until - Duration::from_secs(3_600) * hours, until).await.expect("a store in memory").len()
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_left_out_is_filled_when_it_is_over() {
    let bench = Bench::start(2, |id| if id == "bybit" { Fault::Error } else { Fault::None });
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory().expect("a store"));
    bench.fill_past(&store);
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    let now = bench.clock.now();
    assert_eq!(stored(&store, Some("binance-usdm"), now, 48).await, 48 * 12 - 24, "the past as of the start");
    assert_eq!(stored(&store, Some("bybit"), now, 48).await, 0, "a venue that was down from the start");

    bench.set_faults(Fault::None);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let now = bench.clock.now();
    assert!(stored(&store, Some("bybit"), now, 48).await >= 47 * 12, "it is asked for all of it when it answers");

    bench.set_faults(Fault::Error);
    tokio::time::sleep(Duration::from_secs(6 * 3_600)).await;
    assert!(stored(&store, Some("binance-usdm"), bench.clock.now(), 6).await <= 12, "nothing comes in an outage");
    bench.set_faults(Fault::None);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let now = bench.clock.now();
    for venue in [Some("binance-usdm"), Some("bybit"), None] {
        assert!(
            stored(&store, venue, now, 12).await >= 11 * 12,
            "{venue:?}: no gap is left but what the feed itself stores"
        );
    }
    bench.stop.cancel();
}
