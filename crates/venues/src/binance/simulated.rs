//! Binance spot: <https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints>.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::exchange::{
    self, Exchange, Params, SimulatedStream, SimulatedVenue, StreamProtocol, change_percent, interval, json_with,
    limit, number,
};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Span, Ticker};
use crossmarket_simulator::socket::Subscriptions;

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "binance",
    profiles: &[ListingProfile {
        venue: "binance",
        volume_share: 0.14,
        // The largest venue is the market: the others lie around it.
        side: 0.0,
        quote: "USDT",
        further_pairs: &[
            ("BTC", "USDC"),
            ("ETH", "USDC"),
            ("SOL", "USDC"),
            ("BTC", "EUR"),
            ("ETH", "BTC"),
            ("EUR", "USDT"),
            ("FDUSD", "USDT"),
            ("USD1", "USDT"),
        ],
        breadth: 0.75,
        is_perpetual: false,
        symbol: listings::joined,
        multiplier,
    }],
    router,
    stream: Some(SimulatedStream {
        open: |uri| Box::new(Session::open(uri)),
        ping_every: Some(Duration::from_secs(20)),
        silence_max: None,
        messages_per_second_max: 5,
    }),
    weight_header: Some("x-mbx-used-weight-1m"),
    outages: None,
};

fn multiplier(base: &str) -> Option<(u32, String)> {
    (base == "SATS").then(|| (1_000, "1000SATS".to_owned()))
}

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/api/v3/ticker/24hr", get(tickers))
        .route("/api/v3/ticker/price", get(prices))
        .route("/api/v3/ticker/bookTicker", get(book_tickers))
        .route("/api/v3/klines", get(spot_klines))
        .route("/api/v3/exchangeInfo", get(exchange_info))
}

/// 24-hour figures, an object for `symbol` and else an array.
pub(crate) async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let is_mini = params.get("type").is_some_and(|kind| kind == "MINI");
    let is_spot = exchange.id() == VENUE.id;
    rows(&exchange, &params, |listing, ticker, now| full(listing, ticker, now, is_spot, is_mini))
}

pub(crate) async fn prices(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    rows(
        &exchange,
        &params,
        |listing, ticker, now| json!({"symbol": listing.symbol, "price": listing.text(ticker.last), "time": now.as_millis()}),
    )
}

pub(crate) async fn book_tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let is_spot = exchange.id() == VENUE.id;
    rows(&exchange, &params, |listing, ticker, now| {
        let value = json!({
            "symbol": listing.symbol,
            "bidPrice": listing.text(ticker.bid),
            "bidQty": ticker.bid_size.to_string(),
            "askPrice": listing.text(ticker.ask),
            "askQty": ticker.ask_size.to_string(),
        });
        with_time(value, now, is_spot)
    })
}

/// Only the futures' short answers tell the time.
fn with_time(mut value: Value, now: Timestamp, is_spot: bool) -> Value {
    if let Some(fields) = value.as_object_mut().filter(|_| !is_spot) {
        fields.insert("time".to_owned(), json!(now.as_millis()));
    }
    value
}

/// One row for each symbol asked for, in the way that Binance's endpoints share.
fn rows(exchange: &Exchange, params: &Params, row: impl Fn(&Listing, &Ticker, Timestamp) -> Value) -> Response {
    let now = exchange.now();
    let market = exchange.listings();
    let symbols: Option<Vec<String>> = match (params.get("symbol"), params.get("symbols")) {
        (Some(symbol), _) => Some(vec![symbol.clone()]),
        (None, Some(list)) => match serde_json::from_str(list) {
            Ok(symbols) => Some(symbols),
            Err(_) => return error(-1_100, "Illegal characters found in parameter 'symbols'."),
        },
        (None, None) => None,
    };
    let Ok(listings) = market.select(symbols.map(|symbols| symbols.join(",")).as_deref()) else {
        return error(-1_121, "Invalid symbol.");
    };
    let mut values: Vec<Value> =
        exchange.tickers(listings).iter().map(|(listing, ticker)| row(listing, ticker, now)).collect();
    if params.contains_key("symbol") {
        return values.pop().map_or_else(|| error(-1_121, "Invalid symbol."), |value| exchange::json(&value));
    }
    exchange::json(&Value::Array(values))
}

