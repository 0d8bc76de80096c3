//! Long/short ratios of the real binary: what the demo shows of them, live and as history.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crossmarket_api::v1::long_short_service_client::LongShortServiceClient;
use crossmarket_api::v1::{
    AggregationMethod, ContributionStatus, Feed, FeedState, GetLongShortBreadthRequest, GetLongShortRatioRequest,
    ItemState, ListFeedsRequest, ListLongShortRatioHistoryRequest, ListLongShortRatiosRequest, LongShortBreadth,
    LongShortKind, LongShortPeriod, LongShortRatio, StreamState, View, WatchLongShortRatiosRequest,
};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use support::process::{Process, Shared, Story, soon, wait_until};

mod support {
    pub mod process;
}

type Ratios = LongShortServiceClient<Channel>;

const VENUES: [&str; 6] = ["binance-usdm", "bitget", "bybit", "gate", "htx", "okx"];

static DEMO: LazyLock<Shared> = LazyLock::new(|| Process::demo(&["--seed", "7"]).shared());

/// A client of the demo, once it has the ratios of most assets, and their breadth.
async fn ratios() -> (Story, Ratios, LongShortBreadth) {
    let demo = Story::of(&DEMO);
    let mut client = LongShortServiceClient::new(demo.channel().await).max_decoding_message_size(64 << 20);
    let breadth = wait_until("the ratios of most assets", async || {
        let found = breadth(&mut client).await?;
        (found.rank_correlation_count >= 120).then_some(found)
    })
    .await;
    (demo, client, breadth)
}

async fn breadth(client: &mut Ratios) -> Option<LongShortBreadth> {
    let answer = soon("breadth", client.get_long_short_breadth(GetLongShortBreadthRequest::default())).await.ok()?;
    answer.into_inner().breadth
}

#[tokio::test]
async fn ratios_rise_with_rank() {
    let (_demo, _, breadth) = ratios().await;
    let rho = breadth.rank_correlation.expect("enough assets");
    assert!(rho > 0.2, "{rho}");
    let overall = breadth.overall.as_ref().expect("always there");
    assert!(overall.above_one_count * 10 >= overall.count * 8, "{overall:?}");
    let medians: Vec<f64> = breadth.tiers.iter().filter_map(|tier| tier.median_ratio).collect();
    assert!(medians.len() >= 4 && medians.first() < medians.last(), "{medians:?}");
    assert!(breadth.simulated && overall.rsi_count > 0, "{overall:?}");
    assert!(!breadth.excluded.is_empty(), "stablecoins have no ratio");
}

async fn get(client: &mut Ratios, asset: &str, kind: LongShortKind, venue: &str) -> Option<LongShortRatio> {
    let request = GetLongShortRatioRequest {
        asset: asset.to_owned(),
        kind: kind.into(),
        venue: venue.to_owned(),
        view: View::Full.into(),
        ..Default::default()
    };
    soon("a ratio", client.get_long_short_ratio(request)).await.ok()?.into_inner().ratio
}

fn number(text: &Option<String>) -> f64 {
    text.as_deref().expect("a figure").parse().expect("a number")
}

