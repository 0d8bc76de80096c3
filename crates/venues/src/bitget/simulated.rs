//! Bitget spot and the statistics of futures: <https://www.bitget.com/api-doc/spot/market/Get-Tickers>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::{LongShortKind, Timestamp};
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Ticker};
use crossmarket_simulator::long_short::{self, Rows};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "bitget",
    profiles: &[
        ListingProfile {
            venue: "bitget",
            volume_share: 0.035,
            side: -1.0,
            quote: "USDT",
            further_pairs: &[("BTC", "USDC")],
            breadth: 0.2,
            is_perpetual: false,
            symbol: listings::joined,
            multiplier: listings::single,
        },
        ListingProfile {
            venue: "bitget-futures",
            volume_share: 0.08,
            side: 1.0,
            quote: "USDT",
            further_pairs: &[],
            breadth: 0.7,
            is_perpetual: true,
            symbol: listings::joined,
            multiplier,
        },
    ],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/api/v2/spot/market/tickers", get(tickers))
        .route("/api/v3/market/tickers", get(futures_tickers))
        .route("/api/v2/mix/market/{endpoint}", get(statistics))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let time = exchange.now().as_millis();
    let Ok(listings) = exchange.listings().select(params.get("symbol").map(String::as_str)) else {
        let body = json!({"code": "40034", "msg": "Parameter does not exist", "requestTime": time, "data": null});
        return json_with(StatusCode::BAD_REQUEST, &body);
    };
    let tickers = exchange.tickers(listings);
    let rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker, time)).collect();
    exchange::json(&json!({"code": "00000", "msg": "success", "requestTime": time, "data": rows}))
}

fn row(listing: &Listing, ticker: &Ticker, time: i64) -> Value {
    json!({
        "open": listing.text(ticker.open),
        "symbol": listing.symbol,
        "high24h": listing.text(ticker.high),
        "low24h": listing.text(ticker.low),
        "lastPr": listing.text(ticker.last),
        "quoteVolume": ticker.quote_volume.to_string(),
        "baseVolume": ticker.base_volume.to_string(),
        "usdtVolume": ticker.quote_volume.to_string(),
        "ts": time.to_string(),
        "bidPr": listing.text(ticker.bid),
        "askPr": listing.text(ticker.ask),
        "bidSz": ticker.bid_size.to_string(),
        "askSz": ticker.ask_size.to_string(),
        "openUtc": listing.text(ticker.today_open),
        "changeUtc24h": format!("{:.5}", ticker.last / ticker.today_open - 1.0),
        "change24h": format!("{:.5}", ticker.last / ticker.open - 1.0),
    })
}

fn multiplier(base: &str) -> Option<(u32, String)> {
    match base {
        "PEPE" | "BONK" | "FLOKI" | "LUNC" => Some((1_000, format!("1000{base}"))),
        _ => None,
    }
}

fn refused(exchange: &Exchange) -> Response {
    let time = exchange.now().as_millis();
    let body = json!({"code": "40034", "msg": "Parameter does not exist", "requestTime": time, "data": null});
    json_with(StatusCode::BAD_REQUEST, &body)
}

async fn futures_tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    if params.get("category").map(String::as_str) != Some("USDT-FUTURES") {
        return refused(&exchange);
    }
    let Ok(listings) = exchange.listings_at(1).select(params.get("symbol").map(String::as_str)) else {
        return refused(&exchange);
    };
    let now = exchange.now();
    let row = |(listing, ticker): &(&Listing, Ticker)| {
        let (amount, _) = long_short::open_interest(&exchange, listing, now);
        json!({
            "category": "USDT-FUTURES",
            "symbol": listing.symbol,
            "ts": now.as_millis().to_string(),
            "lastPrice": listing.text(ticker.last),
            "openPrice24h": listing.text(ticker.open),
            "highPrice24h": listing.text(ticker.high),
            "lowPrice24h": listing.text(ticker.low),
            "bid1Price": listing.text(ticker.bid),
            "ask1Price": listing.text(ticker.ask),
            "volume24h": ticker.base_volume.to_string(),
            "turnover24h": ticker.quote_volume.to_string(),
            "openInterest": amount.to_string(),
        })
    };
    let rows: Vec<Value> = exchange.tickers(listings).iter().map(row).collect();
    exchange::json(&json!({"code": "00000", "msg": "success", "requestTime": now.as_millis(), "data": rows}))
}

/// Shares and volumes, oldest first, about thirty regardless of the request. The ratio field is off by a factor of 100, as observed at the venue.
async fn statistics(State(exchange): State<Arc<Exchange>>, Path(endpoint): Path<String>, params: Params) -> Response {
    let kind = match endpoint.as_str() {
        "account-long-short" => LongShortKind::GlobalAccount,
        "position-long-short" => LongShortKind::GlobalPosition,
        "taker-buy-sell" => LongShortKind::TakerVolume,
        _ => return refused(&exchange),
    };
    let listing = params.get("symbol").and_then(|symbol| exchange.listings_at(1).find(symbol));
    let rows = Rows::of(&params, "period", ["5m", "15m", "30m", "1h", "4h", "1d"]);
    let (Some(listing), Some(rows)) = (listing, rows) else { return refused(&exchange) };
    let row = |(time, share): (Timestamp, f64)| {
        let (long, short) = (long_short::share_text(share), long_short::share_text(1.0 - share));
        let ratio = format!("{:.4}", share / (1.0 - share) / 100.0);
        let time = time.as_millis().to_string();
        match kind {
            LongShortKind::GlobalAccount => json!({
                "longAccountRatio": long, "shortAccountRatio": short, "longShortAccountRatio": ratio, "ts": time,
            }),
            LongShortKind::GlobalPosition => json!({
                "longPositionRatio": long, "shortPositionRatio": short, "longShortPositionRatio": ratio, "ts": time,
            }),
            _ => json!({
                "buyVolume": format!("{:.3}", share * 1_000.0),
                "sellVolume": format!("{:.3}", (1.0 - share) * 1_000.0),
                "ts": time,
            }),
        }
    };
    let data: Vec<Value> = rows.shares(&exchange, listing, kind).into_iter().map(row).collect();
    let time = exchange.now().as_millis();
    exchange::json(&json!({"code": "00000", "msg": "success", "requestTime": time, "data": data}))
}
