//! What can go wrong with a call, and the only place where it becomes a gRPC status.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crossmarket_api::ERROR_DOMAIN;
use crossmarket_store::StoreError;

/// How much of a client's own text is given back, in characters.
const ECHO_LEN_MAX: usize = 64;

/// How long a client should wait before it tries a server again that cannot answer now.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// An argument cannot be taken.
    #[error("{field} {value:?}: {allowed}")]
    InvalidArgument {
        /// The field's path in the request.
        field: String,
        /// What was sent, cut to a reasonable length.
        value: String,
        allowed: String,
    },
    /// No such asset is in the catalogue.
    #[error("asset {0:?} is not in the catalogue")]
    UnknownAsset(String),
    /// The asset is in the catalogue and has no price yet.
    #[error("asset {0:?} has no price yet")]
    NoPriceYet(String),
    /// The asset is in the catalogue and there is no such long/short ratio of it.
    #[error(
        "asset {asset:?} has no {kind} ratio over {period} {}: no venue offers it, or none has answered yet",
        of_venue(venue)
    )]
    NoRatio {
        asset: String,
        kind: &'static str,
        period: &'static str,
        /// The venue; empty for the aggregate.
        venue: String,
    },
    /// There is no such index, asset or quotient.
    #[error("{0:?} is neither an index nor an asset of the catalogue, and there is no history of it")]
    UnknownIndex(String),
    /// The index is known and has no level yet.
    #[error("{0:?} has no level yet")]
    NoLevelYet(String),
    /// There is not enough history for the figure asked for.
    #[error("{subject}: {problem}")]
    InsufficientHistory {
        /// What it is about.
        subject: String,
        problem: String,
    },
    /// The cursor lies further back than the change feed goes.
    #[error("the resume cursor is older than the change feed goes: start again without it")]
    CursorTooOld,
    /// The image is not loaded yet.
    #[error("the server is loading its data")]
    NotReady,
    /// The server is shutting down.
    #[error("the server is shutting down: continue at another replica{}", with_cursor(cursor))]
    Draining {
        /// Where a stream can be continued; empty for a call that is no stream.
        cursor: String,
    },
    /// The stream has reached its planned age.
    #[error("the stream has reached its planned age: open it again{}", with_cursor(cursor))]
    StreamAge {
        /// Where it can be continued.
        cursor: String,
    },
    /// The client's own deadline passed.
    #[error("the call's deadline has passed")]
    DeadlineExceeded,
    /// The RPC is part of the API and comes with a later version.
    #[error("{0} is not implemented yet: it comes with a later version of crossmarket")]
    Unimplemented(&'static str),
    /// The store does not answer.
    #[error("histories cannot be read now")]
    Store(#[source] StoreError),
}

fn of_venue(venue: &str) -> String {
    if venue.is_empty() { "over all venues".to_owned() } else { format!("at {venue}") }
}

fn with_cursor(cursor: &str) -> String {
    if cursor.is_empty() { String::new() } else { format!(" with resume_cursor {cursor}") }
}

impl ServiceError {
    /// An argument that cannot be taken, with what was sent and what is allowed.
    pub(crate) fn invalid(field: impl Into<String>, value: impl ToString, allowed: impl Into<String>) -> Self {
        let value = value.to_string().chars().take(ECHO_LEN_MAX).collect();
        Self::InvalidArgument { field: field.into(), value, allowed: allowed.into() }
    }

    /// An unknown asset, by the name that the client used.
    pub(crate) fn unknown_asset(asset: &str) -> Self {
        Self::UnknownAsset(asset.chars().take(ECHO_LEN_MAX).collect())
    }

    /// An unknown index, by the name that the client used.
    pub(crate) fn unknown_index(index: &str) -> Self {
        Self::UnknownIndex(index.chars().take(ECHO_LEN_MAX).collect())
    }

    fn code(&self) -> Code {
        match self {
            Self::InvalidArgument { .. } => Code::InvalidArgument,
            Self::UnknownAsset(_) | Self::NoPriceYet(_) | Self::NoRatio { .. } => Code::NotFound,
            Self::UnknownIndex(_) | Self::NoLevelYet(_) => Code::NotFound,
            Self::InsufficientHistory { .. } => Code::FailedPrecondition,
            Self::CursorTooOld => Code::OutOfRange,
            Self::NotReady | Self::Draining { .. } | Self::StreamAge { .. } | Self::Store(_) => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Unimplemented(_) => Code::Unimplemented,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::UnknownAsset(_) => "UNKNOWN_ASSET",
            Self::NoPriceYet(_) => "NO_PRICE_YET",
            Self::NoRatio { .. } => "NO_LONG_SHORT_RATIO",
            Self::UnknownIndex(_) => "UNKNOWN_INDEX",
            Self::NoLevelYet(_) => "NO_LEVEL_YET",
            Self::InsufficientHistory { .. } => "INSUFFICIENT_HISTORY",
            Self::CursorTooOld => "CURSOR_TOO_OLD",
            Self::NotReady => "NOT_READY",
            Self::Draining { .. } => "DRAINING",
            Self::StreamAge { .. } => "STREAM_AGE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unimplemented(_) => "UNIMPLEMENTED",
            Self::Store(_) => "STORE_UNAVAILABLE",
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let entry = |name: &str, value: &str| HashMap::from([(name.to_owned(), value.to_owned())]);
        match self {
            Self::InvalidArgument { field, .. } => entry("field", field),
            Self::UnknownAsset(asset) | Self::NoPriceYet(asset) => entry("asset", asset),
            Self::NoRatio { asset, kind, period, venue } => {
                let entries = [("asset", asset.as_str()), ("kind", kind), ("period", period), ("venue", venue)];
                entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
            }
            Self::UnknownIndex(index) | Self::NoLevelYet(index) => entry("index", index),
            Self::InsufficientHistory { subject, .. } => entry("index", subject),
            Self::Draining { cursor } | Self::StreamAge { cursor } if !cursor.is_empty() => entry("cursor", cursor),
            Self::Unimplemented(rpc) => entry("rpc", rpc),
            _ => HashMap::new(),
        }
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let code = error.code();
        let text = error.to_string();
        let mut details = ErrorDetails::with_error_info(error.reason(), ERROR_DOMAIN, error.metadata());
        if let ServiceError::InvalidArgument { field, .. } = &error {
            details.add_bad_request_violation(field.clone(), text.clone());
        }
        if let ServiceError::InsufficientHistory { subject, .. } = &error {
            details.add_precondition_failure_violation(error.reason(), subject.clone(), text.clone());
        }
        if code == Code::Unavailable {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Status::with_error_details(code, text, details)
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_reason_domain_and_field() {
        let status = Status::from(ServiceError::invalid("page_size", -1, "from 0 to 1,000"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "page_size \"-1\": from 0 to 1,000");
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|info| info.domain.as_str()), Some(ERROR_DOMAIN));
        let fields: Vec<_> = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations).collect();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].field, "page_size");
    }

    #[test]
    fn a_draining_stream_says_where_to_continue() {
        let status = Status::from(ServiceError::Draining { cursor: "abc".to_owned() });
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("abc"));
        let details = status.get_error_details();
        let cursor = details.error_info().and_then(|info| info.metadata.get("cursor"));
        assert_eq!(cursor.map(String::as_str), Some("abc"));
        assert!(details.retry_info().is_some());
    }

    #[test]
    fn a_client_s_own_text_is_cut() {
        let status = Status::from(ServiceError::unknown_asset(&"X".repeat(10_000)));
        assert!(status.message().len() < 200);
    }
}
