//! A venue's static facts, as data.

use std::time::Duration;

use super::key::ApiKey;
use crossmarket_domain::{Feed, LongShortKind, VenueId};

/// A venue's facts. Each venue's folder defines one as a constant.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Unique. Also the key of the venue's settings and the label of its metrics.
    pub id: VenueId,
    /// `Binance spot`.
    pub title: &'static str,
    /// The URL of the API documentation.
    pub documentation_url: &'static str,
    /// The URL of the terms of use.
    pub terms_url: &'static str,
    /// False for an interface that the venue does not document.
    pub official: bool,
    /// The base URL of the HTTP API, without a trailing slash. Configuration may override it.
    pub rest_url: &'static str,
    /// The feeds available by HTTP.
    pub feeds: &'static [FeedProfile],
    /// The metered scopes of the HTTP API. Every request counts against one of them.
    pub limits: &'static [RateLimit],
    /// How the key is sent, for a venue that requires one.
    pub api_key: Option<ApiKey>,
    /// The kinds of long/short ratio that the venue publishes.
    pub long_short_kinds: &'static [LongShortKind],
    /// Maximum number of long/short rows in one answer.
    pub long_short_rows_max: u32,
    /// The stream of tickers.
    pub stream: Option<StreamProfile>,
    /// Codes by which the venue means another asset than the market at large does, or another code for the same one: the
    /// code, and the market's ticker or the asset's name.
    pub codes: &'static [(&'static str, &'static str)],
}

impl Profile {
    /// Defaults for a profile: no feed, no limit, no key, no ratios, no stream.
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
        codes: &[],
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

/// A feed of a venue: its poll interval and its rank among the venues.
#[derive(Clone, Copy, Debug)]
pub struct FeedProfile {
    pub feed: Feed,
    /// Time between polls.
    pub interval: Duration,
    /// Time between polls while the venue's stream delivers.
    pub interval_streaming: Duration,
    /// Rank in the order of preference among the venues that have the feed, from 1. Venues without a rank come last.
    pub rank: Option<u8>,
    /// True when the feed's history can be requested with a start. Candles and ratios always have history.
    pub has_history: bool,
    /// Other feeds that can be decoded from the answers to this feed's requests.
    pub also_answers: &'static [Feed],
}

impl FeedProfile {
    /// A feed with its default interval.
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

    /// Sets the poll interval to `seconds`.
    pub const fn every(self, seconds: u64) -> Self {
        Self { interval: Duration::from_secs(seconds), interval_streaming: Duration::from_secs(seconds), ..self }
    }

    /// Sets the rank in the order of preference.
    pub const fn ranked(self, rank: u8) -> Self {
        Self { rank: Some(rank), ..self }
    }

    /// Marks the feed as having history.
    pub const fn with_history(self) -> Self {
        Self { has_history: true, ..self }
    }

    /// Sets the other feeds that can be decoded from this feed's answers.
    pub const fn answering(self, feeds: &'static [Feed]) -> Self {
        Self { also_answers: feeds, ..self }
    }
}

/// One metered scope: a maximum weight of `limit` in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The scope's name within the venue: `weight`, `futures-data`.
    pub scope: &'static str,
    /// Maximum weight in a window.
    pub limit: u32,
    /// Length of the window.
    pub window: Duration,
}

impl RateLimit {
    /// At most `limit` in any window of `seconds`.
    pub const fn of(scope: &'static str, limit: u32, seconds: u64) -> Self {
        Self { scope, limit, window: Duration::from_secs(seconds) }
    }
}

/// A venue's stream: its URL and how a connection behaves.
#[derive(Clone, Copy, Debug)]
pub struct StreamProfile {
    /// Scheme, host and port. Configuration may override it.
    pub url: &'static str,
    /// The suffix of the URL for one connection, often empty.
    pub path: &'static str,
    pub session: SessionPolicy,
}

/// A stream session's limits and keep-alive rules.
#[derive(Clone, Copy, Debug)]
pub struct SessionPolicy {
    /// The venue closes a connection at this age; the collector reconnects earlier.
    pub life_max: Option<Duration>,
    /// A connection without data for this long is dead.
    pub silence_max: Duration,
    /// What the client must send to keep the connection alive.
    pub ping: Ping,
    /// Maximum number of instruments on one connection.
    pub instruments_max: usize,
    /// Maximum number of messages that the client may send in a second.
    pub messages_per_second_max: u32,
}

/// What the client sends to keep a connection alive.
#[derive(Clone, Copy, Debug)]
pub enum Ping {
    /// Nothing: the client only answers protocol pings.
    Answer,
    /// A text frame at a fixed interval.
    Text { text: &'static str, every: Duration },
}
