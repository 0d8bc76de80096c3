use crate::long_short::state::*;
use crossmarket_domain::{AssetCode, InstrumentKind};

const VENUES: [(u16, &str, &[LongShortKind]); 3] = [
    (0, "alpha", &[LongShortKind::GlobalAccount, LongShortKind::TopTraderAccount]),
    (1, "beta", &[LongShortKind::GlobalAccount]),
    (2, "gamma", &[LongShortKind::TopTraderAccount]),
];

fn state() -> RatioState {
    RatioState::new(VENUES.map(|(index, id, kinds)| RatioStateVenue { index, id: VenueId(id), kinds }).to_vec(), false)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_768_478_400 + seconds)
}

fn btc() -> AssetId {
    AssetId::parse("bitcoin").expect("valid")
}

fn instrument(multiplier: u32) -> Arc<Instrument> {
    let kind = InstrumentKind::PerpetualLinear;
    Arc::new(Instrument { kind, multiplier, ..Instrument::spot("BTCUSDT", "BTC", "USDT") })
}

fn row(kind: LongShortKind, event: i64, long_share: f64) -> Row {
    let shares = Shares::of_long_share(long_share).expect("both sides");
    let value = LongShort {
        kind,
        period: Some(Period::OneHour),
        long_share,
        short_share: shares.short_share(),
        ratio: shares.ratio,
    };
    Row { event_time: at(event), value }
}

fn take(state: &mut RatioState, venue: u16, rows: Vec<Row>, now: i64) {
    state.ratios(&btc(), venue, &instrument(1), rows, Duration::from_secs(7_200), at(now), true);
}

fn interest(state: &mut RatioState, venue: u16, amount: i64, usd: Option<i64>, multiplier: u32, now: i64) {
    let value = OpenInterest {
        open_interest: Decimal::from(amount),
        unit: OpenInterestUnit::Base,
        open_interest_usd: usd.map(Decimal::from),
    };
    state.open_interest(&btc(), venue, &instrument(multiplier), &value, at(now), Some(Decimal::from(2)));
}

fn updates(state: &mut RatioState, now: i64) -> Vec<LongShortRatio> {
    let context = |_: &AssetId| AssetContext { ticker: AssetCode::parse("BTC"), rank: Some(1), rsi_14d: Some(60.0) };
    let ratio = |(_, state): Update| match state.map(|state| state.body) {
        Some(Body::LongShort(ratio)) => *ratio,
        other => panic!("no ratio: {other:?}"),
    };
    state.updates(at(now), |_| true, context).into_iter().map(ratio).collect()
}

#[test]
fn a_reading_makes_the_venue_s_state_and_the_aggregate() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
    interest(&mut state, 0, 100, Some(300), 1, 5);
    take(&mut state, 1, vec![row(LongShortKind::GlobalAccount, 0, 0.4)], 6);
    interest(&mut state, 1, 50, None, 1, 6);
    let published = updates(&mut state, 10);
    let of = |venue: Option<&str>| {
        let is_it = |ratio: &&LongShortRatio| ratio.key.venue.as_deref() == venue;
        published.iter().find(is_it).expect("published")
    };
    assert_eq!(published.len(), 3);
    assert_eq!(of(Some("alpha")).method, LongShortMethod::SingleVenue);
    let aggregate = of(None);
    // 300 dollars at 0.6, and 50 units of 2 dollars at 0.4.
    assert!((aggregate.shares.expect("two").long_share - 0.55).abs() < 1e-12, "{aggregate:?}");
    assert_eq!(aggregate.open_interest, Some(Decimal::from(400)));
    let statuses: Vec<_> = aggregate.contributions.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [LongShortStatus::Used, LongShortStatus::Used, LongShortStatus::NotOffered]);
    assert_eq!((aggregate.market_cap_rank, aggregate.rsi_14d), (Some(1), Some(60.0)));
    assert!(updates(&mut state, 11).is_empty(), "nothing is new");
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 20);
    assert!(updates(&mut state, 20).is_empty(), "the same row again is nothing new");
}

