//! Candle rows, in any column order.

use super::builder::{At, EntryInstrument, Failure, ResponseBuilder, Statement};
use super::reader::{JsonError, Kind, Reader, Scalar};
use crate::UnresolvedReason;
use crossmarket_domain::{Candle, CandleInterval, Payload};

/// The columns of a candle row. The time is the candle's start in seconds.
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

/// The first columns of a candle row.
pub(crate) type CandleRow<'a> = [Scalar<'a>; 8];

/// Reads an array of candle rows. An element that is not an array becomes a row of compounds, which no column accepts.
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

/// Records each row. A row does not contain the candle's length, so it comes from the ask.
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
