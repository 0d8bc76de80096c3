//! KuCoin spot: <https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-all-tickers>.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crossmarket_simulator::exchange::{self, Exchange, Params, SimulatedVenue, interval, number};
use crossmarket_simulator::listings::{self, Listing, ListingProfile, Span, Ticker};

pub(crate) const VENUE: SimulatedVenue = SimulatedVenue {
    id: "kucoin",
    profiles: &[ListingProfile {
        venue: "kucoin",
        volume_share: 0.02,
        side: -1.0,
        quote: "USDT",
        further_pairs: &[("BTC", "USDC")],
        breadth: 0.2,
        is_perpetual: false,
        symbol: listings::hyphened,
        multiplier: listings::single,
    }],
    router,
    stream: None,
    weight_header: None,
    outages: None,
};

const ROWS_MAX: u32 = 1_500;

fn router() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/api/v1/market/allTickers", get(all_tickers))
        .route("/api/v1/market/stats", get(stats))
        .route("/api/v1/market/candles", get(candles))
}

async fn all_tickers(State(exchange): State<Arc<Exchange>>) -> Response {
    let time = exchange.now().as_millis();
    let tickers = exchange.tickers(&exchange.listings().listings);
    let rows: Vec<Value> = tickers.iter().map(|(listing, ticker)| row(listing, ticker)).collect();
    exchange::json(&json!({"code": "200000", "data": {"time": time, "ticker": rows}}))
}

async fn stats(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let listing = params.get("symbol").and_then(|symbol| exchange.listings().find(symbol));
    let tickers = exchange.tickers(listing);
    let Some((listing, ticker)) = tickers.first() else {
        return exchange::json(&json!({"code": "900001", "msg": "Symbol not exists"}));
    };
    let mut value = row(listing, ticker);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("time".to_owned(), json!(exchange.now().as_millis()));
    }
    exchange::json(&json!({"code": "200000", "data": value}))
}

/// Rows of texts: start in seconds, open, close, high, low, volume, turnover; newest first.
async fn candles(State(exchange): State<Arc<Exchange>>, params: Params) -> Response {
    let Some(listing) = params.get("symbol").and_then(|symbol| exchange.listings().find(symbol)) else {
        return exchange::json(&json!({"code": "900001", "msg": "Symbol not exists"}));
    };
    let Some(interval) = interval(params.get("type"), ["5min", "1hour", "1day"]) else {
        return exchange::json(&json!({"code": "400100", "msg": "Incorrect candlestick type."}));
    };
    let millis = |name: &str| number(&params, name).filter(|at| *at > 0).map(|at| at.saturating_mul(1_000));
    // The upper bound is exclusive here.
    let to = millis("endAt").map(|end| end - 1);
    let span = Span::newest(interval, ROWS_MAX).between_millis(millis("startAt"), to);
    let rows = listing.bars(&exchange.market, &span, exchange.now()).into_iter().rev().map(|bar| {
        json!([
            bar.start.as_seconds().to_string(),
            listing.text(bar.open),
            listing.text(bar.close),
            listing.text(bar.high),
            listing.text(bar.low),
            bar.base_volume.to_string(),
            bar.quote_volume.to_string(),
        ])
    });
    exchange::json(&json!({"code": "200000", "data": rows.collect::<Vec<Value>>()}))
}

/// Thinly traded pairs have nulls, as at KuCoin.
fn row(listing: &Listing, ticker: &Ticker) -> Value {
    let is_thin = ticker.quote_volume < 100_000.0;
    let unless_thin = |text: String| if is_thin { Value::Null } else { Value::String(text) };
    json!({
        "symbol": listing.symbol,
        "symbolName": listing.symbol,
        "buy": listing.text(ticker.bid),
        "bestBidSize": ticker.bid_size.to_string(),
        "sell": listing.text(ticker.ask),
        "bestAskSize": ticker.ask_size.to_string(),
        "changeRate": unless_thin(format!("{:.4}", ticker.last / ticker.open - 1.0)),
        "changePrice": unless_thin(listing.text(ticker.last - ticker.open)),
        "high": listing.text(ticker.high),
        "low": listing.text(ticker.low),
        "vol": ticker.base_volume.to_string(),
        "volValue": ticker.quote_volume.to_string(),
        "last": listing.text(ticker.last),
        "averagePrice": unless_thin(listing.text((ticker.high + ticker.low) / 2.0)),
        "takerFeeRate": "0.001",
        "makerFeeRate": "0.001",
        "takerCoefficient": "1",
        "makerCoefficient": "1",
    })
}
