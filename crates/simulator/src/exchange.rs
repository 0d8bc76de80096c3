//! Shared parts of the simulated venues: state, faults and helpers for answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crossmarket_clock::Clock;
use crossmarket_domain::{CandleInterval, Timestamp};

use super::equity::Equities;
use super::listings::{Listing, ListingProfile, SimulatedListings, Ticker};
use super::market::{Market, start_time};
use super::options::SimulatorOptions;

/// One row of the registry of simulated venues.
pub struct SimulatedVenue {
    pub id: &'static str,
    /// The venue's markets. Handlers use the first one unless they name another. Empty for a market-cap listing.
    pub profiles: &'static [ListingProfile],
    pub router: fn() -> Router<Arc<Exchange>>,
    pub stream: Option<SimulatedStream>,
    /// The header with the weight used in the current minute.
    pub weight_header: Option<&'static str>,
    /// The venue's own scheduled outages.
    pub outages: Option<Outages>,
}

/// A venue's WebSocket.
#[derive(Clone, Copy)]
pub struct SimulatedStream {
    /// Begins a session at an address. Every path is accepted; it matters only where the venue gives it a meaning.
    pub open: fn(&Uri) -> Box<dyn StreamProtocol>,
    /// How often the server pings; the client has a minute for the pong.
    pub ping_every: Option<Duration>,
    /// The server closes the connection after this much silence on both sides.
    pub silence_max: Option<Duration>,
    /// The server disconnects a client that sends more messages per second than this.
    pub messages_per_second_max: u32,
}

/// One session's side of a venue's protocol.
pub trait StreamProtocol: Send {
    /// Returns the answers to a text frame.
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String>;

    /// Returns what to send. Called once a simulated second.
    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String>;
}

/// A venue that goes down and comes back, by the simulated clock.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    /// From the start to the first outage.
    pub first: Duration,
    /// Duration of each outage.
    pub length: Duration,
    /// From the beginning of one outage to the beginning of the next.
    pub every: Duration,
}

/// A running simulated venue.
pub struct Exchange {
    pub(crate) venue: &'static SimulatedVenue,
    pub market: Arc<Market>,
    pub equities: Arc<Equities>,
    pub(crate) clock: Clock,
    listings: Vec<SimulatedListings>,
    pub(crate) stop: CancellationToken,
    outages: Option<Outages>,
    fault: Mutex<Fault>,
    used_weight: Mutex<(i64, u64)>,
    serial: AtomicU64,
}

/// Faults that a test has requested.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fault {
    /// Answer every request with this status until the given time.
    pub failing: Option<(StatusCode, Timestamp)>,
    /// Answer with truncated JSON until the given time.
    pub garbage_until: Option<Timestamp>,
    /// Wait this long before every answer.
    pub delay: Option<Duration>,
}

/// The query of a request.
pub type Params = Query<HashMap<String, String>>;

impl Exchange {
    pub(crate) fn new(
        venue: &'static SimulatedVenue,
        market: Arc<Market>,
        equities: Arc<Equities>,
        options: SimulatorOptions,
        stop: CancellationToken,
    ) -> Self {
        let clock = options.clock;
        let outages = venue.outages.filter(|_| options.outages);
        let listings = venue.profiles.iter().map(|profile| profile.listings(&market)).collect();
        let (fault, used_weight, serial) = (Mutex::default(), Mutex::default(), AtomicU64::new(1));
        Self { venue, market, equities, clock, listings, outages, stop, fault, used_weight, serial }
    }

    /// The venue's id.
    pub fn id(&self) -> &'static str {
        self.venue.id
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The venue's first market, or an empty one if it has none.
    pub fn listings(&self) -> &SimulatedListings {
        self.listings_at(0)
    }

    /// One of the venue's markets.
    pub fn listings_at(&self, position: usize) -> &SimulatedListings {
        static NONE: std::sync::LazyLock<SimulatedListings> = std::sync::LazyLock::new(SimulatedListings::default);
        self.listings.get(position).unwrap_or(&NONE)
    }

