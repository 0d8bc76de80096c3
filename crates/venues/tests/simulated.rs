//! The simulated venues: that each answers in its venue's format, with the market's figures, and fails as ordered.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use crossmarket_clock::Clock;
use crossmarket_simulator::listings::{ListingProfile, SimulatedListings};
use crossmarket_simulator::{
    ASSETS, Market, NotSimulated, START_SECONDS, Simulator, SimulatorOptions, VenueEndpoint, start, start_time,
};
use crossmarket_venues::SIMULATED;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const SEED: u64 = 7;

async fn started(speed: f64, outages: bool) -> Simulator {
    // reqwest wants a provider of cryptography even for plain HTTP.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let options = SimulatorOptions { outages, ..SimulatorOptions::new(SEED, Clock::simulated(start_time(), speed)) };
    start(SIMULATED, options).await.expect("loopback ports")
}

fn endpoint(simulator: &Simulator, venue: &str) -> VenueEndpoint {
    simulator.endpoints().into_iter().find(|endpoint| endpoint.venue == venue).expect("simulated")
}

async fn fetch(simulator: &Simulator, venue: &str, path: &str) -> (u16, String) {
    let url = format!("{}{path}", endpoint(simulator, venue).rest_url);
    let client = reqwest::Client::builder().user_agent("test").build().expect("client");
    let response = client.get(url).send().await.expect("answer");
    (response.status().as_u16(), response.text().await.expect("body"))
}

async fn value(simulator: &Simulator, venue: &str, path: &str) -> Value {
    let (_, body) = fetch(simulator, venue, path).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{venue}{path}: {error}: {body:.200}"))
}

