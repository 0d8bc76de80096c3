//! Yahoo Finance's charts of indices, with the noise of binary fractions that they have.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::Timestamp;
use crossmarket_simulator::equity::{EquityIndex, SessionBar};
use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, json_with, number};

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "yahoo", profiles: &[], router, stream: None, weight_header: None, outages: None };

const SYMBOLS: &[(&str, &str)] = &[
    ("^RUT", "RUT"),
    ("^GSPC", "SPX"),
    ("^NDX", "NDX"),
    ("^IXIC", "IXIC"),
    ("^DJI", "DJI"),
    ("^VIX", "VIX"),
    ("DX-Y.NYB", "DXY"),
    ("IWM", "IWM"),
];

/// Sessions of a range by name.
const RANGES: &[(&str, i64)] = &[
    ("1d", 1),
    ("5d", 5),
    ("1mo", 21),
    ("3mo", 63),
    ("6mo", 126),
    ("1y", 252),
    ("2y", 504),
    ("5y", 1_260),
    ("10y", 2_520),
];

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/v8/finance/chart/{symbol}", get(chart))
}

async fn chart(State(exchange): State<Arc<Exchange>>, Path(symbol): Path<String>, params: Params) -> Response {
    let now = exchange.now();
    let index = SYMBOLS.iter().find(|(known, _)| *known == symbol).and_then(|(_, code)| exchange.equities.find(code));
    let Some(index) = index else {
        return refusal(StatusCode::NOT_FOUND, "Not Found", "No data found, symbol may be delisted");
    };
    if params.get("interval").is_some_and(|interval| interval != "1d") {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity", "only days are simulated");
    }
    let bars = match (number(&params, "period1"), number(&params, "period2")) {
        (Some(from), Some(until)) => {
            exchange.equities.bars(index, Timestamp::from_seconds(from), Timestamp::from_seconds(until), now)
        }
        _ => {
            let count = params.get("range").map_or("1d", String::as_str);
            let Some((_, count)) = RANGES.iter().find(|(name, _)| *name == count) else {
                return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity", "no such range");
            };
            let mut bars = exchange.equities.bars(index, Timestamp::EPOCH, now, now);
            bars.split_off(bars.len().saturating_sub(*count as usize))
        }
    };
    match body(&exchange, &symbol, index, &bars, now) {
        Some(body) => exchange::json(&body),
        None => refusal(StatusCode::NOT_FOUND, "Not Found", "No data found"),
    }
}

fn body(exchange: &Exchange, symbol: &str, index: &EquityIndex, bars: &[SessionBar], now: Timestamp) -> Option<Value> {
    let latest = exchange.equities.latest(index, now)?;
    let market_time = now.min(latest.session.close).as_seconds();
    let column = |value: fn(&SessionBar) -> f64| -> Vec<f64> { bars.iter().map(|bar| single(value(bar))).collect() };
    let quote = json!({
        "open": column(|bar| bar.open),
        "high": column(|bar| bar.high),
        "low": column(|bar| bar.low),
        "close": column(|bar| bar.close),
        "volume": vec![0; bars.len()],
    });
    let mut result = json!({
        "meta": {
            "currency": "USD",
            "symbol": symbol,
            "exchangeName": "SIM",
            "instrumentType": if index.code == "IWM" { "ETF" } else { "INDEX" },
            "regularMarketTime": market_time,
            "regularMarketPrice": hundredths(latest.close),
            "regularMarketDayHigh": hundredths(latest.high),
            "regularMarketDayLow": hundredths(latest.low),
            "chartPreviousClose": exchange.equities.previous_close(index, now).map(hundredths),
            "gmtoffset": -18_000,
            "exchangeTimezoneName": "America/New_York",
            "priceHint": 2,
            "currentTradingPeriod": {"regular": {
                "start": latest.session.open.as_seconds(),
                "end": latest.session.close.as_seconds(),
            }},
            "dataGranularity": "1d",
        },
        "indicators": {"quote": [if bars.is_empty() { json!({}) } else { quote }], "adjclose": [{}]},
    });
    if let Some(fields) = result.as_object_mut().filter(|_| !bars.is_empty()) {
        let opened: Vec<i64> = bars.iter().map(|bar| bar.session.open.as_seconds()).collect();
        fields.insert("timestamp".to_owned(), json!(opened));
    }
    Some(json!({"chart": {"result": [result], "error": null}}))
}

fn refusal(status: StatusCode, code: &str, description: &str) -> Response {
    json_with(status, &json!({"chart": {"result": null, "error": {"code": code, "description": description}}}))
}

/// A number as it comes out of single precision.
fn single(value: f64) -> f64 {
    f64::from(hundredths(value) as f32)
}

/// Two decimal places.
pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
