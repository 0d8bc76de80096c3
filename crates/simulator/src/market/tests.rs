use super::*;

const SEED: u64 = 7;

fn check_at_start(ticker: &str, price: f64, volatility: &str, cap: &str, volume: &str, rank: u32) {
    let market = Market::new(SEED);
    let figures = market.figures(ticker, start_time()).expect("simulated");
    assert_eq!(figures.price, price, "{ticker}");
    assert_eq!(format!("{:.1}", figures.volatility_24h_percent), volatility, "{ticker}");
    assert_eq!(format!("{:.2}", figures.market_cap / 1e9), cap, "{ticker}");
    assert_eq!(format!("{:.2}", figures.volume_24h / 1e9), volume, "{ticker}");
    assert_eq!(figures.market_cap_rank, rank, "{ticker}");
    assert!(figures.change_7d_percent.is_some_and(|change| change > 0.0), "{ticker}");
}

#[test]
fn starts_with_the_figures_of_the_note() {
    check_at_start("BTC", 95_391.0, "1.3", "1904.30", "52.64", 1);
    check_at_start("ETH", 3_301.0, "0.5", "398.32", "25.92", 2);
    check_at_start("BNB", 934.4, "0.4", "127.32", "1.43", 4);
    check_at_start("SOL", 143.1, "1.3", "80.90", "4.38", 6);
}

#[test]
fn bitcoin_was_above_97000_the_day_before_and_never_above_its_high() {
    for seed in 0..5 {
        let market = Market::new(seed);
        let day = Timestamp::from_date(2026, 1, 14).expect("valid");
        let next = day + Duration::from_secs(86_400);
        let candles = market.candles("BTC", CandleInterval::OneDay, day, next, start_time());
        assert_eq!(candles.len(), 1);
        assert!(candles[0].high > 97_000.0, "seed {seed}: {}", candles[0].high);
        let year = market.candles("BTC", CandleInterval::OneDay, Timestamp::EPOCH, start_time(), start_time());
        let highest = year.iter().map(|candle| candle.high).fold(0.0, f64::max);
        assert!((126_000.0..=126_198.01).contains(&highest), "seed {seed}: {highest}");
        assert_eq!(market.figures("BTC", start_time()).expect("simulated").all_time_high, 126_198.0);
    }
}

#[test]
fn has_many_assets_with_unique_names_and_plausible_figures() {
    let market = Market::new(SEED);
    let tickers: std::collections::BTreeSet<&str> = ASSETS.iter().map(|asset| asset.ticker).collect();
    assert_eq!(tickers.len(), ASSETS.len());
    assert!(ASSETS.len() >= 220, "{}", ASSETS.len());
    let ids: std::collections::BTreeSet<&str> = ASSETS.iter().map(|asset| asset.listing_id).collect();
    assert_eq!(ids.len(), ASSETS.len());
    let mut deep = 0;
    for asset in ASSETS {
        assert!(asset.all_time_high > asset.price, "{}", asset.ticker);
        assert!(day_of(asset).is_some(), "{}", asset.ticker);
        let figures = market.figures(asset.ticker, start_time()).expect("simulated");
        assert!((figures.price / asset.price - 1.0).abs() < 1e-12, "{}", asset.ticker);
        assert!(figures.low_24h <= figures.price && figures.price <= figures.high_24h, "{}", asset.ticker);
        let drawdown = 1.0 - figures.price / figures.all_time_high;
        deep += usize::from((0.8..0.97).contains(&drawdown));
    }
    assert!(deep >= 70, "{deep} assets deep under their highs");
    let monero = market.figures("XMR", start_time()).expect("simulated");
    assert!(monero.price / monero.all_time_high > 0.85);
}

