//! OKX v5, spot and the statistics of swaps: <https://www.okx.com/docs-v5/en/#order-book-trading-market-data>.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
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
    id: "okx",
    profiles: &[
        ListingProfile {
            venue: "okx",
            volume_share: 0.04,
            side: -1.0,
            quote: "USDT",
            further_pairs: &[("BTC", "USDC"), ("ETH", "BTC")],
            breadth: 0.2,
            is_perpetual: false,
            symbol: listings::hyphened,
            multiplier: listings::single,
        },
        ListingProfile {
            venue: "okx-swap",
            volume_share: 0.12,
            side: 1.0,
            quote: "USDT",
            further_pairs: &[],
            breadth: 0.6,
            is_perpetual: true,
            symbol: |base, quote| format!("{base}-{quote}-SWAP"),
            multiplier: listings::single,
        },
    ],
    router,
    stream: Some(SimulatedStream {
        open: |_| Box::new(Session::default()),
        ping_every: None,
        silence_max: Some(Duration::from_secs(30)),
        messages_per_second_max: 50,
    }),
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/api/v5/market/tickers", get(tickers))
        .route("/api/v5/market/ticker", get(ticker))
        .route("/api/v5/market/candles", get(candles))
        .route("/api/v5/market/history-candles", get(candles))
        .route("/api/v5/public/open-interest", get(open_interest))
        .route("/api/v5/rubik/stat/contracts/{endpoint}", get(statistics))
        .route("/api/v5/rubik/stat/taker-volume-contract", get(taker_volume))
}

fn envelope(code: &str, message: &str, data: Vec<Value>) -> Response {
    exchange::json(&json!({"code": code, "msg": message, "data": data}))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    match params.get("instType").map(String::as_str) {
        Some("SPOT") => {}
        Some("SWAP" | "FUTURES" | "OPTION") => return envelope("0", "", Vec::new()),
        _ => return envelope("51000", "Parameter instType error", Vec::new()),
    }
    let now = exchange.now();
    let tickers = exchange.tickers(&exchange.listings().listings);
    envelope("0", "", tickers.iter().map(|(listing, ticker)| row(listing, ticker, now)).collect())
}

async fn ticker(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let now = exchange.now();
    let listing = params.get("instId").and_then(|instrument| exchange.listings().find(instrument));
    match exchange.tickers(listing).first() {
        Some((listing, ticker)) => envelope("0", "", vec![row(listing, ticker, now)]),
        None => envelope("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", Vec::new()),
    }
}

fn row(listing: &Listing, ticker: &Ticker, now: Timestamp) -> Value {
    json!({
        "instType": "SPOT",
        "instId": listing.symbol,
        "last": listing.text(ticker.last),
        "lastSz": ticker.bid_size.to_string(),
        "askPx": listing.text(ticker.ask),
        "askSz": ticker.ask_size.to_string(),
        "bidPx": listing.text(ticker.bid),
        "bidSz": ticker.bid_size.to_string(),
        "open24h": listing.text(ticker.open),
        "high24h": listing.text(ticker.high),
        "low24h": listing.text(ticker.low),
        "volCcy24h": ticker.quote_volume.to_string(),
        "vol24h": ticker.base_volume.to_string(),
        "sodUtc0": listing.text(ticker.today_open),
        "sodUtc8": listing.text(ticker.today_open),
        "ts": now.as_millis().to_string(),
    })
}

async fn candles(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some(listing) = params.get("instId").and_then(|instrument| exchange.listings().find(instrument)) else {
        return envelope("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", Vec::new());
    };
    // Days of UTC only: plain `1D` means days of UTC+8 here, which the model does not cut.
    let Some(interval) = interval(params.get("bar"), ["5m", "1H", "1Dutc"]) else {
        return envelope("51000", "Parameter bar error", Vec::new());
    };
    // `before` and `after` are both exclusive, and mean newer and older than.
    let from = number(&params, "before").map(|before| before.saturating_add(1));
    let to = number(&params, "after").map(|after| after.saturating_sub(1));
    let span = Span::newest(interval, limit(&params, 100, 300)).between_millis(from, to);
    let now = exchange.now();
    let rows = listing.bars(&exchange.market, &span, now).into_iter().rev().map(|bar| {
        let is_complete = bar.start + interval.duration() <= now;
        json!([
            bar.start.as_millis().to_string(),
            listing.text(bar.open),
            listing.text(bar.high),
            listing.text(bar.low),
            listing.text(bar.close),
            bar.base_volume.to_string(),
            bar.quote_volume.to_string(),
            bar.quote_volume.to_string(),
            if is_complete { "1" } else { "0" },
        ])
    });
    envelope("0", "", rows.collect())
}

