//! Polling: each feed's schedule, and what happens to its answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::breaker::Breaker;
use super::budget::{Budget, Budgets};
use super::fetch::Fetch;
use super::intake::{Intake, Observed};
use super::monitor::FeedMonitor;
use super::retry::with_retries;
use crossmarket_backoff::Jitter;
use crossmarket_clock::Clock;
use crossmarket_domain::{Feed, Instrument};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::trace;
use crossmarket_venues::{ApiKey, Ask, Parsed, Request, RequestOptions, Response, Secret, Venue, VenueError};

/// When a venue that limits us does not say for how long, and its window is not to be trusted.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// Categories are asked for so long after the start.
const CATEGORIES_DELAY: Duration = Duration::from_secs(2);

/// Requests of one cycle under way at once.
const CONCURRENT_REQUESTS_MAX: usize = 4;

/// One venue's HTTP side, shared by its feeds.
#[derive(Clone)]
pub struct VenueLink {
    /// Its place in the collector's list.
    pub index: u16,
    /// The venue.
    pub venue: &'static dyn Venue,
    /// Where its HTTP API is.
    pub rest_url: Arc<str>,
    /// True when `rest_url` is on loopback: then every request goes there, whatever host it names.
    pub redirected: bool,
    /// Its metered scopes.
    pub budgets: Budgets,
    /// Its key and where it goes, for a venue that needs one.
    pub api_key: Option<(ApiKey, Secret)>,
    /// The HTTP client.
    pub fetcher: Arc<dyn Fetch>,
    /// The time.
    pub clock: Clock,
}

impl VenueLink {
    /// Asks once and reads the answer, within the scope's budget. A limit pauses the whole scope.
    pub async fn ask(&self, feed: Feed, request: &Request) -> Result<Parsed, VenueError> {
        let budget = self.budgets.scope(request.scope);
        if let Some(budget) = budget {
            budget.acquire(request.weight).await;
        }
        let response = self.fetch(request).await?;
        self.read(feed, request, &response, budget)
    }

    async fn fetch(&self, request: &Request) -> Result<Response, VenueError> {
        let since = Instant::now();
        let fetched = self.send(request).await;
        metrics::VENUE_FETCH.with(&[self.venue.id().as_str()]).observe(since.elapsed());
        fetched
    }

    async fn send(&self, request: &Request) -> Result<Response, VenueError> {
        let base = match request.host {
            Some(host) if !self.redirected => host,
            _ => &self.rest_url,
        };
        match &self.api_key {
            None => self.fetcher.get(base, request).await,
            Some((place, key)) => {
                // Only the request that is sent has the key: nothing that is read or logged does.
                let mark = if request.path.contains('?') { '&' } else { '?' };
                let value: String = url::form_urlencoded::byte_serialize(key.reveal().as_bytes()).collect();
                let path = format!("{}{mark}{}={value}", request.path, place.parameter);
                self.fetcher.get(base, &Request { path, ..request.clone() }).await
            }
        }
    }

    /// Reads an answer. A limit pauses the whole scope.
    fn read(
        &self,
        feed: Feed,
        request: &Request,
        response: &Response,
        budget: Option<&Budget>,
    ) -> Result<Parsed, VenueError> {
        let duration = metrics::VENUE_PARSE.with(&[self.venue.id().as_str()]);
        let span = trace::span!(trace::within(), "parse", crossmarket.observation_count = Empty);
        let also;
        let ask = if request.ask.feed == feed {
            &request.ask
        } else {
            also = Ask { feed, ..request.ask.clone() };
            &also
        };
        let parsed = span.in_scope(|| duration.time(|| self.venue.parse(ask, response)));
        if let Ok(parsed) = &parsed {
            span.record("crossmarket.observation_count", parsed.observations.len().cast_signed() as i64);
        }
        if let Err(VenueError::RateLimited { retry_after }) = &parsed
            && let Some(budget) = budget
        {
            budget.penalize(retry_after.or(response.retry_after).unwrap_or(RETRY_AFTER_DEFAULT));
        }
        parsed
    }

