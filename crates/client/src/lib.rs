//! The Rust client: calls that are tried again where that is safe, and watch streams that survive the server they began on.
//!
//! A program that needs nothing else of this crate depends on it without the service behind it:
//!
//! ```toml
//! crossmarket = { version = "0.1", default-features = false, features = ["client"] }
//! ```
//!
//! # Calls
//!
//! ```no_run
//! use crossmarket::client::Client;
//!
//! # async fn example() -> Result<(), crossmarket::client::Error> {
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
//! Every RPC of the API reads and changes nothing, so a call that failed on the way may be sent again. That is done for UNAVAILABLE and
//! for connections that break, at another endpoint where there is one, after a jittered pause where there is none, at most
//! [`ClientBuilder::attempts_max`] times and within a [`RetryBudget`] that all calls of a client share: when everything fails, the calls
//! are not multiplied. Nothing is tried again after the call's own deadline ([`Client::with_deadline`]), and no other status is: it is the
//! answer.
//!
//! An endpoint that fails is passed over for a while that grows with its failures in a row, and is tried again by one call at a time.
//!
//! # Streams
//!
//! ```no_run
//! use crossmarket::client::{Client, WatchEvent};
//! use crossmarket::proto::v1::WatchPriceSnapshotsRequest;
//!
//! # async fn example() -> Result<(), crossmarket::client::Error> {
//! # let client = Client::new("http://127.0.0.1:50051")?;
//! let request = WatchPriceSnapshotsRequest { assets: vec!["BTC".to_owned()], ..Default::default() };
//! let mut watch = client.prices().watch(request).await?;
//! while let Some(event) = watch.next().await {
//!     match event? {
//!         WatchEvent::Update(frame) => println!("{} new states", frame.snapshots.len()),
//!         WatchEvent::Interrupted { cause, .. } => eprintln!("lost: {}", cause.message()),
//!         WatchEvent::Resumed { .. } => eprintln!("goes on, nothing was missed"),
//!         WatchEvent::Gap(reason) => eprintln!("forget what was received: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Watch`] goes on at another replica, from the cursor of the last frame, whenever its connection is lost or its server ends it. It
//! says so, and it says when states may have been missed.
//!
//! # Errors
//!
//! [`Error`] tells apart what no endpoint could answer, what the service refused and what took too long:
//!
//! ```
//! use crossmarket::client::{Client, Error};
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
//! [`Prices::raw`] and its like give the generated tonic client on the endpoint that is next, with the credentials and without retries;
//! [`Client::call`] runs any unary RPC of it as the typed methods do.

mod budget;
mod call;
mod error;
mod options;
mod pool;
mod services;
mod watch;

#[cfg(test)]
mod tests;

pub use budget::RetryBudget;
pub use call::{Client, Counters};
pub use error::{Error, code_name, describe};
pub use options::{ClientBuilder, Tls};
pub use pool::{Connection, Credentials, EndpointHealth, TraceHeaders};
pub use services::{Catalog, Indices, LongShort, Overview, Prices, Signals};
pub use watch::{GapReason, Watch, WatchEvent, WatchFrame, WatchRequest};
