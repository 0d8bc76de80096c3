//! Who may connect and call: TLS, authentication, quotas.

mod certificate;
mod files;
mod peer;
pub mod tls;

pub use peer::Peer;
pub use tls::{ServerTls, TlsError, TlsSettings, TlsStatus};