fn decimal(value: &Value) -> f64 {
    value.as_str().expect("a string").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_quickly_and_gives_every_ticker_endpoint_its_shape() {
    let begun = Instant::now();
    let simulator = started(1.0, false).await;
    let taken = begun.elapsed();
    assert!(taken < Duration::from_millis(1_500), "{taken:?}, even without optimization");
    let truth = simulator.market().figures("BTC", start_time()).expect("simulated").price;
    let near = |price: f64| assert!((price / truth - 1.0).abs() < 0.003, "{price} is not near {truth}");

    let all = value(&simulator, "binance", "/api/v3/ticker/24hr?symbolStatus=TRADING").await;
    assert!(all.as_array().expect("array").len() > 120);
    let two = value(&simulator, "binance", "/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22,%22ETHUSDT%22%5D").await;
    assert_eq!(two.as_array().map(Vec::len), Some(2));
    near(decimal(&two[0]["lastPrice"]));
    let (status, body) = fetch(&simulator, "binance", "/api/v3/ticker/24hr?symbol=NOPE").await;
    assert_eq!((status, body.contains("-1121")), (400, true));
    let pepe = value(&simulator, "binance-usdm", "/fapi/v1/ticker/24hr?symbol=1000PEPEUSDT").await;
    assert!((decimal(&pepe["lastPrice"]) / 0.00594 - 1.0).abs() < 0.01);
    assert!(pepe.get("bidPrice").is_none());
    near(decimal(
        &value(&simulator, "bybit", "/v5/market/tickers?category=spot&symbol=BTCUSDT").await["result"]["list"][0]["lastPrice"],
    ));
    let linear = value(&simulator, "bybit", "/v5/market/tickers?category=linear&symbol=SHIB1000USDT").await;
    assert_eq!(linear["result"]["list"][0]["deliveryTime"], "0");
    near(decimal(&value(&simulator, "okx", "/api/v5/market/ticker?instId=BTC-USDT").await["data"][0]["last"]));
    assert_eq!(value(&simulator, "okx", "/api/v5/market/ticker?instId=NO-USDT").await["code"], "51001");
    assert!(
        value(&simulator, "okx", "/api/v5/market/tickers?instType=SPOT").await["data"].as_array().expect("rows").len()
            > 60
    );
    near(decimal(&value(&simulator, "coinbase", "/products/stats").await["BTC-USD"]["stats_24hour"]["last"]));
    near(decimal(&value(&simulator, "coinbase", "/products/BTC-USD/ticker").await["price"]));
    assert_eq!(fetch(&simulator, "coinbase", "/products/NO-USD/ticker").await.0, 404);
    assert_eq!(value(&simulator, "coinbase", "/products").await[0]["status"], "online");
    let kraken = value(&simulator, "kraken", "/0/public/Ticker?pair=XBTUSD,USDTUSD,EURUSD,XDGUSD").await;
    near(decimal(&kraken["result"]["XXBTZUSD"]["c"][0]));
    assert!((decimal(&kraken["result"]["ZEURZUSD"]["c"][0]) / 1.16 - 1.0).abs() < 0.01);
    assert!(kraken["result"]["USDTZUSD"]["t"][1].is_u64() && kraken["result"]["XDGUSD"].is_object());
    let unknown = value(&simulator, "kraken", "/0/public/Ticker?pair=NOPE").await;
    assert_eq!(unknown, json!({"error": ["EQuery:Unknown asset pair"]}));
    near(decimal(
        &value(&simulator, "bitget", "/api/v2/spot/market/tickers?symbol=BTCUSDT").await["data"][0]["lastPr"],
    ));
    let gate = value(&simulator, "gate", "/api/v4/spot/tickers?currency_pair=BTC_USDT").await;
    near(decimal(&gate[0]["last"]));
    assert!(gate[0]["lowest_size"].is_string());
    let kucoin = value(&simulator, "kucoin", "/api/v1/market/allTickers").await;
    let rows = kucoin["data"]["ticker"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["changeRate"].is_null()), "thin pairs have nulls");
    let mexc = value(&simulator, "mexc", "/api/v3/ticker/24hr?symbol=BTCUSDT").await;
    let expected = decimal(&mexc["lastPrice"]) / decimal(&mexc["openPrice"]) - 1.0;
    assert!((decimal(&mexc["priceChangePercent"]) - expected).abs() < 1e-4, "a fraction");
    let htx = value(&simulator, "htx", "/market/tickers").await;
    let btc = htx["data"].as_array().expect("rows").iter().find(|row| row["symbol"] == "btcusdt").expect("listed");
    near(btc["close"].as_f64().expect("a number"));
    assert!(value(&simulator, "htx", "/market/detail/merged?symbol=btcusdt").await["tick"]["bid"][1].is_number());
    simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_candles_served_give_the_volatility_of_the_note() {
    let simulator = started(0.001, false).await;
    let check = async |symbol: &str, expected: &str| {
        let path = format!("/api/v3/klines?symbol={symbol}&interval=5m&limit=290");
        let rows = value(&simulator, "binance", &path).await;
        let now = start_time().as_millis();
        let closed = rows.as_array().expect("rows").iter().filter(|row| row[6].as_i64().expect("close time") < now);
        let closes: Vec<f64> = closed.map(|row| decimal(&row[4])).collect();
        let last_day = &closes[closes.len() - 289..];
        let squares: f64 = last_day.windows(2).map(|pair| (pair[1] / pair[0]).ln().powi(2)).sum();
        assert_eq!(format!("{:.1}", squares.sqrt() * 100.0), expected, "{symbol}");
    };
    check("BTCUSDT", "1.3").await;
    check("ETHUSDT", "0.5").await;
    check("BNBUSDT", "0.4").await;
    check("SOLUSDT", "1.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candle_endpoints_keep_their_orders_and_limits() {
    let simulator = started(1.0, false).await;
    let starts = |rows: &Value, scale: i64| -> Vec<i64> {
        let start = |row: &Value| row[0].as_i64().or_else(|| row[0].as_str()?.parse().ok()).expect("a start");
        rows.as_array().expect("rows").iter().map(|row| start(row) / scale).collect()
    };
    let is_rising = |starts: &[i64], step: i64| starts.windows(2).all(|pair| pair[1] - pair[0] == step);
    let is_falling = |starts: &[i64], step: i64| starts.windows(2).all(|pair| pair[0] - pair[1] == step);

    let binance =
        starts(&value(&simulator, "binance", "/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=1000").await, 1_000);
    assert!(binance.len() >= 400 && is_rising(&binance, 86_400));
    let from = (START_SECONDS - 86_400) * 1_000;
    let path = format!("/api/v3/klines?symbol=ETHBTC&interval=1h&limit=5&startTime={from}");
    let cross = starts(&value(&simulator, "binance", &path).await, 1);
    assert_eq!((cross.len(), cross[0]), (5, from));
    let usdm = starts(
        &value(&simulator, "binance-usdm", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=1500").await,
        1_000,
    );
    assert!(usdm.len() == 1_500 && is_rising(&usdm, 300));
    let bybit = value(&simulator, "bybit", "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=D&limit=500").await;
    let bybit = starts(&bybit["result"]["list"], 1_000);
    assert!(bybit.len() == 500 && is_falling(&bybit, 86_400));
    let okx = value(&simulator, "okx", "/api/v5/market/candles?instId=BTC-USDT&bar=1Dutc&limit=300").await;
    assert_eq!((okx["data"][0][8].as_str(), okx["data"][1][8].as_str()), (Some("0"), Some("1")));
    let okx = starts(&okx["data"], 1_000);
    assert!(okx.len() == 300 && is_falling(&okx, 86_400));
    let after = okx[299] * 1_000;
    let older =
        value(&simulator, "okx", &format!("/api/v5/market/history-candles?instId=BTC-USDT&bar=1Dutc&after={after}"))
            .await;
    assert_eq!(starts(&older["data"], 1_000)[0], okx[299] - 86_400);
    let coinbase = value(&simulator, "coinbase", "/products/BTC-USD/candles?granularity=86400").await;
    let (low, high) = (coinbase[5][1].as_f64().expect("low"), coinbase[5][2].as_f64().expect("high"));
    assert!(low < high && is_falling(&starts(&coinbase, 1), 86_400));
    let kucoin = value(&simulator, "kucoin", "/api/v1/market/candles?type=1hour&symbol=BTC-USDT").await;
    let row: Vec<f64> = kucoin["data"][3].as_array().expect("a row").iter().map(decimal).collect();
    assert!(row[3] >= row[1].max(row[2]) && row[4] <= row[1].min(row[2]), "close before high: {row:?}");
    assert!(is_falling(&starts(&kucoin["data"], 1), 3_600));
    let kraken = value(&simulator, "kraken", "/0/public/OHLC?pair=XBTUSD&interval=1440").await;
    let kraken_starts = starts(&kraken["result"]["XXBTZUSD"], 1);
    assert!(kraken_starts.len() == 720 && is_rising(&kraken_starts, 86_400));
    assert_eq!(kraken["result"]["last"], json!(kraken_starts[718]));
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_market_caps_agree_with_the_truth() {
    let simulator = started(0.001, false).await;
    let path = "/api/v3/coins/markets?vs_currency=usd&per_page=250&page=1&price_change_percentage=1h,24h,7d,30d,1y";
    let coins = value(&simulator, "coingecko", path).await;
    assert!(coins.as_array().expect("rows").len() >= 220);
    assert_eq!(coins[0]["current_price"], json!(95_391));
    assert_eq!(coins[0]["market_cap"].as_f64().map(|cap| (cap / 1e10).round()), Some(190.0));
    assert_eq!(coins[0]["ath_date"], "2025-10-06T12:00:00.000Z");
    assert!(coins[0]["price_change_percentage_7d_in_currency"].as_f64().expect("a number") > 4.0);
    let privacy = value(&simulator, "coingecko", "/api/v3/coins/markets?vs_currency=usd&category=privacy-coins").await;
    assert_eq!(privacy[0]["id"], "monero");
    let page = value(
        &simulator,
        "coingecko",
        "/api/v3/coins/markets?vs_currency=usd&per_page=2&page=2&ids=bitcoin,ethereum,solana",
    )
    .await;
    assert_eq!((page.as_array().map(Vec::len), page[0]["id"].as_str()), (Some(1), Some("solana")));
    let paprika = value(&simulator, "coinpaprika", "/v1/tickers/btc-bitcoin").await;
    assert_eq!(paprika["quotes"]["USD"]["price"].as_f64().map(f64::round), Some(95_391.0));
    assert_eq!(fetch(&simulator, "coinpaprika", "/v1/tickers/no-such").await.0, 404);
    assert!(value(&simulator, "coinpaprika", "/v1/tickers").await.as_array().expect("rows").len() >= 220);
}

/// Subscribes and reads until a frame satisfies `is_wanted`.
async fn stream(simulator: &Simulator, venue: &str, path: &str, request: Value, is_wanted: impl Fn(&Value) -> bool) {
    let url = endpoint(simulator, venue).ws_url.expect("has a stream");
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{url}{path}")).await.expect("connects");
    if !request.is_null() {
        socket.send(Message::Text(request.to_string().into())).await.expect("sent");
    }
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message
                && is_wanted(&serde_json::from_str(&text).expect("JSON"))
            {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), reading).await.expect("in time"), "{venue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_answer_subscriptions_and_push_changes() {
    let simulator = started(5.0, false).await;
    let subscribe = |names: Value| json!({"method": "SUBSCRIBE", "params": names, "id": 1});
    let ack = |frame: &Value| frame == &json!({"result": null, "id": 1});
    stream(&simulator, "binance", "", subscribe(json!(["btcusdt@miniTicker"])), ack).await;
    let one = |frame: &Value| frame["e"] == "24hrMiniTicker" && frame["s"] == "BTCUSDT" && frame["c"].is_string();
    stream(&simulator, "binance", "", subscribe(json!(["btcusdt@miniTicker"])), one).await;
    let all = |frame: &Value| frame["data"].as_array().is_some_and(|rows| rows.len() > 20);
    stream(&simulator, "binance", "/stream", subscribe(json!(["!miniTicker@arr"])), all).await;

    let request = json!({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]});
    stream(&simulator, "coinbase", "", request.clone(), |frame| frame["type"] == "subscriptions").await;
    let ticker = |frame: &Value| frame["type"] == "ticker" && frame["best_bid"].is_string();
    stream(&simulator, "coinbase", "", request, ticker).await;

    let request = json!({"method": "subscribe", "params": {"channel": "ticker", "symbol": ["BTC/USD", "NO/USD"]}});
    stream(&simulator, "kraken", "", request.clone(), |frame| frame["success"] == json!(false)).await;
    let snapshot = |frame: &Value| frame["type"] == "snapshot" && frame["data"][0]["last"].is_number();
    stream(&simulator, "kraken", "", request.clone(), snapshot).await;
    stream(&simulator, "kraken", "", request.clone(), |frame| frame["type"] == "update").await;
    stream(&simulator, "kraken", "", request, |frame| frame["channel"] == "heartbeat").await;

    let request = json!({"op": "subscribe", "args": [
        {"channel": "tickers", "instId": "NO-USDT"}, {"channel": "tickers", "instId": "BTC-USDT"}]});
    stream(&simulator, "okx", "", request.clone(), |frame| frame["code"] == "60018").await;
    stream(&simulator, "okx", "", request, |frame| frame["data"][0]["last"].is_string()).await;

    let request = json!({"op": "subscribe", "args": ["tickers.BTCUSDT"], "req_id": "x"});
    let spot = |frame: &Value| frame["type"] == "snapshot" && frame["data"]["bid1Price"].is_null();
    stream(&simulator, "bybit", "", request.clone(), spot).await;
    let linear = "/v5/public/linear";
    stream(&simulator, "bybit", linear, request.clone(), |frame| frame["type"] == "snapshot").await;
    let delta = |frame: &Value| frame["type"] == "delta" && frame["data"]["highPrice24h"].is_null();
    stream(&simulator, "bybit", linear, request, delta).await;
    stream(&simulator, "bybit", "", json!({"op": "ping"}), |frame| frame["ret_msg"] == "pong").await;
    simulator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asset_is_far_off_at_each_of_two_venues() {
    let simulator = started(1.0, false).await;
    let truth = simulator.market().figures("ARB", start_time()).expect("simulated").price;
    let path = "/market/detail/merged?symbol=arbusdt";
    let quoted = value(&simulator, "htx", path).await["tick"]["close"].as_f64().expect("listed");
    assert!((quoted / truth - 1.08).abs() < 0.01, "{quoted} and {truth}");
    let truth = simulator.market().figures("ATOM", start_time()).expect("simulated").price;
    let quoted = decimal(&value(&simulator, "mexc", "/api/v3/ticker/24hr?symbol=ATOMUSDT").await["lastPrice"]);
    assert!((quoted / truth - 0.93).abs() < 0.01, "{quoted} and {truth}");
}

#[test]
fn gate_is_down_for_one_minute_in_six() {
    let outages = SIMULATED.iter().find(|venue| venue.id == "gate").and_then(|venue| venue.outages);
    let outages = outages.expect("gate has outages");
    let check = |second: u64, is_down: bool| {
        assert_eq!(outages.is_down(start_time() + Duration::from_secs(second)), is_down, "at {second} s");
    };
    for (second, is_down) in [(0, false), (39, false), (40, true), (99, true), (100, false), (399, false), (400, true)]
    {
        check(second, is_down);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_happen_as_ordered_and_end() {
    let simulator = started(1.0, false).await;
    let ticker = "/api/v3/ticker/24hr?symbol=BTCUSDT";
    let hour = Duration::from_secs(3_600);
    simulator.fail("binance", StatusCode::TOO_MANY_REQUESTS, hour).expect("simulated");
    assert_eq!(fetch(&simulator, "binance", ticker).await.0, 429);
    simulator.restore("binance").expect("simulated");
    simulator.garbage("binance", hour).expect("simulated");
    let (status, body) = fetch(&simulator, "binance", ticker).await;
    assert!(status == 200 && serde_json::from_str::<Value>(&body).is_err());
    simulator.restore("binance").expect("simulated");
    simulator.delay("binance", Duration::from_millis(80)).expect("simulated");
    let begun = Instant::now();
    assert_eq!(fetch(&simulator, "binance", ticker).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(simulator.fail("nowhere", StatusCode::OK, hour), Err(NotSimulated("nowhere".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_venue_tells_when_to_come_back_and_hangs_up_its_streams() {
    let simulator = started(1.0, false).await;
    let url = endpoint(&simulator, "coinbase").ws_url.expect("has a stream");
    let (mut socket, _) = tokio_tungstenite::connect_async(url.as_str()).await.expect("connects");
    simulator.fail("coinbase", StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(90)).expect("simulated");
    let closed = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("hangs up");
    assert!(tokio_tungstenite::connect_async(url.as_str()).await.is_err(), "refuses while it fails");
    let products = format!("{}/products", endpoint(&simulator, "coinbase").rest_url);
    let response = reqwest::get(products).await.expect("answer");
    let seconds: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((60..=90).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_the_used_weight() {
    let simulator = started(0.001, false).await;
    let url = format!("{}/api/v3/ticker/24hr?symbol=BTCUSDT", endpoint(&simulator, "binance").rest_url);
    for expected in ["2", "4"] {
        let response = reqwest::get(&url).await.expect("answer");
        assert_eq!(response.headers()["X-MBX-USED-WEIGHT-1M"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_does_not_wait_for_clients() {
    let simulator = started(1.0, false).await;
    let url = endpoint(&simulator, "kraken").ws_url.expect("has a stream");
    let (_idle, _) = tokio_tungstenite::connect_async(url.as_str()).await.expect("connects");
    let begun = Instant::now();
    simulator.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(tokio_tungstenite::connect_async(url.as_str()).await.is_err());
}

#[test]
fn every_seed_lists_the_large_assets_everywhere_and_every_asset_twice() {
    for seed in 0..10 {
        let market = Market::new(seed);
        let profiles: Vec<&ListingProfile> = SIMULATED.iter().flat_map(|venue| venue.profiles).collect();
        let listings_of: Vec<SimulatedListings> = profiles.iter().map(|profile| profile.listings(&market)).collect();
        let count = |ticker: &str| {
            let lists = |of: &&SimulatedListings| of.listings.iter().any(|listing| listing.asset_ticker() == ticker);
            listings_of.iter().filter(lists).count()
        };
        for ticker in ["BTC", "ETH", "SOL", "XRP"] {
            assert_eq!(count(ticker), listings_of.len(), "{ticker} with seed {seed}");
        }
        for asset in ASSETS {
            assert!(count(asset.ticker) >= 2, "{} with seed {seed}", asset.ticker);
        }
        let lists = |venue: &str, symbol: &str| {
            profiles.iter().zip(&listings_of).any(|(profile, of)| profile.venue == venue && of.find(symbol).is_some())
        };
        assert!(lists("htx", "arbusdt") && lists("mexc", "ATOMUSDT"), "the outliers with seed {seed}");
        assert!(["USDT-USD", "USDC-USD", "EUR-USD"].into_iter().all(|symbol| lists("coinbase", symbol)));
    }
}
