use proptest::prelude::*;

use super::*;
use crossmarket_domain::{Instrument, InstrumentKind};

const NOW: i64 = 1_768_478_400;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// A fresh spot quote of X at `venue`, with a volume in the quote asset.
fn quote(venue: &str, against: &str, price: &str, volume: Option<i64>) -> Quote {
    Quote {
        venue: venue.into(),
        instrument: Instrument::spot(format!("X{against}"), "X", against),
        last_price: Some(decimal(price)),
        bid_price: None,
        ask_price: None,
        base_volume_24h: None,
        quote_volume_24h: volume.map(Decimal::from),
        high_24h: None,
        low_24h: None,
        event_time: now(),
        receive_time: now(),
        budget: Duration::from_secs(30),
        contradicted: false,
        simulated: false,
    }
}

fn aged(seconds: u64, quote: Quote) -> Quote {
    let time = now() - Duration::from_secs(seconds);
    Quote { event_time: time, receive_time: time, ..quote }
}

fn perpetual(quote: Quote, multiplier: u32) -> Quote {
    let instrument = Instrument { kind: InstrumentKind::PerpetualLinear, multiplier, ..quote.instrument.clone() };
    Quote { instrument, ..quote }
}

fn rates() -> RateTable {
    let mut table = RateTable::default();
    let rate = |text: &str, source| Rate { usd: decimal(text), source, stale_since: now() };
    table.insert("USDT".into(), rate("0.999", RateSource::Market));
    table.insert("EUR".into(), rate("1.25", RateSource::Market));
    table.insert("BTC".into(), rate("100000", RateSource::Market));
    table.insert("USDC".into(), rate("1", RateSource::Par));
    let stale = now() - Duration::from_secs(1);
    table.insert("GBP".into(), Rate { stale_since: stale, ..rate("1.3", RateSource::Market) });
    table
}

fn aggregate(required_venue_count: u32, quotes: &[Quote]) -> Aggregate {
    let settings = Settings { required_venue_count, ..Settings::default() };
    Aggregator::new(settings).aggregate(quotes, &rates(), None, now())
}

/// Method, price and the statuses as `venue:STATUS`, in the order given out.
fn check(required: u32, quotes: &[Quote], method: AggregationMethod, price: Option<&str>, statuses: &str) {
    let found = aggregate(required, quotes);
    assert_eq!(found.aggregation.method, method);
    assert_eq!(found.price.map(|price| price.to_string()).as_deref(), price);
    let seen: Vec<String> =
        found.aggregation.contributions.iter().map(|entry| format!("{}:{:?}", entry.venue, entry.status)).collect();
    assert_eq!(seen.join(" "), statuses);
}

#[test]
fn the_larger_volume_decides() {
    use AggregationMethod::*;
    let three = [
        quote("a", "USD", "100.0", Some(10)),
        quote("b", "USD", "100.1", Some(20)),
        quote("c", "USD", "100.2", Some(25)),
    ];
    check(1, &three, VolumeWeightedMedian, Some("100.1"), "c:Used b:Used a:Used");
    let split = [
        quote("a", "USD", "100.0", Some(10)),
        quote("b", "USD", "100.1", Some(20)),
        quote("c", "USD", "100.2", Some(30)),
    ];
    check(1, &split, VolumeWeightedMedian, Some("100.15"), "c:Used b:Used a:Used");
    let bare =
        [quote("a", "USD", "100.0", None), quote("b", "USD", "100.1", None), quote("c", "USD", "100.3", Some(0))];
    check(1, &bare, Median, Some("100.1"), "c:Used a:Used b:Used");
    let mixed =
        [quote("a", "USD", "100.0", None), quote("b", "USD", "100.1", Some(1)), quote("c", "USD", "100.2", Some(2))];
    check(1, &mixed, VolumeWeightedMedian, Some("100.2"), "c:Used b:Used a:NoVolume");
    check(1, &three[..1], SingleVenue, Some("100"), "a:Used");
    check(1, &[], LastKnown, None, "");
}

