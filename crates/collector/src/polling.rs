//! Polling: the schedule of each feed, and the processing of its responses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::event::{CollectorEvent, Observed};
use crate::transport::circuit_breaker::Breaker;
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_backoff::Jitter;
use crossmarket_domain::{Feed, Instrument};
use crossmarket_telemetry::trace;
use crossmarket_venues::{Request, RequestOptions};

/// Delay of the categories after the start.
const CATEGORIES_DELAY: Duration = Duration::from_secs(2);

/// Concurrent requests within one cycle.
const CONCURRENT_REQUESTS_MAX: usize = 4;

pub(crate) struct PolledFeed {
    pub link: VenueLink,
    pub feed: Feed,
    pub monitor: Arc<FeedMonitor>,
    /// Destination of the observations.
    pub events: mpsc::Sender<CollectorEvent>,
    /// Time between requests, by the collector's clock.
    pub interval: Duration,
    /// The same interval while the venue's stream delivers.
    pub interval_streaming: Duration,
    /// Maximum number of rows, for venues that accept a limit.
    pub row_count_max: Option<u32>,
    /// Instruments to request if the venue cannot answer for all at once.
    pub instruments: Vec<Instrument>,
    /// Seed of the jitter.
    pub seed: u64,
}

impl PolledFeed {
    /// Polls until `stop`: at once, then at its interval. The first interval is shifted by a random part of itself, so
    /// that the feeds spread out.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.poll() => {}
        }
    }

    async fn poll(&self) {
        let mut breaker = Breaker::new(self.seed);
        let mut shift = Jitter::new(self.seed).share_of(self.interval);
        if self.feed == Feed::Categories {
            // Categories take many requests out of a small budget that the listing also uses, and nothing waits for
            // them.
            self.link.clock.sleep(CATEGORIES_DELAY).await;
        }
        loop {
            let started = Instant::now();
            if self.cycle().await {
                breaker.success();
            } else {
                breaker.failure(Instant::now());
            }
            self.monitor.circuit(breaker.is_open());
            let streaming = self.monitor.stream_is_up();
            let interval = if streaming { self.interval_streaming } else { self.interval };
            let due = started + self.link.clock.real(interval.saturating_sub(std::mem::take(&mut shift)));
            let until = breaker.open_until(Instant::now()).map_or(due, |open_until| open_until.max(due));
            self.wait(until, streaming).await;
        }
    }

    /// Waits. If the stream is lost meanwhile, waits no longer than the short interval.
    async fn wait(&self, until: Instant, streaming: bool) {
        let step = self.link.clock.real(self.interval).max(Duration::from_millis(1));
        while Instant::now() < until {
            tokio::time::sleep_until(until.min(Instant::now() + step)).await;
            if streaming && !self.monitor.stream_is_up() {
                return;
            }
        }
    }

    /// Sends all requests once. True if any was answered.
    async fn cycle(&self) -> bool {
        let requests = self.requests();
        if requests.is_empty() {
            return true;
        }
        let request_count = requests.len();
        let concurrent_max = if self.feed == Feed::Categories { 1 } else { CONCURRENT_REQUESTS_MAX };
        let mut answered_count = 0;
        let mut waiting = requests.iter().enumerate();
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < concurrent_max
                && let Some((index, request)) = waiting.next()
            {
                asked.push(self.request(index, request));
            }
            let Some(answered) = asked.next().await else { break };
            answered_count += usize::from(answered);
        }
        if self.feed == Feed::MarketCaps && answered_count == request_count {
            // The pipeline outlives the feeds.
            let _ = self.events.send(CollectorEvent::ListingComplete { venue_index: self.link.index }).await;
        }
        answered_count > 0
    }

    fn requests(&self) -> Vec<Request> {
        // A source that only has closes is asked for those before now.
        let end = (self.feed == Feed::IndexLevels).then(|| self.link.clock.now());
        let options = RequestOptions { limit: self.row_count_max, end, ..RequestOptions::default() };
        let requests = self.link.venue.requests(self.feed, &[], &options);
        if !requests.is_empty() {
            return requests;
        }
        self.link.venue.requests(self.feed, &self.instruments, &options)
    }

    async fn request(&self, index: usize, request: &Request) -> bool {
        self.monitor.requested();
        let span = self.link.clock.real(self.interval).max(Duration::from_secs(1));
        let seed = self.seed.wrapping_add(index as u64);
        let traced = self.link.collect_span(self.feed);
        match self.link.ask_patiently(self.feed, request, seed, span).instrument(traced.clone()).await {
            Ok(parsed) => {
                self.monitor.succeeded(request.ask.instruments.len(), parsed.observations.len(), &parsed.unresolved);
                let observed = Observed {
                    venue_index: self.link.index,
                    feed: self.feed,
                    receive_time: self.link.clock.now(),
                    streaming: false,
                    trace: trace::context_of(&traced),
                    observations: parsed.observations,
                };
                self.events.send(CollectorEvent::Observed(observed)).await.is_ok()
            }
            Err(error) => {
                tracing::debug!(venue = %self.link.venue.id(), feed = %self.feed, %error, "request failed");
                self.monitor.failed(&error);
                false
            }
        }
    }
}
