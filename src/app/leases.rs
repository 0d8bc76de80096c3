//! Where the collector's leases are kept, as configured.

use std::env;

use super::AppError;
use crate::config::{Config, LeaseKeeper};
use crossmarket_collector::lease::kubernetes::KubernetesOptions;

/// The Lease objects of Kubernetes, or `None` for the store.
pub(super) fn in_kubernetes(config: &Config) -> Result<Option<KubernetesOptions>, AppError> {
    let settings = &config.collector.kubernetes;
    match config.collector.leases {
        LeaseKeeper::Store => Ok(None),
        LeaseKeeper::Kubernetes if !config.store.is_shared() => Err(AppError::Leases(
            "store.url is a store of one process, whose leases nobody else competes for: use collector.leases = store",
        )),
        LeaseKeeper::Kubernetes => Ok(Some(KubernetesOptions {
            api_url: settings.api_url.clone().or_else(of_the_pod).ok_or(AppError::Leases(
                "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): \
                 set collector.kubernetes.api_url",
            ))?,
            credentials_dir: settings.credentials_dir.clone(),
            namespace: settings.namespace.clone(),
            name: settings.lease_name.clone(),
        })),
    }
}

/// The API server, as Kubernetes tells every pod.
fn of_the_pod() -> Option<String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    Some(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
}
