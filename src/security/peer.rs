//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::certificate;

/// Who is at the other end of a connection, as far as the connection tells. It is in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The DNS names and URIs of its certificate, which has been verified.
    pub certificate_names: Arc<[String]>,
}

impl Peer {
    /// A peer with the certificates that it has shown, its own first.
    pub fn new(address: Option<SocketAddr>, certificates: &[CertificateDer<'_>]) -> Self {
        let names = certificates.first().map(|own| certificate::names_in(own)).unwrap_or_default();
        Self { address, certificate_names: names.into() }
    }
}
