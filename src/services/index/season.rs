//! `GetAltcoinSeason` and `ListAltcoinSeasonHistory`, from the histories in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::leg::Operand;
use crate::services::context::Services;
use crate::services::convert;
use crate::services::convert::index::exclusion;
use crate::services::error::ServiceError;
use crate::services::paging::{self, PageSizes, Pages};
use crossmarket_analytics::altcoin_season::{
    self, ALTCOIN_SEASON_SCORE_MIN, BITCOIN_SEASON_SCORE_MAX, Label, Reason, Season, SeasonCandidate, SeasonParameters,
    UNIVERSE_SIZE_DEFAULT, WINDOW_DAYS_DEFAULT,
};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_api::v1;
use crossmarket_domain::index::{Exclusion, ExclusionReason, Subject};
use crossmarket_domain::state::{AssetKind, Body};
use crossmarket_domain::{AssetCode, AssetId, BITCOIN, Decimal, Timestamp};
use crossmarket_image::Collection;
use crossmarket_image::histories::History;
use crossmarket_telemetry::metrics::Calculation;

const UNIVERSE_SIZE_MAX: i32 = 500;
const WINDOW_DAYS_MAX: i32 = 3_650;
const PAGES: PageSizes = PageSizes { default: 500, max: 5_000 };

/// Digits of a price in an answer.
const PRICE_DIGITS: u32 = 12;

/// Every asset that may be a constituent, with its past.
pub(crate) struct Universe {
    members: Vec<UniverseMember>,
    btc: Option<usize>,
}

struct UniverseMember {
    asset: AssetId,
    ticker: AssetCode,
    kind: AssetKind,
    rank: Option<u32>,
    history: Arc<History>,
    /// Price and market cap of now.
    live: (Option<f64>, Option<f64>),
}

impl Universe {
    /// Every asset with a history. Assets that are not in the catalogue count as coins.
    pub(crate) fn of(services: &Services) -> Self {
        let mut kinds: HashMap<AssetId, AssetKind> = HashMap::new();
        for item in services.image.select(Collection::Assets, |_| true) {
            if let Body::Asset(info) = &item.state.body {
                kinds.insert(info.asset_id.clone(), info.kind);
            }
        }
        let mut members: Vec<UniverseMember> = Vec::new();
        for (subject, history) in services.histories.all() {
            let Some(Subject::Asset(asset)) = Subject::of_series(&subject) else { continue };
            let operand = Operand::find(services, &Subject::Asset(asset.clone())).ok();
            let price = operand.as_ref().and_then(Operand::price);
            let positive = |value: Option<Decimal>| value.map(Decimal::to_f64).filter(|value| *value > 0.0);
            let ticker = services.ticker(&asset);
            members.push(UniverseMember {
                ticker,
                kind: kinds.get(&asset).copied().unwrap_or(AssetKind::Coin),
                rank: price.and_then(|price| price.market_cap_rank),
                live: price.map_or((None, None), |price| (positive(price.price), positive(price.market_cap))),
                history,
                asset,
            });
        }
        members.sort_by(|left, right| left.asset.cmp(&right.asset));
        let btc = members.iter().position(|member| member.asset.as_str() == BITCOIN);
        Self { members, btc }
    }

    /// The score of a window that ends with a day that is over.
    pub(crate) fn season(&self, parameters: SeasonParameters) -> Season {
        let candidates = self.candidates();
        Calculation::Season.time(|| altcoin_season::season(&candidates, self.btc, parameters))
    }

    /// The score of the window that ends with the day that is going on, at the prices of now.
    pub(crate) fn season_now(&self, parameters: SeasonParameters) -> Season {
        let (start, today) = (parameters.start(), parameters.as_of);
        let columns: Vec<(Daily, Daily)> = self
            .members
            .iter()
            .map(|member| {
                let (price, cap) = member.live;
                (
                    with_today(&member.history.closes, start, today, price),
                    with_today(&member.history.market_caps, today, today, cap),
                )
            })
            .collect();
        let candidates: Vec<SeasonCandidate<'_>> = self
            .members
            .iter()
            .zip(&columns)
            .map(|(member, (closes, market_caps))| SeasonCandidate {
                asset: member.asset.as_str(),
                kind: member.kind,
                closes,
                market_caps,
                current_rank: member.rank,
            })
            .collect();
        Calculation::Season.time(|| altcoin_season::season(&candidates, self.btc, parameters))
    }

