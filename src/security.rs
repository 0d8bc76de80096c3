//! Who may connect and call: TLS, authentication, quotas.
//!
//! [`tls`] is the transport. [`Guard`] is the layer in front of the services: it identifies the caller ([`client`]: by key, token or certificate),
//! checks the [`scope`] and the [`quota`].

mod certificate;
pub mod client;
mod files;
pub mod guard;
pub mod key;
mod method;
mod peer;
pub mod quota;
pub mod refusal;
pub mod scope;
pub mod tls;
pub mod token;

pub use client::{Caller, ClientSettings, network};
pub use files::{FileError, Reloads, WatchedFiles};
pub use guard::Guard;
pub use key::{KeyEntry, KeyHash};
pub use peer::Peer;
pub use quota::Quotas;
pub use refusal::{Refusal, Refusals};
pub use scope::{Scope, Scopes};
pub use tls::{ServerTls, TlsError, TlsSettings, TlsStatus};
pub use token::{TokenAlgorithm, TokenError, TokenSettings, Tokens};
