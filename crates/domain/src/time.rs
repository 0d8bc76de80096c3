//! Instants and the clock port.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::stored;

/// A UTC instant in microseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);

/// One day of UTC, which has no leap seconds here.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Microseconds in one [`DAY`].
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

const MICROS_MIN: i64 = -62_135_596_800_000_000;
const MICROS_MAX: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since 1970, clamped into the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MICROS_MIN, MICROS_MAX))
    }

    /// From milliseconds since 1970, clamped into the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// From seconds since 1970, clamped into the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// Reads RFC 3339, such as `2026-01-15T12:00:00.25Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        Some(Self::from_micros(instant.as_microsecond()))
    }

    /// Midnight UTC of a civil date, or `None` for an impossible one.
    pub fn from_date(year: i16, month: i8, day: i8) -> Option<Self> {
        let date = jiff::civil::Date::new(year, month, day).ok()?;
        Some(Self::from_micros(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond()))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Seconds since 1970, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Midnight UTC of the same day.
    pub fn day_start(self) -> Self {
        self.floor_to(Duration::from_micros(MICROS_PER_DAY as u64))
    }

    /// Midnight UTC of 1 January of the same year.
    pub fn year_start(self) -> Self {
        Self::from_date(self.civil().year(), 1, 1).unwrap_or(self)
    }

    /// The UTC civil date and time.
    pub fn civil(self) -> jiff::civil::DateTime {
        // Every value is between the years 1 and 9999, which jiff covers.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default().to_zoned(TimeZone::UTC).datetime()
    }

    /// The last multiple of `step` since 1970 at or before this instant; the instant itself for a step of 0.
    pub fn floor_to(self, step: Duration) -> Self {
        let step_micros = step.as_micros() as i64;
        if step_micros == 0 { self } else { Self(self.0 - self.0.rem_euclid(step_micros)) }
    }

    /// The time from `earlier` to this instant, 0 when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Stored as microseconds.
impl<C> Encode<C> for Timestamp {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.i64(self.as_micros())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Timestamp {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        decoder.i64().map(Self::from_micros)
    }
}

stored::in_tuples!(Timestamp);

/// RFC 3339 in UTC, with as many fraction digits as the instant has.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&jiff::Timestamp::from_microsecond(self.0).unwrap_or_default(), f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc_3339() {
        let instant = Timestamp::from_micros(1_618_677_810_244_075);
        assert_eq!(instant.to_string(), "2021-04-17T16:43:30.244075Z");
        assert_eq!(Timestamp::parse("2021-04-17T16:43:30.244075Z"), Some(instant));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn floors_before_1970_too() {
        let step = Duration::from_secs(60);
        assert_eq!(Timestamp::from_seconds(-1).floor_to(step), Timestamp::from_seconds(-60));
        assert_eq!(Timestamp::from_seconds(119).floor_to(step), Timestamp::from_seconds(60));
    }

    #[test]
    fn years_and_days_start_at_midnight() {
        let instant = Timestamp::parse("2026-01-15T12:34:56Z").expect("valid");
        assert_eq!(instant.day_start().to_string(), "2026-01-15T00:00:00Z");
        assert_eq!(instant.year_start().to_string(), "2026-01-01T00:00:00Z");
    }
}
