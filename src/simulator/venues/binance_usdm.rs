//! Binance USD-M futures: <https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api>.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::binance::{book_tickers, klines, prices, tickers};
use crate::simulator::book::Profile;
use crate::simulator::exchange::{Exchange, Params, SimulatedVenue};

pub(super) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "binance-usdm",
    profiles: &[Profile {
        venue: "binance-usdm",
        volume_share: 0.32,
        side: -1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC"), ("ETH", "USDC")],
        breadth: 0.95,
        is_perpetual: true,
        symbol: super::joined,
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
}

async fn candles(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    klines(&exchange, &params, 1_500)
}
