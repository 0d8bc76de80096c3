//! The items of derived streams: comparisons whose last sample follows the market, and snapshots of assets and quotients.

use bytes::Bytes;
use prost::Message;

use super::compare::{self, Benchmark, Compared, ComparisonQuery, Plan};
use super::derived::Derived;
use super::leg::{Leg, key_of, keys_of};
use super::snapshot;
use super::status::item_state_of;
use crate::services::context::Services;
use crate::services::error::ServiceError;
use crossmarket_analytics::comparison::{LiveComparison, Sample};
use crossmarket_analytics::daily::Day;
use crossmarket_api::v1;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::Key;
use crossmarket_image::View;
use crossmarket_telemetry::metrics::Calculation;

pub(crate) struct WatchedComparison {
    subject: String,
    benchmark: String,
    query: ComparisonQuery,
    keys: Vec<Key>,
    current: Result<Box<Current>, (v1::ItemState, String)>,
}

/// A comparison that can be computed.
struct Current {
    subject: Leg,
    benchmark: Leg,
    plan: Plan,
    day: Day,
    outcome: Compared,
    /// All but the last sample; `None` while the day has no sample on both legs.
    live: Option<LiveComparison>,
}

impl WatchedComparison {
    /// A comparison by the names that the client gave.
    pub(crate) fn new(services: &Services, subject: &str, benchmark: &str, query: ComparisonQuery) -> Self {
        let mut keys: Vec<Key> = [subject, benchmark].into_iter().flat_map(|name| keys_of(services, name)).collect();
        keys.sort_unstable();
        keys.dedup();
        let pending = (v1::ItemState::Pending, String::new());
        Self { subject: subject.to_owned(), benchmark: benchmark.to_owned(), query, keys, current: Err(pending) }
    }

    fn prepare(&self, services: &Services, now: Timestamp) -> Result<Current, ServiceError> {
        let subject = Leg::resolve(services, "subjects", &self.subject)?;
        let benchmark = Leg::resolve(services, "benchmark", &self.benchmark)?;
        let mut prepared = Benchmark::new(&benchmark);
        let outcome = compare::compare(&subject, &mut prepared, &self.query, now)?;
        let plan = outcome.plan;
        let day = plan.current_day(now);
        let is_sampled = [&subject, &benchmark].into_iter().all(|leg| leg.value_on(day, plan.alignment, now).is_some());
        let live = is_sampled.then(|| prepared.live(plan, &self.query, day, &subject));
        drop(prepared);
        Ok(Current { subject, benchmark, plan, day, outcome, live })
    }
}

impl Current {
    fn is_outdated(&self, now: Timestamp) -> bool {
        let is_going_on = now < self.plan.sample_time(self.day);
        self.plan.current_day(now) != self.day || (self.live.is_some() && is_going_on != self.outcome.is_provisional)
    }

    /// Takes the newest states in. False when it must be prepared again.
    fn follow(&mut self, services: &Services, query: &ComparisonQuery, now: Timestamp) -> bool {
        for operand in self.subject.operands.iter_mut().chain(&mut self.benchmark.operands) {
            operand.item = services.image.get(&key_of(&operand.subject));
        }
        let value = |leg: &Leg| leg.value_on(self.day, self.plan.alignment, now);
        let (Some(live), Some(above), Some(below)) = (&self.live, value(&self.subject), value(&self.benchmark)) else {
            // The first sample of a day makes another comparison.
            return self.live.is_none() && (value(&self.subject).is_none() || value(&self.benchmark).is_none());
        };
        let Ok(figures) = Calculation::Comparison.time(|| live.with(above, below)) else { return false };
        self.outcome.figures = figures;
        if query.include_points {
            let sample: Sample = live.sample(above, below);
            if let Some(last) = self.outcome.samples.last_mut() {
                *last = sample;
            }
        }
        self.outcome.live = self.subject.live().zip(self.benchmark.live());
        true
    }
}

impl Derived for WatchedComparison {
    fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn entry(&mut self, services: &Services, now: Timestamp, afresh: bool) -> Option<Bytes> {
        let follows = match &mut self.current {
            Ok(current) => !afresh && current.follow(services, &self.query, now),
            Err(_) => false,
        };
        if !follows {
            self.current =
                self.prepare(services, now).map(Box::new).map_err(|error| (item_state_of(&error), error.to_string()));
        }
        let current = self.current.as_ref().ok()?;
        let comparison =
            compare::message(services, &current.subject, &current.benchmark, &self.query, &current.outcome);
        Some(
            v1::WatchComparisonsResponse { comparisons: vec![comparison], ..Default::default() }.encode_to_vec().into(),
        )
    }

    fn is_outdated(&self, now: Timestamp) -> bool {
        self.current.as_ref().is_ok_and(|current| current.is_outdated(now))
    }

    fn status(&self) -> (v1::ItemState, String) {
        match &self.current {
            Ok(_) => (v1::ItemState::Ok, String::new()),
            Err(status) => status.clone(),
        }
    }
}

/// An index, asset or quotient that is watched.
pub(crate) struct WatchedSnapshot {
    name: String,
    view: View,
    keys: Vec<Key>,
    status: (v1::ItemState, String),
}

impl WatchedSnapshot {
    /// A snapshot by the name that the client gave.
    pub(crate) fn new(services: &Services, name: &str, view: View) -> Self {
        let keys = keys_of(services, name);
        Self { name: name.to_owned(), view, keys, status: (v1::ItemState::Pending, String::new()) }
    }
}

impl Derived for WatchedSnapshot {
    fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn entry(&mut self, services: &Services, _: Timestamp, _: bool) -> Option<Bytes> {
        let made = Leg::resolve(services, "indices", &self.name).and_then(|leg| snapshot::of(services, &leg));
        self.status = match &made {
            Ok(_) => (v1::ItemState::Ok, String::new()),
            Err(error) => (item_state_of(error), error.to_string()),
        };
        made.ok().map(|message| snapshot::entry(message, self.view))
    }

    fn is_outdated(&self, _: Timestamp) -> bool {
        false
    }

    fn status(&self) -> (v1::ItemState, String) {
        self.status.clone()
    }
}
