//! Keys, states and entries as bytes, the same in every store.
//!
//! **Keys and series names** are text, so that they can be read in whatever tool shows a store:
//! `price:BTC`, `asset:BTC`, `long-short:global-account:1h:bybit:BTC` (without a venue for the aggregate), `index:category:privacy-coins`,
//! `feed:tickers:binance`; `candles:1d:BTC`, `market-cap:1d:BTC`, and for a sampled series its
//! name with the name's length in bytes before it, `sampled:27:global-account:aggregate:1h:BTC`. What is free in its letters comes last.
//!
//! **Entries** are one format byte, [`FORMAT`], and then a Protocol Buffers message. Fields that a reader does not know
//! are skipped, so a newer version may add some; a change that older readers must not misread is a new format byte.
//! Everything of a [`State`] is kept exactly: the scale of decimals, the bits of floats, what is absent.
//!
//! One file for each kind of [`Body`]: `price`, `asset`, `long_short`, `index`, `feed`. A new kind is a file, a row in `BodyMessage` and
//! its two lines in [`Body`]'s conversions; a new kind of [`Key`] is its line in [`key_name`] and in [`parse_key`].

mod asset;
mod feed;
mod index;
mod long_short;
mod price;
mod scalar;

use prost::Message;

use self::scalar::{DurationMessage, required};
use super::{Entry, StoreError};
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{Body, Epoch, Key, State};
use crossmarket_domain::{AssetCode, CandleInterval, Feed, IndexCode, Timestamp, TraceContext};

/// The first byte of an encoded entry.
pub const FORMAT: u8 = 1;

/// A key as text.
pub fn key_name(key: &Key) -> String {
    match key {
        Key::Price(asset) => format!("price:{asset}"),
        Key::Asset(asset) => format!("asset:{asset}"),
        Key::LongShort(key) => format!("long-short:{}", long_short::key_name(key)),
        Key::Index(index) => format!("index:{index}"),
        Key::Feed(venue, feed) => format!("feed:{feed}:{venue}"),
    }
}

/// The key of that text.
pub fn parse_key(name: &str) -> Result<Key, StoreError> {
    let asset = |code: &str| AssetCode::parse(code);
    let key = match name.split_once(':') {
        Some(("price", code)) => asset(code).map(Key::Price),
        Some(("asset", code)) => asset(code).map(Key::Asset),
        Some(("long-short", rest)) => long_short::parse_key(rest).map(Key::LongShort),
        Some(("index", code)) => IndexCode::parse(code).map(Key::Index),
        Some(("feed", rest)) => {
            rest.split_once(':').and_then(|(feed, venue)| Some(Key::Feed(venue.into(), Feed::parse(feed)?)))
        }
        _ => None,
    };
    key.ok_or_else(|| corrupt(format!("key {name:?}")))
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
    let message = EntryMessage {
        key: key_name(&entry.key),
        revision: entry.revision,
        epoch,
        state: entry.state.as_ref().map(StateMessage::from),
        trace: entry.trace.map(|trace| trace.to_bytes().to_vec()),
    };
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(FORMAT);
    message.encode_raw(&mut bytes);
    bytes
}

/// The entry of those bytes and the epoch of its writer.
pub fn decode_entry(bytes: &[u8]) -> Result<(Entry, Epoch), StoreError> {
    let message: EntryMessage = decode(bytes)?;
    let key = parse_key(&message.key)?;
    let state = message.state.map(State::try_from).transpose()?;
    let trace = message.trace.and_then(|bytes| TraceContext::from_bytes(&bytes));
    Ok((Entry { key, revision: message.revision, state, trace }, message.epoch))
}

