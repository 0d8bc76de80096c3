//! FRED's CSV of closes: known the next morning, with a line for every weekday and nothing on a holiday's.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::yahoo::simulated::hundredths;
use crossmarket_domain::Timestamp;
use crossmarket_domain::calendar::day_start;
use crossmarket_simulator::exchange::{Exchange, Params, SimulatedVenue};

pub(crate) const VENUE: SimulatedVenue =
    SimulatedVenue { id: "fred", profiles: &[], router, stream: None, weight_header: None, outages: None };

const SERIES: &[(&str, &str)] =
    &[("SP500", "SPX"), ("NASDAQ100", "NDX"), ("NASDAQCOM", "IXIC"), ("DJIA", "DJI"), ("VIXCLS", "VIX")];

/// From a session's close to the next morning.
const PUBLISHED_AFTER: Duration = Duration::from_secs(15 * 3_600);

/// Years of history that it gives.
const HISTORY: Duration = Duration::from_secs(10 * 365 * 86_400);

fn router() -> Router<Arc<Exchange>> {
    Router::new().route("/graph/fredgraph.csv", get(closes))
}

async fn closes(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let series = params.get("id").map(String::as_str).unwrap_or_default();
    let index = SERIES.iter().find(|(known, _)| *known == series).and_then(|(_, code)| exchange.equities.find(code));
    let Some(index) = index else { return (StatusCode::NOT_FOUND, "<!DOCTYPE html>").into_response() };
    let day = |name: &str| Timestamp::parse(&format!("{}T00:00:00Z", params.get(name)?));
    let now = exchange.now();
    let from = day("cosd").unwrap_or(Timestamp::EPOCH).max(now - HISTORY);
    let until = day("coed").map_or(now, |day| day + Duration::from_secs(86_400));
    let mut body = format!("observation_date,{series}\n");
    let bars = exchange.equities.bars(index, from, until, now);
    let known: Vec<_> = bars.iter().filter(|bar| bar.session.close + PUBLISHED_AFTER <= now).collect();
    let mut bars = known.iter().peekable();
    let mut date = known.first().map(|bar| bar.session.date);
    while let (Some(today), Some(next)) = (date, bars.peek()) {
        // Writing to a string cannot fail.
        if today == next.session.date {
            let _ = writeln!(body, "{today},{}", hundredths(next.close));
            bars.next();
        } else if day_start(today).civil().date().weekday().to_monday_zero_offset() < 5 {
            let _ = writeln!(body, "{today},");
        }
        date = today.tomorrow().ok();
    }
    ([("content-type", "text/csv")], body).into_response()
}
