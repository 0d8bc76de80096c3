//! Snapshots of exchange-traded indices: the levels from the sources, with the figures derived from the daily closes.

use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::{SmolStr, ToSmolStr};

use crate::indices::figures::{decimal, fill_changes};
use crate::indices::news::{EquityLevel, IndexNews, UsedLevel};
use crate::indices::pending::PendingSnapshot;
use crate::indices::settings::PublishedMarketCap;
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_analytics::index_level::{Changes, estimated_market_cap, record_high, session_changes};
use crossmarket_domain::calendar::{self, Session};
use crossmarket_domain::index::{
    IndexCalendar, IndexCode, IndexHigh, IndexKind, IndexMethodology, IndexSnapshot, MarketCapReference, MarketSession,
    Subject,
};
use crossmarket_domain::state::Derivation;
use crossmarket_domain::{Decimal, Timestamp};
use crossmarket_image::histories::Histories;

/// A level from the last minutes of a session counts as its close: sources date their last print up to this much before
/// it.
const CLOSE_TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// A published market cap belongs to the close on its date or up to this many days before. An older close would be a
/// different level.
const REFERENCE_AGE_MAX_DAYS: i32 = 7;

/// The newest level reported for each index.
pub(super) struct Equities {
    heard: BTreeMap<IndexCode, EquityLevel>,
    references: Vec<PublishedMarketCap>,
}

impl Equities {
    pub(super) fn new(references: Vec<PublishedMarketCap>) -> Self {
        Self { heard: BTreeMap::new(), references }
    }

    /// Processes one message. Stored closes reach the histories on their own.
    pub(super) fn ingest(&mut self, news: IndexNews) {
        if let IndexNews::Level { level, .. } = news {
            self.heard.insert(level.index.clone(), *level);
        }
    }

    /// Snapshots of all indices for which a source has a level.
    pub(super) fn snapshots(&self, histories: &Histories, now: Timestamp) -> Vec<PendingSnapshot> {
        self.heard.values().filter_map(|heard| self.snapshot(heard, histories, now)).collect()
    }

    fn snapshot(&self, heard: &EquityLevel, histories: &Histories, now: Timestamp) -> Option<PendingSnapshot> {
        let used = heard.used.as_ref()?;
        let history = histories.get(&Subject::Index(heard.index.clone())).unwrap_or_default();
        let session = calendar::latest_session(used.event_time)?;
        let day = Day::of(session.day_start());
        let previous = calendar::previous_session(session.date).map(|session| Day::of(session.day_start()));
        // The source may know the previous close before it reaches the histories.
        let reported = previous.zip(used.previous_close).filter(|(day, _)| history.closes.get(*day).is_none());
        let closes = match reported {
            Some((day, close)) => {
                let mut closes = history.closes.clone();
                closes.set(day, close.to_f64());
                std::borrow::Cow::Owned(closes)
            }
            None => std::borrow::Cow::Borrowed(&history.closes),
        };
        let level = used.level.to_f64();
        let market_session = calendar::market_session_at(now);
        let methodology = methodology(&heard.index, used);
        let mut snapshot = IndexSnapshot::empty(heard.index.clone(), methodology, market_session);
        snapshot.level = Some(used.level);
        snapshot.sources = heard.sources.clone();
        snapshot.closed_until = closed_until(market_session, session, used.event_time, now);
        let source = SmolStr::new_static(used.venue);
        let changes = session_changes(level, day, previous, &closes);
        fill_changes(&mut snapshot, &changes, &closes, &source);
        snapshot.all_time_high = all_time_high(&closes, day, used.level, used.event_time);
        self.fill_market_cap(&mut snapshot, level, &changes, &closes);
        Some(PendingSnapshot {
            snapshot,
            event_time: used.event_time,
            receive_time: used.receive_time,
            budget: used.budget,
        })
    }

