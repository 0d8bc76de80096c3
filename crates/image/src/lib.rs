//! The live image: every key's newest state in this process's memory, encoded once for all readers.
//!
//! A key has a slot with the state, its position in the change feed, and its bytes in both views. Reads take the bytes. Watchers own no queue:
//! a [`Subscription`] remembers how far it has come and takes what is newer, so a slow reader costs no more than a fast one
//! (docs/adr/005-no-queue-per-subscriber.md). This module knows neither the wire format ([`Encoder`] does) nor where states come from
//! ([`crate::follow`] feeds it).

#![deny(unreachable_pub)]

mod collection;
mod cursor;
mod filter;
pub mod follow;
mod handles;
pub mod histories;
mod image;
mod item;
pub mod opaque;
mod slots;
mod subscription;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use collection::Collection;
pub use crossmarket_domain::ShardId;
pub use cursor::{Cursor, CursorMangled, Position};
pub use filter::{Filter, LongShortSeries};
pub use image::{Discontinuity, Image, ImageSettings};
pub use item::{Change, Encoder, Encoding, Freshness, Item, View};
pub use subscription::{Batch, CursorTooOld, Stage, Subscription};
