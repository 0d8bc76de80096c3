//! Bybit v5, spot and linear: <https://bybit-exchange.github.io/docs/v5/market/tickers>.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::{LongShortKind, Timestamp};
use crossmarket_simulator::exchange::{
    self, Exchange, Params, SimulatedStream, SimulatedVenue, StreamProtocol, interval, limit, number,
};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Span, Ticker};
use crossmarket_simulator::long_short::{self, Rows};
use crossmarket_simulator::socket::Subscriptions;

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "bybit",
    profiles: &[
        ListingProfile {
            venue: "bybit",
            volume_share: 0.05,
            side: 1.0,
            quote: "USDT",
            further_pairs: &[("BTC", "USDC"), ("ETH", "USDC")],
            breadth: 0.2,
            is_perpetual: false,
            symbol: listings::joined,
            multiplier: listings::single,
        },
        ListingProfile {
            venue: "bybit-linear",
            volume_share: 0.16,
            side: -1.0,
            quote: "USDT",
            further_pairs: &[],
            breadth: 0.95,
            is_perpetual: true,
            symbol: listings::joined,
            multiplier,
        },
    ],
    router,
    stream: Some(SimulatedStream {
        open: |uri| Box::new(Session::open(uri)),
        ping_every: None,
        silence_max: Some(Duration::from_secs(600)),
        messages_per_second_max: 100,
    }),
    weight_header: None,
    outages: None,
};

fn multiplier(base: &str) -> Option<(u32, String)> {
    match base {
        "SHIB" => Some((1_000, "SHIB1000".to_owned())),
        "PEPE" | "BONK" | "FLOKI" | "LUNC" => Some((1_000, format!("1000{base}"))),
        "SATS" => Some((10_000, "10000SATS".to_owned())),
        "MOG" => Some((1_000_000, "1000000MOG".to_owned())),
        _ => None,
    }
}

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/v5/market/tickers", get(tickers))
        .route("/v5/market/kline", get(klines))
        .route("/v5/market/account-ratio", get(account_ratio))
}

/// The position of a category's market, or `None` for one that is not simulated.
fn market_of(params: &Params) -> Option<(usize, &'static str)> {
    match params.get("category").map(String::as_str) {
        Some("spot") => Some((0, "spot")),
        Some("linear") => Some((1, "linear")),
        _ => None,
    }
}

