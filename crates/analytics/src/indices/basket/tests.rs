use proptest::prelude::*;

use super::*;

fn day(number: i32) -> Day {
    Day::from_number(number)
}

fn date(year: i16, month: i8, of_month: i8) -> Day {
    Day::from_date(year, month, of_month).expect("a date")
}

/// Values from a first day on; 0 is a missing day.
fn series(first: Day, values: &[f64]) -> Daily {
    Daily::new((first.number()..).zip(values).map(|(number, value)| (day(number), *value)))
}

fn rule(weighting: Weighting, schedule: Schedule, base_day: Day) -> RebalanceRule {
    RebalanceRule { weighting, schedule, base_day, base_level: 1000.0, constituent_count_max: None }
}

fn members(series: &[(Daily, Daily)]) -> Vec<Constituent<'_>> {
    series.iter().map(|(closes, market_caps)| Constituent { closes, market_caps }).collect()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
}

#[test]
fn what_is_above_the_cap_is_shared_out() {
    let check = |sizes: &[f64], weight_max: f64, expected: &[f64]| {
        let found = capped_weights(sizes, weight_max);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{sizes:?} {weight_max}: {found} is not {expected}");
        }
    };
    check(&[6.0, 3.0, 1.0], 1.0, &[0.6, 0.3, 0.1]);
    check(&[6.0, 3.0, 1.0], 0.5, &[0.5, 0.375, 0.125]);
    // Sharing out lifts the second above the cap too.
    check(&[6.0, 3.0, 1.0], 0.4, &[0.4, 0.4, 0.2]);
    check(&[6.0, 3.0, 1.0], 0.2, &[1.0 / 3.0; 3]);
    check(&[6.0, 3.0, 0.0, f64::NAN], 0.4, &[0.5, 0.5, 0.0, 0.0]);
    check(&[6.0, 3.0, 1.0], f64::NAN, &[1.0 / 3.0; 3]);
    check(&[0.0], 0.5, &[0.0]);
    check(&[], 0.5, &[]);
}

#[test]
fn periods_end_with_their_last_day() {
    let check = |schedule: Schedule, at: Day, expected: Option<Day>| {
        assert_eq!(period_end(schedule, at), expected, "{schedule:?} {at}");
    };
    check(Schedule::Never, date(2026, 1, 15), None);
    check(Schedule::Weekly, date(2026, 1, 12), Some(date(2026, 1, 18)));
    check(Schedule::Weekly, date(2026, 1, 18), Some(date(2026, 1, 18)));
    check(Schedule::Weekly, date(2026, 1, 19), Some(date(2026, 1, 25)));
    check(Schedule::Monthly, date(2024, 2, 1), Some(date(2024, 2, 29)));
    check(Schedule::Monthly, date(2025, 12, 31), Some(date(2025, 12, 31)));
    check(Schedule::Quarterly, date(2026, 1, 1), Some(date(2026, 3, 31)));
    check(Schedule::Quarterly, date(2026, 5, 31), Some(date(2026, 6, 30)));
    check(Schedule::Quarterly, date(2026, 10, 1), Some(date(2026, 12, 31)));
}

#[test]
fn an_equal_basket_is_rebalanced_by_the_month() {
    // From 30 January on: one doubles and halves again, the other stays.
    let first = date(2026, 1, 30);
    let (none, one, other) =
        (Daily::default(), series(first, &[10.0, 20.0, 10.0, 20.0]), series(first, &[5.0, 5.0, 5.0, 5.0]));
    let all = [Constituent { closes: &one, market_caps: &none }, Constituent { closes: &other, market_caps: &none }];
    let found = history(&all, &rule(Weighting::Equal, Schedule::Monthly, first), date(2027, 1, 1));
    // 31 January: half doubled. Then half of 1,500 halves, and doubles again.
    let expected = [1000.0, 1500.0, 1125.0, 1500.0];
    for (index, expected) in expected.iter().enumerate() {
        near(found.levels.get(first.plus(index as i32)).expect("a level"), *expected);
    }
    assert_eq!(found.rebalance_days, [first, date(2026, 1, 31)]);
    let composition = found.composition.expect("begun");
    let price = |at: i32| move |member: usize| all[member].closes.get(first.plus(at));
    let weights = composition.weights(price(3)).expect("prices");
    near(weights[0], 0.5);
    let moved = composition.contributions_percent(price(2), price(3)).expect("prices");
    near(moved[0], 100.0 / 3.0);
    assert_eq!(moved[1], 0.0);
    let left_alone = history(&all, &rule(Weighting::Equal, Schedule::Never, first), date(2027, 1, 1));
    near(left_alone.levels.get(first.plus(2)).expect("a level"), 1000.0);
}

