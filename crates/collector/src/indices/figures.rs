//! Figures derived from the level of an index that is computed here, with their derivations.

use smol_str::{SmolStr, ToSmolStr};

use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_analytics::index_level::{Change, Changes, continuous_changes, record_high};
use crossmarket_domain::index::{IndexHigh, IndexSnapshot};
use crossmarket_domain::state::Derivation;
use crossmarket_domain::time::DAY;
use crossmarket_domain::{Decimal, Timestamp};

/// Significant digits of a computed level.
const LEVEL_DIGITS: u32 = 12;

/// Derivation of the one-day change.
const DAY_METHOD: &str = "level / level 24 hours ago − 1, in per cent; the level 24 hours ago is that of the constituents and units of now at the prices \
                          that follow from each asset's change in 24 hours";

/// Source of computed levels.
pub(super) const HERE: SmolStr = SmolStr::new_static("crossmarket");

/// A computed level as a decimal; `None` if it is not representable.
pub(super) fn decimal(value: f64) -> Option<Decimal> {
    Decimal::from_f64(value).map(|exact| exact.rounded_to_significant(LEVEL_DIGITS))
}

/// Fills in the figures that follow from the current level, the level 24 hours ago and the daily closes.
pub(super) fn fill_continuous(
    snapshot: &mut IndexSnapshot,
    level: f64,
    day_ago: Option<f64>,
    closes: &Daily,
    now: Timestamp,
) -> Changes {
    let mut changes = continuous_changes(level, now, closes, &[]);
    changes.day = day_ago.map(|reference| Change {
        percent: 100.0 * (level / reference - 1.0),
        reference,
        reference_time: now - DAY,
    });
    fill_changes(snapshot, &changes, closes, &HERE);
    // The level of a day ago is not a close: it is derived from the constituents.
    if let (Some(day), Some(derivation)) =
        (changes.day, snapshot.derivations.iter_mut().find(|derivation| derivation.field == "change_1d_percent"))
    {
        derivation.method = SmolStr::new_static(DAY_METHOD);
        derivation.observation_count = snapshot.methodology.constituent_count.unwrap_or(1);
        (derivation.start_time, derivation.end_time) = (day.reference_time, now);
    }
    snapshot.level = decimal(level);
    snapshot.all_time_high = record_high(closes, Some((Day::of(now), level))).and_then(|high| {
        Some(IndexHigh {
            level: decimal(high.level)?,
            time: if high.is_new { now } else { high.day.end() },
            drawdown_percent: high.drawdown_percent,
            is_new: high.is_new,
            closes_only: true,
            history_start: Some(high.history_start.end()),
        })
    });
    changes
}

/// Fills in the changes, each with its derivation.
pub(super) fn fill_changes(snapshot: &mut IndexSnapshot, changes: &Changes, closes: &Daily, source: &SmolStr) {
    let mut derive = |field: &'static str, change: Option<Change>| {
        let change = change?;
        snapshot.derivations.push(Derivation {
            field: SmolStr::new_static(field),
            method: SmolStr::new_static("level / reference level − 1, in per cent; the reference is a daily close"),
            parameters: vec![("reference_time".into(), change.reference_time.to_smolstr())],
            inputs: decimal(change.reference)
                .map(|reference| ("reference_level".into(), reference))
                .into_iter()
                .collect(),
            observation_count: u32::try_from(closes.count()).unwrap_or(u32::MAX),
            missing_count: 0,
            start_time: closes.first_day().map_or(change.reference_time, Day::end),
            end_time: closes.last_day().map_or(change.reference_time, Day::end),
            source: source.clone(),
        });
        Some(change.percent)
    };
    let percents = (
        derive("change_1d_percent", changes.day),
        derive("change_7d_percent", changes.week),
        derive("change_30d_percent", changes.month),
        derive("change_ytd_percent", changes.year_to_date),
    );
    (
        snapshot.change_1d_percent,
        snapshot.change_7d_percent,
        snapshot.change_30d_percent,
        snapshot.change_ytd_percent,
    ) = percents;
}
