//! `grpc.*`, `admin.*`, `shutdown.*`: what the process serves and how it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::spec::{Spec, boolean, milliseconds, seconds, settings, text, whole};

settings! {
    /// `grpc.*`: the gRPC server.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GrpcConfig in "grpc" {
        /// Address to listen on. Port 0 takes a free one.
        listen: SocketAddr = address(50_051);
        /// Most open connections. Further ones wait.
        connections_max: usize = whole(10_000, 1..=1_000_000, "connections");
        /// Most open connections from one address. Further ones are closed. Behind a proxy that hides its clients' addresses, set it to the number of
        /// connections that the proxy opens.
        connections_per_address_max: usize = whole(1_000, 1..=1_000_000, "connections of one address");
        /// Most open calls and streams on one connection.
        max_concurrent_streams: u32 = whole(256, 1..=100_000, "streams on one connection");
        /// Age at which a watch stream ends with UNAVAILABLE and its cursor, so that clients spread over replicas again (jittered by a tenth).
        /// Where clients have certificates, connections of this age take no further calls.
        stream_age_max as stream_age_max_s: Duration = seconds(Duration::from_secs(3_600), 0..=604_800).note("0 means no limit");
        /// Time from accepting a connection until its HTTP/2 preface.
        handshake_timeout as handshake_timeout_ms: Duration = milliseconds(Duration::from_millis(10_000), 100..=60_000);
        /// Time between keep-alive pings on a silent connection.
        keepalive_interval as keepalive_interval_s: Duration = seconds(Duration::from_secs(30), 1..=3_600);
        /// Time to wait for the answer to such a ping.
        keepalive_timeout as keepalive_timeout_s: Duration = seconds(Duration::from_secs(10), 1..=600);
        /// Whether server reflection is offered.
        reflection: bool = boolean(true);
    }
}

settings! {
    /// `admin.*`: probes, metrics, the status page.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AdminConfig in "admin" {
        /// Address to listen on. Port 0 takes a free one.
        listen: SocketAddr = address(9_090);
        /// Whether the status page is offered.
        status_page: bool = boolean(true);
    }
}

settings! {
    /// `shutdown.*`: how the process ends.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ShutdownConfig in "shutdown" {
        /// How long open calls and streams may take to end after SIGTERM. Connections still open then are cut.
        grace as grace_s: Duration = seconds(Duration::from_secs(8), 0..=300);
    }
}

/// An address, by default on loopback.
fn address(port: u16) -> Spec<SocketAddr> {
    let allowed = "an IP address and a port, such as 127.0.0.1:50051, 0.0.0.0:0 or [::1]:50051";
    text((Ipv4Addr::LOCALHOST, port).into(), allowed, |text| text.parse().ok(), SocketAddr::to_string)
}
