//! Comparisons: subjects against a benchmark over one window, both sampled at each joint session.
//!
//! A *session* is a day of the caller's calendar: the dates of New York sessions if either side is traded there,
//! otherwise every UTC day. On a *joint* session both sides have a value. Returns run from one joint session to the
//! next. So Friday to Monday is one return on both sides, and a session that one side misses lengthens the return of
//! both.
//!
//! Figures computed from the log returns `s` of the subject and `b` of the benchmark, with sample statistics (divisor
//! `n − 1`):
//!
//! - correlation: `cov(s, b) / √(var(s) var(b))` (Pearson); beta: `cov(s, b) / var(b)`, the slope of the least squares
//!   line;
//! - alpha: `(mean(s) − beta × mean(b)) × periods per year`, without a riskless rate (Jensen 1968);
//! - tracking error: `√(var(s − b) × periods per year)`; volatility: `√(var × periods per year)`.
//!
//! Sums are of deviations from the window's first return. Otherwise the variance of a steadily growing series would be
//! lost in the square of its mean. The sums can be continued: a live comparison keeps those of all samples but the last
//! one.

#[cfg(test)]
mod tests;

use super::daily::{Daily, Day};
use crate::numbers::count;

/// Minimum number of joint samples for a result.
pub const COMMON_SESSION_COUNT_MIN: usize = 10;

/// New York sessions in a year.
pub const SESSIONS_PER_YEAR: f64 = 252.0;

/// UTC days in a year.
pub const DAYS_PER_YEAR: f64 = 365.0;

pub const WEEKS_PER_YEAR: f64 = 52.0;

/// Standard deviation of log returns below which a side counts as constant: anything less is floating-point rounding.
const DEVIATION_MIN: f64 = 1e-12;

/// How often both sides are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Frequency {
    /// At every joint session.
    #[default]
    Daily,
    /// At the last joint session of each calendar week, Monday to Sunday, within the window.
    Weekly,
}

/// Where the window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowStart {
    /// This many returns before the end, or fewer if the history is shorter; the figures state the number.
    Lookback(usize),
    /// At the first joint session at or after a day.
    From(Day),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonParameters {
    pub frequency: Frequency,
    pub start: WindowStart,
    /// The window ends with the last joint session at or before this day.
    pub end: Day,
    /// Returns in a year: [`SESSIONS_PER_YEAR`], [`DAYS_PER_YEAR`] or [`WEEKS_PER_YEAR`].
    pub periods_per_year: f64,
}

/// The figures of one comparison. Percentages are per cent: 1.3 is 1.3 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonFigures {
    /// The day of the first sample.
    pub start_day: Day,
    /// The day of the last sample.
    pub end_day: Day,
    /// Last sample / first sample − 1 of the subject, greater than −100.
    pub subject_return_percent: f64,
    /// The same for the benchmark.
    pub benchmark_return_percent: f64,
    /// (1 + subject return) / (1 + benchmark return) − 1.
    pub relative_strength_percent: f64,
    /// From −1 to 1; `None` when a side does not vary.
    pub correlation: Option<f64>,
    /// `None` when the benchmark does not vary.
    pub beta: Option<f64>,
    /// Per cent per year; `None` when there is no beta.
    pub alpha_annualized_percent: Option<f64>,
    /// Per cent per year, at least 0.
    pub tracking_error_percent: f64,
    /// Per cent per year, at least 0.
    pub volatility_subject_annualized_percent: f64,
    /// Per cent per year, at least 0.
    pub volatility_benchmark_annualized_percent: f64,
    /// The deepest fall from an earlier peak within the window, from −100 to 0.
    pub max_drawdown_subject_percent: f64,
    /// The same for the benchmark.
    pub max_drawdown_benchmark_percent: f64,
    /// Returns on each side, one less than samples; at least 9.
    pub observation_count: u32,
    /// Sessions of the window, for weekly samples weeks with a session, that have no sample because a side has no
    /// value. The window begins with the day of [`WindowStart::From`] or the first sample, and ends with the last
    /// session of the calendar that is not after [`ComparisonParameters::end`].
    pub missing_count: u32,
    /// The periods per year used to annualize.
    pub periods_per_year: f64,
}

/// One joint sample, rebased so that the first is 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The session.
    pub day: Day,
    /// The subject's value over its first one, times 100.
    pub subject: f64,
    /// The benchmark's value over its first one, times 100.
    pub benchmark: f64,
    /// `subject / benchmark × 100`.
    pub ratio: f64,
}

