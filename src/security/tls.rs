//! TLS and mutual TLS of the gRPC port. Files are read again when they change; open connections keep what they started
//! with.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

use super::certificate;
use super::files::{FileError, Reloads, WatchedFiles};

/// HTTP/2 for gRPC, HTTP/1.1 for gRPC-Web.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate files. All are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate, followed by the intermediates up to its authority.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The authorities of client certificates; `None` requires no client certificate.
    pub client_ca_file: Option<PathBuf>,
}

/// Why certificates cannot be used. No text contains any part of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no certificate where one should be.
    #[error("{}: holds no certificate in PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key where one should be.
    #[error("{}: holds no private key in PEM", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not match, or their kind is not supported.
    #[error("{} and {}: cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The clients' authorities cannot be used.
    #[error("{}: holds no authority that can be used", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
    },
}

/// The TLS side of the gRPC port.
#[derive(Debug)]
pub(crate) struct ServerTls {
    current: RwLock<Arc<Material>>,
}

/// Expiry times for monitoring, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlsStatus {
    /// The earliest expiry in the server's certificate chain.
    pub certificate_end: u64,
    /// The earliest expiry of the clients' authorities.
    pub client_ca_end: Option<u64>,
}

#[derive(Debug)]
struct Material {
    config: Arc<ServerConfig>,
    certificate_end: u64,
    client_ca_end: Option<u64>,
}

/// Loads changed files. Run it beside the listener.
#[derive(Debug)]
pub(crate) struct Rotation {
    tls: Arc<ServerTls>,
    settings: TlsSettings,
    files: WatchedFiles,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used.
    pub(crate) async fn load(settings: TlsSettings) -> Result<(Arc<Self>, Rotation), TlsError> {
        let mut paths = vec![settings.certificate_file.clone(), settings.key_file.clone()];
        paths.extend(settings.client_ca_file.clone());
        let (files, contents) = WatchedFiles::read(paths).await?;
        let material = Material::of(&settings, &contents)?;
        let tls = Arc::new(Self { current: RwLock::new(Arc::new(material)) });
        let rotation = Rotation { tls: Arc::clone(&tls), settings, files };
        Ok((tls, rotation))
    }

    /// Accepts a handshake, without a time limit.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Expiry times for monitoring.
    pub(crate) fn status(&self) -> TlsStatus {
        let material = self.current();
        TlsStatus { certificate_end: material.certificate_end, client_ca_end: material.client_ca_end }
    }

    fn current(&self) -> Arc<Material> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rotation {
    pub(crate) fn reloads(&self) -> Arc<Reloads> {
        self.files.reloads()
    }

    /// Loads the files whenever they change. Never returns.
    pub(crate) async fn run(self) {
        let Self { tls, settings, files } = self;
        files.follow(|contents| tls.take(&settings, contents)).await;
    }
}

impl ServerTls {
    fn take(&self, settings: &TlsSettings, contents: Result<Vec<Vec<u8>>, FileError>) -> bool {
        let material = contents.map_err(TlsError::from).and_then(|contents| Material::of(settings, &contents));
        match material {
            Ok(material) => {
                info!(certificate_end = material.certificate_end, "certificates reloaded");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
                true
            }
            Err(problem) => {
                let cause = std::error::Error::source(&problem).map(ToString::to_string).unwrap_or_default();
                error!(%problem, cause, "new certificates cannot be used, keeping the old ones");
                false
            }
        }
    }
}

impl Material {
    /// Builds the configuration from the contents of certificate, key and authorities, in this order.
    fn of(settings: &TlsSettings, contents: &[Vec<u8>]) -> Result<Self, TlsError> {
        let content = |index: usize| contents.get(index).map(Vec::as_slice).unwrap_or_default();
        let (certificate, key) = (&settings.certificate_file, &settings.key_file);
        let no_certificate = || TlsError::NoCertificate { path: certificate.clone() };
        let chain = certificates(content(0)).ok_or_else(no_certificate)?;
        let certificate_end = first_end(&chain).ok_or_else(no_certificate)?;
        let private = PrivateKeyDer::from_pem_slice(content(1)).map_err(|_| TlsError::NoKey { path: key.clone() })?;
        let pair = |source| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let (builder, client_ca_end) = match &settings.client_ca_file {
            None => (builder.with_no_client_auth(), None),
            Some(path) => {
                let unusable = || TlsError::Authorities { path: path.clone() };
                let authorities = certificates(content(2)).ok_or_else(unusable)?;
                let end = first_end(&authorities).ok_or_else(unusable)?;
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority).map_err(|_| unusable())?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|_| unusable())?;
                (builder.with_client_cert_verifier(verifier), Some(end))
            }
        };
        let mut config = builder.with_single_cert(chain, private).map_err(pair)?;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { config: Arc::new(config), certificate_end, client_ca_end })
    }
}

/// At least one certificate; `None` when there is none, or anything that is not one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

/// The earliest expiry; `None` when one of them is not a certificate.
fn first_end(certificates: &[CertificateDer<'_>]) -> Option<u64> {
    let ends: Option<Vec<u64>> = certificates.iter().map(|certificate| certificate::end_of(certificate)).collect();
    ends?.into_iter().min()
}

#[cfg(test)]
mod tests;
