//! Histories: what is kept of the past, by subject and kind.

use smol_str::{SmolStr, format_smolstr};

use super::{CandleInterval, Decimal, LongShortKind, Period, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// An asset's or index's code: `BTC`, `RUT`.
    pub subject: SmolStr,
    pub kind: SeriesKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKind {
    /// Candles in US dollars.
    Candles(CandleInterval),
    /// Market capitalization in US dollars at the end of each UTC day.
    DailyMarketCap,
    /// Any other sampled value, by name (used by long/short ratios: `global-account:aggregate:1h`).
    Sampled(SmolStr),
}

/// The names of the sampled series that hold one long/short ratio's past. The period comes last, by which stores divide series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongShortSeriesNames {
    /// The long share: `global-account:okx:1h`, `global-account:aggregate:1h`.
    pub long_share: SmolStr,
    /// Open interest in US dollars: one series for all kinds of a venue, one for each kind of the aggregate.
    pub open_interest: SmolStr,
    /// The number of venues used, of an aggregate.
    pub venue_count: Option<SmolStr>,
}

impl LongShortSeriesNames {
    /// Those of one kind and period at a venue, `None` for the aggregate.
    pub fn of(kind: LongShortKind, period: Period, venue: Option<&str>) -> Self {
        let (kind, period) = (kind.series_word(), period.as_str());
        match venue {
            Some(venue) => Self {
                long_share: format_smolstr!("{kind}:{venue}:{period}"),
                open_interest: format_smolstr!("open-interest:{venue}:{period}"),
                venue_count: None,
            },
            None => Self {
                long_share: format_smolstr!("{kind}:aggregate:{period}"),
                open_interest: format_smolstr!("{kind}:aggregate-open-interest:{period}"),
                venue_count: Some(format_smolstr!("{kind}:aggregate-venues:{period}")),
            },
        }
    }
}

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub time: Timestamp,
    pub value: Decimal,
}