    fn candidates(&self) -> Vec<SeasonCandidate<'_>> {
        let mut candidates = Vec::with_capacity(self.members.len());
        for member in &self.members {
            candidates.push(SeasonCandidate {
                asset: member.asset.as_str(),
                kind: member.kind,
                closes: &member.history.closes,
                market_caps: &member.history.market_caps,
                current_rank: member.rank,
            });
        }
        candidates
    }
}

/// The days from `start` to `today` with today's value, and one before them when the history reaches further back, so that it does not
/// look young.
fn with_today(column: &Daily, start: Day, today: Day, value: Option<f64>) -> Daily {
    let before =
        column.first_day().filter(|first| *first < start).and_then(|first| Some((start.plus(-1), column.get(first)?)));
    let window = (start.number()..today.number()).map(Day::from_number);
    let held = window.filter_map(|day| Some((day, column.get(day)?)));
    Daily::new(before.into_iter().chain(held).chain(value.map(|value| (today, value))))
}

/// Reads the size of the universe and the length of the window.
fn settings(universe_size: Option<i32>, window_days: Option<i32>) -> Result<(usize, u32), ServiceError> {
    let universe_size = match universe_size {
        None => UNIVERSE_SIZE_DEFAULT,
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|_| (1..=UNIVERSE_SIZE_MAX).contains(&size))
            .ok_or_else(|| ServiceError::invalid("universe_size", size, "must be from 1 to 500"))?,
    };
    let window_days = match window_days {
        None => WINDOW_DAYS_DEFAULT,
        Some(days) => u32::try_from(days)
            .ok()
            .filter(|_| (1..=WINDOW_DAYS_MAX).contains(&days))
            .ok_or_else(|| ServiceError::invalid("window_days", days, "must be from 1 to 3,650"))?,
    };
    Ok((universe_size, window_days))
}

/// Answers `GetAltcoinSeason`.
pub(crate) fn get(
    services: &Services,
    request: &v1::GetAltcoinSeasonRequest,
) -> Result<v1::GetAltcoinSeasonResponse, ServiceError> {
    let (universe_size, window_days) = settings(request.universe_size, request.window_days)?;
    let as_of = paging::instant("as_of", request.as_of.as_ref())?;
    services.check_histories()?;
    let now = services.clock.now();
    let universe = Universe::of(services);
    let past = as_of.filter(|time| *time < now);
    let day = past.map_or_else(|| Day::of(now), Day::last_ended);
    let parameters = SeasonParameters { universe_size, window_days, as_of: day };
    let (season, end_time) = match past {
        Some(_) => (universe.season(parameters), day.end()),
        None => (universe.season_now(parameters), now),
    };
    Ok(v1::GetAltcoinSeasonResponse { season: Some(message(services, &universe, &season, parameters, end_time)) })
}

fn message(
    services: &Services,
    universe: &Universe,
    season: &Season,
    parameters: SeasonParameters,
    end_time: Timestamp,
) -> v1::AltcoinSeason {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let rank = |rank: u32| i32::try_from(rank).unwrap_or(i32::MAX);
    let price = |value: f64| {
        let exact = Decimal::from_f64(value).unwrap_or_default().rounded_to_significant(PRICE_DIGITS);
        convert::decimal(exact)
    };
    let member = |candidate: usize| universe.members.get(candidate);
    let constituents = season.constituents.iter().filter_map(|one| {
        let member = member(one.candidate)?;
        Some(v1::AltcoinSeasonConstituent {
            asset: member.ticker.to_string(),
            asset_id: member.asset.to_string(),
            return_percent: one.return_percent,
            beat_btc: one.beat_btc,
            market_cap_rank: rank(one.market_cap_rank),
            start_price: price(one.start_price),
            end_price: price(one.end_price),
        })
    });
    let start_time = parameters.start().end();
    let excluded = season.excluded.iter().filter_map(|one| {
        let (reason, message) = reason(one.reason, start_time);
        let member = member(one.candidate)?;
        let (asset_id, asset) = (member.asset.clone(), member.ticker.clone());
        Some(exclusion(&Exclusion { asset_id, asset, reason, message: message.into() }))
    });
    v1::AltcoinSeason {
        score: season.score,
        label: season.label.map_or(v1::AltcoinSeasonLabel::Unspecified, label).into(),
        constituents: constituents.collect(),
        btc_return_percent: season.btc_return_percent,
        excluded: excluded.collect(),
        observation_count: count(season.constituents.len()),
        beat_btc_count: rank(season.beat_btc_count),
        universe_size: count(parameters.universe_size),
        window_days: rank(parameters.window_days),
        start_time: Some(convert::time(start_time)),
        end_time: Some(convert::time(end_time)),
        ranked_at_end_time: season.ranked_at_end,
        simulated: services.simulated,
        altcoin_season_threshold: ALTCOIN_SEASON_SCORE_MIN,
        bitcoin_season_threshold: BITCOIN_SEASON_SCORE_MAX,
    }
}