async fn open_interest(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    if params.get("instType").map(String::as_str) != Some("SWAP") {
        return envelope("0", "", Vec::new());
    }
    let now = exchange.now();
    let asked = params.get("instId").map(String::as_str);
    let Ok(listings) = exchange.listings_at(1).select(asked) else {
        return envelope("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", Vec::new());
    };
    let trading = listings.into_iter().filter(|listing| listing.trades(&exchange.market, now));
    let row = |listing: &Listing| {
        let (amount, usd) = long_short::open_interest(&exchange, listing, now);
        json!({
            "instType": "SWAP",
            "instId": listing.symbol,
            "oi": (amount * 100.0).round().to_string(),
            "oiCcy": amount.to_string(),
            "oiUsd": usd.to_string(),
            "ts": now.as_millis().to_string(),
        })
    };
    envelope("0", "", trading.map(row).collect())
}

/// The endpoints under `contracts` that answer for a contract, and what each counts.
const STATISTICS: [(&str, LongShortKind); 3] = [
    ("long-short-account-ratio-contract", LongShortKind::GlobalAccount),
    ("long-short-account-ratio-contract-top-trader", LongShortKind::TopTraderAccount),
    ("long-short-position-ratio-contract-top-trader", LongShortKind::TopTraderPosition),
];

fn statistics_rows(params: &Params) -> Option<Rows> {
    let rows = Rows::of(params, "period", ["5m", "15m", "30m", "1H", "4H", "1D"])?;
    Some(rows.limited(params, 100, 100).between(params, "begin", "end"))
}

/// Ratios alone, newest first.
async fn statistics(State(exchange): State<Arc<Exchange>>, Path(endpoint): Path<String>, params: Params) -> Response {
    let kind = STATISTICS.iter().find(|(name, _)| *name == endpoint).map(|(_, kind)| *kind);
    let listing = params.get("instId").and_then(|instrument| exchange.listings_at(1).find(instrument));
    let (Some(kind), Some(listing), Some(rows)) = (kind, listing, statistics_rows(&params)) else {
        return envelope("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", Vec::new());
    };
    let row = |(time, share): (Timestamp, f64)| json!([time.as_millis().to_string(), long_short::ratio_text(share)]);
    envelope("0", "", rows.shares(&exchange, listing, kind).into_iter().rev().map(row).collect())
}

/// Sold and bought volumes, in this order, newest first.
async fn taker_volume(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let listing = params.get("instId").and_then(|instrument| exchange.listings_at(1).find(instrument));
    let (Some(listing), Some(rows)) = (listing, statistics_rows(&params)) else {
        return envelope("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", Vec::new());
    };
    let row = |(time, share): (Timestamp, f64)| {
        let volume = |share: f64| format!("{:.2}", share * 10_000.0);
        json!([time.as_millis().to_string(), volume(1.0 - share), volume(share)])
    };
    let shares = rows.shares(&exchange, listing, LongShortKind::TakerVolume);
    envelope("0", "", shares.into_iter().rev().map(row).collect())
}

#[derive(Default)]
struct Session {
    subscriptions: Subscriptions,
}

impl StreamProtocol for Session {
    fn receive(&mut self, exchange: &Exchange, text: &str) -> Vec<String> {
        if text == "ping" {
            return vec!["pong".to_owned()];
        }
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return vec![json!({"event": "error", "code": "60012", "msg": "Invalid request"}).to_string()];
        };
        let operation = request.get("op").and_then(Value::as_str).unwrap_or_default();
        let arguments = request.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let connection = format!("{:08x}", exchange.serial());
        let mut frames = Vec::new();
        for argument in arguments {
            let text = |name: &str| argument.get(name).and_then(Value::as_str).unwrap_or_default();
            let (channel, instrument) = (text("channel"), text("instId"));
            if channel != "tickers" || exchange.listings().find(instrument).is_none() {
                let message = format!("Wrong URL or channel:{channel},instId:{instrument} doesn't exist.");
                frames.push(json!({"event": "error", "code": "60018", "msg": message, "connId": connection}));
                continue;
            }
            match operation {
                "subscribe" => self.subscriptions.add(instrument),
                _ => self.subscriptions.remove(instrument),
            }
            frames.push(json!({"event": operation, "arg": argument, "connId": connection}));
        }
        frames.iter().map(Value::to_string).collect()
    }

    fn tick(&mut self, exchange: &Exchange, now: Timestamp) -> Vec<String> {
        let changed = self.subscriptions.changed(exchange, exchange.listings(), now);
        let frames = changed.iter().map(|(listing, ticker, _)| {
            let argument = json!({"channel": "tickers", "instId": listing.symbol});
            json!({"arg": argument, "data": [row(listing, ticker, now)]}).to_string()
        });
        frames.collect()
    }
}
