//! Support and resistance: levels at which an index has turned.
//!
//! *Clustering.* The turning points of [`super::cycles`], both troughs and peaks, are grouped from the lowest up. A
//! level begins with the lowest ungrouped point and takes in every point up to `tolerance` per cent above it. So a
//! level is never wider than the tolerance, and no other grouping has fewer levels. Its value is the median of its
//! points; for an even number, the mean of the two middle ones.
//!
//! A level at or below the current value is support, one above it resistance.

use super::cycles::TurningPoint;
use super::daily::Day;
use crate::numbers::count;

/// Default width of a level, in per cent.
pub const TOLERANCE_PERCENT_DEFAULT: f64 = 10.0;

/// A level at which an index has turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The median of the turning points.
    pub level: f64,
    /// The lowest turning point.
    pub low: f64,
    /// The highest turning point.
    pub high: f64,
    /// Number of turning points, at least 1.
    pub touch_count: u32,
    pub first_day: Day,
    pub last_day: Day,
    /// Current value / level − 1, in per cent; `None` without a current value.
    pub distance_percent: Option<f64>,
}

/// The levels around the current value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// Levels at or below the current value, nearest first. Without a current value, all levels, highest first.
    pub supports: Vec<Level>,
    /// Levels above the current value, nearest first.
    pub resistances: Vec<Level>,
    /// Current value / nearest support − 1, in per cent, at least 0.
    pub distance_from_support_percent: Option<f64>,
    /// True when that distance is at most the tolerance.
    pub is_at_support: bool,
}

/// Groups turning points into levels. A `tolerance_percent` below 0 or NaN counts as 0, which groups equal points only.
pub fn find(turning_points: &[TurningPoint], current: Option<f64>, tolerance_percent: f64) -> Levels {
    let tolerance_percent = tolerance_percent.max(0.0);
    let mut points = turning_points.to_vec();
    points.sort_by(|left, right| left.level.total_cmp(&right.level));
    let mut levels = Levels::default();
    let mut rest = points.as_slice();
    while let Some(lowest) = rest.first() {
        let widest = lowest.level * (1.0 + tolerance_percent / 100.0);
        // Always takes at least the lowest point, so the loop ends.
        let (gathered, others) = rest.split_at(rest.partition_point(|point| point.level <= widest).max(1));
        rest = others;
        let Some(level) = Level::new(gathered, current) else { continue };
        if current.is_some_and(|current| level.level > current) {
            levels.resistances.push(level);
        } else {
            levels.supports.push(level);
        }
    }
    levels.supports.reverse();
    levels.distance_from_support_percent = levels.supports.first().and_then(|level| level.distance_percent);
    levels.is_at_support = levels.distance_from_support_percent.is_some_and(|distance| distance <= tolerance_percent);
    levels
}

impl Level {
    /// `None` without points. They must be sorted by level.
    fn new(points: &[TurningPoint], current: Option<f64>) -> Option<Self> {
        let (lowest, highest) = (points.first()?, points.last()?);
        let (below, above) = (points.get((points.len() - 1) / 2)?, points.get(points.len() / 2)?);
        let level = below.level + (above.level - below.level) / 2.0;
        Some(Self {
            level,
            low: lowest.level,
            high: highest.level,
            touch_count: count(points.len()),
            first_day: points.iter().map(|point| point.day).min()?,
            last_day: points.iter().map(|point| point.day).max()?,
            distance_percent: current.map(|current| 100.0 * (current - level) / level),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(levels: &[f64]) -> Vec<TurningPoint> {
        let point = |(number, level): (i32, &f64)| TurningPoint {
            day: Day::from_number(number),
            level: *level,
            is_trough: number % 2 == 0,
        };
        (0..).zip(levels).map(point).collect()
    }

    fn summary(levels: &[Level]) -> Vec<(f64, u32)> {
        levels.iter().map(|level| (level.level, level.touch_count)).collect()
    }

    #[test]
    fn turning_points_gather_into_levels() {
        let found = find(&points(&[100.0, 300.0, 110.0, 330.0, 105.0, 500.0, 111.0]), Some(112.0), 10.0);
        // 111 is more than 10 per cent above 100.
        assert_eq!(summary(&found.supports), [(111.0, 1), (105.0, 3)]);
        assert_eq!(summary(&found.resistances), [(315.0, 2), (500.0, 1)]);
        let widest = found.supports[1];
        assert_eq!((widest.low, widest.high), (100.0, 110.0));
        assert_eq!((widest.first_day.number(), widest.last_day.number()), (0, 4));
        assert_eq!(found.distance_from_support_percent, Some(100.0 * 1.0 / 111.0));
        assert!(found.is_at_support);
        assert_eq!(found.resistances[1].distance_percent, Some(100.0 * (112.0 - 500.0) / 500.0));
    }

    #[test]
    fn support_is_at_or_below() {
        let check = |current: Option<f64>, supports: usize, distance: Option<f64>, is_at_support: bool| {
            let found = find(&points(&[100.0, 200.0]), current, 10.0);
            let seen = (found.supports.len(), found.distance_from_support_percent, found.is_at_support);
            assert_eq!(seen, (supports, distance, is_at_support), "{current:?}");
        };
        check(Some(99.0), 0, None, false);
        check(Some(100.0), 1, Some(0.0), true);
        check(Some(110.0), 1, Some(10.0), true);
        check(Some(111.0), 1, Some(11.0), false);
        check(Some(200.0), 2, Some(0.0), true);
        check(None, 2, None, false);
        assert_eq!(find(&[], Some(1.0), 10.0), Levels::default());
    }

    proptest! {
        #[test]
        fn every_turning_point_belongs_to_one_narrow_level(
            levels in prop::collection::vec(1f64..1000.0, 0..40),
            current in 1f64..1000.0,
            tolerance in prop_oneof![Just(f64::NAN), 0f64..50.0],
        ) {
            let found = find(&points(&levels), Some(current), tolerance);
            let all: Vec<&Level> = found.supports.iter().chain(&found.resistances).collect();
            prop_assert_eq!(all.iter().map(|level| level.touch_count as usize).sum::<usize>(), levels.len());
            for level in &all {
                prop_assert!(level.high <= level.low * (1.0 + tolerance.max(0.0) / 100.0));
                prop_assert!(level.low <= level.level && level.level <= level.high);
                let gathered = levels.iter().filter(|one| (level.low..=level.high).contains(one)).count();
                prop_assert_eq!(gathered, level.touch_count as usize);
            }
            prop_assert!(found.supports.iter().all(|level| level.level <= current));
            prop_assert!(found.supports.windows(2).all(|pair| pair[0].level > pair[1].level));
            prop_assert!(found.resistances.windows(2).all(|pair| pair[0].level < pair[1].level));
        }
    }
}