/// Why there is no comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    /// There are fewer joint samples than [`COMMON_SESSION_COUNT_MIN`].
    #[error("{found} common sessions, and at least {COMMON_SESSION_COUNT_MIN} are needed")]
    TooFewCommonSessions {
        /// The number of joint samples.
        found: usize,
    },
    /// A live value is not a finite number greater than 0.
    #[error("a live value is not a positive number")]
    NotAValue,
}

/// A benchmark prepared for one window. Any number of subjects can be compared with it, without an allocation for each.
#[derive(Clone, Debug)]
pub struct Comparer {
    /// The calendar's sessions in the window (all of them up to its end for a lookback), ascending.
    sessions: Vec<Day>,
    /// The benchmark at each of them, NaN where missing.
    benchmark: Vec<f64>,
    /// The benchmark's log return from the session before, NaN where either is missing.
    returns: Vec<f64>,
    parameters: ComparisonParameters,
}

/// A comparison in which only the last sample changes. An update takes the same few operations for any length of the
/// window.
#[derive(Clone, Copy, Debug)]
pub struct LiveComparison {
    settled: Sums,
    day: Day,
    missing_count: u32,
    periods_per_year: f64,
}

impl Comparer {
    /// Prepares a benchmark. `sessions` is the calendar, ascending; days out of order are ignored. It should end with
    /// the last session that can have a value, since sessions without one count as missing.
    pub fn new(benchmark: &Daily, sessions: &[Day], parameters: ComparisonParameters) -> Self {
        let from = match parameters.start {
            WindowStart::Lookback(_) => Day::from_number(i32::MIN),
            WindowStart::From(day) => day,
        };
        let mut kept: Vec<Day> = Vec::with_capacity(sessions.len());
        for day in sessions.iter().copied().filter(|day| (from..=parameters.end).contains(day)) {
            if kept.last().is_none_or(|before| *before < day) {
                kept.push(day);
            }
        }
        let values: Vec<f64> = kept.iter().map(|day| benchmark.raw(*day)).collect();
        let before = std::iter::once(f64::NAN).chain(values.iter().copied());
        let returns = values.iter().zip(before).map(|(now, before)| (now / before).ln()).collect();
        Self { sessions: kept, benchmark: values, returns, parameters }
    }

    /// Compares a subject with the benchmark.
    pub fn compare(&self, subject: &Daily) -> Result<ComparisonFigures, ComparisonError> {
        let (sums, missing_count) = self.sum(subject, self.sessions.len(), 0);
        sums.figures(missing_count, self.parameters.periods_per_year)
    }

    /// The joint samples from which [`Self::compare`] computes, oldest first.
    pub fn samples(&self, subject: &Daily) -> Result<Vec<Sample>, ComparisonError> {
        let mut samples: Vec<Sample> = Vec::new();
        let mut first = None;
        let start = self.window_start(subject, self.sessions.len(), 0);
        self.walk(subject, start, self.sessions.len(), |day, above, below, _| {
            let (first_above, first_below) = *first.get_or_insert((above, below));
            samples.push(Sample::rebased(day, above / first_above, below / first_below));
        });
        if samples.len() < COMMON_SESSION_COUNT_MIN {
            return Err(ComparisonError::TooFewCommonSessions { found: samples.len() });
        }
        Ok(samples)
    }

    /// A live comparison whose last sample is that of the current session `day`. Values of the series for that day or
    /// later are not used. The live sample replaces one of the lookback's returns. With weekly samples it is the sample
    /// of its week.
    pub fn live(&self, subject: &Daily, day: Day) -> LiveComparison {
        let settled = match self.parameters.frequency {
            Frequency::Daily => self.sessions.partition_point(|session| *session < day),
            Frequency::Weekly => self.sessions.partition_point(|session| session.week() < day.week()),
        };
        let (settled, missing_count) = self.sum(subject, settled, 1);
        LiveComparison { settled, day, missing_count, periods_per_year: self.parameters.periods_per_year }
    }

    /// The sums over the window that ends before the session at index `end`, with room for `reserved` more samples.
    fn sum(&self, subject: &Daily, end: usize, reserved: usize) -> (Sums, u32) {
        let start = self.window_start(subject, end, reserved);
        let mut sums = Sums::default();
        let missing = self.walk(subject, start, end, |day, above, below, below_return| {
            sums.push(day, above, below, below_return);
        });
        (sums, missing)
    }

