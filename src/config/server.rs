//! `grpc.*`, `admin.*`, `shutdown.*`: what the process serves and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use super::Reader;

/// `grpc.*`: the gRPC server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcConfig {
    /// Address to listen on, default 127.0.0.1:50051. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Open connections at most, 1 to 1,000,000, default 10,000; further ones wait.
    pub connections_max: usize,
    /// Open connections of one address at most, 1 to 1,000,000, default 1,000; further ones are closed. Behind a proxy that hides its clients'
    /// addresses it wants to be as many as the proxy opens.
    pub connections_per_address_max: usize,
    /// Open calls and streams on one connection at most, 1 to 100,000, default 256.
    pub max_concurrent_streams: u32,
    /// Age at which a watch stream is ended with UNAVAILABLE and its cursor so that clients spread over replicas anew (jittered by a tenth);
    /// 0 s (never) to 7 days, default 1 hour. Where clients have certificates, connections of this age take no further calls.
    pub stream_age_max: Duration,
    /// Time from accepting a connection until its HTTP/2 preface, 100 ms to 60 s, default 10 s.
    pub handshake_timeout: Duration,
    /// Time between keep-alive pings on a silent connection, 1 s to 1 hour, default 30 s.
    pub keepalive_interval: Duration,
    /// Time to wait for the answer to such a ping, 1 s to 10 minutes, default 10 s.
    pub keepalive_timeout: Duration,
    /// Whether server reflection is offered, default true.
    pub reflection: bool,
}

impl GrpcConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            listen: address(reader, "grpc.listen", SocketAddr::from(([127, 0, 0, 1], 50_051))),
            connections_max: reader.integer("grpc.connections_max", 10_000, 1..=1_000_000, "connections") as usize,
            connections_per_address_max: reader.integer(
                "grpc.connections_per_address_max",
                1_000,
                1..=1_000_000,
                "connections of one address",
            ) as usize,
            max_concurrent_streams: reader.integer(
                "grpc.max_concurrent_streams",
                256,
                1..=100_000,
                "streams on one connection",
            ) as u32,
            stream_age_max: Duration::from_secs(reader.integer(
                "grpc.stream_age_max_s",
                3_600,
                0..=604_800,
                "seconds; 0 means no limit",
            )),
            handshake_timeout: Duration::from_millis(reader.integer(
                "grpc.handshake_timeout_ms",
                10_000,
                100..=60_000,
                "milliseconds",
            )),
            keepalive_interval: Duration::from_secs(reader.integer(
                "grpc.keepalive_interval_s",
                30,
                1..=3_600,
                "seconds",
            )),
            keepalive_timeout: Duration::from_secs(reader.integer("grpc.keepalive_timeout_s", 10, 1..=600, "seconds")),
            reflection: reader.boolean("grpc.reflection", true),
        }
    }
}

/// `admin.*`: probes, metrics, the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Address to listen on, default 127.0.0.1:9090. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether the status page is offered, default true.
    pub status_page: bool,
}

impl AdminConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            listen: address(reader, "admin.listen", SocketAddr::from(([127, 0, 0, 1], 9_090))),
            status_page: reader.boolean("admin.status_page", true),
        }
    }
}

/// `shutdown.*`: how the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long open calls and streams may take to end after SIGTERM, 0 to 300 s, default 8 s. What is still open then is cut.
    pub grace: Duration,
}

impl ShutdownConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { grace: Duration::from_secs(reader.integer("shutdown.grace_s", 8, 0..=300, "seconds")) }
    }
}

fn address(reader: &mut Reader, key: &str, default: SocketAddr) -> SocketAddr {
    let allowed = "an IP address and a port, such as 127.0.0.1:50051, 0.0.0.0:0 or [::1]:50051";
    reader.parsed(key, default, allowed, |text| text.parse().ok(), SocketAddr::to_string)
}