/// `is_spot` adds what the futures' answer lacks, `is_mini` leaves out what the short form lacks.
fn full(listing: &Listing, ticker: &Ticker, now: Timestamp, is_spot: bool, is_mini: bool) -> Value {
    let close = now.as_millis();
    let mut value = json!({
        "symbol": listing.symbol,
        "lastPrice": listing.text(ticker.last),
        "openPrice": listing.text(ticker.open),
        "highPrice": listing.text(ticker.high),
        "lowPrice": listing.text(ticker.low),
        "volume": ticker.base_volume.to_string(),
        "quoteVolume": ticker.quote_volume.to_string(),
        "openTime": close - 86_400_000,
        "closeTime": close,
        "firstId": 1_000_000,
        "lastId": 1_000_000 + ticker.trades - 1,
        "count": ticker.trades,
    });
    let Some(fields) = value.as_object_mut().filter(|_| !is_mini) else { return value };
    let mut add = |name: &str, text: String| fields.insert(name.to_owned(), Value::String(text));
    add("priceChange", format!("{:.*}", listing.decimals, ticker.last - ticker.open));
    add("priceChangePercent", format!("{:.3}", change_percent(ticker.last, ticker.open)));
    add("weightedAvgPrice", listing.text(ticker.quote_volume / ticker.base_volume));
    add("lastQty", ticker.bid_size.to_string());
    if is_spot {
        add("prevClosePrice", listing.text(ticker.open));
        add("bidPrice", listing.text(ticker.bid));
        add("bidQty", ticker.bid_size.to_string());
        add("askPrice", listing.text(ticker.ask));
        add("askQty", ticker.ask_size.to_string());
    }
    value
}

async fn spot_klines(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    klines(&exchange, &params, 1_000)
}

/// Candles, oldest first, the running one last.
pub(crate) fn klines(exchange: &Exchange, params: &Params, limit_max: u32) -> Response {
    let Some(listing) = params.get("symbol").and_then(|symbol| exchange.listings().find(symbol)) else {
        return error(-1_121, "Invalid symbol.");
    };
    let Some(interval) = interval(params.get("interval"), ["5m", "1h", "1d"]) else {
        return error(-1_120, "Invalid interval.");
    };
    let mut span = Span::newest(interval, limit(params, 500, limit_max))
        .between_millis(number(params, "startTime"), number(params, "endTime"));
    span.oldest_first = true;
    let length = interval.duration().as_millis() as i64;
    let rows = listing.bars(&exchange.market, &span, exchange.now()).into_iter().map(|bar| {
        let start = bar.start.as_millis();
        json!([
            start,
            listing.text(bar.open),
            listing.text(bar.high),
            listing.text(bar.low),
            listing.text(bar.close),
            bar.base_volume.to_string(),
            start + length - 1,
            bar.quote_volume.to_string(),
            (bar.quote_volume / 700.0) as u64 + 1,
            (bar.base_volume / 2.0).to_string(),
            (bar.quote_volume / 2.0).to_string(),
            "0",
        ])
    });
    exchange::json(&Value::Array(rows.collect()))
}

async fn exchange_info(State(exchange): State<Arc<Exchange>>) -> Response {
    let symbols: Vec<Value> = exchange
        .listings()
        .listings
        .iter()
        .map(|listing| {
            json!({"symbol": listing.symbol, "status": "TRADING", "baseAsset": listing.base, "quoteAsset": listing.quote})
        })
        .collect();
    exchange::json(&json!({
        "timezone": "UTC",
        "serverTime": exchange.now().as_millis(),
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}],
        "symbols": symbols,
    }))
}

