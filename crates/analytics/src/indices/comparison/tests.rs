use proptest::prelude::*;

use super::*;

fn day(number: i32) -> Day {
    Day::from_number(number)
}

/// A series that has these values on the days from `first` on; 0 is a missing day.
fn series(first: i32, values: &[f64]) -> Daily {
    Daily::new((first..).zip(values).map(|(number, value)| (day(number), *value)))
}

fn days(range: std::ops::Range<i32>) -> Vec<Day> {
    range.map(day).collect()
}

fn parameters(start: WindowStart, end: i32) -> ComparisonParameters {
    ComparisonParameters { frequency: Frequency::Daily, start, end: day(end), periods_per_year: DAYS_PER_YEAR }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
}

/// Values whose log returns, from 100 on, are these.
fn from_returns(returns: &[f64]) -> Vec<f64> {
    let mut log = 100f64.ln();
    std::iter::once(100.0)
        .chain(returns.iter().map(|one| {
            log += one;
            log.exp()
        }))
        .collect()
}

#[test]
fn figures_are_those_of_a_calculation_by_hand() {
    // Five times (2, 0) and (0, 1) per cent: means 1 and 0.5, squared deviations 1 and 0.25 ten times each, products −0.5.
    let subject = series(0, &from_returns(&[0.02, 0.0].repeat(5)));
    let benchmark = series(0, &from_returns(&[0.0, 0.01].repeat(5)));
    let comparer = Comparer::new(&benchmark, &days(0..11), parameters(WindowStart::Lookback(90), 100));
    let found = comparer.compare(&subject).expect("enough");
    assert_eq!((found.observation_count, found.missing_count), (10, 0));
    assert_eq!((found.start_day, found.end_day), (day(0), day(10)));
    near(found.correlation.expect("both vary"), -1.0);
    near(found.beta.expect("the benchmark varies"), -2.0);
    // (0.01 + 2 × 0.005) × 365
    near(found.alpha_annualized_percent.expect("beta"), 730.0);
    let year = 365f64.sqrt();
    near(found.volatility_subject_annualized_percent, 100.0 * year * (10.0 * 1e-4 / 9.0f64).sqrt());
    near(found.volatility_benchmark_annualized_percent, 100.0 * year * (10.0 * 0.25e-4 / 9.0f64).sqrt());
    // The differences are +2 and −1 per cent: mean 0.5, deviations ±1.5.
    near(found.tracking_error_percent, 100.0 * year * (10.0 * 2.25e-4 / 9.0f64).sqrt());
    near(found.subject_return_percent, 100.0 * (0.1f64.exp() - 1.0));
    near(found.benchmark_return_percent, 100.0 * (0.05f64.exp() - 1.0));
    near(found.relative_strength_percent, 100.0 * (0.05f64.exp() - 1.0));
    assert_eq!((found.max_drawdown_subject_percent, found.max_drawdown_benchmark_percent), (0.0, 0.0));
}

#[test]
fn friday_to_monday_is_one_return_on_both_sides() {
    // Day 4 is a Monday. The subject trades every day and moves at the weekend only; the benchmark has no weekends.
    let calendar: Vec<Day> = days(4..25).into_iter().filter(|day| (day.number() + 3) % 7 < 5).collect();
    let weekend = |number: i32| (number + 3) % 7 >= 5;
    let mut level = 100.0;
    let subject = Daily::new((4..25).map(|number| {
        level *= if weekend(number) { 1.1 } else { 1.0 };
        (day(number), level)
    }));
    let benchmark = Daily::new(calendar.iter().map(|day| (*day, f64::from(1000 + day.number() % 2))));
    let comparer = Comparer::new(&benchmark, &calendar, parameters(WindowStart::From(day(0)), 24));
    let found = comparer.compare(&subject).expect("enough");
    assert_eq!((found.observation_count, found.missing_count), (14, 0));
    let samples = comparer.samples(&subject).expect("enough");
    assert_eq!(samples.len(), 15);
    let levels: Vec<f64> = samples.iter().map(|sample| sample.subject.round()).collect();
    assert_eq!(levels, [[100.0; 5], [121.0; 5], [146.0; 5]].concat());
    near(samples[14].ratio, samples[14].subject / samples[14].benchmark * 100.0);
}

