//! `LongShortService`: what it answers, refuses and streams.

use super::*;
use crossmarket_api::v1::long_short_service_client::LongShortServiceClient;
use crossmarket_domain::long_short::{
    DayBefore, LongShortContribution, LongShortKey, LongShortMethod, LongShortRatio, LongShortStatus, Shares,
};
use crossmarket_domain::series::SeriesKind;
use crossmarket_domain::{Decimal, Feed, LongShortKind, Period};
use crossmarket_store::EmbeddedStore;

fn ratio(asset: &str, long_share: f64, rank: Option<u32>) -> LongShortRatio {
    let contribution = LongShortContribution {
        venue: "bybit".into(),
        instrument: format!("{asset}/USDT:perpetual").into(),
        venue_symbol: format!("{asset}USDT").into(),
        shares: Shares::of_long_share(long_share),
        weight: 1.0,
        status: LongShortStatus::Used,
        open_interest: Some(Decimal::from(1_000)),
        observed_open_interest: None,
        times: Some((at(0), at(1))),
        simulated: true,
    };
    LongShortRatio {
        key: LongShortKey {
            asset: id(asset),
            kind: LongShortKind::GlobalAccount,
            period: Period::OneHour,
            venue: None,
        },
        shares: Shares::of_long_share(long_share),
        open_interest: Some(Decimal::from(1_000)),
        market_cap_rank: rank,
        rsi_14d: Some(40.0 + f64::from(rank.unwrap_or(0))),
        day_before: Some(DayBefore { time: at(-86_400), ratio: 1.0 }),
        method: LongShortMethod::SingleVenue,
        contributions: vec![contribution],
        ticker: AssetCode::parse(asset).expect("a ticker"),
    }
}

fn put(revision: Revision, ratio: LongShortRatio) -> Change {
    let key = Key::LongShort(ratio.key.clone());
    Change { key, revision, state: Some(state(Body::LongShort(Box::new(ratio)), at(0))) }
}

/// Five assets, of which `NONE` has no ratio and `USDX` is a stablecoin without one.
async fn fixture() -> Fixture {
    let fixture = Fixture::start(|services| {
        let entry = |id: &str, feeds: Vec<Feed>| VenueEntry {
            id: id.to_owned(),
            title: id.to_owned(),
            feeds,
            enabled: true,
            simulated: true,
            documentation_url: String::new(),
            terms_url: String::new(),
            terms_note: String::new(),
            official: true,
            key_required: false,
            key_configured: false,
        };
        let ratios = vec![Feed::LongShortRatios, Feed::OpenInterest];
        services.venues =
            Arc::new([entry("bybit", ratios.clone()), entry("okx", ratios), entry("kraken", vec![Feed::Tickers])]);
        services.store = Arc::new(EmbeddedStore::in_memory().expect("a store"));
    })
    .await;
    let at_okx = |asset: &str, long_share: f64, rank| {
        let mut ratio = ratio(asset, long_share, rank);
        ratio.key.venue = Some("okx".into());
        ratio.key.kind = LongShortKind::TopTraderAccount;
        ratio.contributions[0].status = LongShortStatus::NotPooled;
        ratio
    };
    fixture.bootstrap(
        EPOCH,
        vec![
            cataloged(1, "BTC", AssetKind::Coin, Some(1)),
            cataloged(2, "ETH", AssetKind::Coin, Some(2)),
            cataloged(3, "ABC", AssetKind::Coin, Some(60)),
            cataloged(4, "NONE", AssetKind::Coin, Some(61)),
            cataloged(5, "USDX", AssetKind::Stablecoin, Some(3)),
            put(6, ratio("BTC", 0.48, Some(1))),
            put(7, ratio("ETH", 0.52, Some(2))),
            put(8, ratio("ABC", 0.60, Some(60))),
            put(9, at_okx("BTC", 0.7, Some(1))),
        ],
    );
    fixture
}

impl Fixture {
    fn ratios(&self) -> LongShortServiceClient<Channel> {
        LongShortServiceClient::new(self.channel.clone())
    }
}

fn assets(ratios: &[v1::LongShortRatio]) -> Vec<&str> {
    ratios.iter().map(|ratio| ratio.asset.as_str()).collect()
}

