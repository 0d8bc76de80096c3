//! Twelve Data's quote and time series: numbers as strings, a key wanted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::equity::EquityIndex;
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with, number};

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "twelvedata", profiles: &[], router, stream: None, weight_header: None, outages: None };

const ROWS_DEFAULT: i64 = 30;
const ROWS_MAX: i64 = 5_000;

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/quote", get(quote)).route("/time_series", get(time_series))
}

/// The index asked for, or why there is none.
fn asked(exchange: &Exchange, params: &Params) -> Result<&'static EquityIndex, Box<Response>> {
    let refusal = |code: StatusCode, message: &str| {
        Box::new(json_with(code, &json!({"code": code.as_u16(), "message": message, "status": "error"})))
    };
    if params.get("apikey").is_none_or(String::is_empty) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "**apikey** parameter is incorrect or not specified."));
    }
    let symbol = params.get("symbol").map(String::as_str).unwrap_or_default();
    exchange.equities.find(symbol).ok_or_else(|| refusal(StatusCode::NOT_FOUND, "**symbol** not found"))
}

async fn quote(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let index = match asked(&exchange, &params) {
        Ok(index) => index,
        Err(refusal) => return *refusal,
    };
    let now = exchange.now();
    let Some(bar) = exchange.equities.latest(index, now) else { return exchange::json(&Value::Null) };
    let last = now.min(bar.session.close);
    exchange::json(&json!({
        "symbol": index.code,
        "exchange": "SIM",
        "currency": "USD",
        "datetime": bar.session.date.to_string(),
        "timestamp": bar.session.open.as_seconds(),
        "last_quote_at": last.as_seconds(),
        "open": text(bar.open),
        "high": text(bar.high),
        "low": text(bar.low),
        "close": text(bar.close),
        "volume": "0",
        "previous_close": exchange.equities.previous_close(index, now).map(text),
        "is_market_open": now < bar.session.close,
    }))
}

async fn time_series(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let index = match asked(&exchange, &params) {
        Ok(index) => index,
        Err(refusal) => return *refusal,
    };
    let now = exchange.now();
    let day = |name: &str| Timestamp::parse(&format!("{}T00:00:00Z", params.get(name)?));
    let from = day("start_date").unwrap_or(Timestamp::EPOCH);
    let until = day("end_date").map_or(now, |day| day + Duration::from_secs(86_400));
    let count = number(&params, "outputsize").unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX) as usize;
    let bars = exchange.equities.bars(index, from, until, now);
    let mut rows: Vec<Value> = bars
        .iter()
        .rev()
        .take(count)
        .map(|bar| {
            json!({
                "datetime": bar.session.date.to_string(),
                "open": text(bar.open),
                "high": text(bar.high),
                "low": text(bar.low),
                "close": text(bar.close),
            })
        })
        .collect();
    if params.get("order").is_some_and(|order| order.eq_ignore_ascii_case("asc")) {
        rows.reverse();
    }
    exchange::json(&json!({
        "meta": {"symbol": index.code, "interval": "1day", "currency": "USD", "exchange_timezone": "America/New_York"},
        "values": rows,
        "status": "ok",
    }))
}

fn text(level: f64) -> String {
    format!("{level:.5}")
}
