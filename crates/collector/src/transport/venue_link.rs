//! HTTP link to one venue: sends requests within its rate limits and parses the responses.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::transport::http::Fetch;
use crate::transport::rate_limit::{RateLimiter, RateLimiters};
use crate::transport::retry::with_retries;
use crossmarket_clock::Clock;
use crossmarket_domain::Feed;
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::trace;
use crossmarket_venues::{ApiKey, Ask, Parsed, Request, Response, Secret, Venue, VenueError};

/// Pause after a rate limit if the venue does not say how long, and its window cannot be trusted.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// HTTP link to one venue, shared by its feeds.
#[derive(Clone)]
pub(crate) struct VenueLink {
    /// Index in the collector's list.
    pub index: u16,
    pub venue: &'static dyn Venue,
    /// Base address of its HTTP API.
    pub rest_url: Arc<str>,
    /// True when `rest_url` is on loopback: then every request goes there, whatever host it names.
    pub redirected: bool,
    /// Its metered scopes.
    pub limiters: RateLimiters,
    /// API key and where it is sent, for a venue that needs one.
    pub api_key: Option<(ApiKey, Secret)>,
    pub fetcher: Arc<dyn Fetch>,
    pub clock: Clock,
}

impl VenueLink {
    /// Sends a request once within the scope's limiter, and parses the response. A rate-limit response pauses the whole
    /// scope.
    pub(crate) async fn ask(&self, feed: Feed, request: &Request) -> Result<Parsed, VenueError> {
        let limiter = self.limiters.scope(request.scope);
        if let Some(limiter) = limiter {
            limiter.acquire(request.weight).await;
        }
        let response = self.fetch(request).await?;
        self.read(feed, request, &response, limiter)
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
                // Only the request that is sent contains the key; nothing that is parsed or logged does.
                let mark = if request.path.contains('?') { '&' } else { '?' };
                let value: String = url::form_urlencoded::byte_serialize(key.reveal().as_bytes()).collect();
                let path = format!("{}{mark}{}={value}", request.path, place.parameter);
                self.fetcher.get(base, &Request { path, ..request.clone() }).await
            }
        }
    }

    /// Parses a response. A rate-limit response pauses the whole scope.
    fn read(
        &self,
        feed: Feed,
        request: &Request,
        response: &Response,
        limiter: Option<&RateLimiter>,
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
            && let Some(limiter) = limiter
        {
            limiter.penalize(retry_after.or(response.retry_after).unwrap_or(RETRY_AFTER_DEFAULT));
        }
        parsed
    }

    /// Span for a request and its processing, if traced. The trace of a datum begins here.
    pub(crate) fn collect_span(&self, feed: Feed) -> Span {
        trace::span!(
            trace::begin(),
            "collect",
            crossmarket.venue = self.venue.id().as_str(),
            crossmarket.feed = feed.as_str(),
        )
    }

    /// Sends a request once within the part of the scope's limit for planned requests, and parses the response as each
    /// of the feeds.
    pub(crate) async fn ask_planned(&self, feeds: &[Feed], request: &Request) -> Result<Vec<Parsed>, VenueError> {
        let limiter = self.limiters.scope(request.scope);
        if let Some(limiter) = limiter {
            limiter.acquire_planned(request.weight).await;
        }
        self.ask_as(feeds, request, limiter).await
    }

    /// [`VenueLink::ask_planned`] within what planned requests leave.
    pub(crate) async fn ask_spare(&self, feeds: &[Feed], request: &Request) -> Result<Vec<Parsed>, VenueError> {
        let limiter = self.limiters.scope(request.scope);
        if let Some(limiter) = limiter {
            limiter.acquire_spare(request.weight).await;
        }
        self.ask_as(feeds, request, limiter).await
    }

    async fn ask_as(
        &self,
        feeds: &[Feed],
        request: &Request,
        limiter: Option<&RateLimiter>,
    ) -> Result<Vec<Parsed>, VenueError> {
        let response = self.fetch(request).await?;
        feeds.iter().map(|feed| self.read(*feed, request, &response, limiter)).collect()
    }

    /// [`VenueLink::ask`], retried while that helps, for at most `span`.
    pub(crate) async fn ask_patiently(
        &self,
        feed: Feed,
        request: &Request,
        seed: u64,
        span: Duration,
    ) -> Result<Parsed, VenueError> {
        with_retries(seed, Instant::now() + span, || self.ask(feed, request)).await
    }
}