    /// The tickers of the listings that already trade.
    pub fn tickers<'a>(&'a self, listings: impl IntoIterator<Item = &'a Listing>) -> Vec<(&'a Listing, Ticker)> {
        let now = self.now();
        let listings = listings.into_iter().filter(|listing| listing.trades(&self.market, now));
        listings.map(|listing| (listing, listing.ticker(&self.market, now))).collect()
    }

    /// A number that has not been used before.
    pub fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn set_fault(&self, change: impl FnOnce(&mut Fault)) {
        change(&mut self.fault.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status of every answer at a time, during a requested failure or a scheduled outage.
    pub(crate) fn failing(&self, now: Timestamp) -> Option<StatusCode> {
        let ordered = self.fault().failing.filter(|(_, until)| now < *until).map(|(status, _)| status);
        let own = self.outages.filter(|outages| outages.is_down(now)).map(|_| StatusCode::SERVICE_UNAVAILABLE);
        ordered.or(own)
    }

    /// Number of seconds that a requested failure still lasts.
    fn retry_after(&self, now: Timestamp) -> Option<u64> {
        let (_, until) = self.fault().failing.filter(|(_, until)| now < *until)?;
        Some(until.since(now).as_secs())
    }

    /// True while the venue answers with truncated JSON.
    pub(crate) fn is_garbled(&self, now: Timestamp) -> bool {
        self.fault().garbage_until.is_some_and(|until| now < until)
    }

    /// Counts a request and returns the weight used in the current minute.
    fn use_weight(&self, weight: u64) -> u64 {
        let minute = self.now().as_seconds().div_euclid(60);
        let mut used = self.used_weight.lock().unwrap_or_else(PoisonError::into_inner);
        if used.0 != minute {
            *used = (minute, 0);
        }
        used.1 += weight;
        used.1
    }
}

impl Outages {
    pub fn is_down(&self, now: Timestamp) -> bool {
        let first = start_time() + self.first;
        let since_first = now.since(first).as_millis();
        now >= first && since_first % self.every.as_millis().max(1) < self.length.as_millis()
    }
}

/// Applies the faults, and adds the rate-limit header to successful answers.
pub(super) async fn with_faults(State(exchange): State<Arc<Exchange>>, request: Request, next: Next) -> Response {
    if let Some(delay) = exchange.fault().delay {
        exchange.clock.sleep(delay).await;
    }
    let now = exchange.now();
    if let Some(status) = exchange.failing(now) {
        let reason = status.canonical_reason().unwrap_or("Error");
        let page = format!("<html><head><title>{status}</title></head><body><h1>{reason}</h1></body></html>");
        let mut response = answer(status, "text/html", page.into_bytes());
        if let Some(seconds) = exchange.retry_after(now).filter(|_| matches!(status.as_u16(), 418 | 429)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        return response;
    }
    let upgrades = request.headers().contains_key(header::UPGRADE);
    if exchange.is_garbled(now) && !upgrades {
        return answer(StatusCode::OK, "application/json", br#"{"code":"0","data":[{"symbol":"BTC"#.to_vec());
    }
    let is_for_all = request.uri().query().is_none_or(|query| !query.contains("symbol"));
    let mut response = next.run(request).await;
    if let Some(name) = exchange.venue.weight_header {
        let weight = if is_for_all { 80 } else { 2 };
        response.headers_mut().insert(name, HeaderValue::from(exchange.use_weight(weight)));
    }
    response
}

/// A 200 with JSON.
pub fn json(value: &Value) -> Response {
    json_with(StatusCode::OK, value)
}

/// JSON with another status.
pub fn json_with(status: StatusCode, value: &Value) -> Response {
    answer(status, "application/json", value.to_string().into_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A parameter that is a number.
pub fn number(params: &Params, name: &str) -> Option<i64> {
    params.get(name)?.parse().ok()
}

/// The `limit` parameter, clamped to what the venue allows.
pub fn limit(params: &Params, default: u32, max: u32) -> u32 {
    let asked = number(params, "limit").and_then(|limit| u32::try_from(limit).ok());
    asked.unwrap_or(default).clamp(1, max)
}

/// The interval among a venue's three spellings, for 5 minutes, an hour and a day.
pub fn interval(spelling: Option<&String>, spellings: [&str; 3]) -> Option<CandleInterval> {
    let position = spellings.iter().position(|candidate| spelling.is_some_and(|text| text == candidate))?;
    CandleInterval::ALL.get(position).copied()
}

/// The change from `open` to `last`, in per cent.
pub fn change_percent(last: f64, open: f64) -> f64 {
    (last / open - 1.0) * 100.0
}
