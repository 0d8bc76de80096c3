//! `CompareIndices`: subjects against a benchmark over one window.

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::civil::date;

use super::leg::{Alignment, Leg, Live, worse};
use super::status::{item_state_of, item_status};
use crate::services::context::Services;
use crate::services::error::ServiceError;
use crate::services::{convert, paging};
use crossmarket_analytics::comparison::{
    COMMON_SESSION_COUNT_MIN, Comparer, ComparisonError, ComparisonFigures, ComparisonParameters, DAYS_PER_YEAR,
    Frequency, LiveComparison, SESSIONS_PER_YEAR, Sample, WEEKS_PER_YEAR, WindowStart,
};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_api::v1;
use crossmarket_domain::{Timestamp, calendar};
use crossmarket_telemetry::metrics::Calculation;

/// Most subjects in one request.
pub(crate) const SUBJECT_COUNT_MAX: usize = 100;

/// Returns in the window when the request does not say.
pub(crate) const LOOKBACK_DEFAULT: usize = 90;

/// Fewest and most returns that may be asked for.
pub(crate) const LOOKBACK_RANGE: std::ops::RangeInclusive<i32> = 10..=10_000;

/// The sessions of New York by date, computed once: a comparison over thirty years visits 7,500 of them.
static NEW_YORK_SESSIONS: LazyLock<Vec<Day>> = LazyLock::new(|| {
    let sessions = calendar::sessions_between(date(1960, 1, 1), date(2050, 12, 31));
    sessions.map(|session| Day::of(session.day_start())).collect()
});

/// The part of a request that all subjects share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ComparisonQuery {
    /// The last returns, or from a time on.
    pub start: Start,
    /// The window's end; `None` for one that ends now.
    pub end: Option<Timestamp>,
    pub frequency: Frequency,
    /// The alignment asked for; `None` for the best that there is.
    pub alignment: Option<Alignment>,
    pub include_points: bool,
}

/// Where a window begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// This many returns before its end.
    Lookback(usize),
    /// With the first sample at or after a time.
    At(Timestamp),
}

/// How two legs are sampled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// True for New York sessions, false for UTC days.
    pub is_new_york: bool,
    /// At which moment.
    pub alignment: Alignment,
}

pub(crate) struct Compared {
    /// How both legs were sampled.
    pub plan: Plan,
    pub figures: ComparisonFigures,
    /// The samples; empty unless wanted.
    pub samples: Vec<Sample>,
    /// True when the last sample is of a session that is not over.
    pub is_provisional: bool,
    /// The newest levels, where they are the last sample.
    pub live: Option<(Live, Live)>,
}

impl Plan {
    /// The ways in which two legs can be sampled, the best first. None when that is not what was asked for.
    pub(crate) fn candidates(subject: &Leg, benchmark: &Leg, asked: Option<Alignment>) -> Vec<Self> {
        let plan = |is_new_york, alignment| Self { is_new_york, alignment };
        let legs = [subject, benchmark];
        let has_sessions = legs.iter().any(|leg| leg.is_exchange_traded());
        let is_around_the_clock = legs.iter().any(|leg| leg.is_around_the_clock());
        match (has_sessions, is_around_the_clock, asked) {
            // All have their own closes, and nothing is sampled at another time.
            (true, false, _) => vec![plan(true, Alignment::SessionClose)],
            (true, true, Some(alignment)) => vec![plan(true, alignment)],
            (true, true, None) => vec![plan(true, Alignment::SessionClose), plan(true, Alignment::UtcDailyClose)],
            (false, _, Some(Alignment::SessionClose)) => vec![plan(true, Alignment::SessionClose)],
            (false, ..) => vec![plan(false, Alignment::UtcDailyClose)],
        }
    }

    /// When a day's sample is taken.
    pub(crate) fn sample_time(self, day: Day) -> Timestamp {
        match self.alignment {
            Alignment::UtcDailyClose => day.end(),
            Alignment::SessionClose => calendar::session_of_day(day.start()).map_or(day.end(), |session| session.close),
        }
    }