#[tokio::test]
async fn one_ratio_with_and_without_what_is_behind_it() {
    let fixture = fixture().await;
    let get = |view: v1::View| {
        let request = v1::GetLongShortRatioRequest { asset: "btc".to_owned(), view: view.into(), ..Default::default() };
        let mut client = fixture.ratios();
        async move { client.get_long_short_ratio(request).await.expect("answers").into_inner().ratio.expect("a ratio") }
    };
    let (basic, full) = (get(v1::View::Basic).await, get(v1::View::Full).await);
    assert!((basic.ratio.expect("known") - 0.48 / 0.52).abs() < 1e-12);
    assert!((basic.long_share.expect("known") + basic.short_share.expect("known") - 1.0).abs() < 1e-12);
    assert!((basic.change_24h.expect("known") - (0.48 / 0.52 - 1.0)).abs() < 1e-12);
    assert_eq!((basic.market_cap_rank, basic.open_interest.as_deref()), (Some(1), Some("1000")));
    assert_eq!(basic.kind(), v1::LongShortKind::GlobalAccount);
    assert_eq!(basic.period(), v1::LongShortPeriod::LongShortPeriod1h);
    assert!(basic.derivations.is_empty());
    let parts = |ratio: &v1::LongShortRatio| ratio.aggregation.clone().expect("always there");
    assert_eq!((parts(&basic).contributions.len(), parts(&basic).venue_count), (0, 1));
    assert_eq!(parts(&full).contributions[0].venue_symbol, "BTCUSDT");
    let fields: Vec<&str> = full.derivations.iter().map(|derivation| derivation.field.as_str()).collect();
    assert_eq!(fields, ["long_share", "change_24h", "rsi_14d"]);
}

#[tokio::test]
async fn refusals_name_the_field_and_what_is_allowed() {
    let fixture = fixture().await;
    let get = |request: v1::GetLongShortRatioRequest| {
        let mut client = fixture.ratios();
        async move { client.get_long_short_ratio(request).await.expect_err("refused") }
    };
    let btc = || v1::GetLongShortRatioRequest { asset: "BTC".to_owned(), ..Default::default() };
    assert_invalid(&get(v1::GetLongShortRatioRequest { asset: "a b".to_owned(), ..btc() }).await, "asset", &["ticker"]);
    assert_invalid(&get(v1::GetLongShortRatioRequest { kind: 99, ..btc() }).await, "kind", &["99"]);
    assert_invalid(&get(v1::GetLongShortRatioRequest { period: -1, ..btc() }).await, "period", &["-1"]);
    let kraken = v1::GetLongShortRatioRequest { venue: "kraken".to_owned(), ..btc() };
    assert_invalid(&get(kraken).await, "venue", &["kraken", "bybit, okx"]);
    for kind in
        [v1::LongShortKind::TopTraderAccount, v1::LongShortKind::TopTraderPosition, v1::LongShortKind::GlobalPosition]
    {
        let pooled = v1::GetLongShortRatioRequest { kind: kind.into(), ..btc() };
        assert_invalid(&get(pooled).await, "venue", &["not pooled", "bybit, okx"]);
    }
    let unknown = get(v1::GetLongShortRatioRequest { asset: "NOPE".to_owned(), ..btc() }).await;
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "UNKNOWN_ASSET"));
    let absent = get(v1::GetLongShortRatioRequest { asset: "NONE".to_owned(), ..btc() }).await;
    assert_eq!((absent.code(), reason(&absent).as_str()), (Code::NotFound, "NO_LONG_SHORT_RATIO"));
    let list = |request: v1::ListLongShortRatiosRequest| {
        let mut client = fixture.ratios();
        async move { client.list_long_short_ratios(request).await.expect_err("refused") }
    };
    let reversed = v1::ListLongShortRatiosRequest {
        market_cap_rank_min: Some(9),
        market_cap_rank_max: Some(3),
        ..Default::default()
    };
    assert_invalid(&list(reversed).await, "market_cap_rank_max", &["less"]);
    let order = v1::ListLongShortRatiosRequest { order_by: "price".to_owned(), ..Default::default() };
    assert_invalid(&list(order).await, "order_by", &["long_share"]);
    let token = v1::ListLongShortRatiosRequest { page_token: "x".to_owned(), ..Default::default() };
    assert_invalid(&list(token).await, "page_token", &[]);
}

