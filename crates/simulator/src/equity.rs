//! The simulated share markets: levels of indices by New York's sessions, a pure function of the seed and of time like
//! everything else here.
//!
//! Closes run from [`FIRST_YEAR`] on, between known points and with noise that vanishes at them; the points are rough
//! closes from general knowledge. The Russell 2000 forms an inverse head and shoulders in the autumn of 2025 (shoulders
//! at 2,425 and 2,432, the head at 2,310, under a neckline at 2,535), breaks out in January, and stands 7 % above the
//! close of 2025 when the simulated market starts: higher than ever before.

use crossmarket_domain::Timestamp;
use crossmarket_domain::calendar::{Session, day_start, sessions_between};
use jiff::civil::{Date, date};

use super::market::start_time;
use super::noise::{mix, mix_text, normal, wander};

mod table;

pub use table::EquityIndex;
use table::INDICES;

/// The first year with sessions.
const FIRST_YEAR: i16 = 2014;
/// The last one: the trading calendar ends there.
const LAST_YEAR: i16 = 2030;

/// Tags keep the draws independent.
const TAG_CLOSE: u64 = 1;
const TAG_OPEN: u64 = 2;
const TAG_WITHIN: u64 = 3;
const TAG_WICK: u64 = 4;

/// Number of samples within a session to find its high and low.
const SAMPLES: u32 = 78;

/// The calm of the months in which the pattern forms, as a share of the usual noise.
const CALM: f64 = 0.25;
const CALM_SINCE: Date = date(2025, 9, 15);

/// All simulated indices.
pub struct Equities {
    seed: u64,
    sessions: Vec<Session>,
    closes: Vec<Vec<f64>>,
    /// The session in which the simulated market starts.
    start: usize,
}

/// The levels of one session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionBar {
    pub session: Session,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

impl Equities {
    /// The share markets of that seed.
    pub fn new(seed: u64) -> Self {
        let sessions: Vec<Session> = sessions_between(date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)).collect();
        let start = sessions.partition_point(|session| session.close <= start_time());
        let seed = mix(seed, 0x0065_7175);
        let closes = INDICES.iter().map(|index| closes(seed, index, &sessions, start)).collect();
        Self { seed, sessions, closes, start }
    }

    pub fn find(&self, code: &str) -> Option<&'static EquityIndex> {
        INDICES.iter().find(|index| index.code == code)
    }

    /// The levels of the sessions that have begun by `now` and open in `[from, until)`, oldest first; the last may be
    /// the current session.
    pub fn bars(&self, index: &EquityIndex, from: Timestamp, until: Timestamp, now: Timestamp) -> Vec<SessionBar> {
        let first = self.sessions.partition_point(|session| session.open < from);
        let begun = self.sessions.get(first..).unwrap_or_default().iter().enumerate();
        let wanted = begun.take_while(|(_, session)| session.open < until && session.open <= now);
        wanted.filter_map(|(offset, _)| self.bar(index, first + offset, now)).collect()
    }

    /// The newest bar at a time; its close is the level then.
    pub fn latest(&self, index: &EquityIndex, now: Timestamp) -> Option<SessionBar> {
        self.bar(index, self.place_of(now)?, now)
    }

    /// The close of the session before the newest.
    pub fn previous_close(&self, index: &EquityIndex, now: Timestamp) -> Option<f64> {
        self.close(index, self.place_of(now)?.checked_sub(1)?)
    }

    fn place_of(&self, now: Timestamp) -> Option<usize> {
        self.sessions.partition_point(|session| session.open <= now).checked_sub(1)
    }

    fn close(&self, index: &EquityIndex, place: usize) -> Option<f64> {
        let row = INDICES.iter().position(|known| known.code == index.code)?;
        self.closes.get(row)?.get(place).copied()
    }

    fn bar(&self, index: &EquityIndex, place: usize, now: Timestamp) -> Option<SessionBar> {
        let session = *self.sessions.get(place)?;
        let (open, last) = (self.open(index, place)?, self.at(index, place, now));
        let (mut high, mut low) = (open.max(last), open.min(last));
        if place + 3 > self.start {
            let until = now.min(session.close);
            let span = session.close.since(session.open);
            for sample in 1..SAMPLES {
                let time = session.open + span * sample / SAMPLES;
                if time < until {
                    let level = self.at(index, place, time);
                    (high, low) = (high.max(level), low.min(level));
                }
            }
        } else {
            // The remote past was never looked at while it went on.
            let hash = self.hash(index, TAG_WICK, place);
            let wick = |hash: u64| 1.0 + normal(hash).abs() * index.noise * 0.4;
            high *= wick(hash);
            low /= wick(mix(hash, 1));
            high = high.min(index.ceiling(session.date)).max(open).max(last);
        }
        Some(SessionBar { session, open, high, low, close: last })
    }

    fn open(&self, index: &EquityIndex, place: usize) -> Option<f64> {
        let close = self.close(index, place)?;
        let before = place.checked_sub(1).and_then(|before| self.close(index, before)).unwrap_or(close);
        if place == self.start {
            return Some(before * (close / before).powf(0.2));
        }
        let share = 0.25 + 0.1 * normal(self.hash(index, TAG_OPEN, place)).clamp(-2.0, 2.0);
        Some(before * (close / before).powf(share))
    }

    /// The level of a session at a time within it, or its close.
    fn at(&self, index: &EquityIndex, place: usize, now: Timestamp) -> f64 {
        let (Some(session), Some(open), Some(close)) =
            (self.sessions.get(place), self.open(index, place), self.close(index, place))
        else {
            return 0.0;
        };
        let done = now.since(session.open).as_secs_f64() / session.close.since(session.open).as_secs_f64();
        if done >= 1.0 {
            return close;
        }
        let mut amplitude = index.noise * 0.5 * (done * (1.0 - done)).sqrt();
        if place == self.start {
            // Its close was set so that the way there is at the level of the story when the market starts.
            let start =
                start_time().since(session.open).as_secs_f64() / session.close.since(session.open).as_secs_f64();
            amplitude *= ((done - start).abs() * 4.0).min(1.0) * 0.3;
        }
        let level = open * (close / open).powf(done);
        level * (amplitude * wander(self.hash(index, TAG_WITHIN, place), done * 39.0)).exp()
    }

    fn hash(&self, index: &EquityIndex, tag: u64, place: usize) -> u64 {
        mix(mix(mix_text(self.seed, index.code), tag), place as u64)
    }
}

