//! The generated servers. Where a response's items are already encoded in the live image, they take the types of
//! [`crate::services::encoded`] instead of the messages.

#![allow(clippy::all)]

tonic::include_proto!("crossmarket.v1");
