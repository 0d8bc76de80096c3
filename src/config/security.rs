//! `security.*`: who may connect and call.

use std::path::PathBuf;

use super::Reader;
use crate::security::TlsSettings;

/// `security.*`: who may connect and call.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityConfig {
    /// `security.tls.*`: TLS on the gRPC port; `None` means that it speaks plain HTTP/2. `certificate_file` and `key_file` belong together;
    /// with `client_ca_file` clients must have a certificate of one of the authorities in it. All are PEM, and read anew when they change.
    pub tls: Option<TlsSettings>,
}

impl SecurityConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { tls: tls(reader) }
    }
}

fn tls(reader: &mut Reader) -> Option<TlsSettings> {
    let certificate = path(reader, "security.tls.certificate_file", "a file with the server's certificates in PEM");
    let key = path(reader, "security.tls.key_file", "a file with the certificate's private key in PEM");
    let client_ca_file =
        path(reader, "security.tls.client_ca_file", "a file with the certificates of clients' authorities in PEM");
    match (certificate, key) {
        (Some(certificate_file), Some(key_file)) => Some(TlsSettings { certificate_file, key_file, client_ca_file }),
        (None, None) => {
            if client_ca_file.is_some() {
                let allowed = "only with security.tls.certificate_file and security.tls.key_file";
                reader.refuse("security.tls.client_ca_file", "", allowed);
            }
            None
        }
        (certificate, _) => {
            let missing = if certificate.is_some() { "key_file" } else { "certificate_file" };
            reader.refuse(&format!("security.tls.{missing}"), "", "certificate_file and key_file, both or neither");
            None
        }
    }
}

fn path(reader: &mut Reader, key: &str, allowed: &str) -> Option<PathBuf> {
    let parse = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    reader.optional(key, allowed, parse, |path| path.display().to_string())
}
