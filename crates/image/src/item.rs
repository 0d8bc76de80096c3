//! One key's newest state, and its bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::Position;
use crossmarket_domain::state::{Body, Key, Revision, State};
use crossmarket_domain::{ShardId, Timestamp};

/// How much of an item is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The figures.
    Basic,
    /// The figures and their provenance.
    Full,
}

/// Whether a state is within its freshness budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is, or it has no budget.
    Fresh,
    /// It is not.
    Stale,
    /// The market is closed and nothing newer is due.
    Closed,
}

/// Turns states into bytes. Those bytes are one entry of a response's repeated field 1: tag, length and message.
pub trait Encoder: Send + Sync {
    fn encode(&self, state: &State, revision: Revision, freshness: Freshness) -> Encoding;
}

/// One state's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// In the view [`View::Basic`].
    pub basic: Bytes,
    /// In the view [`View::Full`].
    pub full: Bytes,
}

/// One update of a shard: the key's full state, or its removal.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: Key,
    /// The position in the shard's feed.
    pub revision: Revision,
    /// The state; `None` when the key is gone.
    pub state: Option<State>,
}

/// One key's newest state, as read.
#[derive(Debug)]
pub struct Item {
    pub key: Key,
    pub state: Arc<State>,
    pub shard: ShardId,
    /// Its position in that shard's feed.
    pub position: Position,
    /// Whether it was fresh when it was encoded.
    pub freshness: Freshness,
    pub(crate) encoding: Encoding,
}

impl Freshness {
    /// A state's freshness at a time.
    pub fn of(state: &State, now: Timestamp) -> Self {
        match deadline(state) {
            Some(deadline) if deadline <= now => Self::Stale,
            _ => match &state.body {
                Body::Index(index) if index.closed_until.is_some() => Self::Closed,
                _ => Self::Fresh,
            },
        }
    }
}

impl Item {
    /// The item as one entry of a response's repeated field 1.
    pub fn entry(&self, view: View) -> &Bytes {
        match view {
            View::Basic => &self.encoding.basic,
            View::Full => &self.encoding.full,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        deadline(&self.state)
    }

    pub(crate) fn with_freshness(&self, freshness: Freshness, encoder: &dyn Encoder) -> Self {
        Self {
            key: self.key.clone(),
            state: Arc::clone(&self.state),
            shard: self.shard,
            position: self.position,
            freshness,
            encoding: encoder.encode(&self.state, self.position.revision, freshness),
        }
    }
}

/// When a state becomes stale. Catalogue entries and feed health never do: they are valid until they change.
fn deadline(state: &State) -> Option<Timestamp> {
    match &state.body {
        Body::Price(_) | Body::LongShort(_) => Some(state.stale_since()),
        // While the market is closed nothing newer is due; after it opens, the first level has the usual time to arrive.
        Body::Index(index) => Some(index.closed_until.map_or(state.stale_since(), |until| until + state.budget)),
        Body::Asset(_) | Body::Feed(_) => None,
    }
}
