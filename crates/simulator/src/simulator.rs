//! Starts and stops the simulated venues, and injects faults.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::equity::Equities;
use super::exchange::{Exchange, Fault, SimulatedVenue, with_faults};
use super::market::Market;
use super::options::SimulatorOptions;
use super::socket;

/// The addresses of a simulated venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueEndpoint {
    /// The id of the simulated venue.
    pub venue: &'static str,
    /// Replaces the venue's `rest_url`; without a trailing slash.
    pub rest_url: String,
    /// Replaces the venue's `ws_url`, if it has a simulated stream; without a path. Every path leads to that stream.
    pub ws_url: Option<String>,
}

/// Running simulated venues. Dropping this stops them.
pub struct Simulator {
    market: Arc<Market>,
    venues: Vec<Running>,
    stop: CancellationToken,
}

struct Running {
    exchange: Arc<Exchange>,
    endpoint: VenueEndpoint,
    task: JoinHandle<()>,
}

/// That venue is not simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("venue {0:?} is not simulated")]
pub struct NotSimulated(pub String);

const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Starts each of these venues on a loopback port of its own.
///
/// # Errors
///
/// When a port cannot be bound.
pub async fn start(venues: &'static [SimulatedVenue], options: SimulatorOptions) -> io::Result<Simulator> {
    let market = Arc::new(Market::new(options.seed));
    let equities = Arc::new(Equities::new(options.seed));
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for venue in venues {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let exchange =
            Arc::new(Exchange::new(venue, Arc::clone(&market), Arc::clone(&equities), options, stop.clone()));
        let endpoint = VenueEndpoint {
            venue: venue.id,
            rest_url: format!("http://{address}"),
            ws_url: venue.stream.map(|_| format!("ws://{address}")),
        };
        let router: Router = (venue.router)()
            .fallback(socket::accept)
            .layer(from_fn_with_state(Arc::clone(&exchange), with_faults))
            .with_state(Arc::clone(&exchange));
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::warn!(venue = venue.id, %error, "simulated venue stopped");
            }
        });
        running.push(Running { exchange, endpoint, task });
    }
    Ok(Simulator { market, venues: running, stop })
}

impl Simulator {
    /// The addresses of the venues.
    pub fn endpoints(&self) -> Vec<VenueEndpoint> {
        self.venues.iter().map(|running| running.endpoint.clone()).collect()
    }

    /// The market that the venues report.
    pub fn market(&self) -> &Market {
        &self.market
    }

    pub fn shared_market(&self) -> Arc<Market> {
        Arc::clone(&self.market)
    }

    /// Makes a venue answer everything with `status`, and close its streams, for a span of the simulated clock.
    ///
    /// # Errors
    ///
    /// When the venue is not simulated.
    pub fn fail(&self, venue: &str, status: StatusCode, duration: Duration) -> Result<(), NotSimulated> {
        let exchange = self.exchange(venue)?;
        let until = exchange.now() + duration;
        exchange.set_fault(|fault| fault.failing = Some((status, until)));
        Ok(())
    }

    /// Makes a venue answer with truncated JSON for a span of the simulated clock.
    ///
    /// # Errors
    ///
    /// When the venue is not simulated.
    pub fn garbage(&self, venue: &str, duration: Duration) -> Result<(), NotSimulated> {
        let exchange = self.exchange(venue)?;
        let until = exchange.now() + duration;
        exchange.set_fault(|fault| fault.garbage_until = Some(until));
        Ok(())
    }

    /// Makes a venue delay every answer, for a span of the simulated clock.
    ///
    /// # Errors
    ///
    /// When the venue is not simulated.
    pub fn delay(&self, venue: &str, delay: Duration) -> Result<(), NotSimulated> {
        self.exchange(venue)?.set_fault(|fault| fault.delay = Some(delay));
        Ok(())
    }

    /// Removes all faults of a venue.
    ///
    /// # Errors
    ///
    /// When the venue is not simulated.
    pub fn restore(&self, venue: &str) -> Result<(), NotSimulated> {
        self.exchange(venue)?.set_fault(|fault| *fault = Fault::default());
        Ok(())
    }

    /// Stops every venue and waits until they have stopped, at most two seconds.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for running in &mut self.venues {
            if tokio::time::timeout(SHUTDOWN_GRACE, &mut running.task).await.is_err() {
                running.task.abort();
            }
        }
    }

    fn exchange(&self, venue: &str) -> Result<&Exchange, NotSimulated> {
        let running = self.venues.iter().find(|running| running.endpoint.venue == venue);
        running.map(|running| running.exchange.as_ref()).ok_or_else(|| NotSimulated(venue.to_owned()))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
