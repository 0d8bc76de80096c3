//! Builds a decoded answer entry by entry, so that each requested instrument ends up answered or unresolved.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::reader::{FieldError, JsonError, Kind, Reader, Scalar};
use crate::{Ask, AskPart, Parsed, Unresolved, UnresolvedReason, VenueError};
use crossmarket_domain::{Instrument, InstrumentKind, Observation, Payload, Timestamp};

/// Why an entry produces no observation, and the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub reason: UnresolvedReason,
    pub field: &'static str,
}

/// Adds the field's name to a [`FieldError`].
pub(crate) trait At<T> {
    /// The same result with the field's name in the error.
    fn at(self, field: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, FieldError> {
    fn at(self, field: &'static str) -> Result<T, Failure> {
        self.map_err(|FieldError(reason)| Failure { reason, field })
    }
}

/// A converted entry: the venue's time and the data.
pub(crate) type Statement = (Option<Timestamp>, Payload);

/// The instrument that an entry is about.
#[derive(Clone, Debug)]
pub(crate) struct EntryInstrument {
    instrument: Instrument,
    asked_index: Option<usize>,
}

/// Above the entry count of the longest list of a venue (Binance has about 3,500 symbols).
const OBSERVATIONS_RESERVED_MAX: usize = 4_096;

impl EntryInstrument {
    pub(crate) fn instrument(&self) -> &Instrument {
        &self.instrument
    }
}

/// Collects an answer's entries. If no instruments were requested, it keeps everything; otherwise it keeps the
/// requested ones, and [`ResponseBuilder::finish`] adds those without an observation.
pub(crate) struct ResponseBuilder<'a> {
    asked: &'a [Instrument],
    by_symbol: HashMap<&'a str, usize>,
    by_pair: HashMap<(&'a str, &'a str), usize>,
    answered: Vec<bool>,
    failures: Vec<Option<Failure>>,
    reports_every_entry: bool,
    lacking: Option<AskPart>,
    parsed: Parsed,
}

impl<'a> ResponseBuilder<'a> {
    /// For an answer whose entries are all kept.
    pub(crate) fn of_all() -> Self {
        Self::of(&[])
    }

    /// For the answer to `ask`: matches entries to its instruments by symbol.
    pub(crate) fn new(ask: &'a Ask) -> Self {
        Self { reports_every_entry: ask.reports_every_entry, ..Self::of(&ask.instruments) }
    }

    fn of(asked: &'a [Instrument]) -> Self {
        Self {
            asked,
            by_symbol: asked.iter().enumerate().map(|(index, asked)| (asked.symbol.as_str(), index)).collect(),
            by_pair: HashMap::new(),
            answered: vec![false; asked.len()],
            failures: vec![None; asked.len()],
            reports_every_entry: false,
            lacking: None,
            parsed: Parsed::default(),
        }
    }

    /// Matches entries by symbol, then by base and quote, for a venue that has several names for one instrument.
    pub(crate) fn by_pair(ask: &'a Ask) -> Self {
        let pairs = ask
            .instruments
            .iter()
            .enumerate()
            .map(|(index, asked)| ((asked.base.as_str(), asked.quote.as_str()), index));
        Self { by_pair: pairs.collect(), ..Self::new(ask) }
    }

    /// Reserves memory for the observations of an answer with up to this many entries, capped.
    pub(crate) fn reserve(&mut self, entry_count_max: usize) {
        let count_max = if self.asked.is_empty() { OBSERVATIONS_RESERVED_MAX } else { self.asked.len() };
        self.parsed.observations.reserve(entry_count_max.min(count_max));
    }

    /// Returns the instrument of the entry with this symbol, or `None` to skip the entry. `split` parses the symbol.
    pub(crate) fn resolve(
        &mut self,
        symbol: Scalar<'_>,
        split: impl Fn(&str) -> Option<Instrument>,
    ) -> Option<EntryInstrument> {
        let text = match symbol {
            Scalar::Text(_) => symbol.text().filter(|text| !text.is_empty()),
            _ => None,
        };
        let Some(text) = text else {
            self.broken(symbol);
            return None;
        };
        if self.asked.is_empty() {
            let instrument = split(&text);
            if instrument.is_none() {
                self.unresolved(symbol.label(), UnresolvedReason::UnknownSymbol, "symbol");
            }
            return instrument.map(|instrument| EntryInstrument { instrument, asked_index: None });
        }
        let index = self.by_symbol.get(text.as_ref()).copied().or_else(|| {
            if self.by_pair.is_empty() {
                return None;
            }
            let found = split(&text).filter(|found| found.kind != InstrumentKind::Other)?;
            self.by_pair.get(&(found.base.as_str(), found.quote.as_str())).copied()
        })?;
        let instrument = self.asked.get(index)?.clone();
        Some(EntryInstrument { instrument, asked_index: Some(index) })
    }

