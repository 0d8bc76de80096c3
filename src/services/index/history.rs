//! `ListIndexHistory`: candles as levels, of one subject or of a quotient.

use std::collections::BTreeMap;

use super::leg::{Leg, Operand};
use crate::services::context::Services;
use crate::services::convert::{self, computed as number};
use crate::services::error::ServiceError;
use crate::services::paging::{self, PageSizes, Pages};
use crossmarket_api::v1;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp, calendar};

const PAGES: PageSizes = PageSizes { default: 1_000, max: 10_000 };

/// Answers `ListIndexHistory`.
pub(crate) async fn list(
    services: &Services,
    mut request: v1::ListIndexHistoryRequest,
) -> Result<v1::ListIndexHistoryResponse, ServiceError> {
    super::leg::parse("index", &request.index)?;
    let interval = convert::candle_interval(request.interval).ok_or_else(|| {
        let allowed = "must be CANDLE_INTERVAL_5M (1), CANDLE_INTERVAL_1H (2) or CANDLE_INTERVAL_1D (3)";
        ServiceError::invalid("interval", request.interval, allowed)
    })?;
    let pages = Pages::of(&mut request, PAGES)?;
    let (from, until) = paging::page_span(&pages, request.start_time.as_ref(), request.end_time.as_ref())?;
    services.check_serving()?;
    let leg = Leg::resolve(services, "index", &request.index)?;
    let now = services.clock.now();
    let mut points: Vec<v1::IndexPoint> = match leg.operands.as_slice() {
        [numerator, denominator] => {
            let above = candles(services, numerator, interval, from, until).await?;
            let below = candles(services, denominator, interval, from, until).await?;
            let below: BTreeMap<Timestamp, Decimal> =
                below.into_iter().map(|candle| (candle.start, candle.close)).collect();
            let joined = above.iter().filter_map(|candle| {
                let level = candle.close.to_f64() / below.get(&candle.start)?.to_f64();
                level.is_finite().then(|| v1::IndexPoint {
                    time: Some(convert::time(candle.start)),
                    level: number(level),
                    ..Default::default()
                })
            });
            joined.take(pages.size + 1).collect()
        }
        [single] => {
            let held = candles(services, single, interval, from, until).await?;
            let caps = market_caps(services, single, interval, from, until).await?;
            held.iter().take(pages.size + 1).map(|candle| point(candle, &caps)).collect()
        }
        _ => Vec::new(),
    };
    let next = points.get(pages.size).and_then(|point| point.time).and_then(|time| convert::instant(&time));
    points.truncate(pages.size);
    let source = leg.sources().join(",");
    let by_session = interval == CandleInterval::OneDay && leg.is_exchange_traded();
    for point in &mut points {
        let start = point.time.as_ref().and_then(convert::instant).unwrap_or(Timestamp::EPOCH);
        let session = by_session.then(|| calendar::session_of_day(start)).flatten();
        point.closed = session.map_or(start + interval.duration(), |session| session.close) <= now;
        point.source.clone_from(&source);
    }
    Ok(v1::ListIndexHistoryResponse {
        points,
        next_page_token: next.map(|time| pages.token(time.as_micros())).unwrap_or_default(),
        simulated: services.simulated,
    })
}

async fn candles(
    services: &Services,
    operand: &Operand,
    interval: CandleInterval,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Candle>, ServiceError> {
    let series = SeriesKey { subject: operand.subject.series_subject(), kind: SeriesKind::Candles(interval) };
    Ok(services.store.candles(&series, from, until).await?)
}

async fn market_caps(
    services: &Services,
    operand: &Operand,
    interval: CandleInterval,
    from: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<Timestamp, Decimal>, ServiceError> {
    if interval != CandleInterval::OneDay {
        return Ok(BTreeMap::new());
    }
    let series = SeriesKey { subject: operand.subject.series_subject(), kind: SeriesKind::DailyMarketCap };
    let points = services.store.points(&series, from, until).await?;
    Ok(points.into_iter().map(|point| (point.time.day_start(), point.value)).collect())
}

/// A candle as a level. A candle whose four prices are equal is a close alone, as imports and computed indices have it.
fn point(candle: &Candle, caps: &BTreeMap<Timestamp, Decimal>) -> v1::IndexPoint {
    let is_close_alone = candle.open == candle.close && candle.high == candle.close && candle.low == candle.close;
    let price = |price: Decimal| (!is_close_alone).then(|| convert::decimal(price));
    v1::IndexPoint {
        time: Some(convert::time(candle.start)),
        level: convert::decimal(candle.close),
        open: price(candle.open),
        high: price(candle.high),
        low: price(candle.low),
        market_cap: caps.get(&candle.start).copied().map(convert::decimal),
        ..Default::default()
    }
}
