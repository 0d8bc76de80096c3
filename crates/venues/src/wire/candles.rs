//! Rows of candles, whatever the order of their columns.

use super::builder::{At, EntryInstrument, Failure, ResponseBuilder, Statement};
use super::reader::{JsonError, Kind, Reader, Scalar};
use crate::UnresolvedReason;
use crossmarket_domain::{Candle, CandleInterval, Payload};

/// Which column of a candle row is what. The time is the candle's start in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CandleColumns {
    pub time: usize,
    pub open: usize,
    pub high: usize,
    pub low: usize,
    pub close: usize,
    pub base_volume: usize,
    pub quote_volume: Option<usize>,
}

/// A candle row's first columns.
pub(crate) type CandleRow<'a> = [Scalar<'a>; 8];

/// Reads an array of candle rows; an element that is no array becomes a row of compounds, which no column accepts.
pub(crate) fn candle_rows<'b>(reader: &mut Reader<'b>) -> Result<Vec<CandleRow<'b>>, JsonError> {
    let mut rows = Vec::new();
    reader.array(|reader| {
        if reader.kind()? == Kind::Array {
            rows.push(reader.row()?);
        } else {
            reader.skip()?;
            rows.push([Scalar::Compound; 8]);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Records each row. A candle's length is not in the row, so it comes from the question.
pub(crate) fn record_candles(
    builder: &mut ResponseBuilder<'_>,
    about: &EntryInstrument,
    columns: CandleColumns,
    interval: CandleInterval,
    rows: &[CandleRow<'_>],
) {
    for row in rows {
        builder.record(about, candle(row, columns, interval));
    }
}

fn candle(row: &CandleRow<'_>, columns: CandleColumns, interval: CandleInterval) -> Result<Statement, Failure> {
    let column = |index: usize| row.get(index).copied().unwrap_or_default();
    let price =
        |index, field| column(index).price().at(field)?.ok_or(Failure { reason: UnresolvedReason::NoValue, field });
    let implausible = |field| Failure { reason: UnresolvedReason::Implausible, field };
    let start = column(columns.time).seconds().at("time")?;
    let start = start.ok_or(Failure { reason: UnresolvedReason::NoValue, field: "time" })?;
    if start.floor_to(interval.duration()) != start {
        return Err(implausible("time"));
    }
    let candle = Candle {
        start,
        open: price(columns.open, "open")?,
        high: price(columns.high, "high")?,
        low: price(columns.low, "low")?,
        close: price(columns.close, "close")?,
        base_volume: column(columns.base_volume).quantity().at("volume")?,
        quote_volume: match columns.quote_volume {
            Some(index) => column(index).quantity().at("turnover")?,
            None => None,
        },
    };
    if candle.high < candle.open.max(candle.close) {
        return Err(implausible("high"));
    }
    if candle.low > candle.open.min(candle.close) {
        return Err(implausible("low"));
    }
    Ok((Some(start), Payload::Candle(interval, candle)))
}