    /// Returns the instrument of an entry that does not name it: the only one requested. `None` when several were
    /// requested, since the entry is ambiguous. `None` also when none was, which fails the whole answer.
    pub(crate) fn only_instrument(&mut self) -> Option<EntryInstrument> {
        match self.asked {
            [] => {
                self.lacks(AskPart::Instrument);
                None
            }
            [only] => Some(EntryInstrument { instrument: only.clone(), asked_index: Some(0) }),
            _ => None,
        }
    }

    /// Notes a part that neither an entry nor the ask contains: [`ResponseBuilder::finish`] returns an error.
    pub(crate) fn lacks(&mut self, part: AskPart) {
        self.lacking.get_or_insert(part);
    }

    /// Records a converted entry.
    pub(crate) fn record(&mut self, about: &EntryInstrument, statement: Result<Statement, Failure>) {
        match (statement, about.asked_index) {
            (Ok((event_time, payload)), index) => {
                let instrument = about.instrument.clone();
                self.parsed.observations.push(Observation { instrument, event_time, payload });
                if let Some(answered) = index.and_then(|index| self.answered.get_mut(index)) {
                    *answered = true;
                }
            }
            (Err(failure), None) => {
                self.unresolved(about.instrument.symbol.clone(), failure.reason, failure.field);
            }
            (Err(failure), Some(index)) => {
                if self.reports_every_entry {
                    self.unresolved(about.instrument.symbol.clone(), failure.reason, failure.field);
                }
                if let Some(slot) = self.failures.get_mut(index) {
                    slot.get_or_insert(failure);
                }
            }
        }
    }

    /// Records a malformed entry that does not name its instrument.
    pub(crate) fn broken(&mut self, entry: Scalar<'_>) {
        if self.asked.is_empty() || self.reports_every_entry {
            self.unresolved(entry.label(), UnresolvedReason::Malformed, "symbol");
        }
    }

    /// Returns what was collected, with the requested instruments that have no observation.
    ///
    /// # Errors
    ///
    /// When an entry could not be read because the ask lacks a part.
    pub(crate) fn finish(mut self) -> Result<Parsed, VenueError> {
        if let Some(part) = self.lacking {
            return Err(VenueError::Unasked(part));
        }
        for (index, asked) in self.asked.iter().enumerate() {
            // An instrument requested twice counts once.
            let counts = self.by_symbol.get(asked.symbol.as_str()) == Some(&index);
            if counts && self.answered.get(index) == Some(&false) {
                let failure = self.failures.get(index).copied().flatten();
                if failure.is_some() && self.reports_every_entry {
                    continue;
                }
                let failure = failure.unwrap_or(Failure { reason: UnresolvedReason::NotAnswered, field: "" });
                self.unresolved(asked.symbol.clone(), failure.reason, failure.field);
            }
        }
        Ok(self.parsed)
    }

    fn unresolved(&mut self, symbol: SmolStr, reason: UnresolvedReason, field: &'static str) {
        self.parsed.unresolved.push(Unresolved { symbol, reason, field });
    }
}

/// Calls `read` for each element that is an object; anything else is a malformed entry.
pub(crate) fn each_object<'b>(
    reader: &mut Reader<'b>,
    builder: &mut ResponseBuilder<'_>,
    mut read: impl FnMut(&mut Reader<'b>, &mut ResponseBuilder<'_>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    reader.array(|reader| {
        if reader.kind()? == Kind::Object {
            return read(reader, builder);
        }
        let entry = reader.scalar()?;
        builder.broken(entry);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::Feed;
    use crossmarket_domain::observation::Ticker;

    #[test]
    fn answers_each_instrument_asked_for_once() {
        let spot = |symbol: &str| Instrument::spot(symbol, "BTC", "USD");
        let asked = [spot("A"), spot("B"), spot("C"), spot("A")];
        let ask = Ask::about(Feed::Tickers, asked);
        let mut builder = ResponseBuilder::new(&ask);
        let statement = || Ok((None, Payload::Ticker(Ticker::default())));
        let failure = Failure { reason: UnresolvedReason::NoValue, field: "last" };
        for (symbol, outcome) in [("A", Err(failure)), ("A", statement()), ("B", Err(failure)), ("Z", statement())] {
            if let Some(about) = builder.resolve(Scalar::Text(symbol.as_bytes()), |_| None) {
                builder.record(&about, outcome);
            }
        }
        builder.broken(Scalar::Null);
        let parsed = builder.finish().expect("nothing is lacking");
        assert_eq!(parsed.observations.len(), 1);
        let unresolved: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.symbol.as_str(), entry.reason)).collect();
        assert_eq!(unresolved, [("B", UnresolvedReason::NoValue), ("C", UnresolvedReason::NotAnswered)]);
    }
}
