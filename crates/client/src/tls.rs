//! Certificates of `https` endpoints, and of the client.

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// How `https` endpoints are verified, and the client's certificate. All in PEM.
///
/// ```no_run
/// use crossmarket_client::{Client, Tls};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::default().authority(std::fs::read("ca.pem")?).identity(std::fs::read("me.pem")?, std::fs::read("me.key")?);
/// let client = Client::builder().endpoint("https://crossmarket.internal:50051").tls(tls).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    authority_pem: Option<Vec<u8>>,
    identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

impl Tls {
    /// The certificate authorities to trust, instead of the public ones.
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority_pem = Some(pem.into());
        self
    }

    /// The client's certificate and private key, for mutual TLS.
    pub fn identity(mut self, certificate_pem: impl Into<Vec<u8>>, key_pem: impl Into<Vec<u8>>) -> Self {
        self.identity_pem = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// The name in the server's certificate, when it differs from the endpoint's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    pub(super) fn config(&self) -> ClientTlsConfig {
        let mut config = match &self.authority_pem {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_webpki_roots(),
        };
        if let Some((certificate, key)) = &self.identity_pem {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let identity = self.identity_pem.as_ref().map(|_| "…");
        let authority = self.authority_pem.as_ref().map(|_| "…");
        let mut shown = formatter.debug_struct("Tls");
        shown.field("authority", &authority).field("identity", &identity).field("server_name", &self.server_name);
        shown.finish()
    }
}
