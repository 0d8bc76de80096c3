//! Times, numbers and texts on the wire.

use std::time::Duration;

use prost_types::Timestamp as WireTime;

use crossmarket_domain::{Decimal, Timestamp};

/// Significant digits of a number that was computed with floats.
const COMPUTED_DIGITS: u32 = 12;

pub(crate) fn time(instant: Timestamp) -> WireTime {
    let micros = instant.as_micros();
    WireTime { seconds: micros.div_euclid(1_000_000), nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32 }
}

/// An instant from a request; `None` when it is outside the years 1 to 9999 or its nanoseconds are out of range.
pub(crate) fn instant(time: &WireTime) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    let micros = time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos / 1_000))?;
    let instant = Timestamp::from_micros(micros);
    (instant.as_micros() == micros).then_some(instant)
}

pub(crate) fn span(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

/// A span from a request; `None` when it is negative or not well formed.
pub(crate) fn duration(span: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(span.seconds).ok()?, nanos))
}

/// A decimal as the API writes it: plain, without trailing zeros.
pub(crate) fn decimal(value: Decimal) -> String {
    value.to_text()
}

/// A count or rank; what does not fit is as large as it gets.
pub(super) fn count(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

pub(super) fn long_count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Statistics on the wire are finite.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

pub(super) fn texts<'a>(values: impl IntoIterator<Item = &'a smol_str::SmolStr>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

/// A number that was computed with floats, as a decimal.
pub(crate) fn computed(value: f64) -> String {
    decimal(Decimal::from_f64(value).unwrap_or_default().rounded_to_significant(COMPUTED_DIGITS))
}
