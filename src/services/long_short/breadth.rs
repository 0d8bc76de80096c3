//! How ratios are distributed over market-cap ranks.

use super::{LongShort, key_of, ratio_of};
use crate::services::convert;
use crate::services::error::ServiceError;
use crossmarket_analytics::long_short::{self, DEFAULT_TIERS, Ranked, Tier, TierFigures};
use crossmarket_api::v1;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{AssetInfo, AssetKind, Body};
use crossmarket_image::{Collection, Freshness};

/// Most tiers in one request.
const TIERS_MAX: usize = 50;

impl LongShort {
    pub(super) fn breadth(
        &self,
        request: &v1::GetLongShortBreadthRequest,
    ) -> Result<v1::GetLongShortBreadthResponse, ServiceError> {
        let series = self.series(request.kind, request.period, &request.venue)?;
        let tiers = tiers(&request.tiers)?;
        self.services.check_serving()?;

        let image = &self.services.image;
        let in_bounds = |rank: u32| tiers.iter().any(|tier| (tier.rank_min..=tier.rank_max).contains(&rank));
        let listed = image.select(
            Collection::Assets,
            |item| matches!(&item.state.body, Body::Asset(info) if info.market_cap_rank.is_some_and(in_bounds)),
        );
        let mut assets: Vec<Ranked> = Vec::with_capacity(listed.len());
        let mut excluded: Vec<(u32, v1::Exclusion)> = Vec::new();
        let (mut oldest, mut newest): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        let mut simulated = false;
        for item in &listed {
            let Body::Asset(info) = &item.state.body else { continue };
            let Some(rank) = info.market_cap_rank else { continue };
            let found = image.get(&key_of(&series, info.asset_id.clone()));
            let shares = found.as_ref().and_then(|found| ratio_of(&found.state)).and_then(|ratio| ratio.shares);
            match (&found, shares) {
                (Some(found), Some(shares)) if found.freshness == Freshness::Fresh => {
                    let rsi_14d = ratio_of(&found.state).and_then(|ratio| ratio.rsi_14d);
                    assets.push(Ranked { rank, shares, rsi_14d });
                    let time = found.state.event_time;
                    oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
                    newest = newest.max(Some(time));
                    simulated |= found.state.simulated;
                }
                (_, shares) => excluded.push((rank, exclusion(info, shares.is_some()))),
            }
        }
        excluded.sort_by(|left, right| (left.0, &left.1.asset).cmp(&(right.0, &right.1.asset)));
        let breadth = long_short::breadth(&assets, &tiers);
        let breadth = v1::LongShortBreadth {
            kind: convert::wire_long_short_kind(series.kind).into(),
            period: convert::wire_long_short_period(series.period).into(),
            venue: series.venue.as_ref().map(ToString::to_string).unwrap_or_default(),
            tiers: breadth.tiers.iter().map(tier).collect(),
            overall: Some(tier(&breadth.overall)),
            rank_correlation: breadth.rank_correlation,
            rank_correlation_count: count(breadth.rank_correlation_count),
            excluded: excluded.into_iter().map(|(_, exclusion)| exclusion).collect(),
            start_time: oldest.map(convert::time),
            end_time: newest.map(convert::time),
            simulated,
        };
        Ok(v1::GetLongShortBreadthResponse { breadth: Some(breadth) })
    }
}

/// The tiers of a request by rank, the usual ones when it names none.
fn tiers(asked: &[v1::RankTier]) -> Result<Vec<Tier>, ServiceError> {
    if asked.is_empty() {
        return Ok(DEFAULT_TIERS.to_vec());
    }
    if asked.len() > TIERS_MAX {
        let allowed = format!("at most {TIERS_MAX} may be given in one request");
        return Err(ServiceError::invalid("tiers", format!("{} tiers", asked.len()), allowed));
    }
    let mut tiers: Vec<(Tier, usize)> = Vec::with_capacity(asked.len());
    for (index, tier) in asked.iter().enumerate() {
        let rank = |rank: i32| u32::try_from(rank).ok().filter(|rank| *rank >= 1);
        let (Some(rank_min), Some(rank_max)) = (rank(tier.market_cap_rank_min), rank(tier.market_cap_rank_max)) else {
            let value = format!("{} to {}", tier.market_cap_rank_min, tier.market_cap_rank_max);
            return Err(ServiceError::invalid(format!("tiers[{index}]"), value, "ranks must be at least 1"));
        };
        if rank_max < rank_min {
            let field = format!("tiers[{index}].market_cap_rank_max");
            return Err(ServiceError::invalid(field, rank_max, "must not be less than market_cap_rank_min"));
        }
        tiers.push((Tier { rank_min, rank_max }, index));
    }
    tiers.sort_by_key(|(tier, _)| (tier.rank_min, tier.rank_max));
    for pair in tiers.windows(2) {
        if let [(before, _), (after, index)] = pair
            && after.rank_min <= before.rank_max
        {
            let value = format!("{} to {}", after.rank_min, after.rank_max);
            let allowed = format!("must not overlap {} to {}", before.rank_min, before.rank_max);
            return Err(ServiceError::invalid(format!("tiers[{index}]"), value, allowed));
        }
    }
    Ok(tiers.into_iter().map(|(tier, _)| tier).collect())
}

fn exclusion(info: &AssetInfo, has_shares: bool) -> v1::Exclusion {
    use v1::ExclusionReason as Reason;
    let (reason, message) = match (has_shares, info.kind) {
        (true, _) => (Reason::Stale, "its last reading has passed its budget"),
        (false, AssetKind::Stablecoin) => (Reason::Stablecoin, "a stablecoin, of which no venue has a ratio"),
        (false, AssetKind::Wrapped) => (Reason::Wrapped, "a wrapped asset, of which no venue has a ratio"),
        (false, AssetKind::Staked) => (Reason::Staked, "a staked asset, of which no venue has a ratio"),
        (false, AssetKind::AssetBacked) => {
            (Reason::AssetBacked, "an asset-backed token, of which no venue has a ratio")
        }
        (false, AssetKind::Coin | AssetKind::Fiat) => (Reason::NoData, "no venue has a ratio of this series"),
    };
    v1::Exclusion {
        asset: info.asset.to_string(),
        asset_id: info.asset_id.to_string(),
        reason: reason.into(),
        message: message.to_owned(),
    }
}

fn tier(figures: &TierFigures) -> v1::LongShortBreadthTier {
    let rank = |rank: u32| i32::try_from(rank).unwrap_or(i32::MAX);
    v1::LongShortBreadthTier {
        tier: Some(v1::RankTier {
            market_cap_rank_min: rank(figures.tier.rank_min),
            market_cap_rank_max: rank(figures.tier.rank_max),
        }),
        count: count(figures.count),
        above_one_count: count(figures.above_one_count),
        median_ratio: figures.median_ratio,
        mean_long_share: figures.mean_long_share,
        median_rsi_14d: figures.median_rsi_14d,
        rsi_count: count(figures.rsi_count),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
