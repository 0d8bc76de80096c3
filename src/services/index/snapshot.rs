//! Snapshots without a state of their own in the image: assets as indices, quotients, and indices with a history only.

use super::leg::{Alignment, Leg, Live, Operand};
use crate::services::context::Services;
use crate::services::convert::index::{reduce_to_basic, wire_calendar, wire_kind, wire_session};
use crate::services::convert::{self, computed as number};
use crate::services::error::ServiceError;
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_analytics::index_level::{Change, Changes, continuous_changes, record_high, session_changes};
use crossmarket_api::v1;
use crossmarket_domain::index::{IndexKind, MarketSession};
use crossmarket_domain::state::PriceSnapshot;
use crossmarket_domain::{Timestamp, calendar};
use crossmarket_image::Freshness;

/// A leg's snapshot in the view FULL.
pub(crate) fn of(services: &Services, leg: &Leg) -> Result<v1::IndexSnapshot, ServiceError> {
    if let [single] = leg.operands.as_slice() {
        if let (Some(index), Some(item)) = (single.index(), &single.item) {
            let revision = item.position.revision;
            return Ok(convert::index::index_snapshot(index, &item.state, revision, item.freshness));
        }
        if let Some(price) = single.price() {
            return Ok(of_asset(services, leg, single, price));
        }
    }
    computed(services, leg).ok_or_else(|| ServiceError::NoLevelYet(leg.expression.to_string()))
}

/// The same in a view, as an entry of the responses' field 1.
pub(crate) fn entry(message: v1::IndexSnapshot, view: crossmarket_image::View) -> bytes::Bytes {
    let mut message = message;
    if view == crossmarket_image::View::Basic {
        reduce_to_basic(&mut message);
    }
    prost::Message::encode_to_vec(&v1::GetIndexSnapshotResponse { snapshot: Some(message) }).into()
}

/// An asset as an index: the figures of its price snapshot.
fn of_asset(services: &Services, leg: &Leg, operand: &Operand, price: &PriceSnapshot) -> v1::IndexSnapshot {
    let Some(item) = &operand.item else { return v1::IndexSnapshot::default() };
    let full = convert::price_snapshot(price, &item.state, item.position.revision, item.freshness);
    let definition = "The aggregate price of one unit in US dollars; GetPriceSnapshot shows how venues are pooled.";
    v1::IndexSnapshot {
        title: full.name.unwrap_or_else(|| full.asset.clone()),
        level: full.price,
        change_1d_percent: full.change_24h_percent,
        change_7d_percent: full.change_7d_percent,
        change_30d_percent: full.change_30d_percent,
        change_ytd_percent: full.change_ytd_percent,
        all_time_high: full.all_time_high.and_then(|high| {
            Some(v1::IndexAllTimeHigh {
                is_new: high.drawdown_percent.is_some_and(|drawdown| drawdown >= 0.0),
                level: high.price,
                time: Some(high.time?),
                drawdown_percent: high.drawdown_percent,
                closes_only: false,
                history_start_time: operand.history.closes.first_day().map(|day| convert::time(day.start())),
            })
        }),
        market_cap: full.market_cap,
        event_time: full.event_time,
        receive_time: full.receive_time,
        publish_time: full.publish_time,
        freshness: full.freshness,
        revision: full.revision,
        derivations: full.derivations,
        ..base(services, leg, definition.to_owned(), MarketSession::Continuous)
    }
}

/// From daily closes and the newest level, if there is one.
fn computed(services: &Services, leg: &Leg) -> Option<v1::IndexSnapshot> {
    let now = services.clock.now();
    let closes = leg.column(Alignment::UtcDailyClose);
    let by_session = leg.is_exchange_traded();
    let last = closes.last();
    let close_time = |day: Day| match by_session {
        true => calendar::session_of_day(day.start()).map_or(day.end(), |session| session.close),
        false => day.end(),
    };
    // Without a state the last close is the level. It may be older than the market's last.
    let live = leg.live().or_else(|| {
        let (day, level) = last?;
        Some(Live { level, event_time: close_time(day), revision: 0, freshness: Freshness::Stale })
    })?;
    let (day, changes) = if by_session {
        let session = calendar::latest_session(live.event_time)?;
        let previous = calendar::previous_session(session.date).map(|session| Day::of(session.day_start()));
        let day = Day::of(session.day_start());
        (day, session_changes(live.level, day, previous, &closes))
    } else {
        // A close at midnight is of the day that ends.
        let day = last.map(|(day, _)| day).filter(|day| day.end() == live.event_time);
        (day.unwrap_or(Day::of(live.event_time)), continuous_changes(live.level, live.event_time, &closes, &[]))
    };
    let mut changes = changes;
    if let ([numerator, denominator], false) = (leg.operands.as_slice(), by_session) {
        changes.day = quotient_day_change(numerator, denominator, live).or(changes.day);
    }
    let session = if by_session { calendar::market_session_at(now) } else { MarketSession::Continuous };
    let definition = match leg.operands.as_slice() {
        [numerator, denominator] => format!(
            "The level of {} divided by the level of {}, on days on which both have one.",
            numerator.subject, denominator.subject
        ),
        _ => "The last daily close of the history in the store; no source of this process gives a newer level."
            .to_owned(),
    };
    let percent = |change: Option<Change>| change.map(|change| change.percent);
    Some(v1::IndexSnapshot {
        level: Some(number(live.level)),
        change_1d_percent: percent(changes.day),
        change_7d_percent: percent(changes.week),
        change_30d_percent: percent(changes.month),
        change_ytd_percent: percent(changes.year_to_date),
        all_time_high: all_time_high(&closes, day, live.level, close_time),
        event_time: Some(convert::time(live.event_time)),
        receive_time: Some(convert::time(live.event_time)),
        freshness: Some(convert::freshness_only(live.freshness)),
        revision: i64::try_from(live.revision).unwrap_or(i64::MAX),
        derivations: derivations(&changes, &closes, &leg.sources()),
        ..base(services, leg, definition, session)
    })
}

