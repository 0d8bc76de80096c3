//! `grpc.health.v1`, true to the data: a service is SERVING while it has data to serve.

use std::future::Future;
use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use super::Services;
use crate::image::Collection;

const PRICES: &str = "crossmarket.v1.PriceService";
const INDICES: &str = "crossmarket.v1.IndexService";
const CATALOG: &str = "crossmarket.v1.CatalogService";
const LONG_SHORT: &str = "crossmarket.v1.LongShortService";

/// Services without an implementation yet, which are never SERVING.
const LATER: [&str; 3] =
    ["crossmarket.v1.SignalService", "crossmarket.v1.OverviewService", "crossmarket.v1.SubscriptionService"];

/// How often the data is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// The health service, NOT_SERVING throughout, and the task that keeps it true.
///
/// The catalogue is SERVING once the image is loaded. Prices, and with them the process as a whole (`""`), are SERVING while any price is
/// fresh, long/short ratios while any of them is, and indices while the histories are loaded and any index is fresh or its market closed: a
/// venue or a few assets gone quiet are marked on their snapshots, and taking the replica out would help nobody.
pub async fn reporter(services: Services) -> (HealthServer<impl Health>, impl Future<Output = ()> + Send) {
    let (reporter, server) = tonic_health::server::health_reporter();
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
    };
    (server, task)
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
    for (service, is_serving) in [
        (CATALOG, serving.catalog),
        (PRICES, serving.prices),
        (LONG_SHORT, serving.long_short),
        (INDICES, serving.indices),
        ("", serving.prices),
    ] {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(service, status).await;
    }
}
