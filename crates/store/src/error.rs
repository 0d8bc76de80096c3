//! Why a store could not do what it was asked.

use smol_str::SmolStr;

use crossmarket_domain::ShardId;
use crossmarket_domain::state::{Epoch, Revision};

/// What a writer does about it: [`Fenced`](Self::Fenced) stop, [`Lost`](Self::Lost) open again and publish everything,
/// [`Unavailable`](Self::Unavailable) try again later.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later writer holds the shard.
    #[error("fenced: epoch {epoch} was deposed by {holder}")]
    Fenced {
        /// The caller's epoch.
        epoch: Epoch,
        /// The epoch in the store.
        holder: Epoch,
    },
    /// The store no longer has what this epoch wrote: it was emptied, restarted, or failed over and lost the end of the feed. Readers may
    /// have seen what is gone, so the writer must open again, for a larger epoch, and publish every state again.
    #[error("the store lost shard {shard}: writer at epoch {epoch} revision {revision}, {found}")]
    Lost {
        shard: ShardId,
        /// The writer's epoch.
        epoch: Epoch,
        /// The writer's newest revision.
        revision: Revision,
        /// What the store has instead, in words.
        found: String,
    },
    /// The lease has run out or is another's.
    #[error("lease of shard {shard} lost to {}", holder.as_deref().unwrap_or("nobody"))]
    LeaseLost {
        shard: ShardId,
        /// Who holds it now, if anybody does.
        holder: Option<SmolStr>,
    },
    /// The store's data is divided into another number of shards than this process uses.
    #[error(
        "the store is divided into {there} shards and this process uses {here}: collector.shards must be the same in every process on one store"
    )]
    Divided {
        /// The number in this process.
        here: u16,
        /// The number in the store.
        there: u16,
    },
    /// The store cannot be reached or cannot work now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The series holds something else than what was asked of it: points where it holds candles, or the other way round.
    #[error("series {series:?} does not hold {wanted}")]
    WrongSeries {
        /// The series' stored name.
        series: String,
        /// What was asked of it: `candles` or `points`.
        wanted: &'static str,
    },
    /// The store cannot keep that, and will not another time: a name that is too long, a lease without a life.
    #[error("refused by the store: {0}")]
    Refused(String),
    /// What is stored cannot be read.
    #[error("stored data unreadable: {0}")]
    Corrupt(String),
    /// `store.url` is not a store's.
    #[error("store.url {url:?}: {allowed}")]
    Url {
        /// The setting's value, without secrets.
        url: String,
        allowed: &'static str,
    },
}

impl From<minicbor::decode::Error> for StoreError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}
