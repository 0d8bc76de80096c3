//! `grpc.health.v1`, true to the data: a service is SERVING while it has data to serve.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus as WireStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use super::context::{ServerStream, Services};
use crossmarket_image::Collection;

const PRICES: &str = "crossmarket.v1.PriceService";
const INDICES: &str = "crossmarket.v1.IndexService";
const CATALOG: &str = "crossmarket.v1.CatalogService";
const LONG_SHORT: &str = "crossmarket.v1.LongShortService";

/// Services without an implementation yet, which are never SERVING.
const LATER: [&str; 3] =
    ["crossmarket.v1.SignalService", "crossmarket.v1.OverviewService", "crossmarket.v1.SubscriptionService"];

/// Services that report health, and the process as a whole.
const OFFERED: [&str; 5] = [CATALOG, PRICES, LONG_SHORT, INDICES, ""];

/// Time between two looks at the data.
const INTERVAL: Duration = Duration::from_millis(100);

/// The health service, NOT_SERVING throughout, and the task that keeps it true.
///
/// The catalogue is SERVING once the image is loaded. Prices, and with them the process as a whole (`""`), are SERVING while any price is
/// fresh, long/short ratios while any of them is, and indices while the histories are loaded and any index is fresh or its market closed: a
/// venue or a few assets gone quiet are marked on their snapshots, and taking the replica out would help nobody. Once the process drains, everything
/// is NOT_SERVING, and streams of `Watch` end after they have said so.
pub(crate) async fn reporter(services: Services) -> (HealthServer<impl Health>, impl Future<Output = ()> + Send) {
    let mut reporter = HealthReporter::new();
    let health =
        Watched { health: HealthService::from_health_reporter(reporter.clone()), drain: services.drain.clone() };
    for service in LATER {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
    let mut told = Serving::default();
    tell(&reporter, told).await;
    let task = async move {
        while !services.drain.is_cancelled() {
            let serving = Serving::of(&services);
            if serving != told {
                tell(&reporter, serving).await;
                told = serving;
            }
            services.drain.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
        }
        tell(&reporter, Serving::default()).await;
        // Clearing a service ends the streams of its watchers, after they have read the last status.
        for service in OFFERED.into_iter().chain(LATER) {
            reporter.clear_service_status(service).await;
            reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
    };
    (HealthServer::new(health), task)
}

/// Health whose streams end with the process: they would hold their connections open otherwise.
struct Watched {
    health: HealthService,
    drain: CancellationToken,
}

#[tonic::async_trait]
impl Health for Watched {
    type WatchStream = ServerStream<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.health.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watch = self.health.watch(request).await?;
        Ok(watch.map(|stream| match self.drain.is_cancelled() {
            // It may have begun too late to be ended with the others.
            true => Box::pin(tokio_stream::once(Ok(HealthCheckResponse { status: WireStatus::NotServing.into() }))),
            false => Box::pin(stream) as Self::WatchStream,
        }))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Serving {
    catalog: bool,
    prices: bool,
    long_short: bool,
    indices: bool,
}

impl Serving {
    fn of(services: &Services) -> Self {
        let image = &services.image;
        let catalog = image.is_ready();
        Self {
            catalog,
            prices: catalog && image.fresh_price_count() > 0,
            indices: catalog && services.histories.is_loaded() && image.fresh_count(Collection::Indices) > 0,
            long_short: catalog && image.fresh_count(Collection::LongShortRatios) > 0,
        }
    }
}

async fn tell(reporter: &HealthReporter, serving: Serving) {
    let are_serving = [serving.catalog, serving.prices, serving.long_short, serving.indices, serving.prices];
    for (service, is_serving) in OFFERED.into_iter().zip(are_serving) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(service, status).await;
    }
}
