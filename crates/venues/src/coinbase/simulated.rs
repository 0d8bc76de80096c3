//! Coinbase Exchange: <https://docs.cdp.coinbase.com/exchange/reference/exchangerestapi_getproducts>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::exchange::{
    self, Exchange, Params, SimulatedStream, SimulatedVenue, StreamProtocol, interval, json_with,
};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Span, Ticker};
use crossmarket_simulator::socket::Subscriptions;

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "coinbase",
    profiles: &[ListingProfile {
        venue: "coinbase",
        volume_share: 0.035,
        side: 1.0,
        quote: "USD",
        further_pairs: &[("BTC", "EUR"), ("ETH", "EUR"), ("ETH", "BTC"), ("BTC", "USDT")],
        breadth: 0.35,
        is_perpetual: false,
        symbol: listings::hyphened,
        multiplier: listings::single,
    }],
    router,
    stream: Some(SimulatedStream {
        open: |_| Box::new(Session::default()),
        ping_every: None,
        silence_max: None,
        messages_per_second_max: 20,
    }),
    weight_header: None,
    outages: None,
};

const BARS_MAX: u32 = 300;

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/products", get(products))
        .route("/products/stats", get(all_stats))
        .route("/products/{id}/ticker", get(ticker))
        .route("/products/{id}/stats", get(stats))
        .route("/products/{id}/candles", get(candles))
}

fn error(status: StatusCode, message: &str) -> Response {
    json_with(status, &json!({"message": message}))
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "NotFound")
}

async fn products(State(exchange): State<Arc<Exchange>>, headers: HeaderMap) -> Response {
    if !headers.contains_key(header::USER_AGENT) {
        return error(StatusCode::BAD_REQUEST, "User-Agent header is required.");
    }
    let products = exchange.listings().listings.iter().map(|listing| {
        json!({
            "id": listing.symbol,
            "base_currency": listing.base,
            "quote_currency": listing.quote,
            "quote_increment": format!("{:.*}", listing.decimals, 0.1_f64.powi(listing.decimals as i32)),
            "base_increment": "0.00000001",
            "display_name": format!("{}/{}", listing.base, listing.quote),
            "status": "online",
            "status_message": "",
            "trading_disabled": false,
        })
    });
    exchange::json(&Value::Array(products.collect()))
}

async fn all_stats(State(exchange): State<Arc<Exchange>>) -> Response {
    let stats: Map<String, Value> = exchange
        .tickers(&exchange.listings().listings)
        .iter()
        .map(|(listing, ticker)| {
            let month = json!({"volume": month_volume(ticker)});
            (listing.symbol.clone(), json!({"stats_30day": month, "stats_24hour": day(listing, ticker)}))
        })
        .collect();
    exchange::json(&Value::Object(stats))
}

async fn stats(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>) -> Response {
    let tickers = exchange.tickers(exchange.listings().find(&id));
    let Some((listing, ticker)) = tickers.first() else { return not_found() };
    let mut value = day(listing, ticker);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("volume_30day".to_owned(), Value::String(month_volume(ticker)));
    }
    exchange::json(&value)
}

fn day(listing: &Listing, ticker: &Ticker) -> Value {
    json!({
        "open": listing.text(ticker.open),
        "high": listing.text(ticker.high),
        "low": listing.text(ticker.low),
        "last": listing.text(ticker.last),
        "volume": ticker.base_volume.to_string(),
    })
}

fn month_volume(ticker: &Ticker) -> String {
    (ticker.base_volume * 30.0).round().to_string()
}

async fn ticker(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>) -> Response {
    let tickers = exchange.tickers(exchange.listings().find(&id));
    let Some((listing, ticker)) = tickers.first() else { return not_found() };
    exchange::json(&json!({
        "ask": listing.text(ticker.ask),
        "bid": listing.text(ticker.bid),
        "volume": ticker.base_volume.to_string(),
        "trade_id": ticker.trades,
        "price": listing.text(ticker.last),
        "size": ticker.bid_size.to_string(),
        "time": exchange.now().to_string(),
        "rfq_volume": "0.0",
    }))
}

