//! CoinGecko, key-less: <https://docs.coingecko.com/reference/coins-markets>. Figures are those of the whole minute, as if cached.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, change_percent, json_with, number};
use crossmarket_simulator::market::{Figures, Market};
use crossmarket_simulator::{ASSETS, Asset};

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "coingecko", profiles: &[], router, stream: None, weight_header: None, outages: None };

const VERSION: &str = "/api/v3";
const PER_PAGE_MAX: i64 = 250;
const CHART_DAYS_MAX: i64 = 365;

/// With and without the version in the path: which of them belongs to the address is the client's choice.
fn router() -> Router<Arc<Exchange>> {
    let plain =
        Router::new().route("/coins/markets", get(markets)).route("/coins/{id}/market_chart", get(market_chart));
    Router::new().nest(VERSION, plain.clone()).merge(plain)
}

/// Every listed asset with its figures, the largest market cap first.
pub(crate) fn listed(market: &Market, time: Timestamp) -> Vec<(&'static Asset, Figures)> {
    let coins = ASSETS.iter().filter(|asset| !asset.is_fiat());
    let mut listed: Vec<(&Asset, Figures)> =
        coins.filter_map(|asset| Some((asset, market.figures(asset.ticker, time)?))).collect();
    listed.sort_by_key(|(_, figures)| figures.market_cap_rank);
    listed
}

async fn markets(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    if params.get("vs_currency").is_none_or(|currency| currency != "usd") {
        let body = json!({"error": "invalid vs_currency"});
        return json_with(StatusCode::UNPROCESSABLE_ENTITY, &body);
    }
    let minute = exchange.now().floor_to(Duration::from_secs(60));
    let mut coins = listed(&exchange.market, minute);
    if let Some(category) = params.get("category") {
        coins.retain(|(asset, _)| asset.has_category(category));
    }
    if let Some(ids) = params.get("ids") {
        coins.retain(|(asset, _)| ids.split(',').any(|id| id == asset.listing_id));
    }
    let per_page = number(&params, "per_page").unwrap_or(100).clamp(1, PER_PAGE_MAX) as usize;
    let page = number(&params, "page").unwrap_or(1).clamp(1, 1_000) as usize;
    let changes = params.get("price_change_percentage").map(String::as_str).unwrap_or_default();
    let rows = coins.iter().skip((page - 1) * per_page).take(per_page);
    let rows: Vec<Value> = rows.map(|(asset, figures)| row(asset, figures, minute, changes)).collect();
    exchange::json(&Value::Array(rows))
}

fn row(asset: &Asset, figures: &Figures, time: Timestamp, changes: &str) -> Value {
    let price = significant(figures.price);
    let change = figures.change_24h_percent.unwrap_or(0.0);
    let supply = figures.circulating_supply.round();
    let mut row = json!({
        "id": asset.listing_id,
        "symbol": asset.ticker.to_ascii_lowercase(),
        "name": asset.name,
        "image": format!("https://simulated.invalid/{}.png", asset.listing_id),
        "current_price": number_of(price),
        "market_cap": number_of(figures.market_cap.round()),
        "market_cap_rank": figures.market_cap_rank,
        "fully_diluted_valuation": number_of((asset.max_supply().unwrap_or(supply) * figures.price).round()),
        "total_volume": number_of(figures.volume_24h.round()),
        "high_24h": number_of(significant(figures.high_24h)),
        "low_24h": number_of(significant(figures.low_24h)),
        "price_change_24h": figures.price - figures.open_24h,
        "price_change_percentage_24h": change,
        "market_cap_change_24h": figures.market_cap * (1.0 - 1.0 / (1.0 + change / 100.0)),
        "market_cap_change_percentage_24h": change,
        "circulating_supply": supply,
        "total_supply": supply,
        "max_supply": asset.max_supply(),
        "ath": number_of(significant(figures.all_time_high)),
        "ath_change_percentage": change_percent(figures.price, figures.all_time_high),
        "ath_date": iso(figures.all_time_high_time),
        "atl": null,
        "atl_change_percentage": null,
        "atl_date": null,
        "roi": null,
        "last_updated": iso(time),
    });
    let known = [
        ("1h", figures.change_1h_percent),
        ("24h", figures.change_24h_percent),
        ("7d", figures.change_7d_percent),
        ("30d", figures.change_30d_percent),
        ("1y", figures.change_1y_percent),
    ];
    let asked = known.into_iter().filter(|(span, _)| changes.split(',').any(|asked| asked == *span));
    if let Some(fields) = row.as_object_mut() {
        for (span, change) in asked {
            fields.insert(format!("price_change_percentage_{span}_in_currency"), json!(change));
        }
    }
    row
}

/// Daily points at midnight of UTC and one of now, a year of them at most, as without a paid key.
async fn market_chart(State(exchange): State<Arc<Exchange>>, Path(id): Path<String>, params: Params) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| !asset.is_fiat() && asset.listing_id == id) else {
        return json_with(StatusCode::NOT_FOUND, &json!({"error": "coin not found"}));
    };
    let days = number(&params, "days").unwrap_or(CHART_DAYS_MAX).clamp(1, CHART_DAYS_MAX) as u32;
    let told = tokio::task::spawn_blocking(move || chart(&exchange, asset, days)).await;
    told.map_or_else(|_| json_with(StatusCode::INTERNAL_SERVER_ERROR, &Value::Null), |chart| exchange::json(&chart))
}

fn chart(exchange: &Exchange, asset: &Asset, days: u32) -> Value {
    let (market, now) = (&exchange.market, exchange.now());
    let Some(place) = market.position(asset.ticker) else { return Value::Null };
    let midnights = (0..days).rev().map(|days| now.day_start() - Duration::from_secs(86_400) * days);
    let times: Vec<Timestamp> = midnights.chain([now]).filter(|time| market.trades(place, *time)).collect();
    let points = |value: &dyn Fn(Timestamp) -> f64| -> Vec<Value> {
        times.iter().map(|time| json!([time.as_millis(), value(*time)])).collect()
    };
    json!({
        "prices": points(&|time| market.price(place, time)),
        "market_caps": points(&|time| market.past_market_cap(place, time)),
        "total_volumes": points(&|_| asset.volume_millions * 1e6),
    })
}

/// Seven significant places, with rounding of what is worth little.
fn significant(price: f64) -> f64 {
    let places = (6 - price.log10().floor() as i32).clamp(0, 15) as usize;
    format!("{price:.places$}").parse().unwrap_or(price)
}

/// Integers without a fraction, as CoinGecko writes them.
fn number_of(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

/// ISO 8601 with milliseconds.
pub(crate) fn iso(time: Timestamp) -> String {
    let civil = time.civil();
    let millis = time.as_millis().rem_euclid(1_000);
    format!("{}.{millis:03}Z", civil.strftime("%Y-%m-%dT%H:%M:%S"))
}
