//! MEXC spot: <https://www.mexc.com/api-docs/spot-v3/market-data-endpoints>. Like Binance, but the change is a fraction.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Ticker};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "mexc",
    profiles: &[ListingProfile {
        venue: "mexc",
        volume_share: 0.045,
        side: 1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: listings::joined,
        multiplier: listings::single,
    }],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/api/v3/ticker/24hr", get(tickers))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let time = exchange.now().as_millis();
    let asked = params.get("symbol").or_else(|| params.get("symbols")).map(String::as_str);
    let Ok(listings) = exchange.listings().select(asked) else {
        return json_with(StatusCode::BAD_REQUEST, &json!({"code": -1121, "msg": "Invalid symbol."}));
    };
    let tickers = exchange.tickers(listings);
    let mut rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker, time)).collect();
    if params.contains_key("symbol") && rows.len() == 1 {
        return exchange::json(&rows.pop().unwrap_or_default());
    }
    exchange::json(&Value::Array(rows))
}

/// Thinly traded pairs have an empty size and no traded value, as at MEXC.
fn row(listing: &Listing, ticker: &Ticker, time: i64) -> Value {
    let is_thin = ticker.quote_volume < 100_000.0;
    json!({
        "symbol": listing.symbol,
        "priceChange": format!("{:.*}", listing.decimals, ticker.last - ticker.open),
        "priceChangePercent": format!("{:.4}", ticker.last / ticker.open - 1.0),
        "prevClosePrice": listing.text(ticker.open),
        "lastPrice": listing.text(ticker.last),
        "bidPrice": listing.text(ticker.bid),
        "bidQty": if is_thin { String::new() } else { ticker.bid_size.to_string() },
        "askPrice": listing.text(ticker.ask),
        "askQty": if is_thin { String::new() } else { ticker.ask_size.to_string() },
        "openPrice": listing.text(ticker.open),
        "highPrice": listing.text(ticker.high),
        "lowPrice": listing.text(ticker.low),
        "volume": ticker.base_volume.to_string(),
        "quoteVolume": if is_thin { Value::Null } else { Value::String(ticker.quote_volume.to_string()) },
        "openTime": time - 86_400_000,
        "closeTime": time,
        "count": null,
    })
}
