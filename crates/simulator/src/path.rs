//! One asset's price path: a pure function of seed and time, from [`HISTORY_DAYS`] before the start to any time after
//! it.
//!
//! Time is cut into blocks of 24 hours that meet at the start. The prices where blocks meet come first: a bridge
//! through what is known of the past, a walk into the future. Within a block the path is a bridge of 5-minute steps
//! (hourly ones in the remote past), and within a step one of midpoints. The block that ends at the start is scaled so
//! that its realized volatility is exactly the one wanted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::asset::{CHANGE_DAYS, Past};
use super::noise::{mix, normal, uniform, wander};

/// How far back a path reaches, in days before the start.
pub(super) const HISTORY_DAYS: i64 = 800;

/// How far back it has 5-minute steps, in days before the start.
pub(super) const FINE_DAYS: i64 = 60;

pub(super) const BLOCK_SECONDS: i64 = 86_400;

/// Seconds in a fine step.
pub(super) const FINE_SECONDS: i64 = 300;

const COARSE_SECONDS: i64 = 3_600;
const BLOCKS_KEPT_MAX: usize = 9;
const BLOCKS_KEPT_SINCE: i64 = -8;

/// Tags that keep the draws independent.
const TAG_WAYPOINT: u64 = 1;
const TAG_BOUNDARY: u64 = 2;
const TAG_STEP: u64 = 3;
const TAG_WICK: u64 = 4;
const TAG_MIDPOINT: u64 = 5;
const TAG_ACTIVITY: u64 = 6;
const TAG_BLOCK_VOLATILITY: u64 = 7;

/// An asset with a smaller daily move, as a fraction, follows another price.
const VOLATILITY_PEGGED_MAX: f64 = 0.005;

/// A path of logarithms of price relative to the price at the start. Times are seconds since the start.
pub(super) struct Path {
    seed: u64,
    market_seed: u64,
    past: Past,
    /// The all-time high; no price before the start exceeds it.
    ceiling: f64,
    /// Where blocks meet, by days before the start.
    history: Vec<f64>,
    /// Where blocks meet, by days after the start; grows on demand.
    future: Mutex<Vec<f64>>,
    blocks: Mutex<BTreeMap<i64, Arc<Block>>>,
    highest_since_start: Mutex<Highest>,
}

/// The highest price of whole blocks since the start.
#[derive(Clone, Copy)]
struct Highest {
    blocks: i64,
    log: f64,
    time: i64,
}

struct Block {
    index: i64,
    step_seconds: i64,
    step_volatility: f64,
    points: Vec<f64>,
}

/// One step of a path, logarithms of price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub start: i64,
    pub seconds: i64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    /// Trading activity relative to the usual level.
    pub activity: f64,
}

impl Path {
    /// The path of an asset with that past. `ceiling` is the logarithm of its all-time high over its price at the
    /// start, reached `ceiling_days` before the start.
    pub(crate) fn new(seed: u64, market_seed: u64, past: Past, ceiling: f64, ceiling_days: i64) -> Self {
        let mut path = Self {
            seed,
            market_seed,
            past,
            ceiling,
            history: Vec::new(),
            future: Mutex::new(vec![0.0]),
            blocks: Mutex::new(BTreeMap::new()),
            highest_since_start: Mutex::new(Highest { blocks: 0, log: 0.0, time: 0 }),
        };
        path.history = path.bridge(&path.waypoints(ceiling_days));
        path
    }

    /// The first second at which it has a price.
    pub(crate) fn first(&self) -> i64 {
        -self.past.age_days.unwrap_or(HISTORY_DAYS).min(HISTORY_DAYS) * BLOCK_SECONDS
    }

    /// The price at a time.
    pub(crate) fn at(&self, time: i64) -> f64 {
        let time = time.max(-HISTORY_DAYS * BLOCK_SECONDS);
        let block = self.block(time.div_euclid(BLOCK_SECONDS));
        let within = time.rem_euclid(BLOCK_SECONDS);
        let index = (within / block.step_seconds) as usize;
        let step = self.step(&block, index);
        let offset = (within % block.step_seconds) as f64;
        if block.step_seconds == COARSE_SECONDS {
            return step.open + (step.close - step.open) * offset / COARSE_SECONDS as f64;
        }
        self.within_step(&block, &step, index, offset)
    }

    /// The current step up to `time`; `None` when it begins at `time`.
    pub(crate) fn running_step(&self, time: i64) -> Option<Step> {
        let start = time - time.rem_euclid(FINE_SECONDS);
        if time == start {
            return None;
        }
        let (open, close) = (self.at(start), self.at(time));
        let (mut high, mut low) = (open.max(close), open.min(close));
        for sample in (start + 15..time).step_by(15) {
            let value = self.at(sample);
            high = high.max(value);
            low = low.min(value);
        }
        let activity = self.activity(start, FINE_SECONDS);
        Some(Step { start, seconds: time - start, open, high, low, close, activity })
    }