#[test]
fn a_missing_session_lengthens_the_return_of_both() {
    let mut above = from_returns(&[0.01, -0.02, 0.03, 0.01, 0.0, -0.01, 0.02, 0.04, -0.03, 0.01, 0.02, 0.01]);
    let below = from_returns(&[0.02, 0.01, 0.0, -0.01, 0.03, 0.01, -0.02, 0.01, 0.02, -0.01, 0.0, 0.02]);
    above[5] = 0.0;
    let with_hole = series(0, &above);
    let whole = series(0, &below);
    let calendar = days(0..13);
    let without = calendar.iter().copied().filter(|one| one.number() != 5).collect::<Vec<_>>();
    let compare = |subject: &Daily, benchmark: &Daily, calendar: &[Day]| {
        let window = parameters(WindowStart::From(day(0)), 12);
        Comparer::new(benchmark, calendar, window).compare(subject).expect("enough")
    };
    let found = compare(&with_hole, &whole, &calendar);
    assert_eq!((found.observation_count, found.missing_count), (11, 1));
    assert_eq!(ComparisonFigures { missing_count: 0, ..found }, compare(&with_hole, &whole, &without));
    let turned = compare(&whole, &with_hole, &calendar);
    assert_eq!((turned.observation_count, turned.missing_count), (11, 1));
    near(turned.correlation.expect("both vary"), found.correlation.expect("both vary"));
}

#[test]
fn the_window_ends_and_begins_where_it_was_asked_to() {
    let values: Vec<f64> = (0..40).map(|number| 100.0 + f64::from(number * number % 17)).collect();
    let both = series(0, &values);
    let check = |start: WindowStart, end: i32, expected: Result<(i32, i32, u32, u32), usize>| {
        let found = Comparer::new(&both, &days(0..60), parameters(start, end)).compare(&both);
        let figures = found.map(|found| {
            (found.start_day.number(), found.end_day.number(), found.observation_count, found.missing_count)
        });
        let expected = expected.map_err(|found| ComparisonError::TooFewCommonSessions { found });
        assert_eq!(figures, expected, "{start:?} {end}");
    };
    check(WindowStart::Lookback(12), 30, Ok((18, 30, 12, 0)));
    check(WindowStart::Lookback(12), 41, Ok((27, 39, 12, 2)));
    check(WindowStart::Lookback(500), 30, Ok((0, 30, 30, 0)));
    check(WindowStart::Lookback(usize::MAX), 8, Err(9));
    check(WindowStart::Lookback(10), 9, Ok((0, 9, 9, 0)));
    check(WindowStart::From(day(21)), 30, Ok((21, 30, 9, 0)));
    check(WindowStart::From(day(22)), 30, Err(9));
    check(WindowStart::From(day(31)), 30, Err(0));
    check(WindowStart::From(day(-9)), 30, Ok((0, 30, 30, 0)));
}

