//! Index snapshots waiting to be published.

use std::time::Duration;

use crossmarket_domain::Timestamp;
use crossmarket_domain::index::IndexSnapshot;

/// How long a computed index stays fresh after its newest constituent.
pub(super) const BUDGET: Duration = Duration::from_secs(300);

/// A snapshot to be published, with its times.
pub(super) struct PendingSnapshot {
    pub snapshot: IndexSnapshot,
    pub event_time: Timestamp,
    pub receive_time: Timestamp,
    pub budget: Duration,
}