    /// A span for a request with all that belongs to it, if it is traced: here a datum's trace begins.
    pub fn collect_span(&self, feed: Feed) -> Span {
        trace::span!(
            trace::begin(),
            "collect",
            crossmarket.venue = self.venue.id().as_str(),
            crossmarket.feed = feed.as_str(),
        )
    }

    /// Asks once, within the part of the scope's budget that is for planned requests, and reads the answer as each of the feeds.
    pub async fn ask_planned(&self, feeds: &[Feed], request: &Request) -> Result<Vec<Parsed>, VenueError> {
        let budget = self.budgets.scope(request.scope);
        if let Some(budget) = budget {
            budget.acquire_planned(request.weight).await;
        }
        self.ask_as(feeds, request, budget).await
    }

    /// [`VenueLink::ask_planned`] within what planned requests leave.
    pub async fn ask_spare(&self, feeds: &[Feed], request: &Request) -> Result<Vec<Parsed>, VenueError> {
        let budget = self.budgets.scope(request.scope);
        if let Some(budget) = budget {
            budget.acquire_spare(request.weight).await;
        }
        self.ask_as(feeds, request, budget).await
    }

    async fn ask_as(
        &self,
        feeds: &[Feed],
        request: &Request,
        budget: Option<&Budget>,
    ) -> Result<Vec<Parsed>, VenueError> {
        let response = self.fetch(request).await?;
        feeds.iter().map(|feed| self.read(*feed, request, &response, budget)).collect()
    }

    /// [`VenueLink::ask`], repeated while that helps, for at most `span`.
    pub async fn ask_patiently(
        &self,
        feed: Feed,
        request: &Request,
        seed: u64,
        span: Duration,
    ) -> Result<Parsed, VenueError> {
        with_retries(seed, Instant::now() + span, || self.ask(feed, request)).await
    }
}

/// One polled feed.
pub struct PolledFeed {
    /// The venue.
    pub link: VenueLink,
    /// The feed.
    pub feed: Feed,
    /// Its health.
    pub monitor: Arc<FeedMonitor>,
    /// Where observations go.
    pub intake: mpsc::Sender<Intake>,
    /// Time between requests, by the clock.
    pub interval: Duration,
    /// The same while the venue's stream delivers.
    pub interval_streaming: Duration,
    /// At most so many rows, where the venue takes a limit.
    pub row_count_max: Option<u32>,
    /// What to ask for when the venue cannot answer for everything at once.
    pub instruments: Vec<Instrument>,
    /// Decides the jitter.
    pub seed: u64,
}

impl PolledFeed {
    /// Polls until `stop`: at once, then at its interval, the first time shifted by a random part of it so that the feeds spread out.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.poll() => {}
        }
    }

    async fn poll(&self) {
        let mut breaker = Breaker::new(self.seed);
        let mut shift = Jitter::new(self.seed).share_of(self.interval);
        if self.feed == Feed::Categories {
            // They are many requests of a narrow budget that the listing itself draws on, and nothing waits for them.
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

    /// Waits, but no longer than the short interval when the stream is lost meanwhile.
    async fn wait(&self, until: Instant, streaming: bool) {
        let step = self.link.clock.real(self.interval).max(Duration::from_millis(1));
        while Instant::now() < until {
            tokio::time::sleep_until(until.min(Instant::now() + step)).await;
            if streaming && !self.monitor.stream_is_up() {
                return;
            }
        }
    }

    /// Asks everything once. True when anything was answered.
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
            // The pipeline ends only after the feeds.
            let _ = self.intake.send(Intake::ListingComplete { venue_index: self.link.index }).await;
        }
        answered_count > 0
    }

    fn requests(&self) -> Vec<Request> {
        // A source of closes alone is asked for those before now.
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
                self.intake.send(Intake::Observed(observed)).await.is_ok()
            }
            Err(error) => {
                tracing::debug!(venue = %self.link.venue.id(), feed = %self.feed, %error, "request failed");
                self.monitor.failed(&error);
                false
            }
        }
    }
}
