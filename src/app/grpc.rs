//! The gRPC port.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use super::listener::{self, ListenerLimits};
use super::settings;
use crate::config::Config;
use crate::security::ServerTls;

/// Maximum size of a call's headers, in bytes. Tokens are the largest part.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Answers calls until `drain`; the task ends with the last connection.
pub(super) fn spawn(
    config: &Config,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    routes: Routes,
    drain: &CancellationToken,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let grpc = &config.grpc;
    let limits = ListenerLimits {
        connections_max: grpc.connections_max.min(connections_by_descriptors()),
        connections_per_address_max: grpc.connections_per_address_max,
        handshake_timeout: grpc.handshake_timeout,
    };
    let connections = listener::accept(listener, limits, tls, drain.clone());
    let drained = drain.clone().cancelled_owned();
    tokio::spawn(server(config).add_routes(routes).serve_with_incoming_shutdown(connections, drained))
}

/// The number of connections that the file descriptor limit allows, minus some for the store, the venues and files.
fn connections_by_descriptors() -> usize {
    const KEPT_FREE: usize = 96;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    // If the limit is unknown or absent, only the setting counts.
    let allowed = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    allowed.map_or(usize::MAX, |allowed| allowed.saturating_sub(KEPT_FREE).max(allowed / 2))
}

/// The HTTP/2 server's limits. HTTP/1.1 is for gRPC-Web.
fn server(config: &Config) -> Server {
    let grpc = &config.grpc;
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(grpc.max_concurrent_streams)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_keepalive_interval(Some(grpc.keepalive_interval))
        .http2_keepalive_timeout(Some(grpc.keepalive_timeout));
    // Keys and tokens are checked in every call, a certificate only in the handshake. A connection of this age accepts
    // no further calls and ends when its open calls end: with a grace period, tonic 0.14 would cut the calls without
    // notifying the client.
    let asks_certificates = config.security.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    match settings::streams(grpc).age_max.filter(|_| asks_certificates) {
        Some(age) => server.max_connection_age(age),
        None => server,
    }
}