async fn candles(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>, params: Params) -> Response {
    let Some(listing) = exchange.listings().find(&id) else { return not_found() };
    let granularity = params.get("granularity").cloned().or_else(|| Some("60".to_owned()));
    let Some(interval) = interval(granularity.as_ref(), ["300", "3600", "86400"]) else {
        return error(StatusCode::BAD_REQUEST, "Unsupported granularity");
    };
    let (start, end) =
        (params.get("start").and_then(|text| instant(text)), params.get("end").and_then(|text| instant(text)));
    if let (Some(start), Some(end)) = (start, end)
        && end.since(start) > interval.duration() * BARS_MAX
    {
        let message = "granularity too small for the requested time range. Count of aggregations requested exceeds 300";
        return error(StatusCode::BAD_REQUEST, message);
    }
    let span =
        Span::newest(interval, BARS_MAX).between_millis(start.map(Timestamp::as_millis), end.map(Timestamp::as_millis));
    let rows = listing.bars(&exchange.market, &span, exchange.now()).into_iter().rev();
    let rows = rows.map(|bar| json!([bar.start.as_seconds(), bar.low, bar.high, bar.open, bar.close, bar.base_volume]));
    exchange::json(&Value::Array(rows.collect()))
}

/// ISO 8601 or seconds since 1970.
fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Some(Timestamp::from_seconds(text.parse().ok()?)))
}

#[derive(Default)]
struct Session {
    subscriptions: Subscriptions,
    subscribed: Vec<String>,
    sequence: u64,
}

impl StreamProtocol for Session {
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String> {
        let failure = |reason: &str| {
            vec![json!({"type": "error", "message": "Failed to subscribe", "reason": reason}).to_string()]
        };
        let Ok(request) = serde_json::from_str::<Value>(text) else { return failure("malformed JSON") };
        let list = |name: &str| request.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let is_ticker = |channel: &Value| {
            let name = channel.as_str().or_else(|| channel.get("name").and_then(Value::as_str));
            matches!(name, Some("ticker" | "ticker_batch"))
        };
        if !list("channels").iter().any(is_ticker) {
            return failure("unknown channel");
        }
        let asked = list("product_ids");
        let products: Vec<&str> = asked.iter().filter_map(Value::as_str).collect();
        if let Some(unknown) = products.iter().find(|product| exchange.listings().find(product).is_none()) {
            return failure(&format!("{unknown} is not a valid product"));
        }
        let subscribes = request.get("type").and_then(Value::as_str) == Some("subscribe");
        for product in products {
            self.subscribed.retain(|subscribed| subscribed != product);
            if subscribes {
                self.subscriptions.add(product);
                self.subscribed.push(product.to_owned());
            } else {
                self.subscriptions.remove(product);
            }
        }
        let channel = json!({"name": "ticker", "product_ids": self.subscribed, "account_ids": null});
        vec![json!({"type": "subscriptions", "channels": [channel]}).to_string()]
    }

    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String> {
        let mut frames = Vec::new();
        for (listing, ticker, _) in self.subscriptions.changed(exchange, exchange.listings(), now) {
            self.sequence += 1;
            let frame = json!({
                "type": "ticker",
                "sequence": self.sequence,
                "product_id": listing.symbol,
                "price": listing.text(ticker.last),
                "open_24h": listing.text(ticker.open),
                "volume_24h": ticker.base_volume.to_string(),
                "low_24h": listing.text(ticker.low),
                "high_24h": listing.text(ticker.high),
                "volume_30d": month_volume(&ticker),
                "best_bid": listing.text(ticker.bid),
                "best_bid_size": ticker.bid_size.to_string(),
                "best_ask": listing.text(ticker.ask),
                "best_ask_size": ticker.ask_size.to_string(),
                "side": if self.sequence.is_multiple_of(2) { "buy" } else { "sell" },
                "time": now.to_string(),
                "trade_id": ticker.trades + self.sequence,
                "last_size": ticker.bid_size.to_string(),
            });
            frames.push(frame.to_string());
        }
        frames
    }
}
