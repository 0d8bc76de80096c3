//! Ten venues and a listing on loopback, with any number of assets and full histories.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

pub const VENUES: [&str; 10] =
    ["binance", "coinbase", "kraken", "okx", "bybit", "bitget", "gate", "kucoin", "mexc", "htx"];

pub const LISTING: &str = "coingecko";

/// The venues: their lists of tickers, candles of two of them, and a listing of market caps.
struct Generator {
    asset_count: usize,
    requests: Arc<AtomicU64>,
}

/// Starts the venues on loopback; returns their address and the number of requests answered.
pub async fn serve_venues(asset_count: usize) -> (SocketAddr, Arc<AtomicU64>) {
    let requests = Arc::new(AtomicU64::new(0));
    let generator = Arc::new(Generator { asset_count, requests: Arc::clone(&requests) });
    let router = Router::new().fallback(answer).with_state(generator);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, requests)
}

async fn answer(State(generator): State<Arc<Generator>>, uri: Uri) -> Response {
    generator.requests.fetch_add(1, Ordering::Relaxed);
    let path = uri.path().trim_start_matches('/');
    let (venue, path) = path.split_once('/').unwrap_or((path, ""));
    let query: Query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    match generator.body(venue, path, &query) {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

type Query<'a> = Vec<(&'a str, &'a str)>;

fn parameter<'a>(query: &Query<'a>, name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

fn number(query: &Query<'_>, name: &str) -> Option<i64> {
    parameter(query, name)?.parse().ok()
}

/// Letters that neither form the name of a currency nor begin one of Kraken's old names.
const LETTERS: [char; 10] = ['B', 'C', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'P'];

fn code(index: usize) -> String {
    let letter = |place: usize| LETTERS[index / place % LETTERS.len()];
    ['N', letter(1_000), letter(100), letter(10), letter(1)].into_iter().collect()
}

fn index_of(code: &str) -> Option<usize> {
    code.strip_prefix('N')?
        .chars()
        .try_fold(0, |index, letter| Some(index * LETTERS.len() + LETTERS.iter().position(|known| *known == letter)?))
}

/// Between 0.00003 and 60,000 dollars.
fn base_price(index: usize) -> f64 {
    let share = (index as f64 * 0.618_034).fract();
    10f64.powf(share.mul_add(9.3, -4.5))
}

/// Moves by a percent within minutes: slowly enough that answers of one poll and the one before are no outliers to each other.
fn price_at(index: usize, second: i64) -> f64 {
    let phase = (second as f64).mul_add(0.01, index as f64);
    base_price(index) * 0.01f64.mul_add(phase.sin(), 1.0)
}

/// Eight digits.
fn text(price: f64) -> String {
    let decimals = (7 - price.log10().floor() as i32).clamp(0, 16) as usize;
    format!("{price:.decimals$}")
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("not that late")
}

/// One instrument's ticker, before it is written in a venue's format.
struct Row {
    base: String,
    quote: &'static str,
    last: String,
    bid: String,
    ask: String,
    open: String,
    high: String,
    low: String,
    base_volume: String,
    quote_volume: String,
}

fn row(base: String, quote: &'static str, price: f64, volume: f64) -> Row {
    Row {
        base,
        quote,
        last: text(price),
        bid: text(price * 0.9999),
        ask: text(price * 1.0001),
        open: text(price * 0.98),
        high: text(price * 1.03),
        low: text(price * 0.96),
        base_volume: format!("{:.6}", volume / price),
        quote_volume: format!("{volume:.4}"),
    }
}

/// Dollars for a euro, and tethers for an FDUSD.
const EUR: f64 = 1.1;
const FDUSD: f64 = 0.9995;

/// What an asset is quoted in. Candles are asked for in dollars, so at Binance for every other asset and at Bybit for the rest: what one
/// of them allows in a minute would be the whole length of the test.
fn quote_at(venue: &str, index: usize) -> (&'static str, f64) {
    match venue {
        "coinbase" | "kraken" => ("EUR", EUR),
        "binance" if index % 2 == 1 => ("FDUSD", FDUSD),
        _ => ("USDT", 1.0),
    }
}

impl Generator {
    fn body(&self, venue: &str, path: &str, query: &Query<'_>) -> Option<String> {
        let all = || self.rows(venue);
        let millis = now_millis();
        Some(match (venue, path) {
            ("binance" | "mexc", "api/v3/ticker/24hr") => list(all(), |row| binance_row(row, millis)),
            ("binance", "api/v3/klines") => self.binance_klines(query)?,
            ("coinbase", "products/stats") => map(all(), coinbase_row),
            ("kraken", "0/public/Ticker") => format!(r#"{{"error":[],"result":{}}}"#, map(all(), kraken_row)),
            ("okx", "api/v5/market/tickers") => {
                let rows = if parameter(query, "instType") == Some("SPOT") { all() } else { Vec::new() };
                format!(r#"{{"code":"0","msg":"","data":{}}}"#, list(rows, |row| okx_row(row, millis)))
            }
            ("bybit", "v5/market/tickers") => {
                let category = parameter(query, "category")?;
                let rows = if category == "spot" { all() } else { Vec::new() };
                bybit_answer(&format!(r#"{{"category":"{category}","list":{}}}"#, list(rows, bybit_row)), millis)
            }
            ("bybit", "v5/market/kline") => self.bybit_klines(query, millis)?,
            ("bitget", "api/v2/spot/market/tickers") => {
                let rows = list(all(), |row| bitget_row(row, millis));
                format!(r#"{{"code":"00000","msg":"success","requestTime":{millis},"data":{rows}}}"#)
            }
            ("gate", "api/v4/spot/tickers" | "spot/tickers") => list(all(), gate_row),
            ("kucoin", "api/v1/market/allTickers") => {
                let rows = list(all(), kucoin_row);
                format!(r#"{{"code":"200000","data":{{"time":{millis},"ticker":{rows}}}}}"#)
            }
            ("htx", "market/tickers") => {
                format!(r#"{{"status":"ok","ts":{millis},"data":{}}}"#, list(all(), htx_row))
            }
            (LISTING, "coins/markets") => self.listing(query),
            _ => return None,
        })
    }

    fn rows(&self, venue: &str) -> Vec<Row> {
        let second = now_millis() / 1_000;
        let further: &[(&str, &str, f64)] = match venue {
            "kraken" => &[("EUR", "USD", EUR), ("USDT", "USD", 1.0)],
            "binance" => &[("EUR", "USDT", EUR), ("FDUSD", "USDT", FDUSD)],
            _ => &[],
        };
        let place = VENUES.iter().position(|known| *known == venue).unwrap_or(0) as f64;
        let asset = |index: usize| {
            let (quote, rate) = quote_at(venue, index);
            let price = price_at(index, second) / rate * place.mul_add(0.000_05, 1.0);
            row(code(index), quote, price, 1e6 / (index + 1) as f64 * (place + 1.0) + 50_000.0)
        };
        let further = further.iter().map(|(base, quote, price)| row((*base).to_owned(), quote, *price, 1e7));
        (0..self.asset_count).map(asset).chain(further).collect()
    }

    /// The asset and the candles asked for: start in milliseconds, price at the end.
    fn candles(
        &self,
        symbol: &str,
        length: i64,
        from: Option<i64>,
        until: Option<i64>,
        limit: i64,
    ) -> Option<Vec<(i64, f64)>> {
        let base = ["FDUSD", "USDT"].iter().find_map(|quote| symbol.strip_suffix(quote))?;
        let index = index_of(base).filter(|index| *index < self.asset_count)?;
        let last = until.unwrap_or(i64::MAX).min(now_millis()).div_euclid(length);
        let first = from.map_or(last - limit + 1, |from| -(-from).div_euclid(length)).max(last - limit + 1);
        let price = |number: i64| {
            let phase = (number as f64).mul_add(0.37, index as f64);
            base_price(index) * 0.04f64.mul_add(phase.sin(), 1.0)
        };
        Some((first..=last).map(|number| (number * length, price(number))).collect())
    }

    fn binance_klines(&self, query: &Query<'_>) -> Option<String> {
        let length = match parameter(query, "interval")? {
            "5m" => 300_000,
            "1h" => 3_600_000,
            _ => 86_400_000,
        };
        let limit = number(query, "limit").unwrap_or(500).clamp(1, 1_000);
        let (from, until) = (number(query, "startTime"), number(query, "endTime"));
        let candles = self.candles(parameter(query, "symbol")?, length, from, until, limit)?;
        let rows = candles.into_iter().map(|(start, price)| {
            let (high, low) = (text(price * 1.011), text(price * 0.987));
            let (open, close, end) = (text(price * 0.995), text(price), start + length - 1);
            format!(
                r#"[{start},"{open}","{high}","{low}","{close}","12345.678",{end},"98765.4321",321,"6000.5","48000.25","0"]"#
            )
        });
        Some(format!("[{}]", rows.collect::<Vec<_>>().join(",")))
    }

    /// Newest first.
    fn bybit_klines(&self, query: &Query<'_>, millis: i64) -> Option<String> {
        let length = match parameter(query, "interval")? {
            "5" => 300_000,
            "60" => 3_600_000,
            _ => 86_400_000,
        };
        let symbol = parameter(query, "symbol")?;
        let limit = number(query, "limit").unwrap_or(200).clamp(1, 1_000);
        let candles = self.candles(symbol, length, number(query, "start"), number(query, "end"), limit)?;
        let rows = candles.into_iter().rev().map(|(start, price)| {
            let (high, low) = (text(price * 1.011), text(price * 0.987));
            let (open, close) = (text(price * 0.995), text(price));
            format!(r#"["{start}","{open}","{high}","{low}","{close}","12345.678","98765.4321"]"#)
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        Some(bybit_answer(&format!(r#"{{"category":"spot","symbol":"{symbol}","list":[{rows}]}}"#), millis))
    }

    fn listing(&self, query: &Query<'_>) -> String {
        let (page, length) = (number(query, "page").unwrap_or(1), number(query, "per_page").unwrap_or(100));
        let (page, length) = (usize::try_from(page).unwrap_or(1), usize::try_from(length).unwrap_or(100));
        // Categories without members.
        let asset_count = if parameter(query, "category").is_some() { 0 } else { self.asset_count };
        let second = now_millis() / 1_000;
        let first = (page - 1).saturating_mul(length);
        let rows = (first..asset_count.min(first + length)).map(|index| {
            let (price, rank) = (price_at(index, second), index + 1);
            let market_cap = 2e12 / rank as f64;
            let (id, ticker) = (code(index).to_lowercase(), code(index).to_lowercase());
            serde_json::json!({
                "id": format!("{id}-network"),
                "symbol": ticker,
                "name": format!("Network {}", code(index)),
                "current_price": price,
                "market_cap": market_cap.round(),
                "market_cap_rank": rank,
                "total_volume": (market_cap / 50.0).round(),
                "circulating_supply": (market_cap / price).round(),
                "ath": price * 2.5,
                "ath_date": "2024-11-05T06:07:08.000Z",
                "last_updated": "2026-01-02T03:04:05.000Z",
            })
            .to_string()
        });
        format!("[{}]", rows.collect::<Vec<_>>().join(","))
    }
}

fn list(rows: Vec<Row>, write: impl Fn(&Row) -> String) -> String {
    format!("[{}]", rows.iter().map(write).collect::<Vec<_>>().join(","))
}

fn map(rows: Vec<Row>, write: impl Fn(&Row) -> String) -> String {
    format!("{{{}}}", rows.iter().map(write).collect::<Vec<_>>().join(","))
}

fn binance_row(row: &Row, millis: i64) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, quote_volume } = row;
    let opened = millis - 86_400_000;
    format!(
        r#"{{"symbol":"{base}{quote}","priceChange":"0.1","priceChangePercent":"1.5","weightedAvgPrice":"{last}","prevClosePrice":"{open}","lastPrice":"{last}","lastQty":"1.5","bidPrice":"{bid}","bidQty":"2.5","askPrice":"{ask}","askQty":"3.5","openPrice":"{open}","highPrice":"{high}","lowPrice":"{low}","volume":"{base_volume}","quoteVolume":"{quote_volume}","openTime":{opened},"closeTime":{millis},"firstId":1,"lastId":9,"count":9}}"#
    )
}

fn coinbase_row(row: &Row) -> String {
    let Row { base, quote, last, open, high, low, base_volume, .. } = row;
    format!(
        r#""{base}-{quote}":{{"stats_30day":{{"volume":"{base_volume}"}},"stats_24hour":{{"open":"{open}","high":"{high}","low":"{low}","last":"{last}","volume":"{base_volume}"}}}}"#
    )
}

fn kraken_row(row: &Row) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, .. } = row;
    let name = match base.as_str() {
        "EUR" => "ZEURZUSD".to_owned(),
        "USDT" => "USDTZUSD".to_owned(),
        _ => format!("{base}{quote}"),
    };
    format!(
        r#""{name}":{{"a":["{ask}","1","1.000"],"b":["{bid}","2","2.000"],"c":["{last}","0.5"],"v":["1.5","{base_volume}"],"p":["{last}","{last}"],"t":[12,345],"l":["{low}","{low}"],"h":["{high}","{high}"],"o":"{open}"}}"#
    )
}

fn okx_row(row: &Row, millis: i64) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, quote_volume } = row;
    format!(
        r#"{{"instType":"SPOT","instId":"{base}-{quote}","last":"{last}","lastSz":"1.5","askPx":"{ask}","askSz":"2.5","bidPx":"{bid}","bidSz":"3.5","open24h":"{open}","high24h":"{high}","low24h":"{low}","volCcy24h":"{quote_volume}","vol24h":"{base_volume}","sodUtc0":"{open}","sodUtc8":"{open}","ts":"{millis}"}}"#
    )
}

fn bybit_answer(result: &str, millis: i64) -> String {
    format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":{millis}}}"#)
}

fn bybit_row(row: &Row) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, quote_volume } = row;
    format!(
        r#"{{"symbol":"{base}{quote}","bid1Price":"{bid}","bid1Size":"1.5","ask1Price":"{ask}","ask1Size":"2.5","lastPrice":"{last}","prevPrice24h":"{open}","price24hPcnt":"0.015","highPrice24h":"{high}","lowPrice24h":"{low}","turnover24h":"{quote_volume}","volume24h":"{base_volume}"}}"#
    )
}

fn bitget_row(row: &Row, millis: i64) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, quote_volume } = row;
    format!(
        r#"{{"open":"{open}","symbol":"{base}{quote}","high24h":"{high}","low24h":"{low}","lastPr":"{last}","quoteVolume":"{quote_volume}","baseVolume":"{base_volume}","usdtVolume":"{quote_volume}","ts":"{millis}","bidPr":"{bid}","askPr":"{ask}","bidSz":"1.5","askSz":"2.5","openUtc":"{open}","changeUtc24h":"0.01","change24h":"0.01"}}"#
    )
}

fn gate_row(row: &Row) -> String {
    let Row { base, quote, last, bid, ask, high, low, base_volume, quote_volume, .. } = row;
    format!(
        r#"{{"currency_pair":"{base}_{quote}","last":"{last}","lowest_ask":"{ask}","highest_bid":"{bid}","change_percentage":"1.5","base_volume":"{base_volume}","quote_volume":"{quote_volume}","high_24h":"{high}","low_24h":"{low}"}}"#
    )
}

fn kucoin_row(row: &Row) -> String {
    let Row { base, quote, last, bid, ask, high, low, base_volume, quote_volume, .. } = row;
    format!(
        r#"{{"symbol":"{base}-{quote}","symbolName":"{base}-{quote}","buy":"{bid}","bestBidSize":"1.5","sell":"{ask}","bestAskSize":"2.5","changeRate":"0.015","changePrice":"0.1","high":"{high}","low":"{low}","vol":"{base_volume}","volValue":"{quote_volume}","last":"{last}","averagePrice":"{last}","takerFeeRate":"0.001","makerFeeRate":"0.001","takerCoefficient":"1","makerCoefficient":"1"}}"#
    )
}

fn htx_row(row: &Row) -> String {
    let Row { base, quote, last, bid, ask, open, high, low, base_volume, quote_volume } = row;
    let symbol = format!("{base}{quote}").to_lowercase();
    format!(
        r#"{{"symbol":"{symbol}","open":{open},"high":{high},"low":{low},"close":{last},"amount":{base_volume},"vol":{quote_volume},"count":123,"bid":{bid},"bidSize":1.5,"ask":{ask},"askSize":2.5}}"#
    )
}
