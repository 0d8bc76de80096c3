//! One task per venue that offers ratios. It discovers the venue's perpetuals, plans, and polls. A failing venue does
//! not hold up the others.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::event::{CollectorEvent, LongShortAnswer, Observed};
use crate::history::candles::Target;
use crate::history::ratios::{RatioBackfill, RatioBackfillVenue, RatioInstrument};
use crate::long_short::plan::{Job, Plan, Series, plan};
use crate::transport::circuit_breaker::Breaker;
use crate::transport::feed_health::FeedMonitor;
use crate::transport::venue_link::VenueLink;
use crossmarket_analytics::plausibility;
use crossmarket_backoff::{Backoff, Pauses};
use crossmarket_clock::Clock;
use crossmarket_domain::time::HOUR;
use crossmarket_domain::{Feed, Instrument, InstrumentKind, Observation, Payload, Period, Timestamp, TraceContext};
use crossmarket_store::Store;
use crossmarket_telemetry::trace;
use crossmarket_venues::{Parsed, Request, RequestOptions, Venue, VenueError};

/// How often a venue's list of perpetuals is requested. Where a single response covers all instruments, the list
/// includes their open interest.
pub(crate) const LIST_INTERVAL: Duration = Duration::from_secs(300);

/// The same interval for the first lists after the start.
const LIST_INTERVAL_FIRST: Duration = Duration::from_secs(15);
const LISTS_FIRST: u32 = 3;

/// Minimum time between two plans. Ranks move all the time, but few of the moves matter.
const PLAN_INTERVAL: Duration = Duration::from_secs(60);

/// Concurrent requests per venue.
const CONCURRENT_MAX: usize = 4;

/// Delay before an instrument is polled again after the venue refused it (it is delisted, or never had the data).
const REFUSED_WAIT: Duration = HOUR.saturating_mul(6);

/// Delay before a failed job is retried, unless its interval is shorter.
const BACKOFF: Backoff = Backoff::between(LIST_RETRY_WAIT, HOUR);

/// Delay before a failed list of perpetuals is requested again.
const LIST_RETRY_WAIT: Duration = Duration::from_secs(30);

/// After this many empty answers, poll the instrument at a quarter of the rate.
const EMPTY_MAX: u32 = 3;

/// Wall-clock time over which the first round after the start is spread.
const FIRST_ROUND: Duration = Duration::from_secs(20);

/// Delay of the longest periods after the start, when the others have had their first round.
const LONG_PERIODS_DELAY: Duration = HOUR;

/// Quote assets in which an asset's perpetual is preferred, best first.
const QUOTES: [&str; 4] = ["USDT", "USDC", "USD", "FDUSD"];

pub(crate) struct RatioVenue {
    pub link: VenueLink,
    /// Health of the ratios feed.
    pub ratios: Arc<FeedMonitor>,
    /// Health of the open interest feed.
    pub open_interest: Arc<FeedMonitor>,
}

/// What the tasks of all venues share.
#[derive(Clone)]
pub(crate) struct Context {
    pub store: Arc<dyn Store>,
    /// Destination of the observations.
    pub events: mpsc::Sender<CollectorEvent>,
    /// The tracked assets, by importance.
    pub targets: watch::Receiver<Arc<[Target]>>,
    pub clock: Clock,
    pub simulated: bool,
    /// False to request no history.
    pub backfill: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Starts one task per venue, and one for the history.
pub(crate) fn start(venues: Vec<RatioVenue>, context: &Context, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let mut past = Vec::new();
    for RatioVenue { link, ratios, open_interest } in venues {
        for scope in planned_scopes(link.venue) {
            if let Some(budget) = link.limiters.scope(scope) {
                budget.plan_only();
            }
        }
        let (instruments, receiver) = watch::channel::<Arc<[RatioInstrument]>>(Arc::from([]));
        past.push(RatioBackfillVenue { link: link.clone(), monitor: Arc::clone(&ratios), instruments: receiver });
        let feed = LongShortFeed {
            seed: context.seed.wrapping_add(u64::from(link.index) * 32),
            link,
            ratios,
            open_interest,
            events: context.events.clone(),
            instruments,
            simulated: context.simulated,
        };
        tasks.spawn(feed.run(context.targets.clone(), stop.clone()));
    }
    if past.is_empty() {
        return;
    }
    let past = RatioBackfill {
        venues: past,
        store: Arc::clone(&context.store),
        events: context.events.clone(),
        clock: context.clock,
        simulated: context.simulated,
        asks: context.backfill,
    };
    tasks.spawn(past.run(stop.clone()));
}

/// The scopes that only ratios and open interest use.
fn planned_scopes(venue: &dyn Venue) -> BTreeSet<&'static str> {
    let Some(sample) = venue.listing("BTC", "USDT") else { return BTreeSet::new() };
    let sample = std::slice::from_ref(&sample);
    let options = RequestOptions::default();
    let scopes = |feed: Feed, asked: &[Instrument]| {
        venue.requests(feed, asked, &options).into_iter().map(|request| request.scope)
    };
    let mut planned: BTreeSet<&str> =
        scopes(Feed::LongShortRatios, sample).chain(scopes(Feed::OpenInterest, sample)).collect();
    for other in scopes(Feed::Tickers, &[]).chain(scopes(Feed::Candles, sample)) {
        planned.remove(other);
    }
    planned
}