/// The closes of all sessions: through the known points up to the one of the start, and wandering on from there.
fn closes(seed: u64, index: &EquityIndex, sessions: &[Session], start: usize) -> Vec<f64> {
    let own = mix(mix_text(seed, index.code), TAG_CLOSE);
    let draw = |place: usize| {
        let day = sessions.get(place).map_or(0, |session| day_start(session.date).as_seconds()) as u64;
        let share = index.market_share;
        share * normal(mix(mix(seed, TAG_CLOSE), day)) + (1.0 - share * share).sqrt() * normal(mix(own, day))
    };
    let mut points: Vec<(usize, f64)> = index
        .points
        .iter()
        .map(|(date, level)| (sessions.partition_point(|session| session.date < *date).min(start), level.ln()))
        .collect();
    points.dedup_by_key(|(place, _)| *place);
    let mut logs = vec![0.0; sessions.len()];
    if let Some((first, log)) = points.first().copied() {
        logs.iter_mut().take(first + 1).for_each(|slot| *slot = log);
    }
    for pair in points.windows(2) {
        let &[(from, begin), (to, end)] = pair else { continue };
        let noise = |place: usize| {
            let calm = sessions.get(place).is_some_and(|session| session.date >= CALM_SINCE);
            draw(place) * index.noise * if calm { CALM } else { 0.7 }
        };
        let draws: Vec<f64> = (from + 1..=to).map(noise).collect();
        let count = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / count;
        let mut log = begin;
        for (offset, draw) in draws.iter().enumerate() {
            log += (end - begin) / count + draw - mean;
            let place = from + 1 + offset;
            let ceiling = sessions.get(place).map_or(f64::INFINITY, |session| index.ceiling(session.date).ln());
            if let Some(slot) = logs.get_mut(place) {
                *slot = if place == to { end } else { fold(log, ceiling) };
            }
        }
    }
    let mut log = logs.get(start).copied().unwrap_or_default();
    for place in start + 1..sessions.len() {
        // After the story, levels return slowly to where they began, so that a volatility index stays a plausible one.
        let home = logs.get(start).copied().unwrap_or_default();
        log += draw(place) * index.noise + (home - log) * index.reversion;
        if let Some(slot) = logs.get_mut(place) {
            *slot = log;
        }
    }
    logs.into_iter().map(f64::exp).collect()
}