#[test]
fn weeks_end_with_their_last_joint_session() {
    // Monday day 4 to Sunday day 10 is a week. The subject lacks all but the Wednesdays of every second week.
    let values: Vec<f64> = (0..120).map(|number| 100.0 + f64::from(number * 31 % 19)).collect();
    let benchmark = series(4, &values);
    let is_there = |number: &i32| (number - 4) / 7 % 2 == 0 || (number - 4) % 7 == 2;
    let subject = Daily::new((4..124).filter(is_there).map(|number| (day(number), 50.0 + f64::from(number % 13))));
    let weekly = |start: WindowStart, end: i32| ComparisonParameters {
        frequency: Frequency::Weekly,
        periods_per_year: WEEKS_PER_YEAR,
        ..parameters(start, end)
    };
    let calendar = days(4..124);
    let comparer = Comparer::new(&benchmark, &calendar, weekly(WindowStart::From(day(0)), 123));
    let sampled: Vec<i32> =
        comparer.samples(&subject).expect("enough").iter().map(|sample| sample.day.number()).collect();
    let expected: Vec<i32> = (0..17).map(|week| 4 + 7 * week + if week % 2 == 0 { 6 } else { 2 }).collect();
    assert_eq!(sampled, expected);
    let lookback = Comparer::new(&benchmark, &calendar, weekly(WindowStart::Lookback(11), 90));
    let found = lookback.compare(&subject).expect("enough");
    assert_eq!((found.observation_count, found.start_day.number(), found.end_day.number()), (11, 13, 90));
    // Without the Wednesdays every second week has no sample.
    let sparse = Daily::new(subject.iter().filter(|(day, _)| (day.number() - 4) / 7 % 2 == 0));
    let found = comparer.compare(&sparse);
    assert_eq!(found, Err(ComparisonError::TooFewCommonSessions { found: 9 }));
}

#[test]
fn what_does_not_vary_has_no_correlation() {
    let flat = series(0, &[7.0; 20]);
    let growing = series(0, &from_returns(&[0.01; 19]));
    let moving = series(0, &from_returns(&[0.01, -0.01].repeat(10)));
    let figures = |subject: &Daily, benchmark: &Daily| {
        let comparer = Comparer::new(benchmark, &days(0..20), parameters(WindowStart::Lookback(19), 19));
        let found = comparer.compare(subject).expect("enough");
        (found.correlation.is_some(), found.beta, found.alpha_annualized_percent.is_some())
    };
    assert_eq!(figures(&flat, &moving), (false, Some(0.0), true));
    assert_eq!(figures(&moving, &flat), (false, None, false));
    assert_eq!(figures(&moving, &growing), (false, None, false));
    assert_eq!(figures(&flat, &flat), (false, None, false));
    assert!(figures(&moving, &moving).0);
}

#[test]
fn a_drawdown_is_from_the_peak_before_it() {
    let values = [100.0, 120.0, 90.0, 110.0, 150.0, 130.0, 120.0, 160.0, 140.0, 155.0];
    let both = series(0, &values);
    let comparer = Comparer::new(&both, &days(0..10), parameters(WindowStart::Lookback(90), 9));
    near(comparer.compare(&both).expect("enough").max_drawdown_subject_percent, -25.0);
}

#[test]
fn a_live_value_must_be_one() {
    let both = series(0, &from_returns(&[0.01, -0.01].repeat(10)));
    let live = Comparer::new(&both, &days(0..30), parameters(WindowStart::Lookback(90), 29)).live(&both, day(25));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(live.with(bad, 1.0), Err(ComparisonError::NotAValue));
        assert_eq!(live.with(1.0, bad), Err(ComparisonError::NotAValue));
    }
    let found = live.with(101.0, 99.0).expect("values");
    assert_eq!((found.end_day, found.missing_count, found.observation_count), (day(25), 4, 21));
    near(live.sample(101.0, 99.0).subject, 101.0);
}

/// The definitions, written as plainly as can be.
fn plain(above: &[f64], below: &[f64], periods_per_year: f64) -> [Option<f64>; 8] {
    let returns = |values: &[f64]| values.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect::<Vec<f64>>();
    let (s, b) = (returns(above), returns(below));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let covariance = |x: &[f64], y: &[f64]| {
        let (mean_x, mean_y) = (mean(x), mean(y));
        x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / (x.len() as f64 - 1.0)
    };
    let difference: Vec<f64> = s.iter().zip(&b).map(|(s, b)| s - b).collect();
    let deviation = |x: &[f64]| covariance(x, x).sqrt();
    let fall = |values: &[f64]| {
        let pairs = (0..values.len()).flat_map(|end| (0..=end).map(move |start| (start, end)));
        pairs.map(|(start, end)| 100.0 * (values[end] / values[start] - 1.0)).fold(0.0, f64::min)
    };
    let beta = covariance(&s, &b) / covariance(&b, &b);
    [
        Some(covariance(&s, &b) / (deviation(&s) * deviation(&b))),
        Some(beta),
        Some(100.0 * (mean(&s) - beta * mean(&b)) * periods_per_year),
        Some(100.0 * deviation(&difference) * periods_per_year.sqrt()),
        Some(100.0 * deviation(&s) * periods_per_year.sqrt()),
        Some(100.0 * deviation(&b) * periods_per_year.sqrt()),
        Some(fall(above)),
        Some(fall(below)),
    ]
}

