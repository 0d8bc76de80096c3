//! What is written to a shard and read from it.

use crossmarket_domain::series::SeriesKey;
use crossmarket_domain::state::{Epoch, Key, Revision, State};
use crossmarket_domain::{Timestamp, TraceContext};

/// The new state of a key; `None` removes the key.
pub type Update = (Key, Option<State>);

/// One update of a shard's feed: the key's full state, or its removal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Key,
    /// The update's position in the shard's feed.
    pub revision: Revision,
    /// The state; `None` when the key is gone.
    pub state: Option<State>,
    /// The span that wrote it, in a batch that is traced. In the feed it says where the reader's spans belong; elsewhere it says nothing.
    pub trace: Option<TraceContext>,
}

/// Everything that a shard holds, at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The generation of the writer.
    pub epoch: Epoch,
    /// The newest revision; 0 in an empty shard.
    pub revision: Revision,
    /// Every key's newest entry.
    pub entries: Vec<Entry>,
    /// False after the shard began empty, until its writer [marks it complete](crate::Store::published).
    pub complete: bool,
}

/// What came after a position in a feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// The next entries in order, without a gap; empty when nothing came in time.
    Entries(Vec<Entry>),
    /// The position cannot be continued: it was trimmed, or the epoch changed. Bootstrap again.
    Gap,
}

/// What a series holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesInfo {
    pub key: SeriesKey,
    /// Number of points.
    pub count: u64,
    /// Time of the first point.
    pub first: Timestamp,
    /// Time of the last point.
    pub last: Timestamp,
}

/// Most entries that one [`Store::tail`](crate::Store::tail) answers; the caller asks again from the last of them.
pub const TAIL_LEN_MAX: usize = 128;

/// How much of a shard's feed is kept. The oldest entries go first, also within the batch that goes beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// Most entries.
    pub len_max: u64,
    /// Most bytes of encoded entries.
    pub bytes_max: u64,
}

/// Most entries in a shard's feed, unless a store is opened with other limits.
pub(crate) const FEED_LEN_MAX: u64 = 100_000;

/// Whether an update is older than what is stored for its key, which was received at `stored`.
pub(crate) fn is_older(update: &State, stored: Timestamp, stored_in_this_epoch: bool) -> bool {
    // Of two writers one may have a clock that is ahead. What seems to come from the future tells nothing.
    update.receive_time < stored && (stored_in_this_epoch || stored <= update.publish_time)
}
