//! The API's messages and client stubs, generated from `proto/`, and its descriptor.

#![deny(unreachable_pub)]
#![allow(clippy::all, clippy::unwrap_used)]

/// Package `crossmarket.v1`.
pub mod v1 {
    tonic::include_proto!("crossmarket.v1");
}

/// The compiled file descriptor set of the package and everything that it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crossmarket.v1.binpb"));

/// The domain of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "crossmarket";
