//! `GetCycles`: turning points, rallies, levels and patterns in the daily closes of an index, an asset or a quotient.

use super::leg::{Alignment, Leg};
use crate::services::context::Services;
use crate::services::convert::{self, computed as number};
use crate::services::error::ServiceError;
use crate::services::paging;
use crossmarket_analytics::cycles::{self, Cycle, REVERSAL_PERCENT_DEFAULT};
use crossmarket_analytics::daily::Day;
use crossmarket_analytics::levels::{self, Level, TOLERANCE_PERCENT_DEFAULT};
use crossmarket_analytics::patterns::{self, InverseHeadAndShoulders};
use crossmarket_api::v1;
use crossmarket_domain::{Timestamp, calendar};
use crossmarket_telemetry::metrics::Calculation;

/// Patterns in an answer at most: the latest ones.
const PATTERN_COUNT_MAX: usize = 10;

/// The time of day of the closes in an answer.
#[derive(Clone, Copy)]
struct Closing {
    /// At the close of the day's session, otherwise at the end of the UTC day.
    by_session: bool,
}

impl Closing {
    fn time(self, day: Day) -> prost_types::Timestamp {
        let session = if self.by_session { calendar::session_of_day(day.start()) } else { None };
        convert::time(session.map_or(day.end(), |session| session.close))
    }
}

/// A request, checked. Percentages are per cent.
struct CyclesQuery {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    reversal: f64,
    tolerance: f64,
    pattern_reversal: f64,
}

impl CyclesQuery {
    fn of(request: &v1::GetCyclesRequest) -> Result<Self, ServiceError> {
        let (start, end) = paging::span(request.start_time.as_ref(), request.end_time.as_ref())?;
        let v1::GetCyclesRequest { reversal_percent, level_tolerance_percent, pattern_reversal_percent, .. } = *request;
        let pattern_default = patterns::REVERSAL_PERCENT_DEFAULT;
        Ok(Self {
            start,
            end,
            reversal: percent("reversal_percent", reversal_percent, REVERSAL_PERCENT_DEFAULT, f64::MAX)?,
            tolerance: percent("level_tolerance_percent", level_tolerance_percent, TOLERANCE_PERCENT_DEFAULT, 50.0)?,
            pattern_reversal: percent("pattern_reversal_percent", pattern_reversal_percent, pattern_default, f64::MAX)?,
        })
    }
}

/// Answers `GetCycles`.
pub(crate) fn get(services: &Services, request: &v1::GetCyclesRequest) -> Result<v1::GetCyclesResponse, ServiceError> {
    super::leg::parse("index", &request.index)?;
    let CyclesQuery { start, end, reversal, tolerance, pattern_reversal } = CyclesQuery::of(request)?;
    services.check_histories()?;
    let leg = Leg::resolve(services, "index", &request.index)?;
    let now = services.clock.now();
    let closes = leg.column(Alignment::UtcDailyClose);
    let (Some(first), Some(last)) = (closes.first_day(), closes.last_day()) else {
        return Err(ServiceError::InsufficientHistory {
            subject: leg.expression.to_string(),
            problem: "there are no daily closes".to_owned(),
        });
    };
    let past = end.filter(|end| *end < now);
    let from = start.map_or(first, |start| Day::of(start).max(first));
    let until = past.map_or(last, |end| Day::last_ended(end).min(last));
    let held: Vec<(Day, f64)> = closes.iter().filter(|(day, _)| (from..=until).contains(day)).collect();
    let level = match past {
        None => leg.live().map(|live| live.level),
        Some(_) => None,
    }
    .or(held.last().map(|(_, close)| *close));
    let found = Calculation::Cycles.time(|| cycles::find(&closes, from, until, reversal));
    let levels = levels::find(&found.turning_points, level, tolerance);
    let shapes =
        patterns::inverse_heads_and_shoulders(&closes, from, until, pattern_reversal, patterns::TOLERANCE_PERCENT);
    let latest_shapes = shapes.get(shapes.len().saturating_sub(PATTERN_COUNT_MAX)..).unwrap_or_default();
    let closing = Closing { by_session: leg.is_exchange_traded() && !leg.is_around_the_clock() };
    let (start_time, end_time) = (held.first().map(|(day, _)| *day), held.last().map(|(day, _)| *day));
    let observation_count = i32::try_from(held.len()).unwrap_or(i32::MAX);
    let sources = leg.sources();
    let base = v1::Derivation {
        observation_count,
        start_time: start_time.map(|day| closing.time(day)),
        end_time: end_time.map(|day| closing.time(day)),
        source: sources.join(","),
        ..Default::default()
    };
    Ok(v1::GetCyclesResponse {
        cycles: Some(v1::Cycles {
            index: leg.expression.to_string(),
            level: level.map(number),
            supports: levels.supports.iter().map(|level| price_level(level, closing)).collect(),
            resistances: levels.resistances.iter().map(|level| price_level(level, closing)).collect(),
            completed: found.completed.iter().map(|one| cycle(one, closing)).collect(),
            current: found.current.as_ref().map(|one| cycle(one, closing)),
            extension_percent: found.extension_percent,
            extension: found.extension_percent.map(|_| extension(&found.completed, &base, closing)),
            distance_from_support_percent: levels.distance_from_support_percent,
            at_support: levels.is_at_support,
            reversal_percent: reversal,
            level_tolerance_percent: tolerance,
            observation_count,
            start_time: start_time.map(|day| closing.time(day)),
            end_time: end_time.map(|day| closing.time(day)),
            sources,
            simulated: services.simulated,
            derivations: derivations(&base, reversal, tolerance, pattern_reversal),
            patterns: latest_shapes.iter().map(|one| pattern(one, closing)).collect(),
            pattern_reversal_percent: pattern_reversal,
        }),
    })
}

