//! What all services work with.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error::ServiceError;
use super::venue::VenueEntry;
use crossmarket_clock::Clock;
use crossmarket_domain::AssetCode;
use crossmarket_domain::state::Key;
use crossmarket_image::Image;
use crossmarket_image::histories::Histories;
use crossmarket_store::Store;

pub(super) type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the services work with. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub image: Arc<Image>,
    /// The store, for histories.
    pub store: Arc<dyn Store>,
    /// The daily histories in memory.
    pub histories: Arc<Histories>,
    pub clock: Clock,
    /// Cancelled when the process begins to shut down: streams end, calls are refused, health says NOT_SERVING.
    pub drain: CancellationToken,
    /// Every venue, by id.
    pub venues: Arc<[VenueEntry]>,
    /// True when the process runs on simulated venues.
    pub simulated: bool,
    pub streams: StreamSettings,
    /// Whether calls are counted and timed.
    pub measured: bool,
    /// Whether answers are compressed for clients that accept it. Compressed requests are always accepted.
    pub send_gzip: bool,
}

/// How streams are run. All spans are of real time, not of the process's clock.
#[derive(Clone, Copy, Debug)]
pub struct StreamSettings {
    /// The heartbeat interval when the request has none.
    pub heartbeat_interval: Duration,
    /// The shortest heartbeat interval granted.
    pub heartbeat_interval_min: Duration,
    /// The longest heartbeat interval granted.
    pub heartbeat_interval_max: Duration,
    /// The longest `min_interval` granted.
    pub min_interval_max: Duration,
    /// The age at which a stream is ended, so that load moves to new replicas; `None` means never.
    pub age_max: Option<Duration>,
    /// The part of `age_max`, from 0 to 1, by which streams end earlier at random, so that they do not return all at once.
    pub age_jitter: f64,
    /// A frame's items are about this long at most, in bytes.
    pub frame_len_max: usize,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(15),
            heartbeat_interval_min: Duration::from_secs(1),
            heartbeat_interval_max: Duration::from_secs(300),
            min_interval_max: Duration::from_secs(3_600),
            age_max: Some(Duration::from_secs(3_600)),
            age_jitter: 0.2,
            frame_len_max: 64 << 10,
        }
    }
}

impl Services {
    /// Refuses a call that this process cannot answer: before the image is loaded, and while it drains.
    pub(super) fn check_serving(&self) -> Result<(), ServiceError> {
        if self.drain.is_cancelled() {
            return Err(ServiceError::Draining { cursor: String::new() });
        }
        if self.image.is_ready() { Ok(()) } else { Err(ServiceError::NotReady) }
    }

    /// Refuses a call that rests on histories, until they are loaded.
    pub(super) fn check_histories(&self) -> Result<(), ServiceError> {
        self.check_serving()?;
        if self.histories.is_loaded() { Ok(()) } else { Err(ServiceError::NotReady) }
    }

    /// Whether an asset is in the catalogue or has a price.
    pub(super) fn is_known_asset(&self, asset: &AssetCode) -> bool {
        [Key::Asset(asset.clone()), Key::Price(asset.clone())].iter().any(|key| self.image.get(key).is_some())
    }
}