#[tokio::test]
async fn lists_are_of_one_series_by_rank_and_in_pages() {
    let fixture = fixture().await;
    let list = |request: v1::ListLongShortRatiosRequest| {
        let mut client = fixture.ratios();
        async move { client.list_long_short_ratios(request).await.expect("answers").into_inner() }
    };
    let all = list(v1::ListLongShortRatiosRequest::default()).await;
    assert_eq!((assets(&all.ratios), all.total_size), (vec!["BTC", "ETH", "ABC"], 3));
    let below = v1::ListLongShortRatiosRequest { market_cap_rank_min: Some(2), ..Default::default() };
    assert_eq!(assets(&list(below).await.ratios), ["ETH", "ABC"]);
    let range = v1::ListLongShortRatiosRequest {
        market_cap_rank_min: Some(2),
        market_cap_rank_max: Some(59),
        ..Default::default()
    };
    assert_eq!(assets(&list(range).await.ratios), ["ETH"]);
    let by_ratio =
        v1::ListLongShortRatiosRequest { order_by: "ratio desc".to_owned(), page_size: 2, ..Default::default() };
    let first = list(by_ratio.clone()).await;
    assert_eq!(assets(&first.ratios), ["ABC", "ETH"]);
    let rest = list(v1::ListLongShortRatiosRequest { page_token: first.next_page_token, ..by_ratio }).await;
    assert_eq!((assets(&rest.ratios), rest.next_page_token.as_str()), (vec!["BTC"], ""));
    let top = v1::ListLongShortRatiosRequest {
        kind: v1::LongShortKind::TopTraderAccount.into(),
        venue: "OKX".to_owned(),
        ..Default::default()
    };
    let top = list(top).await;
    assert_eq!((assets(&top.ratios), top.ratios[0].venue.as_str()), (vec!["BTC"], "okx"));
    let named =
        v1::ListLongShortRatiosRequest { assets: vec!["eth".to_owned(), "NOPE".to_owned()], ..Default::default() };
    assert_eq!(assets(&list(named).await.ratios), ["ETH"]);
}

