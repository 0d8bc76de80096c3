//! Candles: open, high, low, close over a fixed interval.

use std::time::Duration;

use super::{Decimal, Timestamp};

/// The intervals that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandleInterval {
    /// 5 minutes.
    FiveMinutes,
    /// 1 hour.
    OneHour,
    /// 1 day of UTC.
    OneDay,
}

impl CandleInterval {
    /// Every interval, shortest first.
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::OneHour, Self::OneDay];

    /// `5m`, `1h` or `1d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
            Self::OneDay => "1d",
        }
    }

    /// The interval's length.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveMinutes => 300,
            Self::OneHour => 3_600,
            Self::OneDay => 86_400,
        })
    }

    /// The interval written as `5m`, `1h` or `1d`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.as_str() == text)
    }
}

/// One candle. The high is the largest and the low the smallest of the four prices; all are positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Start of the interval, a multiple of it in UTC.
    pub start: Timestamp,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Quantity traded, in the base asset.
    pub base_volume: Option<Decimal>,
    /// Value traded, in the quote asset.
    pub quote_volume: Option<Decimal>,
}