#[test]
fn the_same_seed_gives_the_same_path_in_any_order() {
    let (forwards, backwards, other) = (Market::new(3), Market::new(3), Market::new(4));
    let times: Vec<Timestamp> = (-40..60).map(|step| at_second(step * 7_201)).collect();
    let ahead: Vec<f64> = times.iter().map(|time| forwards.price(4, *time)).collect();
    let mut behind: Vec<f64> = times.iter().rev().map(|time| backwards.price(4, *time)).collect();
    behind.reverse();
    assert_eq!(ahead, behind);
    let different: Vec<f64> = times.iter().map(|time| other.price(4, *time)).collect();
    assert_ne!(ahead, different);
    let far = at_second(400 * DAY);
    assert_eq!(forwards.figures("SOL", far), backwards.figures("SOL", far));
}

#[test]
fn candles_of_different_intervals_agree() {
    let market = Market::new(SEED);
    let now = at_second(2 * DAY + 1_234);
    for ticker in ["BTC", "DOGE", "USDT", "WBTC", "LIT"] {
        let from = at_second(-5 * DAY - 20 * 3_600);
        let fine = market.candles(ticker, CandleInterval::FiveMinutes, from, now, now);
        let hours = market.candles(ticker, CandleInterval::OneHour, from, now, now);
        let days = market.candles(ticker, CandleInterval::OneDay, from, now, now);
        assert_eq!(days.len(), 8, "{ticker}");
        assert!(fine.windows(2).all(|pair| pair[0].close == pair[1].open), "{ticker}");
        for (coarse, within) in [(&hours, &fine), (&days, &hours)] {
            for candle in coarse.iter() {
                let next = coarse.iter().map(|other| other.start).find(|start| *start > candle.start);
                let parts: Vec<&ModelCandle> = within
                    .iter()
                    .filter(|part| part.start >= candle.start && next.is_none_or(|next| part.start < next))
                    .collect();
                assert_eq!(parts[0].open, candle.open);
                assert_eq!(parts[parts.len() - 1].close, candle.close);
                assert_eq!(parts.iter().map(|part| part.high).fold(0.0, f64::max), candle.high);
                assert_eq!(parts.iter().map(|part| part.low).fold(f64::INFINITY, f64::min), candle.low);
                assert!(candle.high >= candle.open.max(candle.close) && candle.low <= candle.open.min(candle.close));
            }
        }
    }
}

#[test]
fn history_is_long_and_younger_assets_have_less() {
    let market = Market::new(SEED);
    let count = |ticker, interval| market.candles(ticker, interval, Timestamp::EPOCH, start_time(), start_time()).len();
    assert!(count("BTC", CandleInterval::OneDay) >= 400);
    assert!(count("BTC", CandleInterval::OneHour) >= 42 * 24);
    assert!(count("BTC", CandleInterval::FiveMinutes) >= 4 * 288);
    assert_eq!(count("MON", CandleInterval::OneDay), 53);
    assert_eq!(market.figures("MON", at_second(-100 * DAY)), None);
    assert_eq!(market.figures("NOPE", start_time()), None);
    assert_eq!(market.figures("MON", start_time()).and_then(|figures| figures.change_1y_percent), None);
}

#[test]
fn prices_stay_within_their_candles_from_second_to_second() {
    let market = Market::new(SEED);
    let asset = market.position("SOL").expect("simulated");
    let now = at_second(3_600);
    for candle in market.candles("SOL", CandleInterval::FiveMinutes, start_time(), now, now) {
        for second in 0..300 {
            let price = market.price(asset, candle.start + Duration::from_secs(second));
            assert!((candle.low..=candle.high).contains(&price), "{second}: {price} in {candle:?}");
        }
    }
}

#[test]
fn a_new_high_after_the_start_becomes_the_all_time_high() {
    let market = Market::new(SEED);
    let later = at_second(90 * DAY);
    let risen = ASSETS.iter().filter(|asset| !asset.is_fiat()).find_map(|asset| {
        let figures = market.figures(asset.ticker, later)?;
        (figures.all_time_high > asset.all_time_high).then_some((asset, figures))
    });
    let (asset, figures) = risen.expect("in 90 days one of 200 assets sets a new high");
    assert!(figures.all_time_high_time > start_time(), "{}", asset.ticker);
    assert!(figures.all_time_high >= figures.price);
    assert_eq!(market.figures(asset.ticker, start_time()).expect("simulated").all_time_high, asset.all_time_high);
}