#[tokio::test]
async fn a_watch_is_of_one_series_and_tells_of_each_item() {
    let fixture = fixture().await;
    let request = v1::WatchLongShortRatiosRequest {
        assets: ["BTC", "NONE", "NOPE", "no ticker"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let mut stream = fixture.ratios().watch_long_short_ratios(request).await.expect("opens").into_inner();
    let first = stream.message().await.expect("no error").expect("a frame");
    assert_eq!(first.state(), v1::StreamState::SnapshotComplete);
    assert_eq!(assets(&first.ratios), ["BTC"]);
    let states: Vec<v1::ItemState> = first.items.iter().map(|item| item.state()).collect();
    use v1::ItemState::{Invalid, Ok, Pending, Unknown};
    assert_eq!(states, [Ok, Pending, Unknown, Invalid]);
    let other_series = LongShortKey { period: Period::FiveMinutes, ..ratio("BTC", 0.5, Some(1)).key };
    fixture.apply(vec![
        put(10, LongShortRatio { key: other_series, ..ratio("BTC", 0.9, Some(1)) }),
        put(11, ratio("NONE", 0.55, Some(61))),
    ]);
    let next = stream.message().await.expect("no error").expect("a frame");
    assert_eq!((assets(&next.ratios), next.state()), (vec!["NONE"], v1::StreamState::Live));
    assert_eq!(next.items.iter().map(|item| (item.item.as_str(), item.state())).collect::<Vec<_>>(), [("NONE", Ok)]);
    // A price stream's cursor means nothing here, and this one's is good.
    let resumed = v1::WatchLongShortRatiosRequest { resume_cursor: next.cursor, ..Default::default() };
    assert!(fixture.ratios().watch_long_short_ratios(resumed).await.is_ok());
    let mut prices = fixture.watch(v1::WatchPriceSnapshotsRequest::default()).await;
    let cursor = frame(&mut prices).await.cursor;
    let foreign = v1::WatchLongShortRatiosRequest { resume_cursor: cursor, ..Default::default() };
    let refused = fixture.ratios().watch_long_short_ratios(foreign).await.expect_err("refused");
    assert_invalid(&refused, "resume_cursor", &["cursor"]);
}

#[tokio::test]
async fn breadth_tells_tiers_the_correlation_and_what_was_left_out() {
    let fixture = fixture().await;
    let breadth = |request: v1::GetLongShortBreadthRequest| {
        let mut client = fixture.ratios();
        async move { client.get_long_short_breadth(request).await }
    };
    let answer = breadth(v1::GetLongShortBreadthRequest::default()).await.expect("answers").into_inner();
    let answer = answer.breadth.expect("a distribution");
    let counts: Vec<i32> = answer.tiers.iter().map(|tier| tier.count).collect();
    assert_eq!(counts, [2, 0, 1, 0, 0]);
    assert_eq!(answer.tiers[0].above_one_count, 1);
    assert_eq!(answer.tiers[2].median_rsi_14d, Some(100.0));
    assert_eq!((answer.rank_correlation, answer.rank_correlation_count), (Some(1.0), 3));
    let excluded: Vec<(&str, v1::ExclusionReason)> =
        answer.excluded.iter().map(|one| (one.asset.as_str(), one.reason())).collect();
    assert_eq!(excluded, [("USDX", v1::ExclusionReason::Stablecoin), ("NONE", v1::ExclusionReason::NoData)]);
    assert!(!answer.simulated && answer.start_time.is_some());
    let tier = |least: i32, most: i32| v1::RankTier { market_cap_rank_min: least, market_cap_rank_max: most };
    let own = breadth(v1::GetLongShortBreadthRequest { tiers: vec![tier(50, 70), tier(1, 2)], ..Default::default() });
    let own = own.await.expect("answers").into_inner().breadth.expect("a distribution");
    assert_eq!(own.tiers.iter().map(|tier| tier.count).collect::<Vec<_>>(), [2, 1]);
    for (tiers, field) in [
        (vec![tier(0, 5)], "tiers[0]"),
        (vec![tier(1, 5), tier(5, 9)], "tiers[1]"),
        (vec![tier(9, 5)], "tiers[0].market_cap_rank_max"),
        (vec![tier(1, 1); 51], "tiers"),
    ] {
        let refused =
            breadth(v1::GetLongShortBreadthRequest { tiers, ..Default::default() }).await.expect_err("refused");
        assert_invalid(&refused, field, &[]);
    }
}

#[tokio::test]
async fn history_comes_in_pages_with_its_gaps() {
    let fixture = fixture().await;
    store_readings(&fixture).await;
    let page = |request: v1::ListLongShortRatioHistoryRequest| {
        let mut client = fixture.ratios();
        async move { client.list_long_short_ratio_history(request).await.expect("answers").into_inner() }
    };
    let request = v1::ListLongShortRatioHistoryRequest {
        asset: "BTC".to_owned(),
        end_time: Some(convert::time(at(0))),
        page_size: 3,
        ..Default::default()
    };
    let first = page(request.clone()).await;
    let shares = |answer: &v1::ListLongShortRatioHistoryResponse| {
        answer.points.iter().map(|point| (point.long_share.expect("known") * 10.0).round() / 10.0).collect::<Vec<_>>()
    };
    assert_eq!(shares(&first), [0.1, 0.2, 0.3]);
    assert_eq!(first.points[0].open_interest.as_deref(), Some("100"));
    assert_eq!(first.points[0].venue_count, 2);
    assert_eq!(first.gaps.iter().map(|gap| gap.missing_count).collect::<Vec<_>>(), [2], "between the pages");
    let second = page(v1::ListLongShortRatioHistoryRequest { page_token: first.next_page_token, ..request }).await;
    assert_eq!((shares(&second), second.next_page_token.as_str()), (vec![0.6, 0.7], ""));
    assert_eq!(second.gaps.iter().map(|gap| gap.missing_count).collect::<Vec<_>>(), [1], "the newest may be late");
}

/// Hourly readings from nine hours before, of which the fourth and fifth are missing, and those after the seventh.
async fn store_readings(fixture: &Fixture) {
    let value = |hour: i64| Decimal::from_parts(i128::from(hour), 1).expect("small");
    for (name, value) in [
        ("global-account:aggregate:1h", value as fn(i64) -> Decimal),
        ("global-account:aggregate-open-interest:1h", |hour| Decimal::from(hour * 100)),
        ("global-account:aggregate-venues:1h", |_| Decimal::from(2)),
    ] {
        let key = SeriesKey { subject: "id:bitcoin".into(), kind: SeriesKind::Sampled(name.into()) };
        let hours = [1, 2, 3, 6, 7];
        let points = hours.map(|hour| Point { time: at((hour - 10) * 3_600), value: value(hour) });
        fixture.services.store.put_points(&key, &points).await.expect("in memory");
    }
}
