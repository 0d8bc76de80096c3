//! CoinPaprika: <https://api.coinpaprika.com/#tag/Tickers>. No supply in circulation: it follows from market cap and price.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::coingecko::simulated::listed;
use crossmarket_domain::Timestamp;
use crossmarket_simulator::Asset;
use crossmarket_simulator::exchange::{self, Exchange, SimulatedVenue, change_percent, json_with};
use crossmarket_simulator::market::Figures;

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "coinpaprika", profiles: &[], router, stream: None, weight_header: None, outages: None };

/// With and without the version in the path: which of them belongs to the address is the client's choice.
fn router() -> Router<Arc<Exchange>> {
    let plain = Router::new().route("/tickers", get(tickers)).route("/tickers/{id}", get(ticker));
    Router::new().nest("/v1", plain.clone()).merge(plain)
}

/// `btc-bitcoin`.
fn id(asset: &Asset) -> String {
    let name: String =
        asset.name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let words = name.split('-').filter(|word| !word.is_empty()).collect::<Vec<&str>>().join("-");
    format!("{}-{}", asset.ticker, words).to_ascii_lowercase()
}

fn rows(exchange: &Exchange) -> Vec<Value> {
    let minute = exchange.now().floor_to(Duration::from_secs(60));
    listed(&exchange.market, minute).iter().map(|(asset, figures)| row(asset, figures, minute)).collect()
}

async fn tickers(State(exchange): State<Arc<Exchange>>) -> Response {
    exchange::json(&Value::Array(rows(&exchange)))
}

async fn ticker(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>) -> Response {
    match rows(&exchange).iter().find(|row| row.get("id").and_then(Value::as_str) == Some(&id)) {
        Some(row) => exchange::json(row),
        None => json_with(StatusCode::NOT_FOUND, &json!({"error": "id not found"})),
    }
}

fn row(asset: &Asset, figures: &Figures, time: Timestamp) -> Value {
    let percent = |change: Option<f64>| (change.unwrap_or(0.0) * 100.0).round() / 100.0;
    let whole = |time: Timestamp| time.floor_to(Duration::from_secs(1)).to_string();
    json!({
        "id": id(asset),
        "name": asset.name,
        "symbol": asset.ticker,
        "rank": figures.market_cap_rank,
        "total_supply": figures.circulating_supply.round() as u64,
        // 0 means that there is no limit.
        "max_supply": asset.max_supply().unwrap_or(0.0) as u64,
        "beta_value": 1.0,
        "first_data_at": "2013-04-28T00:00:00Z",
        "last_updated": whole(time),
        "quotes": {"USD": {
            "price": figures.price,
            "volume_24h": figures.volume_24h,
            "volume_24h_change_24h": 0.0,
            "market_cap": figures.market_cap.round() as u64,
            "market_cap_change_24h": percent(figures.change_24h_percent),
            "percent_change_15m": 0.0,
            "percent_change_30m": 0.0,
            "percent_change_1h": percent(figures.change_1h_percent),
            "percent_change_6h": 0.0,
            "percent_change_12h": 0.0,
            "percent_change_24h": percent(figures.change_24h_percent),
            "percent_change_7d": percent(figures.change_7d_percent),
            "percent_change_30d": percent(figures.change_30d_percent),
            "percent_change_1y": percent(figures.change_1y_percent),
            "ath_price": figures.all_time_high,
            "ath_date": whole(figures.all_time_high_time),
            "percent_from_price_ath": (change_percent(figures.price, figures.all_time_high) * 100.0).round() / 100.0,
        }},
    })
}