    /// The last day whose sample was taken at or before a time.
    pub(crate) fn last_day_at(self, time: Timestamp) -> Day {
        let session = || calendar::last_closed_session(time).map_or(Day::from_number(i32::MIN), day_of);
        match (self.is_new_york, self.alignment) {
            (false, _) => Day::last_ended(time),
            (true, Alignment::SessionClose) => session(),
            (true, Alignment::UtcDailyClose) => session().min(Day::last_ended(time)),
        }
    }

    /// The day that is going on, or the last one that is over.
    pub(crate) fn current_day(self, now: Timestamp) -> Day {
        match self.is_new_york {
            true => calendar::latest_session(now).map_or(Day::from_number(i32::MIN), day_of),
            false => Day::of(now),
        }
    }

    /// The days of the calendar on which a series may have a value, up to a day.
    pub(crate) fn days(self, series: &Daily, until: Day) -> Cow<'static, [Day]> {
        let (Some(first), Some(last)) = (series.first_day(), series.last_day()) else { return Cow::Borrowed(&[]) };
        let last = last.max(until);
        if !self.is_new_york {
            return (first.number()..=last.min(until).number()).map(Day::from_number).collect();
        }
        let (from, to) = (
            NEW_YORK_SESSIONS.partition_point(|day| *day < first),
            NEW_YORK_SESSIONS.partition_point(|day| *day <= until),
        );
        Cow::Borrowed(NEW_YORK_SESSIONS.get(from..to).unwrap_or_default())
    }

    /// The analytics' parameters of a query.
    pub(crate) fn parameters(self, query: &ComparisonQuery, end: Day) -> ComparisonParameters {
        let start = match query.start {
            Start::Lookback(count) => WindowStart::Lookback(count),
            // The first day whose sample is not before that time.
            Start::At(time) => {
                let day = Day::of(time).plus(-2);
                let days = (0..=3).map(|offset| day.plus(offset));
                let is_within = |day: &Day| self.sample_time(*day) >= time;
                WindowStart::From(days.into_iter().find(is_within).unwrap_or(Day::of(time)))
            }
        };
        let periods_per_year = match (query.frequency, self.is_new_york) {
            (Frequency::Weekly, _) => WEEKS_PER_YEAR,
            (Frequency::Daily, true) => SESSIONS_PER_YEAR,
            (Frequency::Daily, false) => DAYS_PER_YEAR,
        };
        ComparisonParameters { frequency: query.frequency, start, end, periods_per_year }
    }

    fn calendar(self) -> v1::Calendar {
        if self.is_new_york { v1::Calendar::NewYork } else { v1::Calendar::UtcDays }
    }
}

fn day_of(session: calendar::Session) -> Day {
    Day::of(session.day_start())
}

/// A benchmark, prepared once for each way of sampling it.
pub(crate) struct Benchmark<'a> {
    leg: &'a Leg,
    prepared: Vec<(Plan, Day, Comparer)>,
}

impl<'a> Benchmark<'a> {
    pub(crate) fn new(leg: &'a Leg) -> Self {
        Self { leg, prepared: Vec::new() }
    }

    /// The comparison of which only the last sample, that of `day`, still changes.
    pub(crate) fn live(&mut self, plan: Plan, query: &ComparisonQuery, day: Day, subject: &Leg) -> LiveComparison {
        self.comparer(plan, query, day).live(&subject.column(plan.alignment), day)
    }

    fn comparer(&mut self, plan: Plan, query: &ComparisonQuery, end: Day) -> &Comparer {
        let found = self.prepared.iter().position(|(of, day, _)| (*of, *day) == (plan, end));
        let at = found.unwrap_or_else(|| {
            let column = self.leg.column(plan.alignment);
            let comparer = Comparer::new(&column, &plan.days(&column, end), plan.parameters(query, end));
            self.prepared.push((plan, end, comparer));
            self.prepared.len() - 1
        });
        &self.prepared[at].2
    }
}