#[test]
fn prices_are_converted_by_rate_and_multiplier() {
    use AggregationMethod::*;
    check(1, &[quote("a", "USDT", "100", Some(1))], SingleVenue, Some("99.9"), "a:Used");
    check(1, &[quote("a", "EUR", "80", Some(1))], SingleVenue, Some("100"), "a:Used");
    check(1, &[quote("a", "XXX", "80", Some(1))], LastKnown, None, "a:UnpricedQuote");
    check(1, &[quote("a", "GBP", "80", Some(1))], LastKnown, Some("104"), "a:Carried");
    check(1, &[perpetual(quote("a", "USDT", "12.5", Some(1)), 1000)], SingleVenue, Some("0.0124875"), "a:Used");
    let found = aggregate(1, &[quote("a", "USDC", "7", Some(3)), quote("b", "USDT", "7", Some(1_000))]);
    let sources: Vec<_> = found.conversions.iter().map(|(asset, rate)| (asset.as_str(), rate.source)).collect();
    assert_eq!(sources, [("USDC", RateSource::Par), ("USDT", RateSource::Market)]);
    assert_eq!(found.volume_24h, Some(decimal("1002")));
    let entry = &found.aggregation.contributions[0];
    assert_eq!((entry.observed_price, entry.conversion_rate), (Some(decimal("7")), Some(decimal("0.999"))));
    assert_eq!((entry.price, entry.volume_24h), (Some(decimal("6.993")), Some(decimal("999"))));
    assert_eq!((entry.instrument.as_str(), entry.weight), ("X/USDT", 999.0 / 1002.0));
}

#[test]
fn volumes_in_the_base_asset_count_by_their_value() {
    let based = Quote { base_volume_24h: Some(Decimal::from(3)), ..quote("a", "USDT", "50", None) };
    let found = aggregate(1, &[perpetual(based, 1000)]);
    assert_eq!(found.volume_24h, Some(decimal("149.85")));
}

#[test]
fn without_a_trade_the_middle_of_the_book_counts() {
    let book = |bid: &str, ask: &str| Quote {
        last_price: None,
        bid_price: Some(decimal(bid)),
        ask_price: Some(decimal(ask)),
        ..quote("a", "USD", "1", None)
    };
    check(1, &[book("10", "11")], AggregationMethod::SingleVenue, Some("10.5"), "a:Used");
    check(1, &[book("0", "11")], AggregationMethod::LastKnown, None, "a:NoPrice");
    check(1, &[quote("a", "USD", "0", None)], AggregationMethod::LastKnown, None, "a:NoPrice");
}

#[test]
fn spot_comes_before_crypto_pairs_and_perpetuals() {
    use AggregationMethod::*;
    let spot = quote("a", "USD", "100", Some(1));
    let crypto = quote("b", "BTC", "0.00101", Some(50));
    let future = perpetual(quote("c", "USDT", "103", Some(9_000)), 1);
    let other =
        Quote { instrument: Instrument { kind: InstrumentKind::Other, ..spot.instrument.clone() }, ..spot.clone() };
    check(1, std::slice::from_ref(&other), LastKnown, None, "");
    check(1, &[future.clone(), crypto.clone(), spot.clone(), other], SingleVenue, Some("100"), "a:Used");
    check(1, &[future.clone(), crypto.clone(), aged(31, spot.clone())], SingleVenue, Some("101"), "b:Used");
    check(1, &[future.clone(), aged(31, crypto), aged(31, spot)], SingleVenue, Some("102.897"), "c:Used");
    assert_eq!(aggregate(1, &[future]).aggregation.contributions[0].instrument, "X/USDT:perpetual");
}

#[test]
fn outliers_are_told_by_the_median_absolute_deviation() {
    use AggregationMethod::*;
    let with = |last: &str| {
        let quotes = ["100.0", "100.1", "100.2", last].map(|price| quote(price, "USD", price, Some(1)));
        let found = aggregate(1, &quotes);
        (found.price.map(|price| price.to_string()).unwrap_or_default(), found.aggregation.venue_count)
    };
    // Median 100.15, deviations 0.05, 0.05, 0.15 and that of the last: their median is 0.1, the limit 0.5.
    assert_eq!(with("100.65"), ("100.15".into(), 4));
    assert_eq!(with("100.66"), ("100.1".into(), 3));
    // All but one agree to the cent: the floor of 0.3 % is the limit.
    let floor = |last: &str| ["100", "100", "100", last].map(|price| quote(price, "USD", price, Some(1)));
    assert_eq!(aggregate(1, &floor("100.3")).aggregation.contributions[3].status, ContributionStatus::Used);
    assert_eq!(aggregate(1, &floor("100.31")).aggregation.contributions[3].status, ContributionStatus::Outlier);
    assert_eq!(aggregate(1, &floor("100")).aggregation.outlier_limit_percent, Some(0.3));
    // Of two, neither is an outlier.
    let two = [quote("a", "USD", "100", Some(5)), quote("b", "USD", "300", Some(6))];
    check(1, &two, VolumeWeightedMedian, Some("300"), "b:Used a:Used");
    let found = aggregate(1, &two).aggregation;
    assert_eq!((found.dispersion_percent, found.outlier_limit_percent), (Some(50.0), None));
}

