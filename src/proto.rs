//! The generated API: messages, clients and servers of package `crossmarket.v1`, and the descriptor for reflection.

#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

/// Package `crossmarket.v1`.
pub mod v1 {
    tonic::include_proto!("crossmarket.v1");
}

/// The compiled file descriptor set of the package and everything that it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crossmarket.v1.binpb"));
