use proptest::prelude::*;

use super::*;

const START: i32 = 1000;
const END: i32 = 1090;

fn series(points: &[(i32, f64)]) -> Daily {
    Daily::new(points.iter().map(|(number, value)| (Day::from_number(*number), *value)))
}

/// An asset with a market cap of the last day and a growth over the window.
struct Asset {
    ticker: &'static str,
    kind: AssetKind,
    closes: Daily,
    caps: Daily,
    current_rank: Option<u32>,
}

fn asset(ticker: &'static str, cap: f64, growth: f64) -> Asset {
    Asset {
        ticker,
        kind: AssetKind::Coin,
        closes: series(&[(START - 5, 3.0), (START, 2.0), (END, 2.0 * growth)]),
        caps: series(&[(END - 1, 5.0), (END, cap)]),
        current_rank: None,
    }
}

fn parameters(universe_size: usize) -> SeasonParameters {
    SeasonParameters { universe_size, window_days: 90, as_of: Day::from_number(END) }
}

fn candidates<'a>(assets: &'a [Asset]) -> Vec<SeasonCandidate<'a>> {
    let candidate = |one: &'a Asset| SeasonCandidate {
        asset: one.ticker,
        kind: one.kind,
        closes: &one.closes,
        market_caps: &one.caps,
        current_rank: one.current_rank,
    };
    assets.iter().map(candidate).collect()
}

fn compared(season: &Season, assets: &[Asset]) -> Vec<(&'static str, u32, bool)> {
    let of = |one: &SeasonConstituent| (assets[one.candidate].ticker, one.market_cap_rank, one.beat_btc);
    season.constituents.iter().map(of).collect()
}

fn left_out(season: &Season, assets: &[Asset]) -> Vec<(&'static str, Option<u32>, Reason)> {
    let of = |one: &Excluded| (assets[one.candidate].ticker, one.market_cap_rank, one.reason);
    season.excluded.iter().map(of).collect()
}

#[test]
fn the_largest_altcoins_are_compared_with_bitcoin() {
    let mut assets = vec![
        asset("BTC", 100.0, 1.5),
        asset("WORSE", 10.0, 1.4),
        asset("BETTER", 50.0, 1.6),
        asset("EQUAL", 30.0, 1.5),
        asset("USDT", 60.0, 1.0),
        asset("STETH", 40.0, 9.0),
        asset("YOUNG", 20.0, 9.0),
        asset("HOLE", 15.0, 9.0),
        asset("UNRANKED", 5.0, 9.0),
        asset("SMALL", 1.0, 9.0),
        asset("SMALLER", 0.5, 9.0),
    ];
    assets[4].kind = AssetKind::Stablecoin;
    assets[5].kind = AssetKind::Staked;
    assets[6].closes = series(&[(START + 1, 1.0), (END, 9.0)]);
    assets[7].closes = series(&[(START - 1, 1.0), (START + 1, 1.0), (END, 9.0)]);
    assets[8].caps = series(&[(END - 1, 77.0)]);
    let season = season(&candidates(&assets), Some(0), parameters(5));
    // Of the five places one is the young one's; the hole's is taken by the next in rank.
    let expected = [("BETTER", 3, true), ("EQUAL", 5, false), ("WORSE", 8, false), ("SMALL", 9, true)];
    assert_eq!(compared(&season, &assets), expected);
    let expected = [
        ("USDT", Some(2), Reason::Stablecoin),
        ("STETH", Some(4), Reason::Staked),
        ("YOUNG", Some(6), Reason::InsufficientHistory),
        ("HOLE", Some(7), Reason::NoData),
        ("UNRANKED", None, Reason::NoMarketCap),
    ];
    assert_eq!(left_out(&season, &assets), expected);
    assert_eq!((season.score, season.label, season.beat_btc_count), (Some(50.0), Some(Label::Neutral), 2));
    assert_eq!((season.btc_return_percent, season.ranked_at_end), (Some(50.0), true));
    assert!((season.constituents[0].return_percent - 60.0).abs() < 1e-12);
}

#[test]
fn without_market_caps_of_the_day_todays_ranks_serve() {
    let mut assets =
        vec![asset("BTC", 100.0, 1.5), asset("B", 10.0, 2.0), asset("A", 20.0, 2.0), asset("C", 30.0, 1.0)];
    for (asset, rank) in assets.iter_mut().zip([Some(1), Some(7), Some(7), None]) {
        asset.current_rank = rank;
        if asset.ticker != "BTC" {
            asset.caps = Daily::default();
        }
    }
    let season = season(&candidates(&assets), Some(0), parameters(50));
    assert!(!season.ranked_at_end);
    assert_eq!(compared(&season, &assets), [("A", 2, true), ("B", 3, true)], "equal ranks by ticker, none without one");
    assert_eq!(season.score, Some(100.0));
    assert_eq!(season.label, Some(Label::AltcoinSeason));
}

