//! The Rust client of crossmarket: unary calls with deadlines and retries, and watch streams that resume at another replica.
//!
//! ```toml
//! crossmarket-client = "0.1"
//! ```
//!
//! # Calls
//!
//! ```no_run
//! use crossmarket_client::Client;
//!
//! # async fn example() -> Result<(), crossmarket_client::Error> {
//! let client = Client::builder()
//!     .endpoint("http://10.0.0.1:50051")
//!     .endpoint("http://10.0.0.2:50051")
//!     .build()?;
//! let snapshot = client.prices().get("BTC").await?;
//! println!("{} USD", snapshot.price.as_deref().unwrap_or("no price yet"));
//! # Ok(())
//! # }
//! ```
//!
//! Every RPC of the API only reads, so a failed call can be repeated. The client retries UNAVAILABLE and broken connections: at another
//! endpoint if there is one, otherwise after a jittered pause; at most [`ClientBuilder::attempts_max`] times, and within a [`RetryBudget`]
//! that all calls of a client share, so that a client does not multiply its calls when everything fails. It never retries after the call's
//! deadline ([`Client::with_deadline`]), nor any other status.
//!
//! A failing endpoint is skipped for a time that grows with its consecutive failures; then one call at a time tries it again.
//!
//! # Streams
//!
//! ```no_run
//! use crossmarket_api::v1::WatchPriceSnapshotsRequest;
//! use crossmarket_client::{Client, WatchEvent};
//!
//! # async fn example() -> Result<(), crossmarket_client::Error> {
//! # let client = Client::new("http://127.0.0.1:50051")?;
//! let request = WatchPriceSnapshotsRequest { assets: vec!["BTC".to_owned()], ..Default::default() };
//! let mut watch = client.prices().watch(request).await?;
//! while let Some(event) = watch.next().await {
//!     match event? {
//!         WatchEvent::Update(frame) => println!("{} new states", frame.snapshots.len()),
//!         WatchEvent::Interrupted { cause, .. } => eprintln!("lost: {}", cause.message()),
//!         WatchEvent::Resumed { .. } => eprintln!("resumed, nothing was missed"),
//!         WatchEvent::Gap(reason) => eprintln!("drop what was received: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! When a connection is lost or a server ends the stream, a [`Watch`] resumes at another replica from the cursor of the last frame. It
//! reports the interruption, and reports when states may have been missed.
//!
//! # Errors
//!
//! [`Error`] distinguishes calls that no endpoint could answer, calls that the service refused, and calls that took too long:
//!
//! ```
//! use crossmarket_client::{Client, Error};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let client = Client::builder().endpoint("http://127.0.0.1:1").attempts_max(1).build().expect("an endpoint");
//! match client.prices().get("BTC").await {
//!     Ok(snapshot) => println!("{snapshot:?}"),
//!     Err(Error::Unreachable { endpoints, .. }) => assert_eq!(endpoints, "http://127.0.0.1:1"),
//!     Err(error) => panic!("{error}"),
//! }
//! # }
//! ```
//!
//! # The generated clients
//!
//! [`Prices::raw`] and its counterparts return the generated tonic client on the next endpoint, with credentials and without retries.
//! [`Client::call`] runs any unary RPC of it as the typed methods do.

#![deny(unreachable_pub)]

mod budget;
mod call;
mod error;
mod options;
mod pool;
mod services;
mod tls;
mod watch;

#[cfg(test)]
mod tests;

pub use budget::RetryBudget;
pub use call::{Client, Counters};
pub use error::{Error, code_name, describe};
pub use options::ClientBuilder;
pub use pool::{Connection, Credentials, EndpointHealth, TraceHeaders};
pub use services::{Catalog, Indices, LongShort, Overview, Prices, Signals};
pub use tls::Tls;
pub use watch::{GapReason, Watch, WatchEvent, WatchFrame, WatchRequest};
