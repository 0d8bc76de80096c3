//! Candles across a redenomination: where the unit of an asset changed, in the units of today.

use std::time::Duration;

use crossmarket_domain::time::DAY;
use crossmarket_domain::{Candle, Decimal, Timestamp};

/// How far the jump may be from the announced day: sources often know the month only.
const DAY_TOLERANCE: Duration = DAY.saturating_mul(31);

/// How far the jump may be from the factor. A market that moves by more than this on the day of the change is not
/// recognised.
const JUMP_TOLERANCE: f64 = 1.4;

/// Significant digits of a rescaled price.
const DIGITS: u32 = 12;

/// Rewrites the candles before the change of units, oldest first, where one old unit is `factor` of today's. The change
/// is where the price falls by about the factor within a month of `since`. Returns how many candles were rewritten; 0
/// if no such fall is there, as in a series that a venue has adjusted, or that was rewritten before.
pub fn rescale(candles: &mut [Candle], factor: Decimal, since: Timestamp) -> usize {
    let Some(at) = jump(candles, factor.to_f64(), since) else { return 0 };
    let mut rewritten = 0;
    for candle in candles.iter_mut().take(at) {
        if let Some(scaled) = scaled(candle, factor) {
            *candle = scaled;
            rewritten += 1;
        }
    }
    rewritten
}

/// The place of the first candle in new units.
fn jump(candles: &[Candle], factor: f64, since: Timestamp) -> Option<usize> {
    let is_near = |candle: &Candle| candle.start + DAY_TOLERANCE >= since && candle.start <= since + DAY_TOLERANCE;
    let distance = |(place, pair): (usize, &[Candle])| match pair {
        [before, after] if is_near(after) => {
            let fall = before.close.to_f64() / after.open.to_f64();
            let distance = (fall / factor).ln().abs();
            (distance <= JUMP_TOLERANCE.ln()).then_some((place + 1, distance))
        }
        _ => None,
    };
    // A factor near 1 cannot be told from the market.
    let is_plain = factor.ln().abs() > JUMP_TOLERANCE.ln();
    let jumps = candles.windows(2).enumerate().filter_map(distance).filter(|_| is_plain);
    jumps.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(place, _)| place)
}

fn scaled(candle: &Candle, factor: Decimal) -> Option<Candle> {
    let price = |price: Decimal| Some(price.checked_div(factor)?.rounded_to_significant(DIGITS).normalized());
    Some(Candle {
        start: candle.start,
        open: price(candle.open)?,
        high: price(candle.high)?,
        low: price(candle.low)?,
        close: price(candle.close)?,
        base_volume: candle.base_volume.and_then(|volume| volume.checked_mul(factor)),
        quote_volume: candle.quote_volume,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since() -> Timestamp {
        Timestamp::from_date(2026, 3, 1).expect("a date")
    }

    /// Days around the change, each with that close; the first is 20 days before the announced day.
    fn days(closes: &[&str]) -> Vec<Candle> {
        let price = |text: &str| Decimal::parse(text).expect("a number");
        let day = |(number, close): (u32, &&str)| Candle {
            start: since() - DAY * 20 + DAY * number,
            open: price(close),
            high: price(close),
            low: price(close),
            close: price(close),
            base_volume: Some(Decimal::from(100)),
            quote_volume: None,
        };
        (0..).zip(closes).map(day).collect()
    }

    fn closes(candles: &[Candle]) -> Vec<String> {
        candles.iter().map(|candle| candle.close.to_string()).collect()
    }

    #[test]
    fn what_is_before_the_change_is_in_units_of_today() {
        let mut candles = days(&["0.08", "0.084", "0.088", "0.0231", "0.022"]);
        assert_eq!(rescale(&mut candles, Decimal::from(4), since()), 3);
        assert_eq!(closes(&candles), ["0.02", "0.021", "0.022", "0.0231", "0.022"]);
        assert_eq!(candles[0].base_volume, Some(Decimal::from(400)));
        assert_eq!(candles[3].base_volume, Some(Decimal::from(100)));
        assert_eq!(rescale(&mut candles, Decimal::from(4), since()), 0, "once");
    }

    #[test]
    fn a_fall_that_is_not_the_change_stays() {
        let mut adjusted = days(&["0.02", "0.021", "0.022"]);
        assert_eq!(rescale(&mut adjusted, Decimal::from(4), since()), 0);
        let mut halved = days(&["0.04", "0.02"]);
        assert_eq!(rescale(&mut halved, Decimal::from(4), since()), 0);
        let mut early = days(&["0.08", "0.02"]);
        early.iter_mut().for_each(|candle| candle.start = candle.start - DAY * 60);
        assert_eq!(rescale(&mut early, Decimal::from(4), since()), 0);
        let mut renamed = days(&["1", "1"]);
        assert_eq!(rescale(&mut renamed, Decimal::ONE, since()), 0);
        let mut merged = days(&["0.5", "50"]);
        assert_eq!(rescale(&mut merged, Decimal::parse("0.01").expect("a number"), since()), 1);
        assert_eq!(closes(&merged), ["50", "50"]);
    }
}
