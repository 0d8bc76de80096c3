//! Bitget spot: <https://www.bitget.com/api-doc/spot/market/Get-Tickers>.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::simulator::book::{Listing, Profile, Ticker};
use crate::simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with};

pub(super) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "bitget",
    profiles: &[Profile {
        venue: "bitget",
        volume_share: 0.035,
        side: -1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: super::joined,
        multiplier: super::single,
    }],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/api/v2/spot/market/tickers", get(tickers))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let time = exchange.now().as_millis();
    let Ok(listings) = exchange.book().select(params.get("symbol").map(String::as_str)) else {
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
