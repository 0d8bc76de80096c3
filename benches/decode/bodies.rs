//! Invented answers of the documented shapes, as long as real ones, and the same for every run.

use std::fmt::Write;

/// Entries of a `ticker/24hr` list: about 1 MB.
pub const TICKER_COUNT: usize = 2_000;

/// A small generator of numbers that only have to look unlike each other.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// A price with 8 decimal places and 1 to 5 digits before them.
    fn price(&mut self) -> String {
        let whole = 10u64.pow(self.next(5) as u32);
        format!("{}.{:08}", self.next(whole) + 1, self.next(1_000_000) * 100)
    }
}

/// The base asset of the entry of that index: `AAAA`, `BAAA` and so on.
pub fn base(index: usize) -> String {
    let letter = |place: u32| char::from(b'A' + (index / 26usize.pow(place) % 26) as u8);
    (0..3 + (index % 3) as u32).map(letter).collect()
}

fn quote(index: usize) -> &'static str {
    ["USDT", "USDC", "BTC", "FDUSD", "EUR", "USDT", "TRY", "USDT"][index % 8]
}

/// `ticker/24hr` of Binance spot, all symbols, keys in the documented order.
pub fn binance_tickers(count: usize) -> Vec<u8> {
    let mut numbers = Numbers(7);
    let mut body = String::from("[");
    for index in 0..count {
        if index > 0 {
            body.push(',');
        }
        let (base, quote) = (base(index), quote(index));
        write!(
            body,
            r#"{{"symbol":"{base}{quote}","priceChange":"-{}","priceChangePercent":"-0.{:03}""#,
            numbers.price(),
            numbers.next(999)
        )
        .expect("a string takes every write");
        let text_keys = [
            "weightedAvgPrice",
            "prevClosePrice",
            "lastPrice",
            "lastQty",
            "bidPrice",
            "bidQty",
            "askPrice",
            "askQty",
            "openPrice",
            "highPrice",
            "lowPrice",
            "volume",
            "quoteVolume",
        ];
        for key in text_keys {
            write!(body, r#","{key}":"{}""#, numbers.price()).expect("a string takes every write");
        }
        let (close, first, trades) =
            (1_700_086_400_000 + numbers.next(9_999), numbers.next(900_000_000), numbers.next(500_000));
        let open = close - 86_400_000;
        let last = first + trades;
        write!(body, r#","openTime":{open},"closeTime":{close},"firstId":{first},"lastId":{last},"count":{trades}}}"#)
            .expect("a string takes every write");
    }
    body.push(']');
    body.into_bytes()
}

/// One array of invented rows inside an envelope.
fn rows(before: &str, count: usize, after: &str, mut row: impl FnMut(&mut Numbers, usize) -> String) -> Vec<u8> {
    let mut numbers = Numbers(11);
    let rows: Vec<String> = (0..count).map(|index| row(&mut numbers, index)).collect();
    format!("{before}[{}]{after}", rows.join(",")).into_bytes()
}

/// `v5/market/tickers?category=linear` of Bybit.
#[allow(dead_code, reason = "the example needs only Binance's")]
pub fn bybit_tickers(count: usize) -> Vec<u8> {
    let before = r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":"#;
    rows(before, count, r#"},"retExtInfo":{},"time":1700000000123}"#, |numbers, index| {
        let keys = [
            "lastPrice",
            "indexPrice",
            "markPrice",
            "prevPrice24h",
            "highPrice24h",
            "lowPrice24h",
            "prevPrice1h",
            "openInterest",
            "openInterestValue",
            "turnover24h",
            "volume24h",
            "bid1Price",
            "bid1Size",
            "ask1Price",
            "ask1Size",
        ];
        let fields: Vec<String> = keys.iter().map(|key| format!(r#""{key}":"{}""#, numbers.price())).collect();
        format!(r#"{{"symbol":"{}USDT",{},"basis":"","deliveryTime":"0"}}"#, base(index), fields.join(","))
    })
}

/// `v5/market/tickers?instType=SPOT` of OKX.
#[allow(dead_code, reason = "the example needs only Binance's")]
pub fn okx_tickers(count: usize) -> Vec<u8> {
    rows(r#"{"code":"0","msg":"","data":"#, count, "}", |numbers, index| {
        let keys = [
            "last",
            "lastSz",
            "askPx",
            "askSz",
            "bidPx",
            "bidSz",
            "open24h",
            "high24h",
            "low24h",
            "volCcy24h",
            "vol24h",
            "sodUtc0",
            "sodUtc8",
        ];
        let fields: Vec<String> = keys.iter().map(|key| format!(r#""{key}":"{}""#, numbers.price())).collect();
        format!(r#"{{"instType":"SPOT","instId":"{}-USDT",{},"ts":"1700000000123"}}"#, base(index), fields.join(","))
    })
}

/// Klines of Binance.
#[allow(dead_code, reason = "the example needs only Binance's")]
pub fn binance_klines(count: usize) -> Vec<u8> {
    rows("", count, "", |numbers, index| {
        let open = 1_500_000_000_000 / 86_400_000 * 86_400_000 + index as u64 * 86_400_000;
        let (low, high) = (numbers.next(900) + 1, numbers.next(900) + 2_000);
        let close = open + 86_399_999;
        format!(
            r#"[{open},"1000.50000000","{high}.00000000","{low}.00000000","1500.25000000","{}",{close},"{}",{},"1.0","2.0","0"]"#,
            numbers.price(),
            numbers.price(),
            numbers.next(99_999)
        )
    })
}

/// Long/short ratios of Binance USD-M.
#[allow(dead_code, reason = "the example needs only Binance's")]
pub fn binance_usdm_ratios(count: usize) -> Vec<u8> {
    rows("", count, "", |numbers, index| {
        let long = 3_000 + numbers.next(4_000);
        format!(
            r#"{{"symbol":"ABCUSDT","longAccount":"0.{long:04}","longShortRatio":"1.0000","shortAccount":"0.{:04}","timestamp":{}}}"#,
            10_000 - long,
            1_700_000_100_000 + index as u64 * 300_000
        )
    })
}
