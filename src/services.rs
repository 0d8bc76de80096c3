//! The gRPC services: read the request, answer from the live image. A call never touches a venue, and only histories touch the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_web::GrpcWebLayer;
use tower::util::MapResponseLayer;

use crate::security::Guard;
use crate::servers::overview_service_server::OverviewServiceServer;
use crate::servers::signal_service_server::SignalServiceServer;
use crate::servers::subscription_service_server::SubscriptionServiceServer;
use crate::servers::{catalog_service_server, index_service_server, long_short_service_server, price_service_server};
use crossmarket_api::FILE_DESCRIPTOR_SET;
use crossmarket_clock::Clock;
use crossmarket_domain::AssetCode;
use crossmarket_domain::state::Key;
use crossmarket_image::Image;
use crossmarket_image::histories::Histories;
use crossmarket_store::Store;
use crossmarket_telemetry::metrics::Calculation;

pub use catalog::VenueEntry;
pub use convert::WireEncoder;
pub use error::ServiceError;

mod catalog;
mod collection;
pub mod convert;
pub mod encoded;
pub mod error;
mod health;
mod index;
pub mod long_short;
mod observe;
mod order;
mod overview;
mod paging;
mod price;
mod signal;
mod subscription;
mod watch;

#[cfg(test)]
mod tests;

/// The response header that marks every answer of a process on simulated venues. Its value is `true`.
pub const SIMULATED_HEADER: &str = "crossmarket-simulated";

/// What the services work with. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The live image.
    pub image: Arc<Image>,
    /// The store, for histories.
    pub store: Arc<dyn Store>,
    /// The daily histories in memory.
    pub histories: Arc<Histories>,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the process begins to shut down: streams end, calls are refused, health says NOT_SERVING.
    pub drain: CancellationToken,
    /// Every venue, by id.
    pub venues: Arc<[VenueEntry]>,
    /// True when the process runs on simulated venues.
    pub simulated: bool,
    /// How streams are run.
    pub streams: StreamSettings,
    /// Whether every call is counted and timed.
    pub measured: bool,
    /// Whether answers are compressed for clients that accept it. Compressed requests are always taken.
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

/// Everything that a gRPC listener serves.
pub struct Api {
    /// The services with health, reflection and gRPC-Web. For browsers the listener must speak HTTP/1.1 too.
    pub routes: Routes,
    /// Keeps health true. Run it beside the listener; it ends, with everything NOT_SERVING and the streams of its watchers ended, once the process
    /// drains.
    pub health: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A server stream.
type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Services {
    /// Refuses a call that this process cannot answer: before the image is loaded, and while it drains.
    fn check_serving(&self) -> Result<(), ServiceError> {
        if self.drain.is_cancelled() {
            return Err(ServiceError::Draining { cursor: String::new() });
        }
        if self.image.is_ready() { Ok(()) } else { Err(ServiceError::NotReady) }
    }

    /// Refuses a call that rests on histories, until they are loaded.
    fn check_histories(&self) -> Result<(), ServiceError> {
        self.check_serving()?;
        if self.histories.is_loaded() { Ok(()) } else { Err(ServiceError::NotReady) }
    }

    /// Whether an asset is in the catalogue or has a price.
    fn is_known_asset(&self, asset: &AssetCode) -> bool {
        [Key::Asset(asset.clone()), Key::Price(asset.clone())].iter().any(|key| self.image.get(key).is_some())
    }
}

/// Puts the services together, behind a guard. Health starts NOT_SERVING.
///
/// # Errors
///
/// When the descriptor set that was compiled in cannot be read.
pub async fn api(
    services: Services,
    guard: Guard,
    offers_reflection: bool,
) -> Result<Api, tonic_reflection::server::Error> {
    watch::expect_measures();
    Calculation::OF_SERVERS.into_iter().for_each(Calculation::expect);
    let (health_server, health) = health::reporter(services.clone()).await;
    let mut price = price_service_server::PriceServiceServer::new(price::Price::new(services.clone()))
        .accept_compressed(CompressionEncoding::Gzip);
    let mut catalog = catalog_service_server::CatalogServiceServer::new(catalog::Catalog::new(services.clone()))
        .accept_compressed(CompressionEncoding::Gzip);
    let mut long_short =
        long_short_service_server::LongShortServiceServer::new(long_short::LongShort::new(services.clone()))
            .accept_compressed(CompressionEncoding::Gzip);
    let mut index = index_service_server::IndexServiceServer::new(index::Index::new(services.clone()))
        .accept_compressed(CompressionEncoding::Gzip);
    if services.send_gzip {
        long_short = long_short.send_compressed(CompressionEncoding::Gzip);
        index = index.send_compressed(CompressionEncoding::Gzip);
        price = price.send_compressed(CompressionEncoding::Gzip);
        catalog = catalog.send_compressed(CompressionEncoding::Gzip);
    }
    let mut routes = Routes::new(price)
        .add_service(catalog)
        .add_service(long_short)
        .add_service(index)
        .add_service(SignalServiceServer::new(signal::Signal))
        .add_service(OverviewServiceServer::new(overview::Overview))
        .add_service(SubscriptionServiceServer::new(subscription::Subscriptions))
        .add_service(health_server);
    if offers_reflection {
        routes = routes.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
    }
    // Calls that are refused are counted too, and browsers understand why. The first is the outermost; all are one layer to the router, which
    // boxes a call and its answer for each.
    let router = routes.into_axum_router();
    let router = match services.measured {
        true => router.layer((GrpcWebLayer::new(), observe::ObserveLayer::new(guard.clone()), guard)),
        false => router.layer((GrpcWebLayer::new(), guard)),
    };
    let router = match services.simulated {
        true => router.layer(MapResponseLayer::new(mark_simulated)),
        false => router,
    };
    Ok(Api { routes: router.into(), health: Box::pin(health) })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn mark_simulated<B>(mut response: http::Response<B>) -> http::Response<B> {
    response.headers_mut().insert(SIMULATED_HEADER, HeaderValue::from_static("true"));
    response
}

/// The answer of an RPC that a later version brings.
fn later<T>(rpc: &'static str) -> Result<Response<T>, Status> {
    Err(ServiceError::Unimplemented(rpc).into())
}