/// Compares a subject with a benchmark. Among the ways of sampling the first one counts that loses no session to any other.
pub(crate) fn compare(
    subject: &Leg,
    benchmark: &mut Benchmark<'_>,
    query: &ComparisonQuery,
    now: Timestamp,
) -> Result<Compared, ServiceError> {
    let mut best: Option<Compared> = None;
    let mut failure = None;
    for plan in Plan::candidates(subject, benchmark.leg, query.alignment) {
        match compare_by(plan, subject, benchmark, query, now) {
            Ok(outcome) => {
                let is_better = best.as_ref().is_none_or(|best| {
                    let (old, new) = (&best.figures, &outcome.figures);
                    new.start_day < old.start_day || new.observation_count > old.observation_count
                });
                if is_better {
                    best = Some(outcome);
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    best.ok_or_else(|| insufficient(subject, benchmark.leg, query, failure))
}

/// The error of two legs that cannot be compared.
pub(crate) fn insufficient(
    subject: &Leg,
    benchmark: &Leg,
    query: &ComparisonQuery,
    error: Option<ComparisonError>,
) -> ServiceError {
    let problem = match error {
        Some(ComparisonError::TooFewCommonSessions { found }) => {
            let alignment = match query.alignment {
                Some(Alignment::SessionClose) => " sampled at the session's close, which needs hourly history",
                _ => "",
            };
            format!("{found} common sessions in the window{alignment}; at least {COMMON_SESSION_COUNT_MIN} are needed")
        }
        Some(error) => error.to_string(),
        None => "no way of sampling both".to_owned(),
    };
    ServiceError::InsufficientHistory {
        subject: format!("{} and {}", subject.expression, benchmark.expression),
        problem,
    }
}

fn compare_by(
    plan: Plan,
    subject: &Leg,
    benchmark: &mut Benchmark<'_>,
    query: &ComparisonQuery,
    now: Timestamp,
) -> Result<Compared, ComparisonError> {
    let column = subject.column(plan.alignment);
    let Some(end) = query.end.filter(|end| *end < now) else {
        return compare_now(plan, subject, &column, benchmark, query, now);
    };
    settled(plan, &column, benchmark.comparer(plan, query, plan.last_day_at(end)), query)
}

/// A window whose days are all over.
fn settled(
    plan: Plan,
    column: &Daily,
    comparer: &Comparer,
    query: &ComparisonQuery,
) -> Result<Compared, ComparisonError> {
    let figures = Calculation::Comparison.time(|| comparer.compare(column))?;
    let samples = if query.include_points { comparer.samples(column)? } else { Vec::new() };
    Ok(Compared { plan, figures, samples, is_provisional: false, live: None })
}

/// A window that ends now: its last sample may be of a day that goes on.
fn compare_now(
    plan: Plan,
    subject: &Leg,
    column: &Daily,
    benchmark: &mut Benchmark<'_>,
    query: &ComparisonQuery,
    now: Timestamp,
) -> Result<Compared, ComparisonError> {
    let day = plan.current_day(now);
    let above = subject.value_on(day, plan.alignment, now);
    let below = benchmark.leg.value_on(day, plan.alignment, now);
    let (Some(above), Some(below)) = (above, below) else {
        // The current day has no sample yet, and none is missing of it while it goes on.
        let end = if plan.sample_time(day) <= now { day } else { day.plus(-1) };
        return settled(plan, column, benchmark.comparer(plan, query, end), query);
    };
    let figures = benchmark.comparer(plan, query, day).live(column, day).with(above, below)?;
    let mut samples = Vec::new();
    if query.include_points {
        let with_last = |column: &Daily, value| {
            let mut column = column.clone();
            column.set(day, value);
            column
        };
        let benchmark_column = with_last(&benchmark.leg.column(plan.alignment), below);
        let days = plan.days(&benchmark_column, day);
        samples =
            Comparer::new(&benchmark_column, &days, plan.parameters(query, day)).samples(&with_last(column, above))?;
    }
    let live = subject.live().zip(benchmark.leg.live());
    Ok(Compared { plan, figures, samples, is_provisional: now < plan.sample_time(day), live })
}

/// A comparison on the wire.
pub(crate) fn message(
    services: &Services,
    subject: &Leg,
    benchmark: &Leg,
    query: &ComparisonQuery,
    outcome: &Compared,
) -> v1::Comparison {
    let Compared { plan, figures, samples, is_provisional, live } = outcome;
    v1::Comparison {
        points: samples.iter().map(|sample| point(*plan, sample)).collect(),
        subject_sources: subject.sources(),
        benchmark_sources: benchmark.sources(),
        simulated: services.simulated,
        freshness: live.map(|(above, below)| freshness(&above, &below)),
        revision: live.map(|(above, below)| i64::try_from(above.revision.max(below.revision)).unwrap_or(i64::MAX)),
        provisional: *is_provisional,
        ..figures_message(*plan, query.frequency, figures, subject, benchmark)
    }
}

/// The figures on the wire, with what they were taken over.
pub(crate) fn figures_message(
    plan: Plan,
    frequency: Frequency,
    figures: &ComparisonFigures,
    subject: &Leg,
    benchmark: &Leg,
) -> v1::Comparison {
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let count = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    v1::Comparison {
        subject: subject.expression.to_string(),
        benchmark: benchmark.expression.to_string(),
        start_time: Some(convert::time(plan.sample_time(figures.start_day))),
        end_time: Some(convert::time(plan.sample_time(figures.end_day))),
        subject_return_percent: finite(figures.subject_return_percent),
        benchmark_return_percent: finite(figures.benchmark_return_percent),
        relative_strength_percent: finite(figures.relative_strength_percent),
        correlation: figures.correlation.and_then(finite),
        beta: figures.beta.and_then(finite),
        alpha_annualized_percent: figures.alpha_annualized_percent.and_then(finite),
        tracking_error_percent: finite(figures.tracking_error_percent),
        volatility_subject_annualized_percent: finite(figures.volatility_subject_annualized_percent),
        volatility_benchmark_annualized_percent: finite(figures.volatility_benchmark_annualized_percent),
        max_drawdown_subject_percent: finite(figures.max_drawdown_subject_percent),
        max_drawdown_benchmark_percent: finite(figures.max_drawdown_benchmark_percent),
        observation_count: count(figures.observation_count),
        calendar: plan.calendar().into(),
        alignment: match plan.alignment {
            Alignment::SessionClose => v1::ComparisonAlignment::SessionClose,
            Alignment::UtcDailyClose => v1::ComparisonAlignment::UtcDailyClose,
        }
        .into(),
        frequency: match frequency {
            Frequency::Daily => v1::ComparisonFrequency::Daily,
            Frequency::Weekly => v1::ComparisonFrequency::Weekly,
        }
        .into(),
        periods_per_year: figures.periods_per_year,
        missing_count: count(figures.missing_count),
        ..Default::default()
    }
}

/// A sample on the wire.
pub(crate) fn point(plan: Plan, sample: &Sample) -> v1::ComparisonPoint {
    v1::ComparisonPoint {
        time: Some(convert::time(plan.sample_time(sample.day))),
        subject: sample.subject,
        benchmark: sample.benchmark,
        ratio: sample.ratio,
    }
}

/// The freshness of the older of two last samples.
pub(crate) fn freshness(above: &Live, below: &Live) -> v1::Freshness {
    convert::freshness_only(worse(above.freshness, below.freshness))
}

/// Reads how often to sample.
pub(crate) fn frequency(frequency: i32) -> Result<Frequency, ServiceError> {
    match v1::ComparisonFrequency::try_from(frequency) {
        Ok(v1::ComparisonFrequency::Unspecified | v1::ComparisonFrequency::Daily) => Ok(Frequency::Daily),
        Ok(v1::ComparisonFrequency::Weekly) => Ok(Frequency::Weekly),
        Err(_) => {
            let allowed = "must be COMPARISON_FREQUENCY_DAILY (1) or COMPARISON_FREQUENCY_WEEKLY (2)";
            Err(ServiceError::invalid("frequency", frequency, allowed))
        }
    }
}

/// Reads an alignment; `None` when the best is wanted.
pub(crate) fn alignment(alignment: i32) -> Result<Option<Alignment>, ServiceError> {
    match v1::ComparisonAlignment::try_from(alignment) {
        Ok(v1::ComparisonAlignment::Unspecified) => Ok(None),
        Ok(v1::ComparisonAlignment::SessionClose) => Ok(Some(Alignment::SessionClose)),
        Ok(v1::ComparisonAlignment::UtcDailyClose) => Ok(Some(Alignment::UtcDailyClose)),
        Err(_) => {
            let allowed = "must be COMPARISON_ALIGNMENT_SESSION_CLOSE (1) or COMPARISON_ALIGNMENT_UTC_DAILY_CLOSE (2)";
            Err(ServiceError::invalid("alignment", alignment, allowed))
        }
    }
}

/// Reads a lookback.
pub(crate) fn lookback(count: Option<i32>) -> Result<usize, ServiceError> {
    let Some(count) = count else { return Ok(LOOKBACK_DEFAULT) };
    usize::try_from(count)
        .ok()
        .filter(|_| LOOKBACK_RANGE.contains(&count))
        .ok_or_else(|| ServiceError::invalid("lookback_observations", count, "must be from 10 to 10,000"))
}

/// Refuses too few and too many subjects.
pub(crate) fn check_subjects(subjects: &[String]) -> Result<(), ServiceError> {
    match subjects.len() {
        0 => Err(ServiceError::invalid("subjects", "", "must name at least one subject")),
        1..=SUBJECT_COUNT_MAX => Ok(()),
        count => Err(ServiceError::invalid("subjects", format!("{count} entries"), "at most 100 may be given")),
    }
}

impl ComparisonQuery {
    /// Reads a request.
    pub(crate) fn of(request: &v1::CompareIndicesRequest) -> Result<Self, ServiceError> {
        let end = paging::instant("end_time", request.end_time.as_ref())?;
        let start = match (paging::instant("start_time", request.start_time.as_ref())?, request.lookback_observations) {
            (Some(_), Some(count)) => {
                let allowed = "must be absent when start_time is given";
                return Err(ServiceError::invalid("lookback_observations", count, allowed));
            }
            (Some(start), None) if end.is_some_and(|end| end < start) => {
                return Err(ServiceError::invalid("end_time", start, "must not be before start_time"));
            }
            (Some(start), None) => Start::At(start),
            (None, count) => Start::Lookback(lookback(count)?),
        };
        Ok(Self {
            start,
            end,
            frequency: frequency(request.frequency)?,
            alignment: alignment(request.alignment)?,
            include_points: request.include_points,
        })
    }
}

/// Answers `CompareIndices`.
pub(crate) fn answer(
    services: &Services,
    request: &v1::CompareIndicesRequest,
) -> Result<v1::CompareIndicesResponse, ServiceError> {
    check_subjects(&request.subjects)?;
    let query = ComparisonQuery::of(request)?;
    super::leg::parse("benchmark", &request.benchmark)?;
    services.check_histories()?;
    let benchmark = Leg::resolve(services, "benchmark", &request.benchmark)?;
    let now = services.clock.now();
    let mut prepared = Benchmark::new(&benchmark);
    let mut response = v1::CompareIndicesResponse::default();
    for (index, name) in request.subjects.iter().enumerate() {
        let compared = Leg::resolve(services, &format!("subjects[{index}]"), name).and_then(|subject| {
            let outcome = compare(&subject, &mut prepared, &query, now)?;
            Ok(message(services, &subject, &benchmark, &query, &outcome))
        });
        let status = match &compared {
            Ok(_) => item_status(name, v1::ItemState::Ok, String::new()),
            Err(error) => item_status(name, item_state_of(error), error.to_string()),
        };
        match compared {
            Ok(comparison) => response.comparisons.push(comparison),
            Err(error) if !request.allow_partial => return Err(error),
            Err(_) => {}
        }
        if request.allow_partial {
            response.items.push(status);
        }
    }
    Ok(response)
}
