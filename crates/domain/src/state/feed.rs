//! The health of feeds.

use std::time::Duration;

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use crate::stored::{self, codes, in_tuples};
use crate::{Feed, Timestamp};

/// Whether a feed works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedState {
    /// Not heard from yet.
    Starting,
    /// The last request succeeded within the budget.
    Ok,
    /// It answers, and something is amiss: errors between successes, entries refused.
    Degraded,
    /// No success within the budget, or the circuit is open.
    Down,
    /// Switched off by configuration.
    Disabled,
}

codes!(FeedState { Starting = 0, Ok = 1, Degraded = 2, Down = 3, Disabled = 4 });

/// What kind of error a feed had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedErrorKind {
    /// The venue asks to slow down.
    RateLimited,
    /// It may work next time: a time-out, a connection error, a 5xx.
    Transient,
    /// The answer is not what the venue documents.
    Malformed,
    /// The venue refuses: a geo-block, a bad parameter.
    Rejected,
    /// Not asked, since it failed too often.
    CircuitOpen,
}

in_tuples!(FeedErrorKind);
codes!(FeedErrorKind { RateLimited = 0, Transient = 1, Malformed = 2, Rejected = 3, CircuitOpen = 4 });

/// One metered scope's budget.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RateBudget {
    /// The scope's name: `binance:weight`.
    #[cbor(n(0), with = "stored")]
    pub scope: SmolStr,
    /// Weight allowed in a window.
    #[n(1)]
    pub limit: u64,
    /// Weight used in the last window.
    #[n(2)]
    pub used: u64,
    #[n(3)]
    pub window: Duration,
    /// Weight that crossmarket allows itself in a window.
    #[n(4)]
    pub planned: u64,
}

/// How often one tier of market-cap ranks is asked for within a feed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PlanTier {
    /// First rank, from 1.
    #[n(0)]
    pub rank_min: u32,
    /// Last rank; `None` when it is open.
    #[n(1)]
    pub rank_max: Option<u32>,
    #[n(2)]
    pub instrument_count: u32,
    /// Time between two requests for the same instrument.
    #[n(3)]
    pub interval: Duration,
    /// What that costs, in thousandths of the scope's weight a minute.
    #[n(4)]
    pub milliweight_per_minute: u64,
    /// The scope that it draws on.
    #[cbor(n(5), with = "stored")]
    pub scope: SmolStr,
}

/// A feed's health.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FeedStatus {
    /// The venue's id.
    #[cbor(n(0), with = "stored")]
    pub venue: SmolStr,
    #[n(1)]
    pub feed: Feed,
    /// True when it arrives by WebSocket.
    #[n(2)]
    pub streaming: bool,
    #[n(3)]
    pub state: FeedState,
    /// Since when it is in that state.
    #[n(4)]
    pub state_time: Timestamp,
    #[n(5)]
    pub last_success: Option<Timestamp>,
    /// Its time, kind and text.
    #[cbor(n(6), with = "stored", has_nil)]
    pub last_error: Option<(Timestamp, FeedErrorKind, SmolStr)>,
    /// Requests (or frames) so far.
    #[n(7)]
    pub request_count: u64,
    /// Errors so far.
    #[n(8)]
    pub error_count: u64,
    /// Observations so far.
    #[n(9)]
    pub observation_count: u64,
    /// Entries refused so far, by reason.
    #[cbor(n(10), with = "stored")]
    pub rejections: Vec<(SmolStr, u64)>,
    /// Instruments asked for; 0 when all are.
    #[n(11)]
    pub instrument_count: u32,
    /// Instruments answered last.
    #[n(12)]
    pub resolved_count: u32,
    /// Time between requests.
    #[n(13)]
    pub interval: Duration,
    /// Reconnects of a stream so far.
    #[n(14)]
    pub reconnect_count: u64,
    /// The rate-limit budgets that it draws on.
    #[n(15)]
    pub rate_budgets: Vec<RateBudget>,
    /// How it is planned by market-cap rank; empty where ranks are treated alike.
    #[n(16)]
    pub plan: Vec<PlanTier>,
}
