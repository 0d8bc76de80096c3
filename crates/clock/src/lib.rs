//! The clock port: the current time, and waiting. The demo's clock starts in January 2026 and may run faster than
//! wall-clock time.

#![deny(unreachable_pub)]

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crossmarket_domain::Timestamp;

/// A source of time. Cheap to copy; all parts of a process share one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    at: Instant,
    time: Timestamp,
    speed: f64,
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self { origin: None }
    }

    /// A clock that shows `start` now and runs at `speed` times wall-clock speed. `speed` is above 0.
    pub fn simulated(start: Timestamp, speed: f64) -> Self {
        Self { origin: Some(Origin { at: Instant::now(), time: start, speed }) }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match self.origin {
            None => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(since_1970.as_micros() as i64)
            }
            Some(origin) => origin.time + origin.at.elapsed().mul_f64(origin.speed),
        }
    }

    /// The speed of the clock relative to wall-clock time.
    pub fn speed(&self) -> f64 {
        self.origin.map_or(1.0, |origin| origin.speed)
    }

    /// Converts a duration of this clock to wall-clock time.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.speed())
    }

    /// Waits for a duration of this clock.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(self.real(span)).await;
    }

    /// Waits until this clock shows `time`.
    pub async fn sleep_until(&self, time: Timestamp) {
        self.sleep(time.since(self.now())).await;
    }
}