/// Only the `receive_time` of an encoded entry and the epoch of its writer, without decoding its body; `None` for a removal.
pub fn decode_receive_time(bytes: &[u8]) -> Result<Option<(Timestamp, Epoch)>, StoreError> {
    let message: EntryTimeMessage = decode(bytes)?;
    Ok(message.state.map(|state| (Timestamp::from_micros(state.receive_time), message.epoch)))
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    match bytes.split_first() {
        Some((&FORMAT, message)) => M::decode(message).map_err(|error| corrupt(error.to_string())),
        Some((format, _)) => Err(corrupt(format!("entry of format {format}"))),
        None => Err(corrupt("entry without bytes")),
    }
}

fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(message, optional, tag = "4")]
    state: Option<StateMessage>,
    #[prost(bytes = "vec", optional, tag = "5")]
    trace: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StateMessage {
    #[prost(sint64, tag = "1")]
    event_time: i64,
    #[prost(sint64, tag = "2")]
    receive_time: i64,
    #[prost(sint64, tag = "3")]
    publish_time: i64,
    #[prost(message, optional, tag = "4")]
    budget: Option<DurationMessage>,
    #[prost(bool, tag = "5")]
    simulated: bool,
    #[prost(oneof = "BodyMessage", tags = "16, 17, 18, 19, 20")]
    body: Option<BodyMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum BodyMessage {
    #[prost(message, tag = "16")]
    Price(Box<price::PriceMessage>),
    #[prost(message, tag = "17")]
    Asset(asset::AssetMessage),
    #[prost(message, tag = "18")]
    Feed(feed::FeedMessage),
    #[prost(message, tag = "19")]
    LongShort(Box<long_short::LongShortMessage>),
    #[prost(message, tag = "20")]
    Index(Box<index::IndexMessage>),
}

/// The part of [`EntryMessage`] that holds the receive time and the epoch; the rest is skipped as unknown.
#[derive(Clone, PartialEq, prost::Message)]
struct EntryTimeMessage {
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(message, optional, tag = "4")]
    state: Option<StateTimeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StateTimeMessage {
    #[prost(sint64, tag = "2")]
    receive_time: i64,
}

impl From<&State> for StateMessage {
    fn from(state: &State) -> Self {
        Self {
            event_time: state.event_time.as_micros(),
            receive_time: state.receive_time.as_micros(),
            publish_time: state.publish_time.as_micros(),
            budget: Some(state.budget.into()),
            simulated: state.simulated,
            body: Some((&state.body).into()),
        }
    }
}

impl TryFrom<StateMessage> for State {
    type Error = StoreError;

    fn try_from(message: StateMessage) -> Result<Self, StoreError> {
        Ok(Self {
            event_time: Timestamp::from_micros(message.event_time),
            receive_time: Timestamp::from_micros(message.receive_time),
            publish_time: Timestamp::from_micros(message.publish_time),
            budget: required(message.budget, "budget")?.try_into()?,
            simulated: message.simulated,
            body: required(message.body, "body of a known kind")?.try_into()?,
        })
    }
}

impl From<&Body> for BodyMessage {
    fn from(body: &Body) -> Self {
        match body {
            Body::Price(price) => Self::Price(Box::new((&**price).into())),
            Body::Asset(asset) => Self::Asset((&**asset).into()),
            Body::Feed(feed) => Self::Feed((&**feed).into()),
            Body::LongShort(ratio) => Self::LongShort(Box::new((&**ratio).into())),
            Body::Index(index) => Self::Index(Box::new((&**index).into())),
        }
    }
}

impl TryFrom<BodyMessage> for Body {
    type Error = StoreError;

    fn try_from(message: BodyMessage) -> Result<Self, StoreError> {
        Ok(match message {
            BodyMessage::Price(price) => Self::Price(Box::new((*price).try_into()?)),
            BodyMessage::Asset(asset) => Self::Asset(Box::new(asset.try_into()?)),
            BodyMessage::Feed(feed) => Self::Feed(Box::new(feed.try_into()?)),
            BodyMessage::LongShort(ratio) => Self::LongShort(Box::new((*ratio).try_into()?)),
            BodyMessage::Index(index) => Self::Index(Box::new((*index).try_into()?)),
        })
    }
}

#[cfg(test)]
mod tests;
