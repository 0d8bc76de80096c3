//! Stooq's CSV of closes. It wants a key, and says so with status 200. Its Dow Jones is off, so that a source that disagrees can be seen.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::yahoo::simulated::hundredths;
use crossmarket_domain::Timestamp;
use crossmarket_simulator::exchange::{Exchange, Params, SimulatedVenue};

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "stooq", profiles: &[], router, stream: None, weight_header: None, outages: None };

const SYMBOLS: &[(&str, &str)] =
    &[("^rut", "RUT"), ("^spx", "SPX"), ("^ndx", "NDX"), ("^ndq", "IXIC"), ("^dji", "DJI"), ("^vix", "VIX")];

/// By how much its level of that index is off.
const OFF: (&str, f64) = ("DJI", 1.012);

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/q/d/l/", get(closes))
}

async fn closes(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    if params.get("apikey").is_none_or(String::is_empty) {
        return "Get your apikey:\n\n1. A simulated page has none to give.\n".into_response();
    }
    let symbol = params.get("s").map(|symbol| symbol.to_ascii_lowercase()).unwrap_or_default();
    let index = SYMBOLS.iter().find(|(known, _)| *known == symbol).and_then(|(_, code)| exchange.equities.find(code));
    let Some(index) = index else { return "No data".into_response() };
    let day = |name: &str| {
        let text = params.get(name)?;
        Timestamp::parse(&format!("{}-{}-{}T00:00:00Z", text.get(..4)?, text.get(4..6)?, text.get(6..8)?))
    };
    let now = exchange.now();
    let from = day("d1").unwrap_or(Timestamp::EPOCH);
    let until = day("d2").map_or(now, |day| day + std::time::Duration::from_secs(86_400));
    let factor = if index.code == OFF.0 { OFF.1 } else { 1.0 };
    let mut body = "Date,Open,High,Low,Close,Volume\r\n".to_owned();
    for bar in exchange.equities.bars(index, from, until, now).iter().filter(|bar| bar.session.close <= now) {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|level| hundredths(level * factor));
        // Writing to a string cannot fail.
        let _ = write!(body, "{},{open},{high},{low},{close},0\r\n", bar.session.date);
    }
    ([("content-type", "text/csv")], body).into_response()
}
