//! `collector.*`, `universe.*`: what is collected and how.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Reader;
use crossmarket_domain::AssetCode;
use crossmarket_domain::shard::ASSET_SHARDS_MAX;

/// `collector.*`: the collection of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Whether this process collects, where its role lets it; default true.
    pub enabled: bool,
    /// Number of shards that assets are hashed into, 1 to 64, default 1. The same in every process on one store.
    pub shards: u16,
    /// Least time between two batches to the store, 10 ms to 60 s, default 250 ms.
    pub publish_interval: Duration,
    /// Venues with a usable price that a new aggregate needs, 1 to 32, default 1. With fewer the last one is carried, marked.
    pub required_venue_count: u32,
    /// How long a lease of a shard lasts, 500 ms to 60 s, default 2.5 s: a collector that is gone is replaced after so long at most.
    pub lease_life: Duration,
    /// Where leases are kept, default in the store. The same in every collector on one store.
    pub leases: LeaseKeeper,
    /// The Lease objects.
    pub kubernetes: KubernetesConfig,
}

impl CollectorConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            enabled: reader.boolean("collector.enabled", true),
            shards: reader.integer("collector.shards", 1, 1..=u64::from(ASSET_SHARDS_MAX), "shards") as u16,
            publish_interval: Duration::from_millis(reader.integer(
                "collector.publish_interval_ms",
                250,
                10..=60_000,
                "milliseconds",
            )),
            required_venue_count: reader.integer("collector.required_venue_count", 1, 1..=32, "venues") as u32,
            lease_life: Duration::from_millis(reader.integer(
                "collector.lease_ms",
                2_500,
                500..=60_000,
                "milliseconds",
            )),
            leases: reader.parsed(
                "collector.leases",
                LeaseKeeper::Store,
                "store or kubernetes",
                |text| LeaseKeeper::ALL.into_iter().find(|keeper| keeper.as_str() == text),
                |keeper| keeper.as_str().to_owned(),
            ),
            kubernetes: KubernetesConfig::read(reader),
        }
    }
}

/// Where the leases of shards are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKeeper {
    /// In the store.
    Store,
    /// In Lease objects of Kubernetes.
    Kubernetes,
}

impl LeaseKeeper {
    const ALL: [Self; 2] = [Self::Store, Self::Kubernetes];

    fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// `collector.kubernetes.*`: the Lease objects, where leases are kept in such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// What their names begin with, before `-SHARD`; default `crossmarket`.
    pub lease_name: String,
    /// Their namespace; by default the pod's own.
    pub namespace: Option<String>,
    /// The API server: https, or http on loopback. By default what Kubernetes tells every pod.
    pub api_url: Option<String>,
    /// Where the pod has its service account, default `/var/run/secrets/kubernetes.io/serviceaccount`.
    pub credentials_dir: PathBuf,
}

impl KubernetesConfig {
    fn read(reader: &mut Reader) -> Self {
        let directory = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let name_allowed = "a name of lower-case letters, digits and \"-\", at most 200 characters";
        Self {
            lease_name: reader.parsed(
                "collector.kubernetes.lease_name",
                "crossmarket".to_owned(),
                name_allowed,
                |text| object_name(text, 200),
                String::clone,
            ),
            namespace: reader.optional(
                "collector.kubernetes.namespace",
                "a name of lower-case letters, digits and \"-\", at most 63 characters",
                |text| object_name(text, 63),
                String::clone,
            ),
            api_url: reader.optional(
                "collector.kubernetes.api_url",
                "https://HOST:PORT, or http on loopback",
                api_url,
                String::clone,
            ),
            credentials_dir: reader.parsed(
                "collector.kubernetes.credentials_dir",
                PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
                "a directory",
                directory,
                |path| path.display().to_string(),
            ),
        }
    }
}

/// A DNS label, which is also a valid subdomain (RFC 1123).
fn object_name(text: &str, len_max: usize) -> Option<String> {
    let inside = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = !text.is_empty() && !text.starts_with('-') && !text.ends_with('-');
    (inside && ends && text.len() <= len_max).then(|| text.to_owned())
}

fn api_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare).then(|| text.trim_end_matches('/').to_owned())
}

/// `universe.*`: the assets that are collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniverseConfig {
    /// So many of the largest assets by market cap, 1 to 5,000, default 200.
    pub size: usize,
    /// Further assets, whatever their rank; default none, at most 1,000.
    pub assets: Vec<AssetCode>,
}

impl UniverseConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let allowed = "at most 1000 asset codes such as BTC: an array in a file, elsewhere separated by commas";
        Self {
            size: reader.integer("universe.size", 200, 1..=5_000, "assets") as usize,
            assets: reader.list("universe.assets", 1_000, allowed, AssetCode::parse, AssetCode::to_string),
        }
    }
}
