//! Keys, states and entries as bytes, the same in every store.
//!
//! **Keys and series names** are text, so that they can be read in whatever tool shows a store:
//! `price:BTC`, `asset:BTC`, `long-short:global-account:1h:bybit:BTC` (without a venue for the aggregate), `index:category:privacy-coins`,
//! `feed:tickers:binance`; `candles:1d:BTC`, `market-cap:1d:BTC`, and for a sampled series its
//! name with the name's length in bytes before it, `sampled:27:global-account:aggregate:1h:BTC`. What is free in its letters comes last.
//!
//! **Entries** are one format byte, [`FORMAT`], and a CBOR array of the key's text, the revision, the epoch of the writer, the state (null for a
//! removal) and the trace. States are stored as the types in [`domain`](crossmarket_domain::state) say. Readers skip what they do not know, so a later
//! version may append to these arrays; a change that older readers must not misread is a new format byte.

use std::convert::Infallible;

use minicbor::bytes::ByteSlice;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use smol_str::SmolStr;

use crate::error::StoreError;
use crate::update::Entry;
use crossmarket_domain::long_short::LongShortKey;
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{Epoch, Key, State};
use crossmarket_domain::{AssetId, CandleInterval, Feed, IndexCode, LongShortKind, Period, Timestamp, TraceContext};

/// The first byte of an encoded entry. Format 1 was Protocol Buffers, format 2 had no asset ids; no release wrote
/// either.
pub(crate) const FORMAT: u8 = 3;

/// A key as text.
pub fn key_name(key: &Key) -> String {
    match key {
        Key::Price(asset) => format!("price:{asset}"),
        Key::Asset(asset) => format!("asset:{asset}"),
        Key::LongShort(key) => format!("long-short:{}", long_short_name(key)),
        Key::Index(index) => format!("index:{index}"),
        Key::Feed(venue, feed) => format!("feed:{feed}:{venue}"),
    }
}

/// The key of that text.
pub fn parse_key(name: &str) -> Result<Key, StoreError> {
    let asset = |id: &str| AssetId::parse(id);
    let key = match name.split_once(':') {
        Some(("price", code)) => asset(code).map(Key::Price),
        Some(("asset", code)) => asset(code).map(Key::Asset),
        Some(("long-short", rest)) => parse_long_short(rest).map(Key::LongShort),
        Some(("index", code)) => IndexCode::parse(code).map(Key::Index),
        Some(("feed", rest)) => {
            rest.split_once(':').and_then(|(feed, venue)| Some(Key::Feed(venue.into(), Feed::parse(feed)?)))
        }
        _ => None,
    };
    key.ok_or_else(|| corrupt(format!("key {name:?}")))
}

/// The key as text, without its kind's word. A venue may have any letters, an asset no colon.
fn long_short_name(key: &LongShortKey) -> String {
    let LongShortKey { asset, kind, period, venue } = key;
    let (kind, period) = (kind.series_word(), period.as_str());
    match venue {
        Some(venue) => format!("{kind}:{period}:{venue}:{asset}"),
        None => format!("{kind}:{period}:{asset}"),
    }
}

/// The key of that text.
fn parse_long_short(name: &str) -> Option<LongShortKey> {
    let (kind, rest) = name.split_once(':')?;
    let (period, rest) = rest.split_once(':')?;
    let (venue, asset) = match rest.rsplit_once(':') {
        Some((venue, asset)) => (Some(SmolStr::new(venue)), asset),
        None => (None, rest),
    };
    Some(LongShortKey {
        asset: AssetId::parse(asset)?,
        kind: LongShortKind::ALL.into_iter().find(|known| known.series_word() == kind)?,
        period: Period::parse(period)?,
        venue,
    })
}

/// A series as text.
pub fn series_name(series: &SeriesKey) -> String {
    let subject = &series.subject;
    match &series.kind {
        SeriesKind::Candles(interval) => format!("candles:{}:{subject}", interval.as_str()),
        SeriesKind::DailyMarketCap => format!("market-cap:1d:{subject}"),
        SeriesKind::Sampled(name) => format!("sampled:{}:{name}:{subject}", name.len()),
    }
}

