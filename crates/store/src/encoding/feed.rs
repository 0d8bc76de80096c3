//! The health of feeds as stored messages.

use smol_str::SmolStr;

use super::scalar::{Coded, DurationMessage, codes, micros, required, timestamp};
use crate::StoreError;
use crossmarket_domain::state::{FeedErrorKind, FeedState, FeedStatus, PlanTier, RateBudget};
use crossmarket_domain::{Feed, Timestamp};

codes!(FeedState { Starting = 1, Ok = 2, Degraded = 3, Down = 4, Disabled = 5 });

codes!(FeedErrorKind { RateLimited = 1, Transient = 2, Malformed = 3, Rejected = 4, CircuitOpen = 5 });

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FeedMessage {
    #[prost(string, tag = "1")]
    venue: String,
    #[prost(uint32, tag = "2")]
    feed: u32,
    #[prost(bool, tag = "3")]
    streaming: bool,
    #[prost(uint32, tag = "4")]
    state: u32,
    #[prost(sint64, tag = "5")]
    state_time: i64,
    #[prost(sint64, optional, tag = "6")]
    last_success: Option<i64>,
    #[prost(message, optional, tag = "7")]
    last_error: Option<ErrorMessage>,
    #[prost(uint64, tag = "8")]
    request_count: u64,
    #[prost(uint64, tag = "9")]
    error_count: u64,
    #[prost(uint64, tag = "10")]
    observation_count: u64,
    #[prost(message, repeated, tag = "11")]
    rejections: Vec<CountMessage>,
    #[prost(uint32, tag = "12")]
    instrument_count: u32,
    #[prost(uint32, tag = "13")]
    resolved_count: u32,
    #[prost(message, optional, tag = "14")]
    interval: Option<DurationMessage>,
    #[prost(uint64, tag = "15")]
    reconnect_count: u64,
    #[prost(message, repeated, tag = "16")]
    rate_budgets: Vec<RateBudgetMessage>,
    #[prost(message, repeated, tag = "17")]
    plan: Vec<PlanTierMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorMessage {
    #[prost(sint64, tag = "1")]
    time: i64,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, tag = "3")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CountMessage {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(uint64, tag = "2")]
    count: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RateBudgetMessage {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(uint64, tag = "2")]
    limit: u64,
    #[prost(uint64, tag = "3")]
    used: u64,
    #[prost(message, optional, tag = "4")]
    window: Option<DurationMessage>,
    #[prost(uint64, tag = "5")]
    planned: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlanTierMessage {
    #[prost(uint32, tag = "1")]
    rank_min: u32,
    #[prost(uint32, optional, tag = "2")]
    rank_max: Option<u32>,
    #[prost(uint32, tag = "3")]
    instrument_count: u32,
    #[prost(message, optional, tag = "4")]
    interval: Option<DurationMessage>,
    #[prost(uint64, tag = "5")]
    milliweight_per_minute: u64,
    #[prost(string, tag = "6")]
    scope: String,
}

impl From<&FeedStatus> for FeedMessage {
    fn from(status: &FeedStatus) -> Self {
        let error = |(time, kind, text): &(Timestamp, FeedErrorKind, SmolStr)| ErrorMessage {
            time: time.as_micros(),
            kind: kind.code(),
            text: text.to_string(),
        };
        let rejection = |(reason, count): &(SmolStr, u64)| CountMessage { reason: reason.to_string(), count: *count };
        Self {
            venue: status.venue.to_string(),
            feed: status.feed.code(),
            streaming: status.streaming,
            state: status.state.code(),
            state_time: status.state_time.as_micros(),
            last_success: micros(status.last_success),
            last_error: status.last_error.as_ref().map(error),
            request_count: status.request_count,
            error_count: status.error_count,
            observation_count: status.observation_count,
            rejections: status.rejections.iter().map(rejection).collect(),
            instrument_count: status.instrument_count,
            resolved_count: status.resolved_count,
            interval: Some(status.interval.into()),
            reconnect_count: status.reconnect_count,
            rate_budgets: status.rate_budgets.iter().map(RateBudgetMessage::from).collect(),
            plan: status.plan.iter().map(PlanTierMessage::from).collect(),
        }
    }
}

impl TryFrom<FeedMessage> for FeedStatus {
    type Error = StoreError;

    fn try_from(message: FeedMessage) -> Result<Self, StoreError> {
        let error = |error: ErrorMessage| {
            Ok::<_, StoreError>((
                Timestamp::from_micros(error.time),
                FeedErrorKind::from_code(error.kind)?,
                error.text.into(),
            ))
        };
        Ok(Self {
            venue: message.venue.into(),
            feed: Feed::from_code(message.feed)?,
            streaming: message.streaming,
            state: FeedState::from_code(message.state)?,
            state_time: Timestamp::from_micros(message.state_time),
            last_success: timestamp(message.last_success),
            last_error: message.last_error.map(error).transpose()?,
            request_count: message.request_count,
            error_count: message.error_count,
            observation_count: message.observation_count,
            rejections: message.rejections.into_iter().map(|entry| (entry.reason.into(), entry.count)).collect(),
            instrument_count: message.instrument_count,
            resolved_count: message.resolved_count,
            interval: required(message.interval, "interval")?.try_into()?,
            reconnect_count: message.reconnect_count,
            rate_budgets: message.rate_budgets.into_iter().map(RateBudget::try_from).collect::<Result<_, _>>()?,
            plan: message.plan.into_iter().map(PlanTier::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&RateBudget> for RateBudgetMessage {
    fn from(budget: &RateBudget) -> Self {
        Self {
            scope: budget.scope.to_string(),
            limit: budget.limit,
            used: budget.used,
            window: Some(budget.window.into()),
            planned: budget.planned,
        }
    }
}

impl TryFrom<RateBudgetMessage> for RateBudget {
    type Error = StoreError;

    fn try_from(message: RateBudgetMessage) -> Result<Self, StoreError> {
        Ok(Self {
            scope: message.scope.into(),
            limit: message.limit,
            used: message.used,
            window: required(message.window, "window")?.try_into()?,
            planned: message.planned,
        })
    }
}

impl From<&PlanTier> for PlanTierMessage {
    fn from(tier: &PlanTier) -> Self {
        Self {
            rank_min: tier.rank_min,
            rank_max: tier.rank_max,
            instrument_count: tier.instrument_count,
            interval: Some(tier.interval.into()),
            milliweight_per_minute: tier.milliweight_per_minute,
            scope: tier.scope.to_string(),
        }
    }
}

impl TryFrom<PlanTierMessage> for PlanTier {
    type Error = StoreError;

    fn try_from(message: PlanTierMessage) -> Result<Self, StoreError> {
        Ok(Self {
            rank_min: message.rank_min,
            rank_max: message.rank_max,
            instrument_count: message.instrument_count,
            interval: required(message.interval, "interval")?.try_into()?,
            milliweight_per_minute: message.milliweight_per_minute,
            scope: message.scope.into(),
        })
    }
}
