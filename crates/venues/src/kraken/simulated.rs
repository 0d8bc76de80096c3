//! Kraken spot: <https://docs.kraken.com/api/docs/rest-api/get-ticker-information> and the WebSocket API v2.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::exchange::{
    self, Exchange, Params, SimulatedStream, SimulatedVenue, StreamProtocol, change_percent, interval, number,
};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, SimulatedListings, Span, Ticker};
use crossmarket_simulator::socket::Subscriptions;

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "kraken",
    profiles: &[ListingProfile {
        venue: "kraken",
        volume_share: 0.012,
        side: -1.0,
        quote: "USD",
        further_pairs: &[("BTC", "EUR"), ("ETH", "EUR"), ("SOL", "EUR"), ("ETH", "BTC"), ("BTC", "USDT")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: pair_name,
        multiplier: listings::single,
    }],
    router,
    stream: Some(SimulatedStream {
        open: |_| Box::new(Session::default()),
        ping_every: None,
        silence_max: None,
        messages_per_second_max: 50,
    }),
    weight_header: None,
    outages: None,
};

/// Assets that keep the old four-letter names, with an X before a coin and a Z before a currency.
const OLD_NAMES: [&str; 8] = ["XBT", "ETH", "XRP", "LTC", "XLM", "XMR", "ZEC", "ETC"];
const ROWS_MAX: u32 = 720;

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/0/public/Ticker", get(tickers)).route("/0/public/OHLC", get(candles))
}

/// Kraken's own ticker of an asset.
fn own_ticker(ticker: &str) -> &str {
    match ticker {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}

/// The name under which answers list a pair: `XXBTZUSD`, `XETHXXBT`, `SOLUSD`.
fn pair_name(base: &str, quote: &str) -> String {
    let (base, quote) = (own_ticker(base), own_ticker(quote));
    match (base, quote) {
        ("EUR", "USD") => "ZEURZUSD".to_owned(),
        ("USDT", "USD") => "USDTZUSD".to_owned(),
        (base, "USD" | "EUR") if OLD_NAMES.contains(&base) => format!("X{base}Z{quote}"),
        ("ETH", "XBT") => "XETHXXBT".to_owned(),
        _ => format!("{base}{quote}"),
    }
}

/// The pair of that name, be it the one in answers, the short one (`XBTUSD`) or the one with a slash.
fn find<'a>(market: &'a SimulatedListings, name: &str) -> Option<&'a Listing> {
    market.find(name).or_else(|| {
        let plain = name.replace('/', "");
        market.listings.iter().find(|listing| {
            plain == format!("{}{}", own_ticker(&listing.base), own_ticker(listing.quote))
                || plain == format!("{}{}", listing.base, listing.quote)
        })
    })
}

fn error(text: &str) -> Response {
    exchange::json(&json!({"error": [text]}))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let market = exchange.listings();
    let listings: Option<Vec<&Listing>> = match params.get("pair") {
        None => Some(market.listings.iter().collect()),
        Some(pairs) => pairs.split(',').map(|pair| find(market, pair)).collect(),
    };
    let Some(listings) = listings else { return error("EQuery:Unknown asset pair") };
    let tickers = exchange.tickers(listings);
    let result: Map<String, Value> =
        tickers.iter().map(|(listing, ticker)| (listing.symbol.clone(), row(listing, ticker))).collect();
    exchange::json(&json!({"error": [], "result": result}))
}

fn row(listing: &Listing, ticker: &Ticker) -> Value {
    let price = |price: f64| listing.text(price);
    let size = |size: f64| format!("{size:.8}");
    let average = price(ticker.quote_volume / ticker.base_volume);
    let trades_today = (ticker.trades as f64 * ticker.today_share) as u64;
    json!({
        "a": [price(ticker.ask), ticker.ask_size.ceil().to_string(), format!("{:.3}", ticker.ask_size)],
        "b": [price(ticker.bid), ticker.bid_size.ceil().to_string(), format!("{:.3}", ticker.bid_size)],
        "c": [price(ticker.last), size(ticker.bid_size)],
        "v": [size(ticker.base_volume * ticker.today_share), size(ticker.base_volume)],
        "p": [average, average],
        "t": [trades_today, ticker.trades],
        "l": [price(ticker.today_low), price(ticker.low)],
        "h": [price(ticker.today_high), price(ticker.high)],
        "o": price(ticker.today_open),
    })
}