/// Ratios and open interest of one venue.
pub(crate) struct LongShortFeed {
    pub link: VenueLink,
    /// Health of the ratios feed.
    pub ratios: Arc<FeedMonitor>,
    /// Health of the open interest feed.
    pub open_interest: Arc<FeedMonitor>,
    /// Destination of the observations.
    pub events: mpsc::Sender<CollectorEvent>,
    /// The venue's perpetuals of the tracked assets, for the task that fills their history.
    pub instruments: watch::Sender<Arc<[RatioInstrument]>>,
    pub simulated: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

/// A job and its results so far.
struct Waiting {
    job: Job,
    due: Timestamp,
    pauses: Pauses,
    empty: u32,
    answered: Option<Timestamp>,
    running: bool,
}

/// Result of a job.
enum Outcome {
    Answered,
    Empty,
    Refused,
    Failed,
}

#[derive(Default)]
struct Jobs {
    waiting: HashMap<Series, Waiting>,
    /// Jobs that are not running, by due time and importance. Urgent jobs are kept apart, since they run first.
    urgent: BTreeSet<(Timestamp, u32, Series)>,
    others: BTreeSet<(Timestamp, u32, Series)>,
}

impl LongShortFeed {
    /// Follows the targets until `stop`.
    pub(crate) async fn run(self, targets: watch::Receiver<Arc<[Target]>>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow(targets) => {}
        }
    }

