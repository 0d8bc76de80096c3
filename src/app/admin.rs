//! The admin port: probes, metrics and a status page, over HTTP.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

use super::process_view::{ProcessView, feed_of};
use crossmarket_clock::Clock;
use crossmarket_domain::state::{Body, FeedStatus, PriceSnapshot};
use crossmarket_image::{Collection, Item};
use crossmarket_telemetry::exposition;

/// Maximum number of assets on the status page.
const STATUS_ASSETS_MAX: usize = 25;

pub(super) fn router(view: ProcessView, status_page: bool) -> Router {
    let probes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    let router = if status_page { probes.route("/", get(status)) } else { probes };
    router.with_state(view)
}

/// Ready means: the image is loaded, it has a fresh price, and the process is not shutting down. `/readyz?stale=ok`
/// does not require a fresh price, for operators who prefer old values, marked as such, to none. When all venues are
/// silent, every replica is stale, and taking them all out of service helps nobody. A process without gRPC does not
/// require a fresh price either: another collector would receive no more from the venues.
async fn ready(Shared(view): Shared<ProcessView>, RawQuery(query): RawQuery) -> (StatusCode, &'static str) {
    let takes_stale = query.as_deref() == Some("stale=ok");
    match view.is_ready(takes_stale) {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn metrics(Shared(view): Shared<ProcessView>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition::text(&super::metrics::page(&view)))
}

async fn status(Shared(view): Shared<ProcessView>) -> Html<String> {
    let mut page = String::from(
        "<!doctype html><meta charset=utf-8><title>crossmarket</title><style>body{font:14px sans-serif;margin:2em}\
         td,th{padding:.2em .8em;text-align:left}.DOWN{color:#b00}.note{background:#fe9;padding:.5em}</style><h1>crossmarket</h1>",
    );
    if view.simulated {
        page +=
            "<p class=note><b>Simulated data.</b> This process runs on simulated venues; no figure here is real.</p>";
    }
    // Writing to a string does not fail.
    let _ = write!(page, "<p>{} UTC, {} fresh prices", view.clock.now(), view.image.fresh_price_count());
    page += "<h2>Feeds</h2><table><tr><th>venue<th>feed<th>state<th>age s<th>observations<th>errors<th>last error</tr>";
    for item in view.feeds() {
        if let Some(feed) = feed_of(&item) {
            feed_row(&mut page, feed, view.clock);
        }
    }
    page += "</table><h2>Largest assets</h2><table><tr><th>rank<th>asset<th>price USD<th>24h %<th>venues<th>state</tr>";
    let mut prices = view.image.select(Collection::Prices, |item| {
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

fn price_of(item: &Item) -> Option<&PriceSnapshot> {
    match &item.state.body {
        Body::Price(price) => Some(price),
        _ => None,
    }
}

/// Escapes venue texts: a ticker may contain anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