fn figures_of(found: &ComparisonFigures) -> [Option<f64>; 8] {
    [
        found.correlation,
        found.beta,
        found.alpha_annualized_percent,
        Some(found.tracking_error_percent),
        Some(found.volatility_subject_annualized_percent),
        Some(found.volatility_benchmark_annualized_percent),
        Some(found.max_drawdown_subject_percent),
        Some(found.max_drawdown_benchmark_percent),
    ]
}

/// Two series with holes: 0 is a missing day.
fn two_series() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let value = prop_oneof![1 => Just(0.0), 8 => 50.0f64..200.0];
    prop::collection::vec((value.clone(), value), 30..80).prop_map(|pairs| pairs.into_iter().unzip())
}

proptest! {
    #[test]
    fn figures_are_those_of_the_definitions((above, below) in two_series(), scale in prop_oneof![Just(1.0), Just(1e12)]) {
        let above: Vec<f64> = above.iter().map(|value| value * scale).collect();
        let length = above.len() as i32;
        let (subject, benchmark) = (series(0, &above), series(0, &below));
        let window = parameters(WindowStart::From(day(0)), length);
        let comparer = Comparer::new(&benchmark, &days(0..length), window);
        let (joint_above, joint_below): (Vec<f64>, Vec<f64>) =
            above.iter().zip(&below).filter(|(above, below)| **above > 0.0 && **below > 0.0).unzip();
        match comparer.compare(&subject) {
            Err(error) => {
                prop_assert!(joint_above.len() < COMMON_SESSION_COUNT_MIN);
                prop_assert_eq!(error, ComparisonError::TooFewCommonSessions { found: joint_above.len() });
            }
            Ok(found) => {
                prop_assert_eq!(found.observation_count as usize + 1, joint_above.len());
                prop_assert_eq!(found.missing_count as usize, above.len() - joint_above.len());
                for (found, expected) in figures_of(&found).into_iter().zip(plain(&joint_above, &joint_below, DAYS_PER_YEAR)) {
                    let (found, expected) = (found.expect("varies"), expected.expect("varies"));
                    prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{} {}", found, expected);
                }
            }
        }
    }

    #[test]
    fn a_live_update_is_the_whole_comparison((above, below) in two_series(), lookback in 9usize..90, weekly in any::<bool>()) {
        let length = above.len() as i32;
        let frequency = if weekly { Frequency::Weekly } else { Frequency::Daily };
        let window = ComparisonParameters { frequency, ..parameters(WindowStart::Lookback(lookback), length) };
        let (mut subject, mut benchmark) = (series(0, &above), series(0, &below));
        let calendar = days(0..length + 1);
        let live = Comparer::new(&benchmark, &calendar, window).live(&subject, day(length));
        for (above, below) in [(77.0, 99.0), (120.0, 60.0)] {
            subject.set(day(length), above);
            benchmark.set(day(length), below);
            let whole = Comparer::new(&benchmark, &calendar, window);
            // Bit for bit.
            prop_assert_eq!(live.with(above, below), whole.compare(&subject));
            if let Ok(samples) = whole.samples(&subject) {
                prop_assert_eq!(samples.last().copied(), Some(live.sample(above, below)));
            }
        }
    }
}
