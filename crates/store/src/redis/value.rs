//! Values in Redis, and reading its answers.
//!
//! A stored value is the time received (8 bytes, big-endian, microseconds) and then the entry as every store has it: the time stands apart so that
//! the script can compare it. The hash and the feed hold the same bytes.

use redis::Value;

use crate::encoding;
use crate::error::StoreError;
use crate::update::Entry;
use crossmarket_domain::state::{Epoch, Revision};

const TIME_LEN: usize = 8;

/// An entry as it is stored.
pub(super) fn encode(entry: &Entry, epoch: Epoch) -> Vec<u8> {
    let received = entry.state.as_ref().map_or(0, |state| state.receive_time.as_micros());
    let encoded = encoding::encode_entry(entry, epoch);
    let mut bytes = Vec::with_capacity(TIME_LEN + encoded.len());
    bytes.extend_from_slice(&received.to_be_bytes());
    bytes.extend_from_slice(&encoded);
    bytes
}

/// A stored entry.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, StoreError> {
    let encoded = bytes.get(TIME_LEN..).ok_or_else(|| strange("a value"))?;
    Ok(encoding::decode_entry(encoded)?.0)
}

/// What is not what these scripts and commands answer.
pub(super) fn strange(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} in redis is not crossmarket's"))
}

/// The bytes of a string.
pub(super) fn bytes_of(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(strange("a value")),
    }
}

/// A string or a number, as text.
pub(super) fn text_of(value: &Value) -> Result<String, StoreError> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).map_err(|_| strange("a text")),
        Value::SimpleString(text) => Ok(text.clone()),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err(strange("a text")),
    }
}

/// A list of them.
pub(super) fn texts_of(value: Value) -> Result<Vec<String>, StoreError> {
    match value {
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        _ => Err(strange("an answer")),
    }
}

/// A whole number that is not negative.
pub(super) fn number_of(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|_| strange("a number"))
}

/// Pairs, as a map or as a flat list.
pub(super) fn pairs_of(value: Value) -> Result<Vec<(Value, Value)>, StoreError> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        Value::Nil => Ok(Vec::new()),
        Value::Array(parts) if parts.len().is_multiple_of(2) => {
            let mut parts = parts.into_iter();
            let mut pairs = Vec::with_capacity(parts.len() / 2);
            while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
        _ => Err(strange("an answer")),
    }
}

/// The answer to `HMGET … #epoch #revision`: zeros where there is none.
pub(super) fn head_of(value: Value) -> Result<(Epoch, Revision), StoreError> {
    let Value::Array(parts) = value else { return Err(strange("a head")) };
    let number = |index: usize| match parts.get(index) {
        None | Some(Value::Nil) => Ok(0),
        Some(value) => number_of(&text_of(value)?),
    };
    Ok((number(0)?, number(1)?))
}
