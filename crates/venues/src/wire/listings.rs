//! Shared code of the market-cap listings.

use smol_str::{SmolStr, ToSmolStr};

use super::reader::{FieldError, Scalar};
use crate::{Parsed, Unresolved, UnresolvedReason};
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::{Instrument, InstrumentKind, Observation, Payload, Timestamp};

/// A listing's instrument: an asset priced in US dollars. `ticker` is empty when only the id is known.
pub(crate) fn instrument(id: &str, ticker: &str) -> Instrument {
    Instrument {
        symbol: SmolStr::new(id),
        base: ticker.to_uppercase().to_smolstr(),
        quote: SmolStr::new_static("USD"),
        kind: InstrumentKind::Listing,
        multiplier: 1,
    }
}

/// Reads a required text.
pub(crate) fn text(value: Scalar<'_>, field: &'static str) -> Result<SmolStr, (&'static str, FieldError)> {
    match value {
        Scalar::Text(bytes) if !bytes.is_empty() => value.text().map(|text| text.to_smolstr()),
        _ => None,
    }
    .ok_or((field, FieldError(UnresolvedReason::Malformed)))
}

/// Reads a rank, from 1; 0 counts as absent.
pub(crate) fn rank(value: Scalar<'_>) -> Result<Option<u32>, FieldError> {
    match value.integer()? {
        None | Some(0) => Ok(None),
        Some(rank) => u32::try_from(rank).map(Some).map_err(|_| FieldError(UnresolvedReason::Implausible)),
    }
}

/// Builds the observation of a row, which must have a price or a market cap.
pub(crate) fn observation(
    instrument: Instrument,
    event_time: Option<Timestamp>,
    row: MarketCap,
) -> Result<Observation, (&'static str, FieldError)> {
    if row.price.is_none() && row.market_cap.is_none() {
        return Err(("price", FieldError(UnresolvedReason::NoValue)));
    }
    Ok(Observation { instrument, event_time, payload: Payload::MarketCap(Box::new(row)) })
}

/// If instruments were requested: drops all others, and adds the missing ones as unresolved.
pub(crate) fn keep_asked(parsed: &mut Parsed, asked: &[Instrument]) {
    if asked.is_empty() {
        return;
    }
    let is_asked = |symbol: &str| asked.iter().any(|instrument| instrument.symbol == symbol);
    parsed.observations.retain(|observation| is_asked(&observation.instrument.symbol));
    let mut told = std::collections::HashSet::new();
    parsed.unresolved.retain(|entry| is_asked(&entry.symbol) && told.insert(entry.symbol.clone()));
    for instrument in asked {
        let symbol = &instrument.symbol;
        let observed = parsed.observations.iter().any(|observation| &observation.instrument.symbol == symbol);
        if observed {
            parsed.unresolved.retain(|entry| &entry.symbol != symbol);
        } else if !parsed.unresolved.iter().any(|entry| &entry.symbol == symbol) {
            let reason = UnresolvedReason::NotAnswered;
            parsed.unresolved.push(Unresolved { symbol: symbol.clone(), reason, field: "" });
        }
    }
}
