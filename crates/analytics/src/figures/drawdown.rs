//! All-time highs, and the drawdown from them.

use smol_str::SmolStr;

use crate::numbers::change_percent;
use crossmarket_domain::state::AllTimeHigh;
use crossmarket_domain::{Candle, Decimal, Timestamp};

/// [`AllTimeHigh::source`] of a high found in the histories or in the price itself.
pub const SOURCE_HISTORY: &str = "history";

/// A highest price and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The price, in US dollars.
    pub price: Decimal,
    /// The high's time; for daily candles, the day's start.
    pub time: Option<Timestamp>,
    /// A listing's venue id, or [`SOURCE_HISTORY`].
    pub source: SmolStr,
}

/// The highest price in a daily history; the earliest of equal ones.
pub fn history_high(daily: &[Candle]) -> Option<Peak> {
    let mut highest: Option<&Candle> = None;
    for candle in daily {
        if highest.is_none_or(|known| candle.high > known.high) {
            highest = Some(candle);
        }
    }
    highest.map(|candle| Peak {
        price: candle.high,
        time: Some(candle.start),
        source: SmolStr::new_static(SOURCE_HISTORY),
    })
}

/// The all-time high: the highest of the listing's high, the history's high and the price itself; of equal ones the
/// first in this order. A history that began late cannot contain an earlier high, and a listing lags behind a new one,
/// so neither alone is enough. Drawdown = `price / all-time high − 1`, in per cent. `None` when neither a listing nor a
/// history has a high: the price alone is not a record.
pub fn all_time_high(
    listing: Option<Peak>,
    history: Option<Peak>,
    price: Option<(Decimal, Timestamp)>,
) -> Option<AllTimeHigh> {
    let known = match (listing, history) {
        (Some(listing), Some(history)) if history.price > listing.price => history,
        (Some(listing), _) => listing,
        (None, history) => history?,
    };
    let peak = match price {
        Some((now, time)) if now > known.price => {
            Peak { price: now, time: Some(time), source: SmolStr::new_static(SOURCE_HISTORY) }
        }
        _ => known,
    };
    let drawdown_percent = price.and_then(|(now, _)| change_percent(now, peak.price));
    Some(AllTimeHigh { price: peak.price, time: peak.time, drawdown_percent, source: peak.source })
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::{candles, time};
    use super::*;
    use crossmarket_domain::CandleInterval;

    #[test]
    fn the_highest_wins_and_says_where_it_is_from() {
        let now = time("2026-01-15T12:00:00Z");
        let listing = |price: i64| Peak { price: Decimal::from(price), time: None, source: "coingecko".into() };
        let history =
            history_high(&candles(CandleInterval::OneDay, time("2026-01-15T00:00:00Z"), &[80.0, 100.0, 100.0, 90.0]));
        assert_eq!(history.as_ref().and_then(|peak| peak.time), Some(time("2026-01-12T00:00:00Z")));
        let check = |listed: Option<i64>,
                     with_history: bool,
                     price: Option<i64>,
                     expected: Option<(i64, &str, Option<f64>)>| {
            let known = history.clone().filter(|_| with_history);
            let priced = price.map(|price| (Decimal::from(price), now));
            let found = all_time_high(listed.map(listing), known, priced);
            let expected =
                expected.map(|(price, source, drawdown)| (Decimal::from(price), SmolStr::from(source), drawdown));
            assert_eq!(found.map(|high| (high.price, high.source, high.drawdown_percent)), expected);
        };
        check(Some(200), true, Some(50), Some((200, "coingecko", Some(-75.0))));
        check(Some(99), true, Some(50), Some((100, "history", Some(-50.0))));
        check(Some(100), true, Some(100), Some((100, "coingecko", Some(0.0))));
        check(Some(100), true, Some(125), Some((125, "history", Some(0.0))));
        check(None, true, None, Some((100, "history", None)));
        check(None, false, Some(5), None);
    }
}