#[test]
fn a_contract_of_a_thousand_weighs_a_thousand_times_its_amount() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
    let value =
        OpenInterest { open_interest: Decimal::from(10), unit: OpenInterestUnit::Base, open_interest_usd: None };
    state.open_interest(&btc(), 0, &instrument(1_000), &value, at(5), Some(Decimal::from(2)));
    let published = updates(&mut state, 10);
    assert_eq!(published[0].open_interest, Some(Decimal::from(20_000)));
}

#[test]
fn top_traders_stay_apart() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::TopTraderAccount, 0, 0.6)], 5);
    take(&mut state, 2, vec![row(LongShortKind::TopTraderAccount, 0, 0.4)], 5);
    let published = updates(&mut state, 10);
    assert_eq!(published.len(), 2, "no aggregate: {published:?}");
    assert!(published.iter().all(|ratio| ratio.contributions[0].status == LongShortStatus::NotPooled));
    assert!(published.iter().all(|ratio| ratio.venue_count() == 1));
}

#[test]
fn a_stale_venue_leaves_the_aggregate_and_is_told() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
    take(&mut state, 1, vec![row(LongShortKind::GlobalAccount, 3_600, 0.4)], 3_605);
    updates(&mut state, 3_610);
    let later = updates(&mut state, 7_300);
    let [aggregate] = later.as_slice() else { panic!("only the aggregate changes: {later:?}") };
    assert_eq!(aggregate.contributions[0].status, LongShortStatus::Stale);
    assert!((aggregate.shares.expect("one").long_share - 0.4).abs() < 1e-12);
    assert_eq!(aggregate.method, LongShortMethod::SingleVenue);
}

#[test]
fn the_change_is_against_the_day_before() {
    let mut state = state();
    let rows =
        (0..=24).map(|hour| row(LongShortKind::GlobalAccount, hour * 3_600, 0.5 + hour as f64 / 100.0)).collect();
    take(&mut state, 0, rows, 24 * 3_600 + 5);
    let published = updates(&mut state, 24 * 3_600 + 10);
    let change = published[0].change_24h().expect("a day is known");
    assert!((change - (0.74 / 0.26 - 1.0)).abs() < 1e-5, "{change}");
    let points = state.take_points();
    let name = SeriesKind::Sampled("global-account:alpha:1h".into());
    let stored = &points[&SeriesKey { subject: "id:bitcoin".into(), kind: name }];
    assert_eq!(stored.len(), 25);
    assert_eq!(stored[0].value, Decimal::parse("0.5").expect("valid"));
}

#[test]
fn one_instrument_of_a_venue_counts() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
    let other = Arc::new(Instrument { symbol: "BTCUSDC".into(), ..(*instrument(1)).clone() });
    let rows = vec![row(LongShortKind::GlobalAccount, 0, 0.1)];
    state.ratios(&btc(), 0, &other, rows, Duration::from_secs(60), at(6), false);
    let published = updates(&mut state, 10);
    assert_eq!(published[0].shares.map(|shares| shares.long_share), Some(0.6));
    assert_eq!(published[0].contributions[0].venue_symbol, "BTCUSDT");
}

#[test]
fn what_could_not_be_written_is_due_again_and_what_is_gone_is_named() {
    let mut state = state();
    take(&mut state, 0, vec![row(LongShortKind::GlobalAccount, 0, 0.6)], 5);
    let first: Vec<LongShortKey> = updates(&mut state, 10).into_iter().map(|ratio| ratio.key).collect();
    first.iter().for_each(|key| state.forget(key));
    let again: Vec<LongShortKey> = updates(&mut state, 11).into_iter().map(|ratio| ratio.key).collect();
    assert_eq!(again, first);
    let gone: Vec<Key> = state.remove(&btc());
    assert_eq!(gone, first.into_iter().map(Key::LongShort).collect::<Vec<_>>());
    assert!(state.remove(&btc()).is_empty());
}
