//! What all services work with.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error::ServiceError;
use super::paging;
use super::venue::VenueEntry;
use crossmarket_clock::Clock;
use crossmarket_domain::instrument::ASSET_CODE_LEN_MAX;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::state::Key;
use crossmarket_domain::{AssetCode, AssetId, AssetName};
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

    /// The asset that a request names: by its id, by its ticker of now, or by a former ticker that no other asset has.
    pub(super) fn find_asset(&self, name: &AssetName) -> Option<AssetId> {
        let ticker = match name {
            AssetName::Id(id) => return Some(id.clone()),
            AssetName::Ticker(ticker) => ticker,
        };
        let registered = || Registry::shipped().find(ticker.as_str()).map(|asset| asset.id.clone());
        self.image.asset_id(ticker).or_else(registered)
    }

    /// The asset that a field of a request names. One that nobody knows yet is looked for as an asset that no listing
    /// knows, since that is what it will be if only venues trade it.
    pub(super) fn asset(&self, field: impl Into<String>, text: &str) -> Result<AssetId, ServiceError> {
        let name = paging::asset(field, text)?;
        self.find_or_unlisted(&name).ok_or_else(|| ServiceError::unknown_asset(text))
    }

    /// The assets of a filter.
    pub(super) fn assets(&self, texts: &[String]) -> Result<Vec<AssetId>, ServiceError> {
        paging::check_filter_len("assets", texts.len())?;
        texts.iter().enumerate().map(|(index, text)| self.asset(format!("assets[{index}]"), text)).collect()
    }

    /// The asset that an item of a subscription names; `None` for what cannot be a name.
    pub(super) fn watched_asset(&self, text: &str) -> Option<AssetId> {
        self.find_or_unlisted(&AssetName::parse(text)?)
    }

    fn find_or_unlisted(&self, name: &AssetName) -> Option<AssetId> {
        self.find_asset(name).or_else(|| match name {
            AssetName::Ticker(ticker) => AssetId::unlisted(ticker.as_str()),
            AssetName::Id(_) => None,
        })
    }

    /// The ticker of an asset: the one of now, otherwise the registry's; an asset without either is called by its id.
    pub(super) fn ticker(&self, asset: &AssetId) -> AssetCode {
        let registered = || Registry::shipped().by_id(asset.as_str()).map(|asset| asset.ticker.clone());
        self.image.ticker(asset).or_else(registered).unwrap_or_else(|| {
            let text = asset.as_str();
            let cut = text.get(..text.len().min(ASSET_CODE_LEN_MAX)).expect("an id is ASCII");
            AssetCode::parse(cut).expect("the characters of an id may stand in a ticker")
        })
    }

    /// Whether an asset is in the catalogue or has a price.
    pub(super) fn is_known_asset(&self, asset: &AssetId) -> bool {
        [Key::Asset(asset.clone()), Key::Price(asset.clone())].iter().any(|key| self.image.get(key).is_some())
    }
}
