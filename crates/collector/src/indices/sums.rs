//! `TOTAL`, `TOTAL2`, `TOTAL3`, `OTHERS` and `BTC.D`: sums of market caps, live and daily.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::indices::assets::{Asset, Assets};
use crate::indices::figures::{HERE, decimal, fill_continuous};
use crate::indices::pending::{BUDGET, PendingSnapshot};
use crate::prices::universe::classify;
use crossmarket_analytics::cap_index::{self, CapIndex, Ranking};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_domain::index::{
    Exclusion, ExclusionReason, IndexCalendar, IndexCode, IndexConstituent, IndexMethodology, IndexSnapshot,
    IndexWeighting, MarketSession, Subject,
};
use crossmarket_domain::state::AssetKind;
use crossmarket_domain::{AssetId, BITCOIN, Candle, Timestamp};
use crossmarket_image::histories::{Histories, History};

/// Largest share of the sum that assets without a known market cap may have on a past day. Beyond it, the day has no
/// level.
const LACKING_SHARE_MAX: f64 = 0.02;

/// Snapshots of all sums at current market caps.
pub(super) fn snapshots(assets: &Assets, histories: &Histories, now: Timestamp) -> Vec<PendingSnapshot> {
    let eligible: Vec<&Asset> = assets.iter().filter(|asset| is_counted(asset.kind)).collect();
    let caps = eligible.iter().map(|asset| (asset.id.as_str(), asset.cap().unwrap_or(0.0)));
    let ranking = Ranking::new(caps);
    let excluded = excluded(assets);
    let times = |used: &mut dyn Iterator<Item = &Asset>| {
        used.map(|asset| (asset.event_time, asset.receive_time))
            .reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    };
    let mut made = Vec::new();
    for index in CapIndex::ALL {
        let Some(level) = ranking.level(index) else { continue };
        let held: Vec<&Asset> =
            ranking.constituents(index).filter_map(|one| eligible.get(one.source).copied()).collect();
        let Some((event_time, receive_time)) = times(&mut held.iter().copied()) else { continue };
        let Some(code) = IndexCode::parse(index.as_str()) else { continue };
        let before = level_day_ago(&held);
        let methodology = IndexMethodology {
            weighting: Some(IndexWeighting::MarketCap),
            constituent_count: u32::try_from(held.len()).ok(),
            excluded: excluded.clone(),
            ..IndexMethodology::observed(definition(index), HERE, IndexCalendar::UtcDays)
        };
        let mut snapshot = IndexSnapshot::empty(code, methodology, MarketSession::Continuous);
        let history = history_of(histories, &snapshot.index);
        let changes = fill_continuous(&mut snapshot, level, before, &history.closes, now);
        snapshot.market_cap = snapshot.level;
        snapshot.market_cap_change_ytd = changes.year_to_date.and_then(|change| decimal(level - change.reference));
        snapshot.constituents = held.iter().filter_map(|asset| constituent(asset, level, before)).collect();
        made.push(PendingSnapshot { snapshot, event_time, receive_time, budget: BUDGET });
    }
    if let (Some(percent), Some(bitcoin), Some(code)) = (
        ranking.dominance_percent(BITCOIN),
        eligible.iter().find(|asset| asset.id.as_str() == BITCOIN),
        IndexCode::parse("BTC.D"),
    ) {
        let held: Vec<&Asset> =
            ranking.constituents(CapIndex::Total).filter_map(|one| eligible.get(one.source).copied()).collect();
        let before = level_day_ago(&held).zip(bitcoin.cap()).zip(bitcoin.growth_24h());
        let before = before.map(|((total, cap), growth)| 100.0 * cap / growth / total);
        let definition = "The market cap of Bitcoin divided by TOTAL, in per cent.";
        let methodology = IndexMethodology {
            operands: vec!["BTC".into(), "TOTAL".into()],
            ..IndexMethodology::observed(definition, HERE, IndexCalendar::UtcDays)
        };
        let mut snapshot = IndexSnapshot::empty(code, methodology, MarketSession::Continuous);
        let history = history_of(histories, &snapshot.index);
        fill_continuous(&mut snapshot, percent, before, &history.closes, now);
        let (event_time, receive_time) = (bitcoin.event_time, bitcoin.receive_time);
        made.push(PendingSnapshot { snapshot, event_time, receive_time, budget: BUDGET });
    }
    made
}

/// True for an asset whose value is not already counted under another asset.
pub(super) fn is_counted(kind: AssetKind) -> bool {
    match kind {
        AssetKind::Coin | AssetKind::Stablecoin | AssetKind::AssetBacked => true,
        AssetKind::Wrapped | AssetKind::Staked | AssetKind::Fiat => false,
    }
}

fn definition(index: CapIndex) -> &'static str {
    match index {
        CapIndex::Total => {
            "The sum of the market caps of the 125 largest crypto assets. Stablecoins count; wrapped, bridged and staked forms of another \
             asset do not, since their value is counted there."
        }
        CapIndex::Total2 => "TOTAL without Bitcoin.",
        CapIndex::Total3 => "TOTAL without Bitcoin and Ethereum.",
        CapIndex::Others => "TOTAL without its 10 largest constituents, whichever these are.",
    }
}