#[tokio::test]
async fn an_aggregate_is_what_its_venues_make_it() {
    let (_demo, mut client, _) = ratios().await;
    let weighted = i32::from(AggregationMethod::OpenInterestWeightedMean);
    let ratio = wait_until("BTC of several venues", async || {
        let ratio = get(&mut client, "BTC", LongShortKind::GlobalAccount, "").await?;
        let parts = ratio.aggregation.as_ref()?;
        (parts.venue_count >= 3 && parts.method == weighted && ratio.change_24h.is_some()).then_some(ratio)
    })
    .await;
    let parts = ratio.aggregation.as_ref().expect("always there");
    let named: BTreeSet<&str> = parts.contributions.iter().map(|part| part.venue.as_str()).collect();
    assert_eq!(named, VENUES.into_iter().collect::<BTreeSet<_>>(), "absent venues are reported too");
    let used: Vec<_> = parts.contributions.iter().filter(|part| part.status() == ContributionStatus::Used).collect();
    assert!((used.iter().map(|part| part.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    let mean: f64 = used.iter().map(|part| part.weight * part.long_share.expect("used")).sum();
    let (long, short) = (ratio.long_share.expect("known"), ratio.short_share.expect("known"));
    assert!((mean - long).abs() < 1e-9 && (long + short - 1.0).abs() < 1e-9);
    assert!((ratio.ratio.expect("known") - long / short).abs() < 1e-9);
    let total: f64 = used.iter().map(|part| number(&part.open_interest)).sum();
    assert!((number(&ratio.open_interest) / total - 1.0).abs() < 1e-9);
    for part in &used {
        assert!((part.weight - number(&part.open_interest) / total).abs() < 1e-9, "{part:?}");
    }
    // HTX knows its top traders only.
    let htx = parts.contributions.iter().find(|part| part.venue == "htx").expect("told");
    assert_eq!((htx.status(), htx.weight, htx.long_share), (ContributionStatus::NotOffered, 0.0, None));
    assert!(ratio.simulated && ratio.derivations.iter().any(|derivation| derivation.field == "long_share"));
}

#[tokio::test]
async fn top_traders_are_told_by_venue() {
    let (_demo, mut client, _) = ratios().await;
    let kind = LongShortKind::TopTraderPosition;
    let request = GetLongShortRatioRequest { asset: "BTC".to_owned(), kind: kind.into(), ..Default::default() };
    let refused = client.get_long_short_ratio(request).await.expect_err("not pooled");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let fields = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    assert_eq!(fields.as_deref(), Some("venue"));
    for venue in ["binance-usdm", "okx", "htx"] {
        let found = wait_until(venue, async || get(&mut client, "BTC", kind, venue).await).await;
        let parts = found.aggregation.expect("always there");
        assert_eq!(parts.contributions.len(), 1, "{venue}");
        assert_eq!(parts.contributions[0].status(), ContributionStatus::NotPooled, "{venue}");
    }
    // What counts all positions is none of the top traders' kinds.
    let all =
        wait_until("all positions", async || get(&mut client, "BTC", LongShortKind::GlobalPosition, "bitget").await)
            .await;
    assert!(all.ratio.is_some());
}

#[tokio::test]
async fn lists_follow_the_rank() {
    let (_demo, mut client, _) = ratios().await;
    let request = ListLongShortRatiosRequest {
        market_cap_rank_min: Some(5),
        market_cap_rank_max: Some(40),
        page_size: 1_000,
        ..Default::default()
    };
    let answer = soon("a list", client.list_long_short_ratios(request)).await.expect("answers").into_inner();
    let ranks: Vec<i32> = answer.ratios.iter().filter_map(|ratio| ratio.market_cap_rank).collect();
    assert!(ranks.len() >= 15 && ranks.is_sorted() && ranks.iter().all(|rank| (5..=40).contains(rank)), "{ranks:?}");
    // A contract of a thousand units is the asset's.
    let request = ListLongShortRatiosRequest {
        assets: vec!["PEPE".to_owned()],
        venue: "binance-usdm".to_owned(),
        view: View::Full.into(),
        ..Default::default()
    };
    let pepe = wait_until("PEPE", async || {
        let answer = soon("a list", client.list_long_short_ratios(request.clone())).await.ok()?.into_inner();
        answer.ratios.first().filter(|ratio| ratio.open_interest.is_some()).cloned()
    })
    .await;
    let part = &pepe.aggregation.expect("always there").contributions[0];
    assert_eq!((part.venue_symbol.as_str(), part.instrument.as_str()), ("1000PEPEUSDT", "PEPE/USDT:perpetual"));
}

#[tokio::test]
async fn a_watch_begins_with_the_full_state() {
    let (_demo, mut client, _) = ratios().await;
    let request = WatchLongShortRatiosRequest {
        assets: ["BTC", "ETH", "NOPE"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let mut stream = soon("a stream", client.watch_long_short_ratios(request)).await.expect("opens").into_inner();
    let first = soon("a frame", stream.message()).await.expect("no error").expect("a frame");
    assert_eq!(first.state(), StreamState::SnapshotComplete);
    let assets: BTreeSet<&str> = first.ratios.iter().map(|ratio| ratio.asset.as_str()).collect();
    assert_eq!(assets, ["BTC", "ETH"].into());
    let states: Vec<ItemState> = first.items.iter().map(|item| item.state()).collect();
    assert_eq!(states, [ItemState::Ok, ItemState::Ok, ItemState::Unknown]);
    let resumed = WatchLongShortRatiosRequest { resume_cursor: first.cursor, ..Default::default() };
    assert!(soon("a stream", client.watch_long_short_ratios(resumed)).await.is_ok());
}

#[tokio::test]
async fn the_past_is_there_with_its_gaps() {
    let (_demo, mut client, _) = ratios().await;
    for venue in ["", "bybit"] {
        let request = ListLongShortRatioHistoryRequest {
            asset: "BTC".to_owned(),
            venue: venue.to_owned(),
            period: LongShortPeriod::LongShortPeriod1h.into(),
            page_size: 10_000,
            ..Default::default()
        };
        let what = format!("a day of {venue:?}");
        let answer = wait_until(&what, async || {
            let answer =
                soon("history", client.list_long_short_ratio_history(request.clone())).await.ok()?.into_inner();
            (answer.points.len() >= 24).then_some(answer)
        })
        .await;
        let times: Vec<i64> = answer.points.iter().map(|point| point.time.expect("told").seconds).collect();
        assert!(times.is_sorted() && times.iter().all(|time| time % 3_600 == 0), "{times:?}");
        assert!(answer.simulated && answer.points.iter().all(|point| point.ratio.is_some() && point.venue_count >= 1));
        let missing: i64 = answer.gaps.iter().map(|gap| i64::from(gap.missing_count)).sum();
        let span = (times[times.len() - 1] - times[0]) / 3_600 + 1;
        assert!(span - times.len() as i64 <= missing, "{span} hours, {} points, {missing} missing", times.len());
    }
}

#[tokio::test]
async fn feeds_tell_their_plan() {
    let (demo, _, _) = ratios().await;
    let mut catalog = demo.catalog().await;
    let request =
        ListFeedsRequest { feeds: vec!["long-short-ratios".to_owned()], page_size: 100, ..Default::default() };
    // Gate is down for a minute in every six.
    let works = |feed: &Feed| feed.venue == "gate" || feed.state() == FeedState::Ok;
    let feeds = wait_until("feeds that work", async || {
        let feeds = soon("feeds", catalog.list_feeds(request.clone())).await.expect("answers").into_inner().feeds;
        feeds.iter().all(works).then_some(feeds)
    })
    .await;
    let venues: BTreeSet<&str> = feeds.iter().map(|feed| feed.venue.as_str()).collect();
    assert_eq!(venues, VENUES.into_iter().collect::<BTreeSet<_>>());
    for feed in feeds {
        assert!(!feed.plan.is_empty() && feed.instrument_count > 0, "{feed:?}");
        assert!(feed.plan.iter().all(|tier| tier.weight_per_minute > 0.0 && tier.interval.is_some()), "{feed:?}");
        assert!(feed.rate_limits.iter().all(|limit| limit.planned >= 1 && limit.planned <= limit.limit), "{feed:?}");
    }
}