    async fn follow(&self, mut targets: watch::Receiver<Arc<[Target]>>) {
        let mut jobs = Jobs::default();
        let mut breaker = Breaker::new(self.seed);
        let mut perpetuals: BTreeMap<smol_str::SmolStr, Instrument> = BTreeMap::new();
        let (mut list_at, mut plan_at) = (Instant::now(), Instant::now());
        let mut lists_first = LISTS_FIRST;
        let mut running = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            if now >= list_at && breaker.open_until(now).is_none() {
                let current = targets.borrow().clone();
                if current.is_empty() {
                    // Without assets there is nothing to request.
                    if targets.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                let listed = self.list(&current).await;
                self.told(&mut breaker, listed.is_some());
                let wait = match listed {
                    None => LIST_RETRY_WAIT,
                    // Right after the start, assets arrive one by one.
                    Some(_) if lists_first > 0 => LIST_INTERVAL_FIRST,
                    Some(_) => LIST_INTERVAL,
                };
                lists_first -= u32::from(listed.is_some() && lists_first > 0);
                list_at = Instant::now() + self.link.clock.real(wait);
                if let Some(listed) = listed {
                    perpetuals = listed;
                    plan_at = Instant::now();
                }
            }
            if Instant::now() >= plan_at {
                plan_at = Instant::now() + self.link.clock.real(PLAN_INTERVAL);
                let current = targets.borrow_and_update().clone();
                self.replan(&mut jobs, &current, &perpetuals);
            }
            let shut = breaker.open_until(Instant::now());
            while running.len() < CONCURRENT_MAX
                && shut.is_none()
                && let Some(job) = jobs.take_due(self.link.clock.now())
            {
                running.push(self.ask(job.0, job.1));
            }
            let wake = self.wake(&jobs, list_at.min(plan_at), shut, running.len() < CONCURRENT_MAX);
            tokio::select! {
                done = running.next(), if !running.is_empty() => {
                    if let Some((series, outcome)) = done {
                        self.told(&mut breaker, !matches!(outcome, Outcome::Failed));
                        jobs.done(&series, outcome, self.link.clock.now());
                        self.count(&jobs);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn told(&self, breaker: &mut Breaker, answered: bool) {
        if answered {
            breaker.success();
        } else {
            breaker.failure(Instant::now());
        }
        self.ratios.circuit(breaker.is_open());
    }

    fn count(&self, jobs: &Jobs) {
        let of = |feed: Feed| jobs.waiting.values().filter(move |waiting| waiting.job.feed() == feed);
        let instruments: BTreeSet<&str> =
            of(Feed::LongShortRatios).map(|waiting| waiting.job.instrument.symbol.as_str()).collect();
        let answered: BTreeSet<&str> = of(Feed::LongShortRatios)
            .filter(|waiting| waiting.answered.is_some())
            .map(|waiting| waiting.job.instrument.symbol.as_str())
            .collect();
        self.ratios.instruments(instruments.len(), answered.len());
    }

    /// Time of the next check.
    fn wake(&self, jobs: &Jobs, periodic: Instant, shut: Option<Instant>, has_room: bool) -> Instant {
        let periodic = shut.map_or(periodic, |shut| periodic.max(shut));
        let next = jobs.next_due().filter(|_| has_room).map(|due| {
            let wait = due.since(self.link.clock.now());
            (Instant::now() + self.link.clock.real(wait)).max(shut.unwrap_or_else(Instant::now))
        });
        next.map_or(periodic, |next| next.min(periodic)).max(Instant::now() + Duration::from_millis(1))
    }

    /// The venue's perpetuals by asset. Where a single response has the open interest of all of them, it is forwarded;
    /// elsewhere the tickers reveal which perpetuals exist. `None` if the venue did not answer.
    async fn list(&self, targets: &[Target]) -> Option<BTreeMap<smol_str::SmolStr, Instrument>> {
        let venue = self.link.venue;
        let options = RequestOptions::default();
        let (feed, requests) = match venue.requests(Feed::OpenInterest, &[], &options) {
            requests if requests.is_empty() => (Feed::Tickers, venue.requests(Feed::Tickers, &[], &options)),
            requests => (Feed::OpenInterest, requests),
        };
        let mut observations = Vec::new();
        for request in requests {
            observations.extend(self.observe(feed, &request).await?.observations);
        }
        let tracked: BTreeSet<&str> = targets.iter().flat_map(|target| target.codes_at(self.link.index)).collect();
        let mut best: BTreeMap<smol_str::SmolStr, Instrument> = BTreeMap::new();
        for Observation { instrument, .. } in &observations {
            if !is_perpetual(instrument) {
                continue;
            }
            match best.get(&instrument.base) {
                Some(held) if preference(held) <= preference(instrument) => {}
                _ => {
                    best.insert(instrument.base.clone(), instrument.clone());
                }
            }
        }
        if feed == Feed::OpenInterest {
            let is_best = |Observation { instrument, .. }: &Observation| {
                tracked.contains(instrument.base.as_str())
                    && best.get(&instrument.base).is_some_and(|best| best.symbol == instrument.symbol)
            };
            observations.retain(is_best);
            self.hand_on(Feed::OpenInterest, None, observations).await;
        }
        Some(best)
    }

    async fn observe(&self, feed: Feed, request: &Request) -> Option<Parsed> {
        let monitor = if feed == Feed::OpenInterest { &self.open_interest } else { &self.ratios };
        monitor.requested();
        match self.link.ask_planned(&[feed], request).await {
            Ok(mut answers) => {
                let parsed = answers.pop()?;
                if feed == Feed::OpenInterest {
                    monitor.succeeded(parsed.observations.len(), parsed.observations.len(), &parsed.unresolved);
                }
                Some(parsed)
            }
            Err(error) => {
                tracing::debug!(venue = %self.link.venue.id(), %feed, %error, "cannot read the list of perpetuals");
                monitor.failed(&error);
                if feed != Feed::OpenInterest {
                    return None;
                }
                self.ratios.failed(&error);
                None
            }
        }
    }

    /// Plans again, and keeps what is known of each series.
    fn replan(&self, jobs: &mut Jobs, targets: &[Target], perpetuals: &BTreeMap<smol_str::SmolStr, Instrument>) {
        let of_target = |(target, place): (&Target, u32)| {
            let instrument = target.codes_at(self.link.index).find_map(|code| perpetuals.get(code))?.clone();
            Some(RatioInstrument { place, asset: target.asset.clone(), instrument })
        };
        let held: Vec<RatioInstrument> = targets.iter().zip(1u32..).filter_map(of_target).collect();
        let instruments: Vec<(u32, Instrument)> = held.iter().map(|one| (one.place, one.instrument.clone())).collect();
        let venue = self.link.venue;
        let by_instrument = venue.requests(Feed::OpenInterest, &[], &RequestOptions::default()).is_empty();
        let Plan { jobs: planned, ratio_tiers, open_interest_tiers } =
            plan(venue, &instruments, by_instrument, self.simulated);
        self.ratios.planned(ratio_tiers);
        self.open_interest.planned(open_interest_tiers);
        let now = self.link.clock.now();
        let count = u32::try_from(planned.len()).unwrap_or(u32::MAX).max(1);
        let first_round = FIRST_ROUND.mul_f64(self.link.clock.speed());
        let mut before = std::mem::take(&mut jobs.waiting);
        (jobs.urgent, jobs.others) = Default::default();
        for (job, index) in planned.into_iter().zip(0u32..) {
            let waiting = match before.remove(&job.series()) {
                Some(held) => Waiting { due: held.due.min(now + job.interval.max(REFUSED_WAIT)), job, ..held },
                None => {
                    // A job of the longest periods can wait until the others have run.
                    let is_long = matches!(job.period, Some(Period::FourHours | Period::OneDay)) && !self.simulated;
                    let delay = if is_long { LONG_PERIODS_DELAY } else { Duration::ZERO };
                    let due = now + delay + first_round * index / count;
                    let pauses = BACKOFF.seeded(self.seed.wrapping_add(index.into()));
                    Waiting { job, due, pauses, empty: 0, answered: None, running: false }
                }
            };
            let series = waiting.job.series();
            if !waiting.running {
                jobs.put(&waiting.job, waiting.due);
            }
            jobs.waiting.insert(series, waiting);
        }
        self.instruments.send_if_modified(|known| {
            let is_other = **known != *held;
            if is_other {
                *known = held.into();
            }
            is_other
        });
        self.count(jobs);
    }

    /// Runs all requests of one series once.
    async fn ask(&self, job: Job, since: Option<Duration>) -> (Series, Outcome) {
        let feed = job.feed();
        let monitor = if feed == Feed::OpenInterest { &self.open_interest } else { &self.ratios };
        let asked = std::slice::from_ref(&job.instrument);
        let (mut outcome, mut refused) = (Outcome::Empty, false);
        for request in self.link.venue.requests(feed, asked, &job.options(since)) {
            monitor.requested();
            let also = self.link.venue.profile().feed(feed).map_or(&[][..], |profile| profile.also_answers);
            let feeds: Vec<Feed> = std::iter::once(feed).chain(also.iter().copied()).collect();
            let span = self.link.collect_span(feed);
            match self.link.ask_planned(&feeds, &request).instrument(span.clone()).await {
                Ok(answers) => {
                    let trace = trace::context_of(&span);
                    for (feed, parsed) in feeds.into_iter().zip(answers) {
                        let is_own = feed == job.feed();
                        let taken = self.take(&job, feed, trace, parsed).await;
                        if taken && is_own {
                            outcome = Outcome::Answered;
                        }
                    }
                }
                Err(error @ VenueError::Rejected(_)) if monitor.has_succeeded() => {
                    // One instrument that a venue lacks says nothing about the feed.
                    tracing::debug!(venue = %self.link.venue.id(), symbol = %job.instrument.symbol, %error, "refused");
                    monitor.rejected("refused_by_venue", 1);
                    refused = true;
                }
                Err(error) => {
                    tracing::debug!(venue = %self.link.venue.id(), symbol = %job.instrument.symbol, %error, "request failed");
                    monitor.failed(&error);
                    return (job.series(), Outcome::Failed);
                }
            }
        }
        if refused && matches!(outcome, Outcome::Empty) {
            outcome = Outcome::Refused;
        }
        (job.series(), outcome)
    }

    /// Forwards a response; true if it contains data. Rows of a period other than the requested one are not part of
    /// this series.
    async fn take(&self, job: &Job, feed: Feed, trace: Option<TraceContext>, parsed: Parsed) -> bool {
        let monitor = if feed == Feed::OpenInterest { &self.open_interest } else { &self.ratios };
        let Parsed { mut observations, unresolved } = parsed;
        monitor.answered(observations.len(), &unresolved);
        let (Feed::LongShortRatios, Some(period)) = (feed, job.period) else {
            // Rows of contract statistics contain the open interest of each period. The newest row is the current one.
            let newest = observations.into_iter().max_by_key(|observation| observation.event_time);
            let found = newest.is_some();
            self.hand_on(Feed::OpenInterest, trace, newest.into_iter().collect()).await;
            return found;
        };
        let row_count = observations.len();
        observations.retain(|observation| is_of_period(observation, period));
        if distance(&observations).is_some_and(|distance| distance != period.duration()) {
            observations.clear();
        }
        if observations.len() < row_count {
            monitor.rejected("other_period", (row_count - observations.len()) as u64);
        }
        let receive_time = self.link.clock.now();
        observations.retain(|observation| match plausibility::check(observation, receive_time, None) {
            Ok(()) => true,
            Err(reason) => {
                monitor.rejected(reason.as_str(), 1);
                false
            }
        });
        if observations.is_empty() {
            return false;
        }
        let answer = LongShortAnswer {
            venue_index: self.link.index,
            receive_time,
            instrument: Arc::new(job.instrument.clone()),
            budget: job.budget(),
            trace,
            observations,
        };
        self.events.send(CollectorEvent::LongShort(answer)).await.is_ok()
    }

    async fn hand_on(&self, feed: Feed, trace: Option<TraceContext>, observations: Vec<Observation>) {
        if observations.is_empty() {
            return;
        }
        let receive_time = self.link.clock.now();
        let observed =
            Observed { venue_index: self.link.index, feed, receive_time, streaming: false, trace, observations };
        // The pipeline outlives the feeds.
        let _ = self.events.send(CollectorEvent::Observed(observed)).await;
    }
}

impl Jobs {
    /// The most urgent job, and the time since it was last answered.
    fn take_due(&mut self, now: Timestamp) -> Option<(Job, Option<Duration>)> {
        let is_due = |first: &&(Timestamp, u32, Series)| first.0 <= now;
        let (_, _, series) = match self.urgent.first().filter(is_due) {
            Some(_) => self.urgent.pop_first()?,
            None => self.others.first().filter(is_due).and(self.others.first().cloned()).inspect(|first| {
                self.others.remove(first);
            })?,
        };
        let waiting = self.waiting.get_mut(&series)?;
        waiting.running = true;
        Some((waiting.job.clone(), waiting.answered.map(|answered| now.since(answered))))
    }

    fn done(&mut self, series: &Series, outcome: Outcome, now: Timestamp) {
        // A new plan may have dropped it meanwhile.
        let Some(waiting) = self.waiting.get_mut(series) else { return };
        waiting.running = false;
        let interval = waiting.job.interval;
        let next = waiting.job.due_after(now);
        waiting.due = match outcome {
            Outcome::Answered => {
                waiting.pauses.reset();
                (waiting.empty, waiting.answered) = (0, Some(now));
                next
            }
            Outcome::Empty => {
                waiting.empty = waiting.empty.saturating_add(1);
                if waiting.empty < EMPTY_MAX { next } else { next + interval * 3 }
            }
            Outcome::Refused => {
                waiting.answered = None;
                now + REFUSED_WAIT
            }
            Outcome::Failed => now + waiting.pauses.next_pause().min(interval),
        };
        let (job, due) = (waiting.job.clone(), waiting.due);
        self.put(&job, due);
    }

    fn put(&mut self, job: &Job, due: Timestamp) {
        let order = if job.is_urgent() { &mut self.urgent } else { &mut self.others };
        order.insert((due, job.place, job.series()));
    }

    fn next_due(&self) -> Option<Timestamp> {
        [&self.urgent, &self.others].into_iter().filter_map(|order| Some(order.first()?.0)).min()
    }
}

fn is_perpetual(instrument: &Instrument) -> bool {
    matches!(instrument.kind, InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse)
}

/// Of two perpetuals of an asset, the one with the smaller preference is used.
fn preference(instrument: &Instrument) -> (usize, &str) {
    let quote = QUOTES.iter().position(|quote| instrument.quote == *quote).unwrap_or(QUOTES.len());
    (quote, instrument.symbol.as_str())
}

fn is_of_period(observation: &Observation, period: Period) -> bool {
    matches!(&observation.payload, Payload::LongShort(value) if value.period == Some(period))
}

/// Smallest distance between rows of one kind. `None` for fewer than three rows, since one may be missing.
fn distance(observations: &[Observation]) -> Option<Duration> {
    let mut times: BTreeMap<_, Vec<Timestamp>> = BTreeMap::new();
    for observation in observations {
        if let (Payload::LongShort(value), Some(time)) = (&observation.payload, observation.event_time) {
            times.entry(value.kind).or_default().push(time);
        }
    }
    let smallest = |mut times: Vec<Timestamp>| {
        times.sort_unstable();
        times.dedup();
        let distances = times.windows(2).filter_map(|pair| Some(pair.last()?.since(*pair.first()?)));
        if times.len() < 3 { None } else { distances.min() }
    };
    times.into_values().filter_map(smallest).min()
}
