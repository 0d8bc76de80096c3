//! Index snapshots on their way to being published.

use std::time::Duration;

use crossmarket_domain::Timestamp;
use crossmarket_domain::index::IndexSnapshot;

/// How long a computed index is fresh after the newest of its constituents.
pub(super) const BUDGET: Duration = Duration::from_secs(300);

/// A snapshot that is to be published, with its times.
pub(super) struct PendingSnapshot {
    pub snapshot: IndexSnapshot,
    pub event_time: Timestamp,
    pub receive_time: Timestamp,
    pub budget: Duration,
}
