//! Why the service could not run.

use std::io;
use std::net::SocketAddr;

use crate::security::{FileError, TlsError, TokenError};
use crate::telemetry::otlp::OtlpError;
use crossmarket_collector::CollectorError;
use crossmarket_store::StoreError;

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// An address cannot be listened on.
    #[error("{setting} = {address}: cannot listen there")]
    Listen {
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("security.tls: {0}")]
    Tls(#[source] TlsError),
    /// The file of clients cannot be read.
    #[error("security.clients_file: {0}")]
    Clients(#[source] FileError),
    /// The keys of the tokens' issuer cannot be used.
    #[error("security.jwt: {0}")]
    Tokens(#[source] TokenError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The collector ended.
    #[error("the collector ended")]
    Collector(#[from] CollectorError),
    /// The collector broke down, which is a defect of the program.
    #[error("the collector broke down")]
    CollectorPanicked,
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Server(#[from] tonic::transport::Error),
    /// The API's own description cannot be read.
    #[error("the API's descriptor cannot be read")]
    Descriptor(#[from] tonic_reflection::server::Error),
    /// The simulated venues cannot be started.
    #[cfg(feature = "simulator")]
    #[error("the simulated venues cannot be started")]
    Simulator(#[source] io::Error),
    /// Telemetry cannot be sent as configured.
    #[error("telemetry cannot be sent")]
    Telemetry(#[from] OtlpError),
    /// A role that this store does not allow.
    #[error(
        "--role {role} needs a store that several processes share; store.url is a store of one process: use --role all"
    )]
    Role { role: &'static str },
}