fn label(label: Label) -> v1::AltcoinSeasonLabel {
    match label {
        Label::AltcoinSeason => v1::AltcoinSeasonLabel::AltcoinSeason,
        Label::BitcoinSeason => v1::AltcoinSeasonLabel::BitcoinSeason,
        Label::Neutral => v1::AltcoinSeasonLabel::Neutral,
    }
}

fn reason(reason: Reason, start: Timestamp) -> (ExclusionReason, String) {
    match reason {
        Reason::Stablecoin => (ExclusionReason::Stablecoin, "pegged to a currency, or one".to_owned()),
        Reason::Wrapped => (ExclusionReason::Wrapped, "a wrapped or bridged form of another asset".to_owned()),
        Reason::Staked => (ExclusionReason::Staked, "a staked form of another asset".to_owned()),
        Reason::AssetBacked => (ExclusionReason::AssetBacked, "backed by an asset outside crypto".to_owned()),
        Reason::InsufficientHistory => {
            (ExclusionReason::InsufficientHistory, format!("its history begins after {start}"))
        }
        Reason::NoData => (ExclusionReason::NoData, "no price at the start or at the end of the window".to_owned()),
        Reason::NoMarketCap => (ExclusionReason::NoMarketCap, "no market cap at the end of the window".to_owned()),
    }
}

/// Answers `ListAltcoinSeasonHistory`. It may take seconds of processor time.
pub(crate) fn list(
    services: &Services,
    mut request: v1::ListAltcoinSeasonHistoryRequest,
) -> Result<v1::ListAltcoinSeasonHistoryResponse, ServiceError> {
    let (universe_size, window_days) = settings(request.universe_size, request.window_days)?;
    let (start, end) = paging::span(request.start_time.as_ref(), request.end_time.as_ref())?;
    let pages = Pages::of(&mut request, PAGES)?;
    services.check_histories()?;
    let universe = Universe::of(services);
    let candidates = universe.candidates();
    let btc_days = universe
        .btc
        .and_then(|btc| candidates.get(btc))
        .and_then(|btc| Some((btc.closes.first_day()?, btc.closes.last_day()?)));
    let mut response = v1::ListAltcoinSeasonHistoryResponse { simulated: services.simulated, ..Default::default() };
    let Some((first, last)) = btc_days else { return Ok(response) };
    let parameters = SeasonParameters { universe_size, window_days, as_of: last };
    // A point's time is the end of its day: `start <= end of day < end`.
    let first = first.plus(i32::try_from(window_days).unwrap_or(i32::MAX));
    let from =
        start.map_or(first, |start| Day::of(Timestamp::from_micros(start.as_micros().saturating_sub(1))).max(first));
    let from =
        if pages.continued { Day::from_number(i32::try_from(pages.start).unwrap_or(i32::MAX)).max(from) } else { from };
    let until =
        end.map_or(last, |end| Day::of(Timestamp::from_micros(end.as_micros().saturating_sub(1))).plus(-1).min(last));
    let mut seasons = altcoin_season::history(&candidates, universe.btc, parameters, from, until);
    for (day, season) in seasons.by_ref().take(pages.size) {
        let (Some(score), Some(btc_return)) = (season.score, season.btc_return_percent) else { continue };
        response.points.push(v1::AltcoinSeasonPoint {
            time: Some(convert::time(day.end())),
            score,
            label: label(Label::of(score)).into(),
            observation_count: i32::try_from(season.constituents.len()).unwrap_or(i32::MAX),
            btc_return_percent: btc_return,
        });
    }
    if let Some((day, _)) = seasons.next() {
        response.next_page_token = pages.token(day.number().into());
    }
    Ok(response)
}
