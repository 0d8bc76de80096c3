//! HTX spot: <https://www.htx.com/en-us/opend/newApiPages/?id=7ec4a4da-7773-11ed-9966-0242ac110003>. Numbers, not strings.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::simulator::book::{Listing, Profile, Ticker};
use crate::simulator::exchange::{self, Exchange, Params, SimulatedVenue};

pub(super) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "htx",
    profiles: &[Profile {
        venue: "htx",
        volume_share: 0.03,
        side: -1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: |base, quote| format!("{base}{quote}").to_ascii_lowercase(),
        multiplier: super::single,
    }],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/market/tickers", get(tickers)).route("/market/detail/merged", get(merged))
}

async fn tickers(State(exchange): State<Arc<Exchange>>) -> Response {
    let tickers = exchange.tickers(&exchange.book().listings);
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
    let listing = params.get("symbol").and_then(|symbol| exchange.book().find(symbol));
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