fn envelope(exchange: &Exchange, code: u32, message: &str, result: Value) -> Response {
    let time = exchange.now().as_millis();
    exchange::json(&json!({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": time}))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some((position, category)) = market_of(&params) else {
        return envelope(&exchange, 10_001, "params error: Category is invalid", json!({}));
    };
    let market = exchange.listings_at(position);
    let Ok(listings) = market.select(params.get("symbol").map(String::as_str)) else {
        return envelope(&exchange, 10_001, "params error: Symbol Invalid", json!({}));
    };
    let now = exchange.now();
    let rows: Vec<Value> = exchange
        .tickers(listings)
        .iter()
        .map(|(listing, ticker)| if position == 0 { spot(listing, ticker) } else { linear(listing, ticker, now) })
        .collect();
    envelope(&exchange, 0, "OK", json!({"category": category, "list": rows}))
}

fn spot(listing: &Listing, ticker: &Ticker) -> Value {
    json!({
        "symbol": listing.symbol,
        "bid1Price": listing.text(ticker.bid),
        "bid1Size": ticker.bid_size.to_string(),
        "ask1Price": listing.text(ticker.ask),
        "ask1Size": ticker.ask_size.to_string(),
        "lastPrice": listing.text(ticker.last),
        "prevPrice24h": listing.text(ticker.open),
        "price24hPcnt": format!("{:.4}", ticker.last / ticker.open - 1.0),
        "highPrice24h": listing.text(ticker.high),
        "lowPrice24h": listing.text(ticker.low),
        "turnover24h": ticker.quote_volume.to_string(),
        "volume24h": ticker.base_volume.to_string(),
        "usdIndexPrice": if listing.symbol.starts_with("BTC") { listing.text(ticker.last) } else { String::new() },
    })
}

fn linear(listing: &Listing, ticker: &Ticker, now: Timestamp) -> Value {
    let mut value = spot(listing, ticker);
    let open_interest = (ticker.base_volume * long_short::OPEN_INTEREST_SHARE).round();
    let funding = now.floor_to(Duration::from_secs(28_800)) + Duration::from_secs(28_800);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("usdIndexPrice");
        let mut add = |name: &str, text: String| fields.insert(name.to_owned(), Value::String(text));
        add("indexPrice", listing.text(ticker.last));
        add("markPrice", listing.text(ticker.last));
        add("prevPrice1h", listing.text(ticker.open));
        add("openInterest", open_interest.to_string());
        add("openInterestValue", (open_interest * ticker.last).round().to_string());
        add("fundingRate", "0.0001".to_owned());
        add("nextFundingTime", funding.as_millis().to_string());
        add("fundingIntervalHour", "8".to_owned());
        add("deliveryTime", "0".to_owned());
        add("basis", String::new());
        add("basisRate", String::new());
        add("preOpenPrice", String::new());
    }
    value
}

/// Shares of accounts, newest first.
async fn account_ratio(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let listing = match market_of(&params) {
        Some((1, _)) => params.get("symbol").and_then(|symbol| exchange.listings_at(1).find(symbol)),
        _ => None,
    };
    let Some(listing) = listing else {
        return envelope(&exchange, 10_001, "params error: Symbol Invalid", json!({}));
    };
    let Some(rows) = Rows::of(&params, "period", ["5min", "15min", "30min", "1h", "4h", "1d"]) else {
        return envelope(&exchange, 10_001, "Invalid period!", json!({}));
    };
    let rows = rows.limited(&params, 50, 500).between(&params, "startTime", "endTime");
    let row = |(time, share): (Timestamp, f64)| {
        json!({
            "symbol": listing.symbol,
            "buyRatio": long_short::share_text(share),
            "sellRatio": long_short::share_text(1.0 - share),
            "timestamp": time.as_millis().to_string(),
        })
    };
    let shares = rows.shares(&exchange, listing, LongShortKind::GlobalAccount);
    let list: Vec<Value> = shares.into_iter().rev().map(row).collect();
    envelope(&exchange, 0, "OK", json!({"list": list, "nextPageCursor": ""}))
}

async fn klines(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some((position, category)) = market_of(&params) else {
        return envelope(&exchange, 10_001, "params error: Category is invalid", json!({}));
    };
    let Some(listing) = params.get("symbol").and_then(|symbol| exchange.listings_at(position).find(symbol)) else {
        return envelope(&exchange, 10_001, "params error: Symbol Invalid", json!({}));
    };
    let Some(interval) = interval(params.get("interval"), ["5", "60", "D"]) else {
        return envelope(&exchange, 10_001, "Invalid period!", json!({}));
    };
    let span = Span::newest(interval, limit(&params, 200, 1_000))
        .between_millis(number(&params, "start"), number(&params, "end"));
    let mut rows: Vec<Value> = Vec::new();
    for bar in listing.bars(&exchange.market, &span, exchange.now()).iter().rev() {
        rows.push(json!([
            bar.start.as_millis().to_string(),
            listing.text(bar.open),
            listing.text(bar.high),
            listing.text(bar.low),
            listing.text(bar.close),
            bar.base_volume.to_string(),
            bar.quote_volume.to_string(),
        ]));
    }
    envelope(&exchange, 0, "OK", json!({"category": category, "symbol": listing.symbol, "list": rows}))
}

/// A session on `/v5/public/spot` or `/v5/public/linear`.
struct Session {
    position: usize,
    subscriptions: Subscriptions,
    sequence: u64,
}

impl Session {
    fn open(uri: &Uri) -> Self {
        let position = usize::from(uri.path().contains("linear"));
        Self { position, subscriptions: Subscriptions::default(), sequence: 0 }
    }

    fn reply(&self, exchange: &Exchange, success: bool, message: &str, request: &Value, operation: &str) -> String {
        json!({
            "success": success,
            "ret_msg": message,
            "conn_id": format!("simulated-{}", exchange.serial()),
            "req_id": request.get("req_id").cloned().unwrap_or_else(|| Value::String(String::new())),
            "op": operation,
        })
        .to_string()
    }
}

impl StreamProtocol for Session {
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String> {
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let operation = request.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        if operation == "ping" {
            return vec![self.reply(exchange, true, "pong", &request, "ping")];
        }
        let topics = request.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        if self.position == 0 && topics.len() > 10 {
            return vec![self.reply(exchange, false, "args size >10", &request, &operation)];
        }
        for topic in topics.iter().filter_map(Value::as_str) {
            let Some(symbol) = topic.strip_prefix("tickers.") else {
                return vec![self.reply(exchange, false, "error:invalid topic", &request, &operation)];
            };
            if exchange.listings_at(self.position).find(symbol).is_none() {
                let message = format!("Invalid symbol :[{topic}]");
                return vec![self.reply(exchange, false, &message, &request, &operation)];
            }
        }
        for symbol in topics.iter().filter_map(|topic| topic.as_str()?.strip_prefix("tickers.")) {
            match operation.as_str() {
                "subscribe" => self.subscriptions.add(symbol),
                _ => self.subscriptions.remove(symbol),
            }
        }
        let message = if self.position == 0 { "subscribe" } else { "" };
        vec![self.reply(exchange, true, message, &request, &operation)]
    }

    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String> {
        let market = exchange.listings_at(self.position);
        let mut frames = Vec::new();
        for (listing, ticker, is_first) in self.subscriptions.changed(exchange, market, now) {
            self.sequence += 1;
            let is_delta = self.position == 1 && !is_first;
            let data = if is_delta {
                // Only what moves all the time; the rest has not changed, or not enough to say so.
                json!({
                    "symbol": listing.symbol,
                    "lastPrice": listing.text(ticker.last),
                    "bid1Price": listing.text(ticker.bid),
                    "bid1Size": ticker.bid_size.to_string(),
                    "ask1Price": listing.text(ticker.ask),
                    "ask1Size": ticker.ask_size.to_string(),
                })
            } else if self.position == 1 {
                linear(listing, &ticker, now)
            } else {
                let mut data = spot(listing, &ticker);
                if let Some(fields) = data.as_object_mut() {
                    fields.retain(|name, _| !name.contains("1Price") && !name.contains("1Size"));
                }
                data
            };
            frames.push(
                json!({
                    "topic": format!("tickers.{}", listing.symbol),
                    "type": if is_delta { "delta" } else { "snapshot" },
                    "ts": now.as_millis(),
                    "cs": self.sequence,
                    "data": data,
                })
                .to_string(),
            );
        }
        frames
    }
}
