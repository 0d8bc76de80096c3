//! HTX spot and the top traders of swaps: <https://www.htx.com/en-us/opend/newApiPages/?id=7ec4a4da-7773-11ed-9966-0242ac110003>. Numbers, not strings.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::{LongShortKind, Timestamp};
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Ticker};
use crossmarket_simulator::long_short::{self, Rows};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "htx",
    profiles: &[
        ListingProfile {
            venue: "htx",
            volume_share: 0.03,
            side: -1.0,
            quote: "USDT",
            further_pairs: &[("BTC", "USDC")],
            breadth: 0.2,
            is_perpetual: false,
            symbol: |base, quote| format!("{base}{quote}").to_ascii_lowercase(),
            multiplier: listings::single,
        },
        ListingProfile {
            venue: "htx-swap",
            volume_share: 0.03,
            side: 1.0,
            quote: "USDT",
            further_pairs: &[],
            breadth: 0.4,
            is_perpetual: true,
            symbol: listings::hyphened,
            multiplier: listings::single,
        },
    ],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/market/tickers", get(tickers))
        .route("/market/detail/merged", get(merged))
        .route("/linear-swap-api/v1/swap_open_interest", get(open_interest))
        .route("/linear-swap-api/v1/swap_elite_account_ratio", get(elite_accounts))
        .route("/linear-swap-api/v1/swap_elite_position_ratio", get(elite_positions))
}

async fn tickers(State(exchange): State<Arc<Exchange>>) -> Response {
    let tickers = exchange.tickers(&exchange.listings().listings);
    let rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker)).collect();
    exchange::json(&json!({"status": "ok", "ts": exchange.now().as_millis(), "data": rows}))
}

fn row(listing: &Listing, ticker: &Ticker) -> Value {
    json!({
        "symbol": listing.symbol,
        "open": ticker.open,
        "high": ticker.high,
        "low": ticker.low,
        "close": ticker.last,
        "amount": ticker.base_volume,
        "vol": ticker.quote_volume,
        "count": ticker.trades,
        "bid": ticker.bid,
        "bidSize": ticker.bid_size,
        "ask": ticker.ask,
        "askSize": ticker.ask_size,
    })
}

async fn merged(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let time = exchange.now().as_millis();
    let listing = params.get("symbol").and_then(|symbol| exchange.listings().find(symbol));
    let tickers = exchange.tickers(listing);
    let Some((listing, ticker)) = tickers.first() else {
        let body = json!({
            "status": "error", "err-code": "invalid-parameter", "err-msg": "invalid symbol", "ts": time, "data": null,
        });
        return exchange::json(&body);
    };
    let tick = json!({
        "id": ticker.trades,
        "version": ticker.trades,
        "open": ticker.open,
        "close": ticker.last,
        "low": ticker.low,
        "high": ticker.high,
        "amount": ticker.base_volume,
        "vol": ticker.quote_volume,
        "count": ticker.trades,
        "bid": [ticker.bid, ticker.bid_size],
        "ask": [ticker.ask, ticker.ask_size],
    });
    let channel = format!("market.{}.detail.merged", listing.symbol);
    exchange::json(&json!({"ch": channel, "status": "ok", "ts": time, "tick": tick}))
}

fn refused(exchange: &Exchange) -> Response {
    let time = exchange.now().as_millis();
    let body = json!({"status": "error", "err_code": 1332, "err_msg": "The contract doesn't exist.", "ts": time});
    exchange::json(&body)
}

async fn open_interest(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Ok(listings) = exchange.listings_at(1).select(params.get("contract_code").map(String::as_str)) else {
        return refused(&exchange);
    };
    let now = exchange.now();
    let trading = listings.into_iter().filter(|listing| listing.trades(&exchange.market, now));
    let row = |listing: &Listing| {
        let (amount, usd) = long_short::open_interest(&exchange, listing, now);
        json!({
            "symbol": listing.base,
            "contract_code": listing.symbol,
            "volume": (amount * 1_000.0).round(),
            "amount": amount,
            "value": usd,
        })
    };
    let rows: Vec<Value> = trading.map(row).collect();
    exchange::json(&json!({"status": "ok", "ts": now.as_millis(), "data": rows}))
}

/// A twentieth of the accounts has both sides, and counts on neither.
const LOCKED_SHARE: f64 = 0.05;

async fn elite_accounts(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    elite(&exchange, &params, LongShortKind::TopTraderAccount, LOCKED_SHARE)
}

async fn elite_positions(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    elite(&exchange, &params, LongShortKind::TopTraderPosition, 0.0)
}

/// Shares of all, oldest first, thirty of them.
fn elite(exchange: &Exchange, params: &Params, kind: LongShortKind, locked: f64) -> Response {
    let listing = params.get("contract_code").and_then(|code| exchange.listings_at(1).find(code));
    let rows = Rows::of(params, "period", ["5min", "15min", "30min", "60min", "4hour", "1day"]);
    let (Some(listing), Some(rows)) = (listing, rows) else { return refused(exchange) };
    let places = |share: f64| (share * 10_000.0).round() / 10_000.0;
    let row = |(time, share): (Timestamp, f64)| {
        let (buy, sell) = (share * (1.0 - locked), (1.0 - share) * (1.0 - locked));
        let mut row = json!({"buy_ratio": places(buy), "sell_ratio": places(sell), "ts": time.as_millis()});
        if let Some(fields) = row.as_object_mut().filter(|_| locked > 0.0) {
            fields.insert("locked_ratio".to_owned(), json!(locked));
        }
        row
    };
    let list: Vec<Value> = rows.shares(exchange, listing, kind).into_iter().map(row).collect();
    let data = json!({"list": list, "symbol": listing.base, "contract_code": listing.symbol});
    exchange::json(&json!({"status": "ok", "ts": exchange.now().as_millis(), "data": data}))
}