#[test]
fn a_market_cap_basket_holds_the_largest_by_its_cap() {
    let first = date(2026, 1, 30);
    let caps = |cap: f64| series(first, &[cap; 3]);
    let all = [
        (series(first, &[1.0, 1.0, 2.0]), caps(10.0)),
        (series(first, &[1.0, 1.0, 1.0]), caps(60.0)),
        (series(first, &[1.0, 1.0, 1.0]), caps(30.0)),
        (series(first, &[1.0, 1.0, 9.0]), caps(9.0)),
        (series(first, &[1.0, 1.0, 9.0]), Daily::default()),
    ];
    let three = RebalanceRule {
        constituent_count_max: Some(3),
        ..rule(Weighting::CappedMarketCap { weight_max: 0.4 }, Schedule::Never, first)
    };
    let found = history(&members(&all), &three, date(2026, 2, 1));
    let composition = found.composition.expect("begun");
    let held: Vec<usize> = composition.holdings.iter().map(|holding| holding.member).collect();
    assert_eq!(held, [1, 2, 0]);
    // 0.4, 0.4 and 0.2, of which the last doubles.
    near(found.levels.get(date(2026, 2, 1)).expect("a level"), 1200.0);
}

#[test]
fn a_missing_price_is_a_missing_level() {
    let first = date(2026, 1, 1);
    let all = [
        (series(first, &[1.0, 2.0, 0.0, 4.0]), Daily::default()),
        (series(first, &[1.0, 1.0, 1.0, 1.0]), Daily::default()),
    ];
    let found = history(&members(&all), &rule(Weighting::Equal, Schedule::Never, first), date(2027, 1, 1));
    let levels: Vec<Option<f64>> = (0..4).map(|offset| found.levels.get(first.plus(offset))).collect();
    assert_eq!(levels, [Some(1000.0), Some(1500.0), None, Some(2500.0)]);
    assert_eq!((found.missing_count, found.observation_count()), (1, 3));
}

#[test]
fn what_is_gone_is_taken_out_without_moving_the_level() {
    let first = date(2026, 1, 1);
    let all = [
        (series(first, &[1.0, 3.0]), Daily::default()),
        (series(first, &[2.0; 12].map(|value| value)), Daily::default()),
    ];
    let found = history(&members(&all), &rule(Weighting::Equal, Schedule::Never, first), date(2027, 1, 1));
    // Held to the last day that had a level, 2,000; waited for 7 days more; then without the one that is gone.
    let days: Vec<i32> = found.levels.iter().map(|(day, _)| day.since(first)).collect();
    assert_eq!(days, [0, 1, 9, 10, 11]);
    assert_eq!(found.missing_count, 7);
    near(found.levels.get(first.plus(11)).expect("a level"), 2000.0);
    assert_eq!(found.composition.expect("begun").holdings.len(), 1);
}

#[test]
fn nothing_makes_no_basket() {
    let first = date(2026, 1, 1);
    assert_eq!(history(&[], &rule(Weighting::Equal, Schedule::Never, first), first), BasketHistory::default());
    let all = [(series(first, &[1.0, 1.0]), Daily::default())];
    let found = history(&members(&all), &rule(Weighting::MarketCap, Schedule::Never, first), first.plus(5));
    assert_eq!((found.composition, found.missing_count), (None, 0), "no market cap, no weight");
    assert_eq!(Composition::new(&[(0, 1.0, 0.0)], 1000.0, 1.0, first), None);
    assert_eq!(Composition::new(&[], 1000.0, 1.0, first), None);
    assert_eq!(Composition::new(&[(0, 1.0, 1.0)], f64::NAN, 1.0, first), None);
}

