//! Venues: how to build each venue's requests and decode its answers. Sans-I/O: no clock, no socket, no async.
//!
//! A venue is one folder, with its facts in a [`Profile`], and one row in [`REGISTRY`]. Everything else (configuration
//! keys, metric labels, rate limiters, schedules, the catalogue, fuzz targets, the table in the README) derives from
//! the registry or is checked against it.

#![deny(unreachable_pub)]

mod key;
mod profile;
mod registry;
mod venue;

mod binance;
mod binance_usdm;
mod bitget;
mod bybit;
mod coinbase;
mod coingecko;
mod coinpaprika;
pub mod envelope;
mod fred;
mod gate;
mod htx;
mod kraken;
mod kucoin;
mod mexc;
mod okx;
mod stooq;
mod twelvedata;
pub mod wire;
mod yahoo;

pub use key::{ApiKey, Secret};
pub use profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
#[cfg(feature = "simulator")]
pub use registry::SIMULATED;
pub use registry::{REGISTRY, find, preference};
pub use venue::{
    Ask, AskPart, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, Unresolved, UnresolvedReason,
    Venue, VenueError,
};
