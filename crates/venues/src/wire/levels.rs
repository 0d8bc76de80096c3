//! Shared code of the index-level sources: symbol tables, session closes, dates and CSV rows.

use super::builder::{EntryInstrument, Failure, ResponseBuilder, Statement};
use super::reader::{FieldError, Scalar};
use crate::{UnresolvedReason, VenueError};
use crossmarket_domain::calendar;
use crossmarket_domain::observation::IndexLevel;
use crossmarket_domain::{Decimal, Instrument, InstrumentKind, Payload, Timestamp};

/// Decimal places of a level when the source does not state them; digits beyond are binary floating-point noise.
pub(crate) const PLACES_DEFAULT: u32 = 2;

/// How far back to ask for the newest close of a source that has closes only.
pub(crate) const RECENT_SPAN: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);

/// A source's symbols: the index code and the source's name for it.
pub(crate) type Symbols = &'static [(&'static str, &'static str)];

/// The instrument of one of our indices, quoted in US dollars.
pub(crate) fn listing(symbols: Symbols, base: &str, quote: &str) -> Option<Instrument> {
    let (_, symbol) = symbols.iter().find(|(index, _)| *index == base && quote == "USD")?;
    instrument(symbols, symbol)
}

/// The instrument of a symbol: one of our indices, or another of the source's series under the source's own name.
pub(crate) fn instrument(symbols: Symbols, symbol: &str) -> Option<Instrument> {
    if symbol.is_empty() {
        return None;
    }
    let index = symbols.iter().find(|(_, known)| known.eq_ignore_ascii_case(symbol)).map(|(index, _)| *index);
    let (base, quote) = match index {
        Some(index) => (index, "USD"),
        None => symbol
            .split_once('-')
            .filter(|(base, quote)| !base.is_empty() && !quote.is_empty())
            .unwrap_or((symbol, "USD")),
    };
    Some(Instrument {
        symbol: symbol.into(),
        base: base.into(),
        quote: quote.into(),
        kind: InstrumentKind::Index,
        multiplier: 1,
    })
}

/// The instruments to request: the given ones, or every index of the source when none are given.
pub(crate) fn asked_or_all(symbols: Symbols, asked: &[Instrument]) -> Vec<Instrument> {
    if asked.is_empty() {
        return symbols.iter().filter_map(|(_, symbol)| instrument(symbols, symbol)).collect();
    }
    asked.to_vec()
}

/// The four levels of a session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bar {
    pub open: Option<Decimal>,
    pub high: Option<Decimal>,
    pub low: Option<Decimal>,
    pub close: Option<Decimal>,
}

impl Bar {
    /// Reads the four levels, rounded to `places`.
    pub(crate) fn read(
        open: Scalar<'_>,
        high: Scalar<'_>,
        low: Scalar<'_>,
        close: Scalar<'_>,
        places: u32,
    ) -> Result<Self, Failure> {
        let level = |value: Scalar<'_>, field| -> Result<Option<Decimal>, Failure> {
            let read = value.price().map_err(|FieldError(reason)| Failure { reason, field })?;
            Ok(read.map(|level| rounded(level, places)))
        };
        Ok(Self {
            open: level(open, "open")?,
            high: level(high, "high")?,
            low: level(low, "low")?,
            close: level(close, "close")?,
        })
    }

    /// The observation of `level` at `event_time`. `close_of` names the session whose close it is. A high or low that
    /// contradicts the other levels is dropped and the close is kept: sources compose them from different prints.
    pub(crate) fn statement(self, level: Decimal, event_time: Timestamp, close_of: Option<Timestamp>) -> Statement {
        let others = [Some(level), self.open];
        let high = self.high.filter(|high| others.iter().flatten().all(|other| high >= other));
        let low = self.low.filter(|low| others.iter().flatten().all(|other| low <= other));
        let level = IndexLevel { level, open: self.open, high, low, previous_close: None, close_of };
        (Some(event_time), Payload::IndexLevel(level))
    }
}

/// Rounds away binary floating-point noise. A level that would round to 0 stays as it is.
pub(crate) fn rounded(level: Decimal, places: u32) -> Decimal {
    let rounded = level.rounded(places);
    if rounded.is_positive() { rounded } else { level }
}

/// Midnight UTC of `YYYY-MM-DD`.
pub(crate) fn date(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 10)?;
    let date: jiff::civil::Date = text.parse().ok()?;
    (date.year() > 0).then(|| calendar::day_start(date))
}

/// The failure for a row without a close, or a day without a session: the answer itself is valid.
pub(crate) fn no_close(field: &'static str) -> Failure {
    Failure { reason: UnresolvedReason::NoValue, field }
}

/// Splits a line of plain CSV into fields. The sources do not quote fields; quotes around a field are removed.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(|field| {
        let field = field.trim_ascii();
        field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(field)
    })
}

/// The non-empty lines of a CSV body, without the byte order mark.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// Records a CSV row: a close on a date.
pub(crate) fn record_row(
    builder: &mut ResponseBuilder<'_>,
    about: &EntryInstrument,
    day: &[u8],
    bar: impl FnOnce() -> Result<Bar, Failure>,
) {
    let statement = match date(day) {
        None => Err(Failure { reason: UnresolvedReason::Malformed, field: "date" }),
        Some(day) if !calendar::may_have_close(&about.instrument().base, day) => Err(no_close("date")),
        Some(day) => bar().and_then(|bar| {
            let close = bar.close.ok_or(no_close("close"))?;
            Ok(bar.statement(close, day, Some(day)))
        }),
    };
    builder.record(about, statement);
}

/// The rate-limit error, for sources that report it only as text.
pub(crate) fn limited_text(body: &[u8]) -> Option<VenueError> {
    let limited =
        body.trim_ascii_start().get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"Too Many Requests"));
    limited.then_some(VenueError::RateLimited { retry_after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_name_our_indices_or_themselves() {
        const SYMBOLS: Symbols = &[("RUT", "^RUT"), ("DXY", "DX-Y.NYB")];
        let check = |symbol: &str, base: &str, quote: &str| {
            let found = instrument(SYMBOLS, symbol).expect(symbol);
            assert_eq!((found.symbol.as_str(), found.base.as_str(), found.quote.as_str()), (symbol, base, quote));
        };
        check("^RUT", "RUT", "USD");
        check("^rut", "RUT", "USD");
        check("DX-Y.NYB", "DXY", "USD");
        check("BTC-EUR", "BTC", "EUR");
        check("QQQ", "QQQ", "USD");
        check("-X", "-X", "USD");
        assert_eq!(instrument(SYMBOLS, ""), None);
        assert_eq!(asked_or_all(SYMBOLS, &[]).len(), 2);
    }

    #[test]
    fn dates_are_of_one_form() {
        assert_eq!(date(b"2024-12-31"), Timestamp::parse("2024-12-31T00:00:00Z"));
        for refused in ["", "2024-13-01", "20241231", "2024-12-31T00:00", "-001-01-01", "0000-01-01"] {
            assert_eq!(date(refused.as_bytes()), None, "{refused}");
        }
    }
}
