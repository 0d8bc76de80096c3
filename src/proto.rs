//! The generated API: messages, clients and servers of package `crossmarket.v1`, and the descriptor for reflection. The servers come with
//! the feature `server` only.

#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

/// Package `crossmarket.v1`.
pub mod v1 {
    tonic::include_proto!("crossmarket.v1");
}

/// The servers of the services that answer with bytes encoded before: the same as in [`v1`], with the types of
/// [`crate::services::encoded`] in the place of the answers.
#[cfg(feature = "server")]
pub mod encoded {
    include!(concat!(env!("OUT_DIR"), "/encoded/crossmarket.v1.rs"));
}

/// The compiled file descriptor set of the package and everything that it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crossmarket.v1.binpb"));

/// The domain of every `google.rpc.ErrorInfo`.
#[cfg(feature = "server")]
pub const ERROR_DOMAIN: &str = "crossmarket";