fn percent(field: &str, asked: Option<f64>, default: f64, most: f64) -> Result<f64, ServiceError> {
    let Some(value) = asked else { return Ok(default) };
    if value.is_finite() && value > 0.0 && value <= most {
        return Ok(value);
    }
    let allowed = if most > 1e9 {
        "must be a number greater than 0".to_owned()
    } else {
        format!("must be greater than 0 and at most {most}")
    };
    Err(ServiceError::invalid(field, value, allowed))
}

fn derivations(base: &v1::Derivation, reversal: f64, tolerance: f64, pattern_reversal: f64) -> Vec<v1::Derivation> {
    let parameter = |name: &str, value: f64| v1::Parameter { name: name.to_owned(), value: value.to_string() };
    let zigzag = "zigzag over daily closes: a trough is the lowest close followed by a rise of at least the reversal, a peak the highest \
                  close followed by the fall that undoes such a rise, 1 − 1 / (1 + reversal); of equal closes the earliest counts";
    let clusters = "turning points within the tolerance of each other are one level, its value their median; at support when the current \
                    level is at most the tolerance above the nearest level at or below it";
    let shape = "inverse head and shoulders (after Lo, Mamaysky and Wang 2000): five consecutive turning points of a zigzag with the reversal of \
                 patterns, trough, peak, trough, peak, trough, the middle trough the lowest, the outer troughs each within the tolerance of \
                 their mean and the peaks likewise; the neckline is the straight line through the peaks, above both shoulders; broken out at the \
                 first later close above it, failed at one below the head, expired after as many days as from shoulder to shoulder; closes only";
    vec![
        v1::Derivation {
            field: "completed".to_owned(),
            method: zigzag.to_owned(),
            parameters: vec![parameter("reversal_percent", reversal)],
            ..base.clone()
        },
        v1::Derivation {
            field: "supports".to_owned(),
            method: clusters.to_owned(),
            parameters: vec![parameter("level_tolerance_percent", tolerance)],
            ..base.clone()
        },
        v1::Derivation {
            field: "patterns".to_owned(),
            method: shape.to_owned(),
            parameters: vec![
                parameter("pattern_reversal_percent", pattern_reversal),
                parameter("tolerance_percent", patterns::TOLERANCE_PERCENT),
            ],
            ..base.clone()
        },
    ]
}

fn extension(completed: &[Cycle], base: &v1::Derivation, closing: Closing) -> v1::Derivation {
    let rallies = completed.iter().rev().take(2).rev();
    let input = |(name, cycle): (&str, &Cycle)| v1::Input {
        name: name.to_owned(),
        value: Some(number(cycle.rally_percent)),
        unit: "percent".to_owned(),
        time: Some(closing.time(cycle.peak_day)),
        source: super::leg::COMPUTED_HERE.to_owned(),
    };
    v1::Derivation {
        field: "extension_percent".to_owned(),
        method: "extrapolation of the two latest completed rallies, as multiples peak / trough: last × (last / before last)², since what the \
                 multiples grow by, in logarithms, doubles with each cycle; not a forecast"
            .to_owned(),
        inputs: ["rally_before_last_percent", "rally_last_percent"].into_iter().zip(rallies).map(input).collect(),
        estimated: true,
        ..base.clone()
    }
}

fn cycle(cycle: &Cycle, closing: Closing) -> v1::Cycle {
    v1::Cycle {
        trough_time: Some(closing.time(cycle.trough_day)),
        trough: number(cycle.trough),
        peak_time: Some(closing.time(cycle.peak_day)),
        peak: number(cycle.peak),
        rally_percent: cycle.rally_percent,
        decline_percent: cycle.decline_percent,
        rally_days: i32::try_from(cycle.rally_days).unwrap_or(i32::MAX),
    }
}

fn pattern(pattern: &InverseHeadAndShoulders, closing: Closing) -> v1::Pattern {
    let point =
        |(day, level): patterns::Close| v1::PatternPoint { time: Some(closing.time(day)), level: number(level) };
    let (state, decision) = match pattern.outcome {
        patterns::Outcome::Forming => (v1::PatternState::Forming, None),
        patterns::Outcome::BrokenOut(close) => (v1::PatternState::BrokenOut, Some(close)),
        patterns::Outcome::Failed(close) => (v1::PatternState::Failed, Some(close)),
        patterns::Outcome::Expired => (v1::PatternState::Expired, None),
    };
    v1::Pattern {
        kind: v1::PatternKind::InverseHeadAndShoulders.into(),
        state: state.into(),
        left_shoulder: Some(point(pattern.left_shoulder)),
        left_peak: Some(point(pattern.left_peak)),
        head: Some(point(pattern.head)),
        right_peak: Some(point(pattern.right_peak)),
        right_shoulder: Some(point(pattern.right_shoulder)),
        decision: decision.map(point),
        neckline: number(pattern.neckline),
        depth_percent: pattern.depth_percent(),
        target: pattern.target().map(number),
    }
}

fn price_level(level: &Level, closing: Closing) -> v1::PriceLevel {
    v1::PriceLevel {
        level: number(level.level),
        low: number(level.low),
        high: number(level.high),
        touch_count: i32::try_from(level.touch_count).unwrap_or(i32::MAX),
        first_time: Some(closing.time(level.first_day)),
        last_time: Some(closing.time(level.last_day)),
        distance_percent: level.distance_percent,
    }
}
