//! Histories: what is kept of the past, by subject and kind.

use smol_str::SmolStr;

use super::{CandleInterval, Decimal, Timestamp};

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// An asset's or index's code: `BTC`, `RUT`.
    pub subject: SmolStr,
    /// The kind of series.
    pub kind: SeriesKind,
}

/// The kinds of series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKind {
    /// Candles in US dollars.
    Candles(CandleInterval),
    /// Market capitalization in US dollars at the end of each UTC day.
    DailyMarketCap,
    /// Any other sampled value, by name (used by long/short ratios: `global-account:aggregate:1h`).
    Sampled(SmolStr),
}

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub time: Timestamp,
    /// The value.
    pub value: Decimal,
}