    /// Visits the whole steps that begin at `from` or later and end at `to` or earlier.
    pub(crate) fn visit(&self, from: i64, to: i64, mut visitor: impl FnMut(&Step)) {
        let from = from.max(self.first());
        let mut index = from.div_euclid(BLOCK_SECONDS);
        while index * BLOCK_SECONDS < to {
            let block = self.block(index);
            let start = index * BLOCK_SECONDS;
            let skipped = (from - start).max(0) + block.step_seconds - 1;
            let first = (skipped / block.step_seconds) as usize;
            for step in first..block.points.len().saturating_sub(1) {
                let step = self.step(&block, step);
                if step.start + step.seconds > to {
                    return;
                }
                visitor(&step);
            }
            index += 1;
        }
    }

    /// The highest price from the start to `time`, and when it was.
    pub(crate) fn highest_since_start(&self, time: i64) -> (f64, i64) {
        let whole_blocks = time.div_euclid(BLOCK_SECONDS).max(0);
        let mut kept = self.highest_since_start.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.blocks > whole_blocks {
            *kept = Highest { blocks: 0, log: 0.0, time: 0 };
        }
        let mut highest = *kept;
        self.visit(highest.blocks * BLOCK_SECONDS, whole_blocks * BLOCK_SECONDS, |step| highest.see(step));
        highest.blocks = whole_blocks;
        *kept = highest;
        drop(kept);
        self.visit(whole_blocks * BLOCK_SECONDS, time, |step| highest.see(step));
        if let Some(step) = self.running_step(time.max(0)) {
            highest.see(&step);
        }
        (highest.log, highest.time)
    }

    /// The known past: days before the start and price then, nearest first.
    fn waypoints(&self, ceiling_days: i64) -> Vec<(i64, f64)> {
        let past = &self.past;
        let mut waypoints = vec![(0, 0.0)];
        let (mut days_before, mut log, mut drift_before) = (0, 0.0_f64, 0.0);
        for (index, days) in CHANGE_DAYS.into_iter().enumerate() {
            let known = past.changes.and_then(|changes| changes.get(index).copied());
            let drift = past.drift.get(index).copied().unwrap_or(drift_before);
            log = match known {
                Some(change) => -(1.0 + change).ln(),
                None => {
                    let spread = past.volatility_day * ((days - days_before) as f64).sqrt() * 0.6;
                    log - (drift - drift_before) - spread * normal(mix(mix(self.seed, TAG_WAYPOINT), days as u64))
                }
            };
            // A drawn price stays a little under the all-time high, which is of another day.
            let gap = if known.is_some() { 0.0 } else { 0.002_f64.min(self.ceiling / 2.0) };
            log = log.min(self.ceiling - gap);
            waypoints.push((days, log));
            (days_before, drift_before) = (days, drift);
        }
        // Pegged assets have always been pegged.
        let rise = if past.volatility_day > VOLATILITY_PEGGED_MAX { 0.1 } else { 0.0 };
        waypoints.push((HISTORY_DAYS, (log - rise).min(self.ceiling)));
        let is_apart = waypoints.iter().all(|(days, _)| (days - ceiling_days).abs() >= 3);
        if is_apart && ceiling_days < HISTORY_DAYS && past.volatility_day > VOLATILITY_PEGGED_MAX {
            waypoints.push((ceiling_days, self.ceiling - 0.0005));
            waypoints.sort_by_key(|(days, _)| *days);
        }
        waypoints
    }

    /// The prices where blocks meet, by days before the start.
    fn bridge(&self, waypoints: &[(i64, f64)]) -> Vec<f64> {
        let mut history = vec![0.0];
        for pair in waypoints.windows(2) {
            let &[(near_days, near), (far_days, far)] = pair else { continue };
            let draws: Vec<f64> = (near_days + 1..=far_days).map(|days| self.draw(TAG_BOUNDARY, -days, 0)).collect();
            let count = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / count;
            let mut log = near;
            for draw in draws {
                log += (far - near) / count + (draw - mean) * self.past.volatility_day * 0.8;
                history.push(self.below_ceiling(log));
            }
            // The rounding of the sum and the ceiling must not move a known price.
            if let Some(last) = history.last_mut() {
                *last = far;
            }
        }
        history
    }

    /// Folds values above the all-time high back below it.
    fn below_ceiling(&self, log: f64) -> f64 {
        if log <= self.ceiling { log } else { self.ceiling - (log - self.ceiling).min(0.05) * 0.5 }
    }

    /// The price where the block begins.
    fn boundary(&self, block: i64) -> f64 {
        if block <= 0 {
            let days = usize::try_from(-block).unwrap_or(usize::MAX);
            return self.history.get(days).or(self.history.last()).copied().unwrap_or(0.0);
        }
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = block as usize;
        while future.len() <= wanted {
            let log = future.last().copied().unwrap_or(0.0);
            let draw = self.draw(TAG_BOUNDARY, future.len() as i64, 0);
            future.push(log + draw * self.past.volatility_day * 0.8);
        }
        future.get(wanted).copied().unwrap_or(0.0)
    }