/// Level of the same constituents at their prices of 24 hours ago; `None` if more than 2 % of the value has no known
/// price change.
fn level_day_ago(held: &[&Asset]) -> Option<f64> {
    let (mut level, mut known) = (0.0, 0.0);
    for asset in held {
        let cap = asset.cap()?;
        level += cap;
        known += asset.growth_24h().map_or(0.0, |_| cap);
    }
    let before: f64 = held.iter().filter_map(|asset| Some(asset.cap()? / asset.growth_24h().unwrap_or(1.0))).sum();
    (known >= level * (1.0 - LACKING_SHARE_MAX) && before > 0.0).then_some(before)
}

fn constituent(asset: &Asset, level: f64, before: Option<f64>) -> Option<IndexConstituent> {
    let cap = asset.cap()?;
    let moved = asset.growth_24h().zip(before);
    Some(IndexConstituent {
        asset_id: asset.id.clone(),
        asset: asset.ticker.clone(),
        weight: cap / level,
        market_cap: asset.market_cap,
        price: asset.price,
        units: None,
        contribution_1d_percent: moved.map(|(growth, before)| 100.0 * (cap - cap / growth) / before),
        stale: asset.is_stale,
    })
}

/// The assets that would rank but are not counted.
fn excluded(assets: &Assets) -> Vec<Exclusion> {
    let reason = |kind: AssetKind| match kind {
        AssetKind::Wrapped => Some((ExclusionReason::Wrapped, "its value is counted under the asset that it wraps")),
        AssetKind::Staked => Some((ExclusionReason::Staked, "its value is counted under the asset that is staked")),
        _ => None,
    };
    let of = |asset: &Asset| {
        let (reason, message) = reason(asset.kind)?;
        asset.cap()?;
        Some(Exclusion {
            asset_id: asset.id.clone(),
            asset: asset.ticker.clone(),
            reason,
            message: SmolStr::new_static(message),
        })
    };
    assets.iter().filter_map(of).collect()
}

fn history_of(histories: &Histories, index: &IndexCode) -> Arc<History> {
    histories.get(&Subject::Index(index.clone())).unwrap_or_default()
}

/// Daily levels that follow from the histories and differ from the stored ones.
///
/// A day has a level if the assets that traded then without a known market cap make up at most 2 % of the sum. Their
/// value is estimated from the day's price and their oldest known market cap. Thus a partly loaded history never looks
/// like a growing market.
pub(super) fn daily_levels(
    histories: &Histories,
    kinds: &HashMap<AssetId, AssetKind>,
    live: &HashMap<AssetId, (f64, f64)>,
    now: Timestamp,
) -> Vec<(IndexCode, Vec<Candle>)> {
    let until = Day::last_ended(now);
    let members: Vec<(AssetId, Arc<History>)> = histories
        .all()
        .into_iter()
        .filter_map(|(subject, history)| match Subject::of_series(&subject) {
            Some(Subject::Asset(code)) => Some((code, history)),
            _ => None,
        })
        .filter(|(code, _)| is_counted(kinds.get(code).copied().unwrap_or_else(|| classify(code, &[]))))
        .collect();
    let caps: Vec<(&str, &Daily)> = members
        .iter()
        .filter(|(_, history)| !history.market_caps.is_empty())
        .map(|(code, history)| (code.as_str(), &history.market_caps))
        .collect();
    let Some(first) = caps.iter().filter_map(|(_, caps)| caps.first_day()).min() else { return Vec::new() };
    let computed = cap_index::histories(&caps, first, until);
    let lacking = lacking(&members, live, first, until);
    let is_whole = |day: Day| {
        let lacking = lacking.get(day.since(first).unsigned_abs() as usize).copied().unwrap_or(0.0);
        computed.of(CapIndex::Total).get(day).is_some_and(|total| lacking <= total * LACKING_SHARE_MAX)
    };
    let series = CapIndex::ALL.map(|index| (index.as_str(), computed.of(index)));
    let series = series.into_iter().chain([("BTC.D", &computed.btc_dominance)]);
    series
        .filter_map(|(name, levels)| {
            let code = IndexCode::parse(name)?;
            let held = history_of(histories, &code);
            let is_news = |(day, level): &(Day, f64)| {
                is_whole(*day) && held.closes.get(*day).is_none_or(|held| (held / level - 1.0).abs() > 1e-9)
            };
            let candles: Vec<Candle> = levels
                .iter()
                .filter(is_news)
                .filter_map(|(day, level)| crate::indices::records::flat(day.start(), decimal(level)?))
                .collect();
            (!candles.is_empty()).then_some((code, candles))
        })
        .collect()
}

/// Per day from `first` on: the value of assets that traded but have no market cap of that day or earlier.
fn lacking(
    members: &[(AssetId, Arc<History>)],
    live: &HashMap<AssetId, (f64, f64)>,
    first: Day,
    until: Day,
) -> Vec<f64> {
    let mut lacking = vec![0.0; usize::try_from(until.since(first) + 1).unwrap_or(0)];
    for (code, history) in members {
        let known_from = history.market_caps.first_day();
        // The oldest known market cap, and the price at the same time.
        let reference = match known_from {
            Some(day) => history.market_caps.get(day).zip(history.closes.get(day)),
            None => live.get(code).copied(),
        };
        let Some((cap, price)) = reference else { continue };
        let before = known_from.unwrap_or(until.plus(1));
        for (day, close) in history.closes.iter().filter(|(day, _)| (first..before).contains(day) && *day <= until) {
            if let Some(sum) = lacking.get_mut(day.since(first).unsigned_abs() as usize) {
                *sum += cap * close / price;
            }
        }
    }
    lacking
}
