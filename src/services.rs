//! The gRPC services: read the request, answer from the live image. A call never touches a venue, and only histories touch the store.

mod api;
mod catalog;
mod collection;
mod context;
mod convert;
pub mod encoded;
mod error;
mod health;
mod index;
pub mod long_short;
mod observe;
mod order;
mod paging;
mod planned;
mod price;
mod venue;
mod watch;

#[cfg(test)]
mod tests;

pub use api::{Api, api};
pub use context::{Services, StreamSettings};
pub use convert::WireEncoder;
pub use venue::VenueEntry;
