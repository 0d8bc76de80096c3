//! The clock port: what time it is and how long to wait. The demo's clock starts in January 2026 and may run faster than life.

#![deny(unreachable_pub)]

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crossmarket_domain::Timestamp;

/// A source of time. Cheap to copy; every part of a process shares one.
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
    /// The machine's clock.
    pub fn system() -> Self {
        Self { origin: None }
    }

    /// A clock that shows `start` now and goes `speed` times as fast as life. `speed` is above 0.
    pub fn simulated(start: Timestamp, speed: f64) -> Self {
        Self { origin: Some(Origin { at: Instant::now(), time: start, speed }) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.origin {
            None => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(since_1970.as_micros() as i64)
            }
            Some(origin) => origin.time + origin.at.elapsed().mul_f64(origin.speed),
        }
    }

    /// How many times as fast as life the clock goes.
    pub fn speed(&self) -> f64 {
        self.origin.map_or(1.0, |origin| origin.speed)
    }

    /// How long a span of this clock lasts in life.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.speed())
    }

    /// Waits for a span of this clock.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(self.real(span)).await;
    }

    /// Waits until this clock shows `time`.
    pub async fn sleep_until(&self, time: Timestamp) {
        self.sleep(time.since(self.now())).await;
    }
}