/// Folds what would be too high back under the ceiling.
fn fold(log: f64, ceiling: f64) -> f64 {
    if log <= ceiling { log } else { ceiling - (log - ceiling).min(0.05) * 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(equities: &Equities, index: &EquityIndex, now: Timestamp) -> f64 {
        equities.latest(index, now).expect("a bar").close
    }

    fn rut(equities: &Equities) -> &'static EquityIndex {
        equities.find("RUT").expect("simulated")
    }

    #[test]
    fn the_story_is_told_whatever_the_seed() {
        for seed in 0..8 {
            let equities = Equities::new(seed);
            let now = start_time();
            let level = level(&equities, rut(&equities), now);
            let bars = equities.bars(rut(&equities), Timestamp::EPOCH, now, now);
            let (today, past) = bars.split_last().expect("bars");
            let year_end = past.iter().rfind(|bar| bar.session.date.year() == 2025).expect("2025");
            assert!((level / year_end.close - 1.07).abs() < 1e-9, "{}", level / year_end.close);
            assert!(past.iter().all(|bar| bar.high < level), "seed {seed}: an earlier high");
            assert!(today.high >= level && (today.high / level - 1.0) < 0.002, "{today:?}");
            assert!(past.len() > 2_500 && past[0].session.date.year() == FIRST_YEAR);
            // Two shoulders and a head under the neckline, then the breakout.
            let lowest = |from: Date, until: Date| {
                let within = past.iter().filter(|bar| bar.session.date >= from && bar.session.date <= until);
                within.map(|bar| bar.close).fold(f64::INFINITY, f64::min)
            };
            let left = lowest(date(2025, 10, 15), date(2025, 10, 31));
            let head = lowest(date(2025, 11, 10), date(2025, 11, 30));
            let right = lowest(date(2025, 12, 15), date(2025, 12, 30));
            assert!(
                head < left * 0.97 && head < right * 0.97 && (left / right - 1.0).abs() < 0.02,
                "{left} {head} {right}"
            );
            let neckline = 2_545.0;
            let before =
                past.iter().filter(|bar| bar.session.date >= date(2025, 10, 1) && bar.session.date.year() == 2025);
            assert!(before.map(|bar| bar.close).fold(0.0, f64::max) < neckline);
            assert!(past.iter().rev().take(4).all(|bar| bar.close > neckline));
        }
    }

    #[test]
    fn the_analytics_see_the_breakout_from_an_inverse_head_and_shoulders() {
        use crossmarket_analytics::daily::{Daily, Day};
        use crossmarket_analytics::patterns::{self, Outcome};

        for seed in 0..8 {
            let equities = Equities::new(seed);
            let now = start_time();
            let bars = equities.bars(rut(&equities), Timestamp::EPOCH, now, now);
            let past = bars.iter().filter(|bar| bar.session.close <= now);
            let closes = Daily::new(past.map(|bar| (Day::of(day_start(bar.session.date)), bar.close)));
            let day = |year, month, day| Day::from_date(year, month, day).expect("a date");
            let found = patterns::inverse_heads_and_shoulders(
                &closes,
                day(2014, 1, 1),
                day(2026, 1, 14),
                patterns::REVERSAL_PERCENT_DEFAULT,
                patterns::TOLERANCE_PERCENT,
            );
            let last = found.last().expect("a pattern");
            assert!((day(2025, 11, 10)..day(2025, 12, 1)).contains(&last.head.0), "seed {seed}: {last:?}");
            let Outcome::BrokenOut((on, _)) = last.outcome else { panic!("seed {seed}: {last:?}") };
            assert!((day(2026, 1, 2)..=day(2026, 1, 14)).contains(&on), "seed {seed}: {last:?}");
        }
    }

    #[test]
    fn levels_are_continuous_and_within_their_bars() {
        let equities = Equities::new(3);
        for code in ["RUT", "SPX", "VIX", "IWM"] {
            let index = equities.find(code).expect("simulated");
            let mut time = start_time();
            let mut before = level(&equities, index, time);
            for _ in 0..400 {
                time = time + std::time::Duration::from_secs(60);
                let level = level(&equities, index, time);
                assert!((level / before - 1.0).abs() < index.noise, "{code} {time}: {before} to {level}");
                before = level;
            }
            let close = time + std::time::Duration::from_secs(3 * 3_600);
            let bar = equities.latest(index, close).expect("a bar");
            assert_eq!(level(&equities, index, close + std::time::Duration::from_secs(60)), bar.close);
            assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close));
        }
    }

    #[test]
    fn every_index_has_sessions_only() {
        let equities = Equities::new(1);
        for index in INDICES {
            let now = start_time();
            let bars = equities.bars(index, now - std::time::Duration::from_secs(30 * 86_400), now, now);
            assert_eq!(bars.len(), 20, "{}", index.code);
            assert!(bars.iter().all(|bar| bar.low > 0.0 && bar.high >= bar.low));
        }
    }
}
