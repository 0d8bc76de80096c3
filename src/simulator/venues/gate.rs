//! Gate spot: <https://www.gate.com/docs/developers/apiv4/en/#get-currency-pair-ticker-information>. It is the venue that goes down.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::simulator::book::{Listing, Profile, Ticker};
use crate::simulator::exchange::{self, Exchange, Outages, Params, SimulatedVenue, change_percent, json_with};

pub(super) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "gate",
    profiles: &[Profile {
        venue: "gate",
        volume_share: 0.045,
        side: 1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: |base, quote| format!("{base}_{quote}"),
        multiplier: super::single,
    }],
    router,
    stream: None,
    weight_header: None,
    outages: Some(OUTAGES),
};

/// From 40 to 100 seconds after the start, and every 6 minutes again.
const OUTAGES: Outages =
    Outages { first: Duration::from_secs(40), length: Duration::from_secs(60), every: Duration::from_secs(360) };

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/api/v4/spot/tickers", get(tickers)).route("/spot/tickers", get(tickers))
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let asked = params.get("currency_pair").map(String::as_str);
    let Ok(listings) = exchange.book().select(asked) else {
        let body = json!({"label": "INVALID_CURRENCY_PAIR", "message": "Invalid currency pair"});
        return json_with(StatusCode::BAD_REQUEST, &body);
    };
    let tickers = exchange.tickers(listings);
    let rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker, asked.is_some())).collect();
    exchange::json(&Value::Array(rows))
}

/// The sizes are in the answer only when one pair is asked for.
fn row(listing: &Listing, ticker: &Ticker, with_sizes: bool) -> Value {
    let mut value = json!({
        "currency_pair": listing.symbol,
        "last": listing.text(ticker.last),
        "lowest_ask": listing.text(ticker.ask),
        "highest_bid": listing.text(ticker.bid),
        "change_percentage": format!("{:.2}", change_percent(ticker.last, ticker.open)),
        "base_volume": ticker.base_volume.to_string(),
        "quote_volume": ticker.quote_volume.to_string(),
        "high_24h": listing.text(ticker.high),
        "low_24h": listing.text(ticker.low),
    });
    if let Some(fields) = value.as_object_mut().filter(|_| with_sizes) {
        fields.insert("lowest_size".to_owned(), Value::String(ticker.ask_size.to_string()));
        fields.insert("highest_size".to_owned(), Value::String(ticker.bid_size.to_string()));
    }
    value
}
