//! The state of the process, for probes, metrics and the status page.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::security::FileReloads;
use crate::security::{Guard, ServerTls};
use crossmarket_clock::Clock;
use crossmarket_collector::HeldShardsHandle;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{Body, FeedStatus};
use crossmarket_image::{Collection, Image, Item};

/// The process as the admin port shows it.
#[derive(Clone)]
pub(super) struct ProcessView {
    pub(super) image: Arc<Image>,
    pub(super) clock: Clock,
    /// Cancelled when the process begins to shut down.
    pub(super) drain: CancellationToken,
    /// True when the process runs on simulated venues.
    pub(super) simulated: bool,
    /// True when the process serves gRPC; readiness then requires a fresh price.
    pub(super) serves: bool,
    /// Which parts of the service the process runs, as a label: `all`, `server` or `collector`.
    pub(super) role: &'static str,
    /// Number of shards that it leads; `None` when it does not collect.
    pub(super) leading: Option<HeldShardsHandle>,
    /// The certificates of the gRPC port; `None` without TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Reloads of changed files, by kind of file.
    pub(super) reloads: Arc<FileReloads>,
    /// `None` when the process serves no calls.
    pub(super) guard: Option<Guard>,
    /// When the process started, by the system clock.
    pub(super) started: Timestamp,
}

impl ProcessView {
    /// Whether clients may be sent here; otherwise the reason, in one line.
    pub(super) fn is_ready(&self, takes_stale: bool) -> Result<(), &'static str> {
        if self.drain.is_cancelled() {
            Err("draining\n")
        } else if !self.image.is_ready() {
            Err("the image is not loaded yet\n")
        } else if self.serves && !takes_stale && self.image.fresh_price_count() == 0 {
            Err("no price is fresh\n")
        } else {
            Ok(())
        }
    }

    pub(super) fn feeds(&self) -> Vec<Arc<Item>> {
        self.image.select(Collection::Feeds, |_| true)
    }
}

pub(super) fn feed_of(item: &Item) -> Option<&FeedStatus> {
    match &item.state.body {
        Body::Feed(feed) => Some(feed),
        _ => None,
    }
}