/// The series of that text.
pub fn parse_series(name: &str) -> Result<SeriesKey, StoreError> {
    let parse = || {
        let (kind, rest) = name.split_once(':')?;
        let (detail, rest) = rest.split_once(':')?;
        let (kind, subject) = match kind {
            "candles" => (SeriesKind::Candles(CandleInterval::parse(detail)?), rest),
            "market-cap" if detail == "1d" => (SeriesKind::DailyMarketCap, rest),
            "sampled" => {
                let (sampled, subject) = rest.split_at_checked(detail.parse().ok()?)?;
                (SeriesKind::Sampled(sampled.into()), subject.strip_prefix(':')?)
            }
            _ => return None,
        };
        Some(SeriesKey { subject: subject.into(), kind })
    };
    parse().ok_or_else(|| corrupt(format!("series name {name:?}")))
}

/// An entry as bytes, with the epoch of the writer that made it.
pub fn encode_entry(entry: &Entry, epoch: Epoch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_LEN_TYPICAL);
    bytes.push(FORMAT);
    // A vector takes everything, and no type of the domain refuses to be stored.
    encode(entry, epoch, &mut Encoder::new(&mut bytes)).expect("states can be encoded");
    bytes
}

/// Key, revision, epoch, state and trace.
const ENTRY_PARTS: u64 = 5;

/// Bytes of a price snapshot of ten venues, roughly.
const ENTRY_LEN_TYPICAL: usize = 2_048;

fn encode(
    entry: &Entry,
    epoch: Epoch,
    encoder: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    encoder.array(ENTRY_PARTS)?.str(&key_name(&entry.key))?.u64(entry.revision)?.u64(epoch)?;
    encoder.encode(&entry.state)?;
    match entry.trace {
        Some(trace) => encoder.bytes(&trace.to_bytes())?,
        None => encoder.null()?,
    };
    Ok(())
}

/// The entry of those bytes and the epoch of its writer.
// By hand, as the derive takes an optional field with an unknown value for an absent one: a state of an unknown kind would be a removal.
pub fn decode_entry(bytes: &[u8]) -> Result<(Entry, Epoch), StoreError> {
    let mut decoder = entry_decoder(bytes)?;
    let key = parse_key(decoder.str()?)?;
    let (revision, epoch) = (decoder.u64()?, decoder.u64()?);
    let state: Option<State> = decoder.decode()?;
    let trace: Option<&ByteSlice> = decoder.decode()?;
    Ok((Entry { key, revision, state, trace: trace.and_then(|bytes| TraceContext::from_bytes(bytes)) }, epoch))
}

/// Only the `receive_time` of an encoded entry and the epoch of its writer, without decoding its body; `None` for a removal.
pub fn decode_receive_time(bytes: &[u8]) -> Result<Option<(Timestamp, Epoch)>, StoreError> {
    let mut decoder = entry_decoder(bytes)?;
    // The key and the revision.
    decoder.skip()?;
    decoder.skip()?;
    let epoch = decoder.u64()?;
    if decoder.datatype()? == Type::Null {
        return Ok(None);
    }
    // A state starts with its event time and its receive time. What follows is not even skipped: this is called for every write.
    decoder.array()?;
    decoder.skip()?;
    Ok(Some((decoder.decode()?, epoch)))
}

/// A decoder that stands at the first element of an entry of this format.
fn entry_decoder(bytes: &[u8]) -> Result<Decoder<'_>, StoreError> {
    match bytes.split_first() {
        Some((&FORMAT, entry)) => {
            let mut decoder = Decoder::new(entry);
            match decoder.array()? {
                Some(ENTRY_PARTS..) => Ok(decoder),
                _ => Err(corrupt("entry cut short")),
            }
        }
        Some((format, _)) => Err(corrupt(format!("entry of format {format}, and this version reads {FORMAT}"))),
        None => Err(corrupt("entry without bytes")),
    }
}

fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

#[cfg(test)]
mod tests;