    fn is_joint(&self, subject: &Daily, index: usize) -> bool {
        let (Some(day), Some(below)) = (self.sessions.get(index), self.benchmark.get(index)) else { return false };
        !below.is_nan() && !subject.raw(*day).is_nan()
    }

    /// The index of the session at which the window begins.
    fn window_start(&self, subject: &Daily, end: usize, reserved: usize) -> usize {
        let WindowStart::Lookback(return_count) = self.parameters.start else { return 0 };
        let sample_count = return_count.saturating_add(1).saturating_sub(reserved);
        let mut start = end;
        let mut found = 0;
        let mut week = None;
        for index in (0..end).rev().filter(|index| self.is_joint(subject, *index)) {
            let its_week = self.sessions.get(index).map(|day| day.week());
            if self.parameters.frequency == Frequency::Daily || its_week != week {
                found += 1;
            }
            if found > sample_count {
                break;
            }
            week = its_week;
            start = index;
        }
        start
    }

    /// Visits the samples of the sessions in `start..end`, each with the benchmark's log return since the previous
    /// sample if that is available, otherwise NaN. Returns the number of sessions or weeks without a sample.
    fn walk(&self, subject: &Daily, start: usize, end: usize, mut visit: impl FnMut(Day, f64, f64, f64)) -> u32 {
        let window = start..end;
        let sessions = self.sessions.get(window.clone()).unwrap_or_default();
        let benchmark = self.benchmark.get(window.clone()).unwrap_or_default();
        let returns = self.returns.get(window).unwrap_or_default();
        let joined = sessions.iter().zip(benchmark).zip(returns);
        let mut missing = 0;
        match self.parameters.frequency {
            Frequency::Daily => {
                let mut is_adjacent = false;
                for ((day, below), below_return) in joined {
                    let above = subject.raw(*day);
                    if above.is_nan() || below.is_nan() {
                        missing += 1;
                        is_adjacent = false;
                    } else {
                        visit(*day, above, *below, if is_adjacent { *below_return } else { f64::NAN });
                        is_adjacent = true;
                    }
                }
            }
            Frequency::Weekly => {
                let mut week = None;
                let mut last: Option<(Day, f64, f64)> = None;
                let mut settle = |last: &mut Option<(Day, f64, f64)>| match last.take() {
                    Some((day, above, below)) => visit(day, above, below, f64::NAN),
                    None => missing += 1,
                };
                for ((day, below), _) in joined {
                    if week.is_some_and(|known| known != day.week()) {
                        settle(&mut last);
                    }
                    week = Some(day.week());
                    let above = subject.raw(*day);
                    if !above.is_nan() && !below.is_nan() {
                        last = Some((*day, above, *below));
                    }
                }
                if week.is_some() {
                    settle(&mut last);
                }
            }
        }
        missing
    }
}

impl LiveComparison {
    /// The session of the last sample.
    pub fn day(&self) -> Day {
        self.day
    }

    /// The figures with these values as the last sample: bit for bit the same as [`Comparer::compare`] returns for
    /// series that end with them.
    pub fn with(&self, subject: f64, benchmark: f64) -> Result<ComparisonFigures, ComparisonError> {
        if ![subject, benchmark].into_iter().all(|value| value.is_finite() && value > 0.0) {
            return Err(ComparisonError::NotAValue);
        }
        let mut sums = self.settled;
        sums.push(self.day, subject, benchmark, f64::NAN);
        sums.figures(self.missing_count, self.periods_per_year)
    }

    /// The live sample, rebased like those of [`Comparer::samples`].
    pub fn sample(&self, subject: f64, benchmark: f64) -> Sample {
        let first = |first: f64, live: f64| if self.settled.sample_count == 0 { 1.0 } else { live / first };
        let above = first(self.settled.subject.first, subject);
        Sample::rebased(self.day, above, first(self.settled.benchmark.first, benchmark))
    }
}

impl Sample {
    fn rebased(day: Day, above: f64, below: f64) -> Self {
        Self { day, subject: 100.0 * above, benchmark: 100.0 * below, ratio: 100.0 * (above / below) }
    }
}

/// The samples of one leg.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    first: f64,
    last: f64,
    peak: f64,
    /// The lowest ratio of a value to an earlier peak, at most 1.
    deepest: f64,
    /// The first return; deviations are relative to it.
    shift: f64,
    /// Sum of the deviations.
    sum: f64,
    /// Sum of the squared deviations.
    squares: f64,
}