pub(crate) fn error(code: i32, message: &str) -> Response {
    json_with(StatusCode::BAD_REQUEST, &json!({"code": code, "msg": message}))
}

/// A session on `/ws`, `/ws/<stream>` or `/stream?streams=`.
struct Session {
    is_combined: bool,
    single: Subscriptions,
    /// The stream of all symbols.
    all: Option<Subscriptions>,
    asked_by_address: Vec<String>,
}

const ALL: &str = "!miniTicker@arr";

impl Session {
    fn open(uri: &Uri) -> Self {
        let streams = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("streams=")));
        let is_combined = uri.path().ends_with("/stream");
        let names = streams.or_else(|| uri.path().rsplit_once("/ws/").map(|(_, names)| names)).unwrap_or_default();
        let asked_by_address = names.split('/').filter(|name| name.contains('@')).map(str::to_owned).collect();
        Self { is_combined, single: Subscriptions::default(), all: None, asked_by_address }
    }

    fn subscribe(&mut self, exchange: &Exchange, name: &str) {
        if name == ALL {
            let mut all = Subscriptions::default();
            exchange.listings().listings.iter().for_each(|listing| all.add(&listing.symbol));
            self.all = Some(all);
        } else if let Some(symbol) = name.strip_suffix("@miniTicker") {
            // A stream of a symbol that there is not is accepted and stays silent, as at Binance.
            self.single.add(&symbol.to_ascii_uppercase());
        }
    }

    fn unsubscribe(&mut self, name: &str) {
        if name == ALL {
            self.all = None;
        } else if let Some(symbol) = name.strip_suffix("@miniTicker") {
            self.single.remove(&symbol.to_ascii_uppercase());
        }
    }

    fn wrap(&self, stream: &str, data: Value) -> String {
        if self.is_combined { json!({"stream": stream, "data": data}).to_string() } else { data.to_string() }
    }
}

impl StreamProtocol for Session {
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String> {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return vec![json!({"code": 3, "msg": "Invalid JSON"}).to_string()];
        };
        let id = request.get("id").cloned().unwrap_or(Value::Null);
        let names = request.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
        let names = names.iter().filter_map(Value::as_str).take(1_024);
        match request.get("method").and_then(Value::as_str) {
            Some("SUBSCRIBE") => names.for_each(|name| self.subscribe(exchange, name)),
            Some("UNSUBSCRIBE") => names.for_each(|name| self.unsubscribe(name)),
            _ => return vec![json!({"code": 2, "msg": "Invalid request: unknown method"}).to_string()],
        }
        vec![json!({"result": null, "id": id}).to_string()]
    }

    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String> {
        for name in std::mem::take(&mut self.asked_by_address) {
            self.subscribe(exchange, &name);
        }
        let market = exchange.listings();
        let mut frames: Vec<String> = Vec::new();
        for (listing, ticker, _) in self.single.changed(exchange, market, now) {
            let stream = format!("{}@miniTicker", listing.symbol.to_ascii_lowercase());
            frames.push(self.wrap(&stream, mini_ticker(listing, &ticker, now)));
        }
        if let Some(all) = &mut self.all {
            let changed = all.changed(exchange, market, now);
            let rows: Vec<Value> =
                changed.iter().map(|(listing, ticker, _)| mini_ticker(listing, ticker, now)).collect();
            if !rows.is_empty() {
                frames.push(self.wrap(ALL, Value::Array(rows)));
            }
        }
        frames
    }
}

fn mini_ticker(listing: &Listing, ticker: &Ticker, now: Timestamp) -> Value {
    json!({
        "e": "24hrMiniTicker",
        "E": now.as_millis(),
        "s": listing.symbol,
        "c": listing.text(ticker.last),
        "o": listing.text(ticker.open),
        "h": listing.text(ticker.high),
        "l": listing.text(ticker.low),
        "v": ticker.base_volume.to_string(),
        "q": ticker.quote_volume.to_string(),
    })
}
