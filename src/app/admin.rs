//! The admin port: probes, metrics and a status page, over HTTP.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::security::FileReloads;
use crate::security::{Guard, ServerTls};
use crossmarket_clock::Clock;
use crossmarket_collector::lease::Leading;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{Body, FeedStatus, PriceSnapshot};
use crossmarket_image::{Collection, Image, Item};
use crossmarket_telemetry::exposition;

/// Assets on the status page at most.
const STATUS_ASSETS_MAX: usize = 25;

/// What the admin port reads.
#[derive(Clone)]
pub struct Admin {
    /// The live image.
    pub image: Arc<Image>,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the process begins to shut down.
    pub drain: CancellationToken,
    /// True when the process runs on simulated venues.
    pub simulated: bool,
    /// True when the process answers gRPC, for which a fresh price is needed.
    pub serves: bool,
    /// Which parts of the service the process runs, as a label: `all`, `server` or `collector`.
    pub role: &'static str,
    /// Which shards it leads; `None` when it does not collect.
    pub leading: Option<Leading>,
    /// The certificates of the gRPC port; `None` without TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// What becomes of files that change meanwhile.
    pub reloads: Arc<FileReloads>,
    /// What decides about calls; `None` when the process answers none.
    pub guard: Option<Guard>,
    /// Whether the status page is offered.
    pub status_page: bool,
    /// When the process started, by the system's clock.
    pub started: Timestamp,
}

impl Admin {
    /// The port's routes.
    pub fn router(self) -> Router {
        let probes = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics));
        let router = if self.status_page { probes.route("/", get(status)) } else { probes };
        router.with_state(self)
    }

    /// Whether clients may be sent here, or why not, as a line.
    pub(super) fn is_ready(&self, takes_stale: bool) -> Result<(), &'static str> {
        if self.drain.is_cancelled() {
            Err("draining\n")
        } else if !self.image.is_ready() {
            Err("the image is not loaded yet\n")
        } else if self.serves && !takes_stale && self.image.fresh_price_count() == 0 {
            Err("no price is fresh\n")
        } else {
            Ok(())
        }
    }

    pub(super) fn feeds(&self) -> Vec<Arc<Item>> {
        self.image.select(Collection::Feeds, |_| true)
    }
}

/// Ready is: the image is loaded, a price in it is fresh, and the process is not shutting down. `/readyz?stale=ok` asks for no fresh price, for those
/// who rather have marked old values than none: when all venues are silent, every replica is stale, and taking them all out helps nobody. Nor is
/// one asked for where no gRPC is answered: another collector would hear no more of the venues.
async fn ready(Shared(admin): Shared<Admin>, RawQuery(query): RawQuery) -> (StatusCode, &'static str) {
    let takes_stale = query.as_deref() == Some("stale=ok");
    match admin.is_ready(takes_stale) {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn metrics(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition::text(&super::metrics::page(&admin)))
}

async fn status(Shared(admin): Shared<Admin>) -> Html<String> {
    let mut page = String::from(
        "<!doctype html><meta charset=utf-8><title>crossmarket</title><style>body{font:14px sans-serif;margin:2em}\
         td,th{padding:.2em .8em;text-align:left}.DOWN{color:#b00}.note{background:#fe9;padding:.5em}</style><h1>crossmarket</h1>",
    );
    if admin.simulated {
        page +=
            "<p class=note><b>Simulated data.</b> This process runs on simulated venues; no figure here is real.</p>";
    }
    // Writing to a string does not fail.
    let _ = write!(page, "<p>{} UTC, {} fresh prices", admin.clock.now(), admin.image.fresh_price_count());
    page += "<h2>Feeds</h2><table><tr><th>venue<th>feed<th>state<th>age s<th>observations<th>errors<th>last error</tr>";
    for item in admin.feeds() {
        if let Some(feed) = feed_of(&item) {
            feed_row(&mut page, feed, admin.clock);
        }
    }
    page += "</table><h2>Largest assets</h2><table><tr><th>rank<th>asset<th>price USD<th>24h %<th>venues<th>state</tr>";
    let mut prices = admin.image.select(Collection::Prices, |item| {
        price_of(item).is_some_and(|price| price.market_cap_rank.is_some_and(|rank| rank as usize <= STATUS_ASSETS_MAX))
    });
    prices.sort_by_key(|item| price_of(item).and_then(|price| price.market_cap_rank));
    for item in prices.iter().take(STATUS_ASSETS_MAX) {
        if let Some(price) = price_of(item) {
            price_row(&mut page, price, item);
        }
    }
    page += "</table>";
    Html(page)
}

fn feed_row(page: &mut String, feed: &FeedStatus, clock: Clock) {
    let state = format!("{:?}", feed.state).to_uppercase();
    let age = feed.last_success.map_or("–".to_owned(), |time| clock.now().since(time).as_secs().to_string());
    let error = feed.last_error.as_ref().map_or("", |(_, _, text)| text.as_str());
    let _ = write!(
        page,
        "<tr class={state}><td>{}<td>{}<td>{state}<td>{age}<td>{}<td>{}<td>{}</tr>",
        feed.venue,
        feed.feed,
        feed.observation_count,
        feed.error_count,
        escaped(error)
    );
}

fn price_row(page: &mut String, price: &PriceSnapshot, item: &Item) {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    let _ = write!(
        page,
        "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{:?}</tr>",
        price.market_cap_rank.unwrap_or_default(),
        escaped(price.asset.as_str()),
        price.price.map_or("–".to_owned(), |price| price.normalized().to_string()),
        number(price.change_24h_percent),
        price.aggregation.venue_count,
        item.freshness
    );
}

pub(super) fn feed_of(item: &Item) -> Option<&FeedStatus> {
    match &item.state.body {
        Body::Feed(feed) => Some(feed),
        _ => None,
    }
}

fn price_of(item: &Item) -> Option<&PriceSnapshot> {
    match &item.state.body {
        Body::Price(price) => Some(price),
        _ => None,
    }
}

/// Venues' texts end up here: tickers may hold anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