    /// Estimates the market cap from a published one, if the configuration has it.
    fn fill_market_cap(&self, snapshot: &mut IndexSnapshot, level: f64, changes: &Changes, closes: &Daily) {
        let Some(published) = self.references.iter().find(|one| one.index == snapshot.index) else { return };
        let dated = Day::of(published.date);
        let close = closes.at_or_before(dated).filter(|(day, _)| dated.since(*day) <= REFERENCE_AGE_MAX_DAYS);
        let Some((day, reference_level)) = close else { return };
        let (cap, Some(exact_level)) = (published.market_cap.to_f64(), decimal(reference_level)) else { return };
        let Some(estimate) = estimated_market_cap(level, cap, reference_level) else { return };
        let time = calendar::session_of_day(day.start()).map_or(day.end(), |session| session.close);
        snapshot.market_cap = decimal(estimate);
        let at_year_start = changes
            .year_to_date
            .and_then(|change| Some((change, estimated_market_cap(change.reference, cap, reference_level)?)));
        snapshot.market_cap_change_ytd = at_year_start.and_then(|(_, before)| decimal(estimate - before));
        let mut inputs =
            vec![("reference_market_cap".into(), published.market_cap), ("reference_level".into(), exact_level)];
        let mut derive = |field: &'static str, method: &'static str, more: Option<(SmolStr, Decimal)>| {
            inputs.extend(more);
            snapshot.derivations.push(Derivation {
                field: SmolStr::new_static(field),
                method: SmolStr::new_static(method),
                parameters: vec![
                    ("reference_time".into(), time.to_smolstr()),
                    ("published_by".into(), published.source.as_str().into()),
                ],
                inputs: inputs.clone(),
                observation_count: 1,
                missing_count: 0,
                start_time: time,
                end_time: time,
                source: published.source.as_str().into(),
            });
        };
        derive(
            "market_cap",
            "estimate: reference market cap × level / reference level; shares issued or bought back since are not in it",
            None,
        );
        if let Some((change, _)) = at_year_start {
            let year = decimal(change.reference).map(|level| ("year_start_level".into(), level));
            derive(
                "market_cap_change_ytd",
                "estimate: (level − level at the last close of the year before) × reference market cap / reference level",
                year,
            );
        }
        snapshot.market_cap_reference = Some(MarketCapReference {
            market_cap: published.market_cap,
            level: exact_level,
            time,
            source: published.source.as_str().into(),
        });
    }
}

fn methodology(index: &IndexCode, used: &UsedLevel) -> IndexMethodology {
    let definition = match index.kind() {
        IndexKind::EtfProxy => {
            "The price of one share of a fund that follows the index; fees and dividends make it differ from the index."
        }
        IndexKind::Volatility => "Implied volatility as the source calculates and publishes it.",
        IndexKind::Currency => "The index of a currency as the source publishes it.",
        _ => "The level as the source publishes it; other sources are compared with it and never averaged in.",
    };
    IndexMethodology {
        proxy_for: index.known().and_then(|known| known.proxy_for).map(SmolStr::new_static),
        ..IndexMethodology::observed(definition, used.venue, IndexCalendar::NewYork)
    }
}

/// Time until which no newer level is due: the market is closed, and the level is the close of its latest session.
fn closed_until(
    market_session: MarketSession,
    session: Session,
    event_time: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    if market_session == MarketSession::Open {
        return None;
    }
    let latest = calendar::last_closed_session(now)?;
    let is_its_close = session.date == latest.date && event_time + CLOSE_TOLERANCE >= session.close;
    is_its_close.then(|| calendar::next_opening(now)).flatten().map(|next| next.open)
}

fn all_time_high(closes: &Daily, day: Day, level: Decimal, event_time: Timestamp) -> Option<IndexHigh> {
    let high = record_high(closes, Some((day, level.to_f64())))?;
    let close_of = |day: Day| calendar::session_of_day(day.start()).map_or(day.end(), |session| session.close);
    Some(IndexHigh {
        level: if high.is_new { level } else { decimal(high.level)? },
        time: if high.is_new { event_time.min(close_of(day)) } else { close_of(high.day) },
        drawdown_percent: high.drawdown_percent,
        is_new: high.is_new,
        closes_only: true,
        history_start: Some(close_of(high.history_start)),
    })
}
