//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::certificate;

/// The other end of a connection. It is in the extensions of every request.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub address: Option<SocketAddr>,
    /// The DNS names and URIs of its verified certificate.
    pub certificate_names: Arc<[String]>,
}

impl Peer {
    /// A peer with the certificates that it presented, its own first.
    pub(crate) fn new(address: Option<SocketAddr>, certificates: &[CertificateDer<'_>]) -> Self {
        let names = certificates.first().map(|own| certificate::names_in(own)).unwrap_or_default();
        Self { address, certificate_names: names.into() }
    }
}