#[test]
fn below_the_required_number_the_newest_price_is_carried() {
    use AggregationMethod::*;
    let stale = [aged(40, quote("a", "USD", "100", Some(9))), aged(31, quote("b", "USD", "101", Some(1)))];
    check(1, &stale, LastKnown, Some("101"), "b:Carried a:Stale");
    let found = aggregate(1, &stale);
    assert_eq!(found.as_of(now()), now() - Duration::from_secs(31));
    assert_eq!(found.aggregation.venue_count, 0);
    check(1, &[aged(30, quote("a", "USD", "100", None))], SingleVenue, Some("100"), "a:Used");
    let one_fresh = [quote("a", "USD", "100", Some(9)), stale[1].clone()];
    check(1, &one_fresh, SingleVenue, Some("100"), "a:Used b:Stale");
    check(2, &one_fresh, LastKnown, Some("100"), "a:Carried b:Stale");
    let two_fresh = [aged(2, quote("a", "USD", "100", Some(9))), aged(1, quote("b", "USD", "101", None))];
    check(3, &two_fresh, LastKnown, Some("101"), "b:Carried a:Carried");
    // Two instruments of one venue are one venue.
    let same = [quote("a", "USD", "100", Some(9)), quote("a", "USDT", "100", Some(1))];
    check(2, &same, LastKnown, Some("100"), "a:Carried a:Carried");
}

#[test]
fn freshness_is_counted_from_the_earlier_time() {
    let late = Quote { event_time: now() - Duration::from_secs(31), ..quote("a", "USD", "1", None) };
    check(1, &[late], AggregationMethod::LastKnown, Some("1"), "a:Carried");
    let ahead = Quote { event_time: now() + Duration::from_secs(50), ..aged(31, quote("a", "USD", "1", None)) };
    check(1, &[ahead], AggregationMethod::LastKnown, Some("1"), "a:Carried");
}

#[test]
fn a_listing_stands_in_only_where_no_venue_has_a_price() {
    let listing = ListingPrice {
        venue: "coingecko".into(),
        listing_id: "x-coin".into(),
        asset: "X".into(),
        price: decimal("42"),
        event_time: now(),
        receive_time: now(),
        budget: Duration::from_secs(300),
        simulated: true,
    };
    let with =
        |quotes: &[Quote]| Aggregator::new(Settings::default()).aggregate(quotes, &rates(), Some(&listing), now());
    let found = with(&[quote("a", "XXX", "1", None)]);
    assert_eq!((found.price, found.simulated), (Some(decimal("42")), true));
    assert_eq!(found.aggregation.method, AggregationMethod::Listing);
    let statuses: Vec<_> = found.aggregation.contributions.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [ContributionStatus::Used, ContributionStatus::UnpricedQuote]);
    assert_eq!(with(&[aged(999, quote("a", "USD", "7", None))]).price, Some(decimal("7")));
}

#[test]
fn day_ranges_are_weighted_like_the_price() {
    let ranged = |venue: &str, high: &str, low: &str, volume: i64| Quote {
        high_24h: Some(decimal(high)),
        low_24h: Some(decimal(low)),
        ..quote(venue, "USDT", "100", Some(volume))
    };
    let found = aggregate(1, &[ranged("a", "110", "90", 1), ranged("b", "120", "80", 5), ranged("c", "900", "0", 1)]);
    assert_eq!((found.high_24h, found.low_24h), (Some(decimal("119.88")), Some(decimal("79.92"))));
}

