//! Binance USD-M futures: <https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::binance::simulated::{book_tickers, klines, prices, tickers};
use crossmarket_domain::{LongShortKind, Timestamp};
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with};
use crossmarket_simulator::listings::{self, Listing, ListingProfile};
use crossmarket_simulator::long_short::{self, Rows};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "binance-usdm",
    profiles: &[ListingProfile {
        venue: "binance-usdm",
        volume_share: 0.32,
        side: -1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC"), ("ETH", "USDC")],
        breadth: 0.95,
        is_perpetual: true,
        symbol: listings::joined,
        multiplier,
    }],
    router,
    stream: None,
    weight_header: Some("x-mbx-used-weight-1m"),
    outages: None,
};

fn multiplier(base: &str) -> Option<(u32, String)> {
    match base {
        "PEPE" | "SHIB" | "BONK" | "FLOKI" | "LUNC" | "SATS" => Some((1_000, format!("1000{base}"))),
        "MOG" => Some((1_000_000, format!("1000000{base}"))),
        _ => None,
    }
}

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/fapi/v1/ticker/24hr", get(tickers))
        .route("/fapi/v1/ticker/bookTicker", get(book_tickers))
        .route("/fapi/v2/ticker/price", get(prices))
        .route("/fapi/v1/klines", get(candles))
        .route("/fapi/v1/openInterest", get(open_interest))
        .route("/futures/data/openInterestHist", get(open_interest_history))
        .route("/futures/data/{endpoint}", get(statistics))
}

async fn candles(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    klines(&exchange, &params, 1_500)
}

const PERIODS: [&str; 6] = ["5m", "15m", "30m", "1h", "4h", "1d"];

/// The statistics of traders and what each counts.
const STATISTICS: [(&str, LongShortKind); 4] = [
    ("globalLongShortAccountRatio", LongShortKind::GlobalAccount),
    ("topLongShortAccountRatio", LongShortKind::TopTraderAccount),
    ("topLongShortPositionRatio", LongShortKind::TopTraderPosition),
    ("takerlongshortRatio", LongShortKind::TakerVolume),
];

fn refused(code: i32, message: &str) -> Response {
    json_with(StatusCode::BAD_REQUEST, &json!({"code": code, "msg": message}))
}

fn listing<'a>(exchange: &'a Exchange, params: &Params) -> Option<&'a Listing> {
    params.get("symbol").and_then(|symbol| exchange.listings().find(symbol))
}

async fn open_interest(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some(listing) = listing(&exchange, &params) else { return refused(-1121, "Invalid symbol.") };
    let now = exchange.now();
    let (amount, _) = long_short::open_interest(&exchange, listing, now);
    exchange::json(&json!({"openInterest": amount.to_string(), "symbol": listing.symbol, "time": now.as_millis()}))
}

async fn open_interest_history(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let (Some(listing), Some(rows)) = (listing(&exchange, &params), rows(&params)) else {
        return refused(-1121, "Invalid symbol.");
    };
    let row = |time: Timestamp| {
        let (amount, value) = long_short::open_interest(&exchange, listing, time);
        json!({
            "symbol": listing.symbol,
            "sumOpenInterest": amount.to_string(),
            "sumOpenInterestValue": value.to_string(),
            "timestamp": time.as_millis(),
        })
    };
    exchange::json(&Value::Array(rows.times(exchange.now()).into_iter().map(row).collect()))
}

fn rows(params: &Params) -> Option<Rows> {
    Some(Rows::of(params, "period", PERIODS)?.limited(params, 30, 500).between(params, "startTime", "endTime"))
}

async fn statistics(State(exchange): State<Arc<Exchange>>, Path(endpoint): Path<String>, params: Params) -> Response {
    let kind = STATISTICS.iter().find(|(name, _)| *name == endpoint).map(|(_, kind)| *kind);
    let (Some(kind), Some(listing), Some(rows)) = (kind, listing(&exchange, &params), rows(&params)) else {
        return refused(-1121, "Invalid symbol.");
    };
    let row = |(time, share): (Timestamp, f64)| match kind {
        LongShortKind::TakerVolume => json!({
            "buySellRatio": long_short::ratio_text(share),
            "buyVol": format!("{:.3}", share * 1_000.0),
            "sellVol": format!("{:.3}", (1.0 - share) * 1_000.0),
            "timestamp": time.as_millis(),
        }),
        _ => json!({
            "symbol": listing.symbol,
            "longAccount": long_short::share_text(share),
            "shortAccount": long_short::share_text(1.0 - share),
            "longShortRatio": long_short::ratio_text(share),
            "timestamp": time.as_millis(),
        }),
    };
    exchange::json(&Value::Array(rows.shares(&exchange, listing, kind).into_iter().map(row).collect()))
}
