//! Watches prices with the client library and reports what happens to the stream: `cargo run -p crossmarket-client --example watch_prices -- BTC ETH`.
//!
//! Start the service with `crossmarket demo` first, or name servers in `CROSSMARKET_SERVER`, separated by commas: stop the one in use, and
//! the stream resumes at another.

use crossmarket_api::v1::WatchPriceSnapshotsRequest;
use crossmarket_client::{Client, Error, WatchEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let servers = std::env::var("CROSSMARKET_SERVER").unwrap_or_else(|_| "http://127.0.0.1:50051".to_owned());
    let client = Client::new(&servers)?;
    let assets: Vec<String> = std::env::args().skip(1).collect();
    let min_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = WatchPriceSnapshotsRequest { assets, min_interval, ..Default::default() };
    let mut watch = client.prices().watch(request).await?;
    while let Some(event) = watch.next().await {
        match event? {
            WatchEvent::Update(frame) => {
                for snapshot in &frame.snapshots {
                    let mark = if snapshot.simulated { " (simulated)" } else { "" };
                    println!("{} {} USD{mark}", snapshot.asset, snapshot.price.as_deref().unwrap_or("no price yet"));
                }
            }
            WatchEvent::Interrupted { cause, pause } => eprintln!("lost ({}), retrying in {pause:?}", cause.message()),
            WatchEvent::Resumed { endpoint, after } => {
                eprintln!("resumed at {endpoint} after {after:?}, nothing missed")
            }
            WatchEvent::Gap(reason) => eprintln!("gap: {reason}"),
            other => eprintln!("{other:?}"),
        }
    }
    Ok(())
}
