//! Recorded answers of the venues, served on loopback as the venues would: HTTP bodies to the requests that they answer, stream frames
//! in the order of their times. What a recording has is found out by reading it with the venues' own decoders.
//!
//! A recording is a directory with one directory for each venue, `DIR/<venue id>/`, of `.json` files (one HTTP body each; below a `ws`
//! directory one stream frame each) and `.jsonl` files (stream frames, one a line, bare or in an
//! [envelope](crossmarket_venues::envelope)). A venue whose id is another's
//! with a suffix, as `binance-usdm`, may instead have its files in the other's directory, with `fapi` or `futures` in their names.

use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::VenueEndpoint;
use crossmarket_domain::{Feed, Instrument, Timestamp};
use crossmarket_venues::Request;

mod reading;
mod recording;
mod server;

pub use recording::{Recording, RecordingError, Refused};

/// 2000-01-01T00:00:00Z in seconds since 1970.
const UNDATED_SECONDS: i64 = 946_684_800;

/// Time for a server to end after a stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The time given to what was recorded without any: 2000-01-01T00:00:00Z, before there were any of these venues, so that it is taken for
/// neither current nor newer than anything dated.
pub fn undated_time() -> Timestamp {
    Timestamp::from_seconds(UNDATED_SECONDS)
}

/// One venue of a running replay.
#[derive(Clone, Debug)]
pub struct ReplayEndpoint {
    /// Where it is. There is a stream when frames of it were recorded.
    pub endpoint: VenueEndpoint,
    /// The requests that together get every recorded body, each once, the oldest first. One that occurs several times has as many bodies,
    /// which are answered in turn.
    pub requests: Vec<(Feed, Request)>,
    /// The instruments that the recorded frames are about.
    pub streamed: Vec<Instrument>,
}

/// Running venues of a recording. They stop when it is dropped.
pub struct Replay {
    venues: Vec<(ReplayEndpoint, JoinHandle<()>)>,
    stop: CancellationToken,
}

/// Starts every recorded venue on a loopback port of its own.
///
/// # Errors
///
/// When a port cannot be bound.
pub async fn start(recording: Recording) -> io::Result<Replay> {
    let stop = CancellationToken::new();
    let mut venues = Vec::new();
    for recorded in recording.venues {
        venues.push(server::start(recorded, stop.clone()).await?);
    }
    Ok(Replay { venues, stop })
}

impl Replay {
    /// The venues.
    pub fn endpoints(&self) -> Vec<ReplayEndpoint> {
        self.venues.iter().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Stops every venue and waits until they have, two seconds at most each.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for (_, task) in &mut self.venues {
            if tokio::time::timeout(SHUTDOWN_GRACE, &mut *task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