#[test]
fn equal_market_caps_are_ranked_by_ticker() {
    let assets = [asset("BTC", 10.0, 1.0), asset("C", 10.0, 2.0), asset("A", 10.0, 2.0), asset("B", 10.0, 2.0)];
    let season = season(&candidates(&assets), Some(0), parameters(2));
    assert_eq!(compared(&season, &assets), [("A", 1, true), ("B", 2, true)]);
}

#[test]
fn without_bitcoin_there_is_no_score() {
    let mut assets = [asset("BTC", 10.0, 1.0), asset("A", 10.0, 2.0)];
    assets[0].closes = series(&[(START, 2.0)]);
    for btc in [Some(0), None, Some(7)] {
        let season = season(&candidates(&assets), btc, parameters(2));
        assert_eq!((season.score, season.label, season.btc_return_percent), (None, None, None));
    }
    assert_eq!(season(&[], None, parameters(2)).score, None);
    let alone = [asset("BTC", 10.0, 1.0)];
    let season = season(&candidates(&alone), Some(0), parameters(2));
    assert_eq!((season.score, season.btc_return_percent), (None, Some(0.0)));
}

#[test]
fn the_thresholds_belong_to_the_seasons() {
    let check = |score: f64, expected: Label| assert_eq!(Label::of(score), expected, "{score}");
    check(0.0, Label::BitcoinSeason);
    check(25.0, Label::BitcoinSeason);
    check(25.001, Label::Neutral);
    check(74.999, Label::Neutral);
    check(75.0, Label::AltcoinSeason);
    check(100.0, Label::AltcoinSeason);
}

#[test]
fn history_has_the_days_that_can_be_computed() {
    let walk = |step: f64| {
        Daily::new(
            (START..=END + 10).map(|number| (Day::from_number(number), 100.0 + step * f64::from(number - START))),
        )
    };
    let caps = Daily::new((START..=END + 10).map(|number| (Day::from_number(number), 5.0)));
    let mut altcoin = walk(2.0);
    altcoin.set(Day::from_number(END + 11), 1.0);
    let bitcoin = walk(1.0);
    let of = |asset, closes| SeasonCandidate {
        asset,
        kind: AssetKind::Coin,
        closes,
        market_caps: &caps,
        current_rank: None,
    };
    let both = [of("BTC", &bitcoin), of("ETH", &altcoin)];
    let found: Vec<(i32, Option<f64>)> =
        history(&both, Some(0), parameters(50), Day::from_number(i32::MIN), Day::from_number(i32::MAX))
            .map(|(day, season)| (day.number(), season.score))
            .collect();
    let expected: Vec<(i32, Option<f64>)> = (END..=END + 10).map(|number| (number, Some(100.0))).collect();
    assert_eq!(found, expected);
    assert_eq!(history(&both, None, parameters(50), Day::from_number(0), Day::from_number(9999)).count(), 0);
}

proptest! {
    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        values in prop::collection::vec((1u32..9, 1u32..9, 0u8..4), 2..30),
        shift in 0usize..30,
        universe_size in 0usize..12,
    ) {
        const TICKERS: [&str; 30] = [
            "BTC", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X",
            "Y", "Z", "AA", "BB", "CC",
        ];
        let made = |(ticker, (cap, growth, kind)): (&&'static str, &(u32, u32, u8))| {
            let mut made = asset(ticker, f64::from(*cap), f64::from(*growth));
            if *kind == 0 && *ticker != "BTC" {
                made.kind = AssetKind::Stablecoin;
            }
            made
        };
        let assets: Vec<Asset> = TICKERS.iter().zip(&values).map(made).collect();
        let mut turned = candidates(&assets);
        turned.rotate_left(shift % assets.len());
        let btc = turned.iter().position(|one| one.asset == "BTC");
        let straight = season(&candidates(&assets), Some(0), parameters(universe_size));
        let other = season(&turned, btc, parameters(universe_size));
        prop_assert_eq!(straight.score, other.score);
        let tickers = |season: &Season, all: &[SeasonCandidate<'_>]| -> Vec<String> {
            season.constituents.iter().map(|one| all[one.candidate].asset.to_owned()).collect()
        };
        prop_assert_eq!(tickers(&straight, &candidates(&assets)), tickers(&other, &turned));
        prop_assert!(straight.constituents.len() <= universe_size);
        prop_assert!(straight.constituents.windows(2).all(|pair| pair[0].market_cap_rank < pair[1].market_cap_rank));
    }
}