/// The change of a quotient in 24 hours, from those of its legs: their daily closes are too far apart for that.
fn quotient_day_change(numerator: &Operand, denominator: &Operand, live: Live) -> Option<Change> {
    let growth = (1.0 + numerator.change_1d_percent()? / 100.0) / (1.0 + denominator.change_1d_percent()? / 100.0);
    let reference_time = live.event_time - std::time::Duration::from_secs(86_400);
    let is_usable = growth.is_finite() && growth > 0.0;
    is_usable.then(|| Change { percent: 100.0 * (growth - 1.0), reference: live.level / growth, reference_time })
}

fn all_time_high(
    closes: &Daily,
    day: Day,
    level: f64,
    close_time: impl Fn(Day) -> Timestamp,
) -> Option<v1::IndexAllTimeHigh> {
    let high = record_high(closes, Some((day, level)))?;
    Some(v1::IndexAllTimeHigh {
        level: number(high.level),
        time: Some(convert::time(close_time(high.day))),
        drawdown_percent: high.drawdown_percent,
        is_new: high.is_new,
        closes_only: true,
        history_start_time: Some(convert::time(close_time(high.history_start))),
    })
}

fn derivations(changes: &Changes, closes: &Daily, sources: &[String]) -> Vec<v1::Derivation> {
    let fields = [
        ("change_1d_percent", changes.day),
        ("change_7d_percent", changes.week),
        ("change_30d_percent", changes.month),
        ("change_ytd_percent", changes.year_to_date),
    ];
    let derivation = |(field, change): (&str, Option<Change>)| {
        let change = change?;
        Some(v1::Derivation {
            field: field.to_owned(),
            method: "level / reference level − 1".to_owned(),
            inputs: vec![v1::Input {
                name: "reference_level".to_owned(),
                value: Some(number(change.reference)),
                time: Some(convert::time(change.reference_time)),
                source: sources.join(","),
                ..Default::default()
            }],
            observation_count: i32::try_from(closes.count()).unwrap_or(i32::MAX),
            start_time: closes.first_day().map(|day| convert::time(day.end())),
            end_time: closes.last_day().map(|day| convert::time(day.end())),
            source: sources.join(","),
            ..Default::default()
        })
    };
    fields.into_iter().filter_map(derivation).collect()
}

/// A snapshot without its figures.
fn base(services: &Services, leg: &Leg, definition: String, session: MarketSession) -> v1::IndexSnapshot {
    let kind = leg.expression.kind();
    let title = match (kind, leg.operands.as_slice()) {
        (IndexKind::Quotient, _) => leg.expression.to_string(),
        (_, [single]) => single.title(services),
        _ => String::new(),
    };
    let operands = if kind == IndexKind::Quotient {
        leg.operands.iter().map(|operand| operand.name(services)).collect()
    } else {
        Vec::new()
    };
    v1::IndexSnapshot {
        index: leg.expression.to_string(),
        title,
        kind: wire_kind(kind).into(),
        unit: kind.unit().to_owned(),
        market_session: wire_session(session).into(),
        methodology: Some(v1::IndexMethodology {
            definition,
            calendar: wire_calendar(leg.calendar()).into(),
            source: if kind == IndexKind::Quotient || kind == IndexKind::Asset {
                super::leg::COMPUTED_HERE.to_owned()
            } else {
                leg.sources().join(",")
            },
            operands,
            ..Default::default()
        }),
        simulated: services.simulated,
        ..Default::default()
    }
}

/// An index of the catalogue without state and history.
pub(crate) fn without_level(services: &Services, leg: &Leg) -> v1::IndexSnapshot {
    let session = match leg.is_exchange_traded() {
        true => calendar::market_session_at(services.clock.now()),
        false => MarketSession::Continuous,
    };
    base(services, leg, "No level is known yet.".to_owned(), session)
}