impl Side {
    fn begin(value: f64) -> Self {
        Self { first: value, last: value, peak: value, deepest: 1.0, ..Self::default() }
    }

    fn step(&mut self, value: f64) {
        self.last = value;
        self.peak = self.peak.max(value);
        self.deepest = self.deepest.min(value / self.peak);
    }

    /// Adds a return; returns its deviation.
    fn add(&mut self, log_return: f64, is_first: bool) -> f64 {
        if is_first {
            self.shift = log_return;
        }
        let deviation = log_return - self.shift;
        self.sum += deviation;
        self.squares += deviation * deviation;
        deviation
    }

    fn mean(&self, length: f64) -> f64 {
        self.shift + self.sum / length
    }

    fn variance(&self, length: f64) -> f64 {
        ((self.squares - self.sum * (self.sum / length)) / (length - 1.0)).max(0.0)
    }

    fn return_percent(&self) -> f64 {
        100.0 * (self.last - self.first) / self.first
    }
}

/// The running sums that the figures are computed from.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    start_day: Day,
    end_day: Day,
    sample_count: usize,
    subject: Side,
    benchmark: Side,
    /// The differences of the returns; only its sums are used.
    difference: Side,
    products: f64,
}

impl Sums {
    /// Adds a sample. `benchmark_return` may be NaN; it is then computed.
    #[inline]
    fn push(&mut self, day: Day, subject: f64, benchmark: f64, benchmark_return: f64) {
        self.end_day = day;
        self.sample_count += 1;
        if self.sample_count == 1 {
            self.start_day = day;
            self.subject = Side::begin(subject);
            self.benchmark = Side::begin(benchmark);
            return;
        }
        let is_first = self.sample_count == 2;
        let above = (subject / self.subject.last).ln();
        let below = if benchmark_return.is_nan() { (benchmark / self.benchmark.last).ln() } else { benchmark_return };
        self.subject.step(subject);
        self.benchmark.step(benchmark);
        self.difference.add(above - below, is_first);
        self.products += self.subject.add(above, is_first) * self.benchmark.add(below, is_first);
    }

    fn figures(&self, missing_count: u32, periods_per_year: f64) -> Result<ComparisonFigures, ComparisonError> {
        if self.sample_count < COMMON_SESSION_COUNT_MIN {
            return Err(ComparisonError::TooFewCommonSessions { found: self.sample_count });
        }
        let (subject, benchmark) = (&self.subject, &self.benchmark);
        let length = (self.sample_count - 1) as f64;
        let covariance = (self.products - subject.sum * (benchmark.sum / length)) / (length - 1.0);
        let [subject_deviation, benchmark_deviation, tracking_deviation] =
            [subject, benchmark, &self.difference].map(|side| side.variance(length).sqrt());
        let varies = |deviation: f64| deviation > DEVIATION_MIN;
        let beta = varies(benchmark_deviation).then(|| covariance / benchmark.variance(length));
        let both_vary = varies(subject_deviation) && varies(benchmark_deviation);
        let annualized_percent = |deviation: f64| 100.0 * deviation * periods_per_year.sqrt();
        Ok(ComparisonFigures {
            start_day: self.start_day,
            end_day: self.end_day,
            subject_return_percent: subject.return_percent(),
            benchmark_return_percent: benchmark.return_percent(),
            relative_strength_percent: 100.0
                * ((subject.last / subject.first) / (benchmark.last / benchmark.first) - 1.0),
            correlation: both_vary.then(|| (covariance / (subject_deviation * benchmark_deviation)).clamp(-1.0, 1.0)),
            beta,
            alpha_annualized_percent: beta
                .map(|beta| 100.0 * (subject.mean(length) - beta * benchmark.mean(length)) * periods_per_year),
            tracking_error_percent: annualized_percent(tracking_deviation),
            volatility_subject_annualized_percent: annualized_percent(subject_deviation),
            volatility_benchmark_annualized_percent: annualized_percent(benchmark_deviation),
            max_drawdown_subject_percent: 100.0 * (subject.deepest - 1.0),
            max_drawdown_benchmark_percent: 100.0 * (benchmark.deepest - 1.0),
            observation_count: count(self.sample_count - 1),
            missing_count,
            periods_per_year,
        })
    }
}
