//! What the stores share about series: the kinds of records and the statistics.

use crate::encoding;
use crate::error::StoreError;
use crate::packing::{self, Block, BlockNumber, Record};
use crate::update::SeriesInfo;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::{Candle, Timestamp};

/// Refuses points of a series of candles and the other way round.
pub(super) fn check_kind<R: Record>(series: &SeriesKey) -> Result<(), StoreError> {
    let holds_candles = matches!(series.kind, SeriesKind::Candles(_));
    if holds_candles == (R::FORMAT == Candle::FORMAT) {
        Ok(())
    } else {
        Err(StoreError::WrongSeries { series: encoding::series_name(series), wanted: R::NAME })
    }
}

/// The blocks that a range of time touches, or `None` for an empty range.
pub(super) fn blocks_between(
    kind: &SeriesKind,
    from: Timestamp,
    until: Timestamp,
) -> Option<std::ops::RangeInclusive<BlockNumber>> {
    (from < until).then(|| packing::block_number(kind, from)..=packing::block_number(kind, until))
}

/// A series' count, first and last time, kept up to date so that listing series reads no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesStats {
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl SeriesStats {
    /// The statistics after a block was replaced by one with more records.
    pub(crate) fn after_merge(before: Option<Self>, old: Option<&Block<'_>>, merged: &Block<'_>) -> Option<Self> {
        let (first, last) = (merged.first()?, merged.last()?);
        let added = merged.len().saturating_sub(old.map_or(0, Block::len));
        Some(match before {
            Some(stats) => Self {
                count: stats.count.saturating_add(added),
                first: stats.first.min(first),
                last: stats.last.max(last),
            },
            None => Self { count: added, first, last },
        })
    }

    /// The statistics after records were dropped from the start; `None` when nothing is left.
    pub(crate) fn after_trim(self, dropped: u64, first: Option<Timestamp>) -> Option<Self> {
        Some(Self { count: self.count.saturating_sub(dropped), first: first?, last: self.last })
    }

    pub(crate) fn info(self, key: SeriesKey) -> SeriesInfo {
        SeriesInfo { key, count: self.count, first: self.first, last: self.last }
    }
}