async fn candles(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some(listing) = params.get("pair").and_then(|pair| find(exchange.listings(), pair)) else {
        return error("EQuery:Unknown asset pair");
    };
    let minutes = params.get("interval").cloned().or_else(|| Some("1".to_owned()));
    let Some(interval) = interval(minutes.as_ref(), ["5", "60", "1440"]) else {
        return error("EGeneral:Invalid arguments");
    };
    let now = exchange.now();
    // The newest 720 are all that there is; `since` only cuts, and is exclusive.
    let since = number(&params, "since").unwrap_or(i64::MIN);
    let bars = listing.bars(&exchange.market, &Span::newest(interval, ROWS_MAX), now);
    let last = bars.iter().rev().map(|bar| bar.start).find(|start| *start + interval.duration() <= now);
    let rows = bars.iter().filter(|bar| bar.start.as_seconds() > since).map(|bar| {
        json!([
            bar.start.as_seconds(),
            listing.text(bar.open),
            listing.text(bar.high),
            listing.text(bar.low),
            listing.text(bar.close),
            listing.text((bar.high + bar.low + bar.close) / 3.0),
            format!("{:.8}", bar.base_volume),
            (bar.quote_volume / 700.0) as u64 + 1,
        ])
    });
    let mut result = Map::new();
    result.insert(listing.symbol.clone(), Value::Array(rows.collect()));
    result.insert("last".to_owned(), json!(last.map_or(0, Timestamp::as_seconds)));
    exchange::json(&json!({"error": [], "result": result}))
}

#[derive(Default)]
struct Session {
    subscriptions: Subscriptions,
    without_snapshot: Vec<String>,
}

impl StreamProtocol for Session {
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String> {
        let time = exchange.now().to_string();
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return vec![json!({"error": "Malformed request", "success": false, "time_in": time}).to_string()];
        };
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        if method == "ping" {
            return vec![json!({"method": "pong", "time_in": time, "time_out": time}).to_string()];
        }
        let params = request.get("params").cloned().unwrap_or_default();
        let wants_snapshot = params.get("snapshot").and_then(Value::as_bool).unwrap_or(true);
        let symbols = params.get("symbol").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_ticker = params.get("channel").and_then(Value::as_str) == Some("ticker");
        let mut frames = Vec::new();
        for symbol in symbols.iter().filter_map(Value::as_str) {
            let listing = exchange
                .listings()
                .listings
                .iter()
                .find(|listing| symbol == format!("{}/{}", listing.base, listing.quote));
            let Some(listing) = listing.filter(|_| is_ticker && matches!(method, "subscribe" | "unsubscribe")) else {
                let error = format!("Currency pair not supported {symbol}");
                frames.push(json!({"error": error, "method": method, "success": false, "symbol": symbol}));
                continue;
            };
            self.subscriptions.remove(&listing.symbol);
            if method == "subscribe" {
                self.subscriptions.add(&listing.symbol);
            }
            if !wants_snapshot {
                self.without_snapshot.push(listing.symbol.clone());
            }
            let result = json!({
                "channel": "ticker", "event_trigger": "trades", "snapshot": wants_snapshot, "symbol": symbol,
            });
            frames.push(json!({"method": method, "result": result, "success": true, "time_in": time}));
        }
        frames.iter().map(Value::to_string).collect()
    }

    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String> {
        let mut frames = vec![json!({"channel": "heartbeat"}).to_string()];
        for (listing, ticker, is_first) in self.subscriptions.changed(exchange, exchange.listings(), now) {
            let is_snapshot = is_first && !self.without_snapshot.contains(&listing.symbol);
            let data = json!({
                "symbol": format!("{}/{}", listing.base, listing.quote),
                "bid": ticker.bid,
                "bid_qty": ticker.bid_size,
                "ask": ticker.ask,
                "ask_qty": ticker.ask_size,
                "last": ticker.last,
                "volume": ticker.base_volume,
                "vwap": ticker.quote_volume / ticker.base_volume,
                "low": ticker.low,
                "high": ticker.high,
                "change": ticker.last - ticker.open,
                "change_pct": (change_percent(ticker.last, ticker.open) * 100.0).round() / 100.0,
                "timestamp": now.to_string(),
            });
            let kind = if is_snapshot { "snapshot" } else { "update" };
            frames.push(json!({"channel": "ticker", "type": kind, "data": [data]}).to_string());
        }
        self.without_snapshot.clear();
        frames
    }
}
