//! Cursors: positions in the shared change feed, so that any replica can continue a stream of another.

use crate::collection::Collection;
use crate::opaque;
use crossmarket_domain::state::{Epoch, Revision};

/// A position in one shard's feed. Positions order by epoch, then by revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The writer's generation.
    pub epoch: Epoch,
    /// The newest revision included.
    pub revision: Revision,
}

/// What a reader of a collection has seen: everything up to a position in each shard. It contains nothing specific to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub collection: Collection,
    /// The position in each shard, by shard number.
    pub positions: Vec<Position>,
}

/// The text is not a cursor: it was truncated, changed, or belongs to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this collection")]
pub struct CursorMangled;

const VERSION: u8 = 1;
const POSITION_LEN: usize = 16;

impl Cursor {
    /// Encodes the cursor for clients.
    pub fn encode(&self) -> String {
        let mut content = Vec::with_capacity(2 + self.positions.len() * POSITION_LEN);
        content.push(VERSION);
        content.push(self.collection.code());
        for position in &self.positions {
            content.extend_from_slice(&position.epoch.to_be_bytes());
            content.extend_from_slice(&position.revision.to_be_bytes());
        }
        opaque::seal(&content)
    }

    /// Decodes a text from [`Cursor::encode`] for this collection.
    pub fn decode(text: &str, collection: Collection) -> Result<Self, CursorMangled> {
        let content = opaque::open(text).ok_or(CursorMangled)?;
        let [VERSION, code, positions @ ..] = content.as_slice() else { return Err(CursorMangled) };
        let (positions, rest) = positions.as_chunks::<POSITION_LEN>();
        if *code != collection.code() || !rest.is_empty() || positions.is_empty() {
            return Err(CursorMangled);
        }
        let positions = positions
            .iter()
            .map(|bytes| {
                let number = u128::from_be_bytes(*bytes);
                Position { epoch: (number >> 64) as u64, revision: number as u64 }
            })
            .collect();
        Ok(Self { collection, positions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let positions = vec![Position { epoch: 1_768_000_000_000, revision: 42 }, Position { epoch: 7, revision: 0 }];
        let cursor = Cursor { collection: Collection::Prices, positions };
        let text = cursor.encode();
        assert_eq!(Cursor::decode(&text, Collection::Prices), Ok(cursor));
        assert_eq!(Cursor::decode(&text, Collection::Feeds), Err(CursorMangled));
        for bad in ["", "x", "AAAA", "not a cursor", &text[1..], &text[..text.len() - 1]] {
            assert_eq!(Cursor::decode(bad, Collection::Prices), Err(CursorMangled), "{bad:?}");
        }
        for at in 0..text.len() {
            let mut mangled = text.clone().into_bytes();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            let mangled = String::from_utf8(mangled).expect("ASCII");
            assert_eq!(Cursor::decode(&mangled, Collection::Prices), Err(CursorMangled), "changed at {at}");
        }
    }
}
