//! What is known of a venue before it is asked anything: its facts as data.

use std::time::Duration;

use super::key::ApiKey;
use crossmarket_domain::{Feed, LongShortKind, VenueId};

/// A venue's facts. Its folder has one as a constant.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Unique; also the key of its settings and the label of its metrics.
    pub id: VenueId,
    /// `Binance spot`.
    pub title: &'static str,
    /// Where its API is documented.
    pub documentation_url: &'static str,
    /// Its terms of use.
    pub terms_url: &'static str,
    /// False for an interface that the venue does not document.
    pub official: bool,
    /// Its HTTP API, without a trailing slash. Configuration may override it.
    pub rest_url: &'static str,
    /// The feeds that it has by HTTP.
    pub feeds: &'static [FeedProfile],
    /// The metered scopes of its HTTP API. Every request's scope is one of them.
    pub limits: &'static [RateLimit],
    /// How its key is sent, for a venue that answers nothing without one.
    pub api_key: Option<ApiKey>,
    /// The kinds of long/short ratio that it has.
    pub long_short_kinds: &'static [LongShortKind],
    /// Rows of long/short ratios in one answer at most.
    pub long_short_rows_max: u32,
    /// Its stream of tickers.
    pub stream: Option<StreamProfile>,
}

impl Profile {
    /// What a profile may leave out: no feed, no limit, no key, no ratios, no stream.
    pub const NONE: Self = Self {
        id: VenueId(""),
        title: "",
        documentation_url: "",
        terms_url: "",
        official: true,
        rest_url: "",
        feeds: &[],
        limits: &[],
        api_key: None,
        long_short_kinds: &[],
        long_short_rows_max: 100,
        stream: None,
    };

    /// The feed, if the venue has it.
    pub fn feed(&self, feed: Feed) -> Option<&'static FeedProfile> {
        self.feeds.iter().find(|profile| profile.feed == feed)
    }

    /// The venue's feeds.
    pub fn feed_ids(&self) -> impl Iterator<Item = Feed> + use<> {
        self.feeds.iter().map(|profile| profile.feed)
    }
}

/// A feed of a venue: when it is polled, and where it stands among others.
#[derive(Clone, Copy, Debug)]
pub struct FeedProfile {
    pub feed: Feed,
    /// Time between polls.
    pub interval: Duration,
    /// The same while the venue's stream delivers.
    pub interval_streaming: Duration,
    /// Place in the order of preference among the venues that have the feed, from 1. Venues without one come last.
    pub rank: Option<u8>,
    /// True when the feed's past can be asked for with a start. Candles and ratios always have one.
    pub has_history: bool,
    /// The feeds that an answer to this feed's requests can be read as, too.
    pub also_answers: &'static [Feed],
}

impl FeedProfile {
    /// A feed at its usual interval.
    pub const fn of(feed: Feed) -> Self {
        let (seconds, seconds_streaming) = match feed {
            Feed::Tickers => (5, 30),
            Feed::IndexLevels => (60, 60),
            Feed::Categories => (600, 600),
            Feed::MarketCaps | Feed::Candles | Feed::LongShortRatios | Feed::OpenInterest => (300, 300),
        };
        Self {
            feed,
            interval: Duration::from_secs(seconds),
            interval_streaming: Duration::from_secs(seconds_streaming),
            rank: None,
            has_history: false,
            also_answers: &[],
        }
    }

    /// The feed, polled every `seconds`.
    pub const fn every(self, seconds: u64) -> Self {
        Self { interval: Duration::from_secs(seconds), interval_streaming: Duration::from_secs(seconds), ..self }
    }

    /// The feed with a place in the order of preference.
    pub const fn ranked(self, rank: u8) -> Self {
        Self { rank: Some(rank), ..self }
    }

    /// The feed with a past.
    pub const fn with_history(self) -> Self {
        Self { has_history: true, ..self }
    }

    /// The feed, whose answers can be read as `feeds` too.
    pub const fn answering(self, feeds: &'static [Feed]) -> Self {
        Self { also_answers: feeds, ..self }
    }
}

/// One metered scope: at most `limit` weight in any window of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The scope's name within the venue: `weight`, `futures-data`.
    pub scope: &'static str,
    /// Weight allowed in a window.
    pub limit: u32,
    /// Length of the window.
    pub window: Duration,
}

impl RateLimit {
    /// At most `limit` in any `seconds`.
    pub const fn of(scope: &'static str, limit: u32, seconds: u64) -> Self {
        Self { scope, limit, window: Duration::from_secs(seconds) }
    }
}

/// Where a venue's stream is and how a connection to it behaves.
#[derive(Clone, Copy, Debug)]
pub struct StreamProfile {
    /// Scheme, host and port. Configuration may override it.
    pub url: &'static str,
    /// What to add to the URL for one connection, often nothing.
    pub path: &'static str,
    /// Its limits and habits.
    pub session: SessionPolicy,
}

/// A stream session's limits and habits.
#[derive(Clone, Copy, Debug)]
pub struct SessionPolicy {
    /// The venue closes a connection at this age; the collector reconnects before.
    pub life_max: Option<Duration>,
    /// A connection that delivers nothing for this long is dead.
    pub silence_max: Duration,
    /// What the client must send when.
    pub ping: Ping,
    /// Instruments on one connection at most.
    pub instruments_max: usize,
    /// Messages that the client may send in a second.
    pub messages_per_second_max: u32,
}

/// What the client sends to keep a connection alive.
#[derive(Clone, Copy, Debug)]
pub enum Ping {
    /// Nothing of its own: it answers protocol pings.
    Answer,
    /// This text at this interval.
    Text {
        /// The frame.
        text: &'static str,
        /// The interval.
        every: Duration,
    },
}