/// Weights and prices of a few members, any of which may be held.
fn entries() -> impl Strategy<Value = Vec<(usize, f64, f64)>> {
    prop::collection::vec((1e-3f64..1e3, 1e-6f64..1e6), 1..12).prop_map(|pairs| {
        pairs.into_iter().enumerate().map(|(member, (weight, price))| (member, weight, price)).collect()
    })
}

proptest! {
    #[test]
    fn a_change_of_constituents_moves_no_level(
        before in entries(),
        after in entries(),
        level in 1e-3f64..1e6,
        growth in prop::collection::vec(0.1f64..10.0, 12),
    ) {
        // The prices drift from those at which the first composition was set; the second is set at the new ones.
        let first = Composition::new(&before, level, 1e6, day(0)).expect("usable");
        let price = |member: usize| Some(before.get(member).or(after.get(member))?.2 * growth[member]);
        let drifted = first.level(price).expect("prices");
        let chosen: Vec<(usize, f64, f64)> =
            after.iter().map(|(member, weight, _)| (*member, *weight, price(*member).expect("a price"))).collect();
        let second = Composition::new(&chosen, drifted, 5e9, day(1)).expect("usable");
        let linked = second.level(price).expect("prices");
        prop_assert!((linked / drifted - 1.0).abs() < 1e-12, "{} is not {}", linked, drifted);
        let weights = second.weights(price).expect("prices");
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let asked: f64 = chosen.iter().map(|(_, weight, _)| weight).sum();
        for (holding, weight) in second.holdings.iter().zip(&weights) {
            prop_assert!((weight - after[holding.member].1 / asked).abs() < 1e-12);
        }
    }

    #[test]
    fn a_level_moves_by_its_holdings_alone(
        prices in prop::collection::vec(prop::collection::vec(0.5f64..2.0, 60), 2..6),
        caps in prop::collection::vec(1.0f64..100.0, 6),
        weight_max in 0.2f64..1.0,
        schedule in prop_oneof![Just(Schedule::Never), Just(Schedule::Weekly), Just(Schedule::Monthly)],
    ) {
        let first = date(2026, 1, 10);
        let all: Vec<(Daily, Daily)> = prices
            .iter()
            .zip(&caps)
            .map(|(prices, cap)| (series(first, prices), series(first, &prices.iter().map(|price| cap * price).collect::<Vec<_>>())))
            .collect();
        let found = history(&members(&all), &rule(Weighting::CappedMarketCap { weight_max }, schedule, first), first.plus(59));
        prop_assert_eq!(found.levels.count(), 60);
        // Each day's change lies between those of the members, on days of rebalancing too.
        for offset in 1..60 {
            let growth = found.levels.get(first.plus(offset)).expect("a level") / found.levels.get(first.plus(offset - 1)).expect("a level");
            let of_members = prices.iter().map(|prices| prices[offset as usize] / prices[offset as usize - 1]);
            let (least, most) = of_members.fold((f64::MAX, 0.0f64), |(least, most), one| (least.min(one), most.max(one)));
            prop_assert!(least * (1.0 - 1e-12) <= growth && growth <= most * (1.0 + 1e-12));
        }
    }

    #[test]
    fn capped_weights_keep_their_promise(sizes in prop::collection::vec(1e-6f64..1e6, 1..40), weight_max in 0.0f64..1.0) {
        let found = capped_weights(&sizes, weight_max);
        let effective = weight_max.max(1.0 / sizes.len() as f64);
        prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(found.iter().all(|weight| *weight <= effective * (1.0 + 1e-12)));
        // A larger size never weighs less, and those below the cap keep their proportions.
        for (left, left_weight) in sizes.iter().zip(&found) {
            for (right, right_weight) in sizes.iter().zip(&found) {
                prop_assert!(left < right || left_weight >= &(right_weight * (1.0 - 1e-12)));
                let both_free = left_weight.max(*right_weight) < effective * (1.0 - 1e-9);
                prop_assert!(!both_free || (left_weight * right - right_weight * left).abs() <= 1e-9 * left_weight * right);
            }
        }
    }
}
