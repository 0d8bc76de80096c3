//! Fills histories. Requests the missing spans from a venue page by page within its rate limits, checks the responses,
//! and passes them to the series, which stores them and decides how to continue. The caller must retry whatever could
//! not be fetched.

use std::time::Duration;

use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_analytics::plausibility;
use crossmarket_domain::{Feed, Observation, Timestamp};
use crossmarket_venues::{Request, Venue, VenueError};

/// From `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// A request, and the feeds as which its response is parsed.
pub(crate) type PageRequest = (Vec<Feed>, Request);

/// How a series continues after a page.
pub(crate) enum Step {
    /// Continue with the next span.
    Next,
    /// Continue with these spans instead of the remaining ones.
    Replace(Vec<Span>),
    /// Stop.
    End,
}

/// A series that is filled from one venue.
pub(crate) trait SeriesSource {
    /// Why a page could not be processed.
    type Error;

    /// The requests that fetch one page.
    fn requests(&self, venue: &dyn Venue, span: Span) -> Vec<PageRequest>;

    /// Processes the plausible observations of a page.
    async fn accept(&mut self, span: Span, observations: Vec<Observation>) -> Result<Step, Self::Error>;
}

/// How much of a venue's rate limits to use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The full limit. Failed requests are retried for this long.
    Patient { seed: u64, retry_for: Duration },
    /// Only what planned requests leave, with a pause before each request.
    Spare { pause: Duration },
}

/// Fills series from one venue.
#[derive(Clone, Copy)]
pub(crate) struct HistoryFiller<'a> {
    pub link: &'a VenueLink,
    pub monitor: &'a FeedMonitor,
    pub pace: Pace,
}

impl HistoryFiller<'_> {
    /// Requests the spans, last first, until none is left or the series ends. The inner error is the venue's. A refused
    /// request does not count against the feed's health, since a venue refuses ranges that predate its data.
    pub(crate) async fn fill<S: SeriesSource>(
        &self,
        series: &mut S,
        mut spans: Vec<Span>,
    ) -> Result<Result<(), VenueError>, S::Error> {
        while let Some(span) = spans.pop() {
            let observations = match self.ask(series.requests(self.link.venue, span)).await {
                Ok(observations) => observations,
                Err(error) => return Ok(Err(error)),
            };
            match series.accept(span, observations).await? {
                Step::Next => {}
                Step::Replace(others) => spans = others,
                Step::End => break,
            }
        }
        Ok(Ok(()))
    }

    async fn ask(&self, requests: Vec<PageRequest>) -> Result<Vec<Observation>, VenueError> {
        let mut plausible = Vec::new();
        for (feeds, request) in requests {
            if let Pace::Spare { pause } = self.pace {
                tokio::time::sleep(pause).await;
            }
            self.monitor.requested();
            match self.ask_once(&feeds, &request).await {
                Ok(observations) => {
                    let now = self.link.clock.now();
                    for observation in observations {
                        match plausibility::check(&observation, now, None) {
                            Ok(()) => plausible.push(observation),
                            Err(reason) => self.monitor.rejected(reason.as_str(), 1),
                        }
                    }
                }
                Err(error) => {
                    if !matches!(error, VenueError::Rejected(_)) {
                        self.monitor.failed(&error);
                    }
                    return Err(error);
                }
            }
        }
        Ok(plausible)
    }

    async fn ask_once(&self, feeds: &[Feed], request: &Request) -> Result<Vec<Observation>, VenueError> {
        match (self.pace, feeds) {
            (Pace::Patient { seed, retry_for }, [feed]) => {
                let parsed = self.link.ask_patiently(*feed, request, seed, retry_for).await?;
                self.monitor.succeeded(1, parsed.observations.len(), &parsed.unresolved);
                Ok(parsed.observations)
            }
            _ => {
                let answers = self.link.ask_spare(feeds, request).await?;
                for parsed in &answers {
                    self.monitor.answered(parsed.observations.len(), &parsed.unresolved);
                }
                Ok(answers.into_iter().flat_map(|parsed| parsed.observations).collect())
            }
        }
    }
}