    /// A draw that is partly shared with the whole market.
    fn draw(&self, tag: u64, block: i64, index: usize) -> f64 {
        let hash = |seed: u64| mix(mix(seed, tag), (block as u64) << 12 | index as u64);
        let own = normal(hash(self.seed));
        let share = self.past.market_share;
        if share == 0.0 {
            return own;
        }
        share * normal(hash(self.market_seed)) + (1.0 - share * share).sqrt() * own
    }

    fn block(&self, index: i64) -> Arc<Block> {
        if index < BLOCKS_KEPT_SINCE {
            return Arc::new(self.build(index));
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocks.get(&index) {
            return Arc::clone(block);
        }
        let block = Arc::new(self.build(index));
        blocks.insert(index, Arc::clone(&block));
        if blocks.len() > BLOCKS_KEPT_MAX {
            blocks.pop_first();
        }
        block
    }

    fn build(&self, index: i64) -> Block {
        let step_seconds = if index >= -FINE_DAYS { FINE_SECONDS } else { COARSE_SECONDS };
        let steps = (BLOCK_SECONDS / step_seconds) as usize;
        let (begin, end) = (self.boundary(index), self.boundary(index + 1));
        let draws: Vec<f64> = (0..steps).map(|step| self.draw(TAG_STEP, index, step)).collect();
        let count = steps as f64;
        let mean = draws.iter().sum::<f64>() / count;
        let change = end - begin;
        let scale = if index == -1 {
            let squares: f64 = draws.iter().map(|draw| (draw - mean).powi(2)).sum();
            ((self.past.volatility_24h.powi(2) - change.powi(2) / count).max(0.0) / squares).sqrt()
        } else {
            let calm = uniform(mix(mix(self.seed, TAG_BLOCK_VOLATILITY), index as u64));
            self.past.volatility_day * (0.5 + 0.5 * calm) / count.sqrt()
        };
        let mut log = begin;
        let mut points = Vec::with_capacity(steps + 1);
        points.push(begin);
        for draw in draws {
            log += change / count + (draw - mean) * scale;
            points.push(if index < 0 { self.below_ceiling(log) } else { log });
        }
        if let Some(last) = points.last_mut() {
            *last = end;
        }
        Block { index, step_seconds, step_volatility: scale, points }
    }

    fn step(&self, block: &Block, index: usize) -> Step {
        let open = block.points.get(index).copied().unwrap_or(0.0);
        let close = block.points.get(index + 1).copied().unwrap_or(open);
        let hash = mix(mix(self.seed, TAG_WICK), (block.index as u64) << 12 | index as u64);
        let wick = |hash: u64| normal(hash).abs() * block.step_volatility * 0.5;
        let ceiling = if block.index < 0 { self.ceiling.max(open).max(close) } else { f64::INFINITY };
        let start = block.index * BLOCK_SECONDS + index as i64 * block.step_seconds;
        Step {
            start,
            seconds: block.step_seconds,
            open,
            high: (open.max(close) + wick(hash)).min(ceiling),
            low: open.min(close) - wick(mix(hash, 1)),
            close,
            activity: self.activity(start, block.step_seconds),
        }
    }

    /// The midpoint bridge within a step, kept between the step's low and high.
    fn within_step(&self, block: &Block, step: &Step, index: usize, offset: f64) -> f64 {
        let (mut left, mut right) = (0.0, FINE_SECONDS as f64);
        let (mut begin, mut end) = (step.open, step.close);
        let hash = mix(mix(self.seed, TAG_MIDPOINT), (block.index as u64) << 12 | index as u64);
        let mut node = 1_u64;
        for _ in 0..8 {
            let middle = (left + right) / 2.0;
            let spread = block.step_volatility * ((right - left) / FINE_SECONDS as f64).sqrt() * 0.5;
            let value = (begin + end) / 2.0 + spread * normal(mix(hash, node));
            if offset < middle {
                (right, end, node) = (middle, value, node * 2);
            } else {
                (left, begin, node) = (middle, value, node * 2 + 1);
            }
        }
        let value = begin + (end - begin) * (offset - left) / (right - left);
        if offset == 0.0 { step.open } else { value.clamp(step.low, step.high) }
    }

    fn activity(&self, start: i64, seconds: i64) -> f64 {
        let hash = mix(self.seed, TAG_ACTIVITY);
        let own = 0.5 + uniform(mix(hash, (start / seconds) as u64));
        own * (1.0 + 0.3 * wander(hash, start as f64 / 21_600.0))
    }
}

impl Highest {
    fn see(&mut self, step: &Step) {
        if step.high > self.log {
            (self.log, self.time) = (step.high, step.start);
        }
    }
}
