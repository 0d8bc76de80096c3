//! Who may connect and call: TLS, authentication, quotas.
//!
//! [`tls`] is the transport. [`Guard`] is the layer in front of the services: it identifies the caller ([`client`]: by key, token or certificate),
//! checks the [`scope`] and the [`quota`].

mod certificate;
pub(crate) mod client;
mod files;
pub(crate) mod guard;
pub(crate) mod key;
mod method;
mod peer;
pub(crate) mod quota;
pub(crate) mod refusal;
pub(crate) mod scope;
pub(crate) mod tls;
pub(crate) mod token;

pub use client::ClientSettings;
pub(crate) use client::network;
pub(crate) use files::{FileError, Reloads, WatchedFiles};
pub use guard::Guard;
pub use key::{KeyEntry, KeyHash};
pub(crate) use peer::Peer;
pub use quota::Quotas;
pub use scope::Scopes;
pub(crate) use tls::{ServerTls, TlsError, TlsSettings};
pub(crate) use token::TokenError;
pub use token::{TokenAlgorithm, TokenSettings, Tokens};
