//! Puts the services together.

use std::future::Future;
use std::pin::Pin;

use http::HeaderValue;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::util::MapResponseLayer;

use super::context::Services;
use super::{catalog, health, index, long_short, observe, planned, price, watch};
use crate::security::Guard;
use crate::servers::overview_service_server::OverviewServiceServer;
use crate::servers::signal_service_server::SignalServiceServer;
use crate::servers::subscription_service_server::SubscriptionServiceServer;
use crate::servers::{catalog_service_server, index_service_server, long_short_service_server, price_service_server};
use crossmarket_api::FILE_DESCRIPTOR_SET;
use crossmarket_telemetry::metrics::Calculation;

/// The response header that marks every answer of a process on simulated venues. Its value is `true`.
pub(super) const SIMULATED_HEADER: &str = "crossmarket-simulated";

/// Everything that a gRPC listener serves.
pub struct Api {
    /// The services with health, reflection and gRPC-Web. For browsers the listener must speak HTTP/1.1 too.
    pub routes: Routes,
    /// Keeps health true. Run it beside the listener; it ends, with everything NOT_SERVING and the streams of its watchers ended, once the process
    /// drains.
    pub health: Pin<Box<dyn Future<Output = ()> + Send>>,
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
        .add_service(SignalServiceServer::new(planned::Signal))
        .add_service(OverviewServiceServer::new(planned::Overview))
        .add_service(SubscriptionServiceServer::new(planned::Subscriptions))
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