/// The definition once more, as plainly as it can be said: the smallest price at which at least half of the weight is reached, averaged
/// with the next when it is exactly half.
fn recomputed(prices: &[(i64, i64)]) -> f64 {
    let mut sorted = prices.to_vec();
    sorted.sort_unstable();
    let copies: Vec<f64> = sorted
        .iter()
        .flat_map(|(price, weight)| vec![*price as f64; usize::try_from(*weight).expect("small")])
        .collect();
    let middle = copies.len() / 2;
    if copies.len() % 2 == 1 { copies[middle] } else { (copies[middle - 1] + copies[middle]) / 2.0 }
}

fn market(prices: &[(i64, i64)], factor: i64) -> Vec<Quote> {
    let one = |(index, (price, volume)): (usize, &(i64, i64))| {
        let text = (price * factor).to_string();
        quote(&format!("venue-{index}"), "USD", &text, Some(*volume))
    };
    prices.iter().enumerate().map(one).collect()
}

fn used(found: &Aggregate) -> impl Iterator<Item = &Contribution> {
    found.aggregation.contributions.iter().filter(|entry| entry.status == ContributionStatus::Used)
}

proptest! {
    #[test]
    fn is_the_weighted_median_of_what_is_used(prices in prop::collection::vec((1i64..2_000, 1i64..50), 1..12)) {
        let found = aggregate(1, &market(&prices, 1));
        let entered: Vec<(i64, i64)> = used(&found)
            .map(|entry| (entry.price.expect("used").to_f64() as i64, entry.volume_24h.expect("used").to_f64() as i64))
            .collect();
        let price = found.price.expect("there are fresh venues");
        prop_assert_eq!(price.to_f64(), recomputed(&entered));
        let low = used(&found).filter_map(|entry| entry.price).min().expect("used");
        let high = used(&found).filter_map(|entry| entry.price).max().expect("used");
        prop_assert!(low <= price && price <= high);
        let weights: f64 = found.aggregation.contributions.iter().map(|entry| entry.weight).sum();
        prop_assert!((weights - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_the_venues_does_not_matter(
        (prices, shuffled) in prop::collection::vec((1i64..200, 0i64..5, 0u64..60), 1..10)
            .prop_flat_map(|prices| {
                let quotes: Vec<Quote> = prices.iter().enumerate().map(|(index, (price, volume, age))| {
                    let text = price.to_string();
                    aged(*age, quote(&format!("venue-{index}"), "USDT", &text, Some(*volume)))
                }).collect();
                (Just(quotes.clone()), Just(quotes).prop_shuffle())
            }),
        required in 1u32..4,
    ) {
        prop_assert_eq!(aggregate(required, &prices), aggregate(required, &shuffled));
    }

    #[test]
    fn scales_with_the_prices(
        prices in prop::collection::vec((1i64..1_000_000, 0i64..50), 1..12),
        factor in 1i64..1_000,
    ) {
        let (one, other) = (aggregate(1, &market(&prices, 1)), aggregate(1, &market(&prices, factor)));
        let scaled = one.price.and_then(|price| price.checked_mul(Decimal::from(factor)));
        prop_assert_eq!(scaled, other.price);
        let venues = |found: &Aggregate| -> Vec<_> {
            found.aggregation.contributions.iter().map(|entry| (entry.venue.clone(), entry.status)).collect()
        };
        prop_assert_eq!(venues(&one), venues(&other));
    }

    #[test]
    fn one_wild_venue_does_not_move_it_beyond_the_others(
        prices in prop::collection::vec((99_000i64..101_000, 1i64..50), 3..10),
        wild in prop_oneof![1i64..50_000, 200_000i64..10_000_000],
        volume in 1i64..1_000_000_000,
    ) {
        let mut quotes = market(&prices, 1);
        quotes.push(quote("wild", "USD", &wild.to_string(), Some(volume)));
        let found = aggregate(1, &quotes);
        let price = found.price.expect("there are fresh venues");
        let low = prices.iter().map(|(price, _)| *price).min().expect("not empty");
        let high = prices.iter().map(|(price, _)| *price).max().expect("not empty");
        prop_assert!(Decimal::from(low) <= price && price <= Decimal::from(high));
        prop_assert!(used(&found).all(|entry| entry.venue != "wild"));
    }
}
