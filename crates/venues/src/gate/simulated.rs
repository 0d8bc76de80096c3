//! Gate spot and the statistics of futures: <https://www.gate.com/docs/developers/apiv4/en/#get-currency-pair-ticker-information>. It is the venue that goes down.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_domain::{LongShortKind, Timestamp};
use crossmarket_simulator::exchange::{self, Exchange, Outages, Params, SimulatedVenue, change_percent, json_with};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Ticker};
use crossmarket_simulator::long_short::{self, Rows};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "gate",
    profiles: &[
        ListingProfile {
            venue: "gate",
            volume_share: 0.045,
            side: 1.0,
            quote: "USDT",
            further_pairs: &[("BTC", "USDC")],
            breadth: 0.2,
            is_perpetual: false,
            symbol: |base, quote| format!("{base}_{quote}"),
            multiplier: listings::single,
        },
        ListingProfile {
            venue: "gate-futures",
            volume_share: 0.06,
            side: -1.0,
            quote: "USDT",
            further_pairs: &[],
            breadth: 0.7,
            is_perpetual: true,
            symbol: |base, quote| format!("{base}_{quote}"),
            multiplier: listings::single,
        },
    ],
    router,
    stream: None,
    weight_header: None,
    outages: Some(OUTAGES),
};

/// From 40 to 100 seconds after the start, and every 6 minutes again.
const OUTAGES: Outages =
    Outages { first: Duration::from_secs(40), length: Duration::from_secs(60), every: Duration::from_secs(360) };

fn router() -> Router<Arc<Exchange>> {
    let mut router = Router::new();
    // The venue's own address has a path; the loopback address has none.
    for prefix in ["/api/v4", ""] {
        router = router
            .route(&format!("{prefix}/spot/tickers"), get(tickers))
            .route(&format!("{prefix}/futures/usdt/tickers"), get(futures_tickers))
            .route(&format!("{prefix}/futures/usdt/contract_stats"), get(contract_stats));
    }
    router
}

async fn tickers(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let asked = params.get("currency_pair").map(String::as_str);
    let Ok(listings) = exchange.listings().select(asked) else {
        let body = json!({"label": "INVALID_CURRENCY_PAIR", "message": "Invalid currency pair"});
        return json_with(StatusCode::BAD_REQUEST, &body);
    };
    let tickers = exchange.tickers(listings);
    let rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker, asked.is_some())).collect();
    exchange::json(&Value::Array(rows))
}

/// The answer has sizes only if a single pair is requested.
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

async fn futures_tickers(State(exchange): State<Arc<Exchange>>) -> Response {
    let now = exchange.now();
    let row = |(listing, ticker): &(&Listing, Ticker)| {
        let (amount, _) = long_short::open_interest(&exchange, listing, now);
        json!({
            "contract": listing.symbol,
            "last": listing.text(ticker.last),
            "high_24h": listing.text(ticker.high),
            "low_24h": listing.text(ticker.low),
            "change_percentage": format!("{:.2}", change_percent(ticker.last, ticker.open)),
            "total_size": (amount * CONTRACTS_PER_UNIT).round().to_string(),
            "volume_24h_base": ticker.base_volume.to_string(),
            "volume_24h_quote": ticker.quote_volume.to_string(),
            "mark_price": listing.text(ticker.last),
        })
    };
    exchange::json(&Value::Array(exchange.tickers(&exchange.listings_at(1).listings).iter().map(row).collect()))
}

/// A contract is a tenth of a unit.
const CONTRACTS_PER_UNIT: f64 = 10.0;

/// Every kind in one row, oldest first, ratios as numbers and the rest as it comes.
async fn contract_stats(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some(listing) = params.get("contract").and_then(|contract| exchange.listings_at(1).find(contract)) else {
        let body = json!({"label": "CONTRACT_NOT_FOUND", "message": "contract not found"});
        return json_with(StatusCode::BAD_REQUEST, &body);
    };
    let Some(rows) = Rows::of(&params, "interval", ["5m", "15m", "30m", "1h", "4h", "1d"]) else {
        let body = json!({"label": "INVALID_PARAM_VALUE", "message": "interval"});
        return json_with(StatusCode::BAD_REQUEST, &body);
    };
    let rows = rows.limited(&params, 30, 100).since_seconds(&params, "from");
    let row = |time: Timestamp| {
        let ratio = |kind| {
            let share = long_short::long_share(&exchange, listing, kind, time);
            (share / (1.0 - share) * 10_000.0).round() / 10_000.0
        };
        let (amount, usd) = long_short::open_interest(&exchange, listing, time);
        json!({
            "time": time.as_seconds(),
            "lsr_taker": ratio(LongShortKind::TakerVolume),
            "lsr_account": ratio(LongShortKind::GlobalAccount),
            "top_lsr_account": ratio(LongShortKind::TopTraderAccount),
            "top_lsr_size": ratio(LongShortKind::TopTraderPosition),
            "open_interest": (amount * CONTRACTS_PER_UNIT).round().to_string(),
            "open_interest_usd": usd,
            "long_liq_size": "0",
            "short_liq_size": "0",
        })
    };
    exchange::json(&Value::Array(rows.times(exchange.now()).into_iter().map(row).collect()))
}
