//! Errors of calls and streams, and which of them are temporary.

use std::error::Error as StdError;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call or a stream failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client cannot be built with these options.
    #[error("{what} {value:?}: {reason}")]
    Unusable {
        /// The option.
        what: &'static str,
        /// Its value; empty for a secret.
        value: String,
        /// The reason.
        reason: String,
    },
    /// No endpoint could be reached, or the connection broke in every attempt.
    #[error("no service answers at {endpoints}: {}", cause_of(.status))]
    Unreachable {
        /// The endpoints of the client, separated by commas.
        endpoints: String,
        /// The number of attempts.
        attempts: u32,
        /// The last failure, as reported by tonic.
        status: Box<Status>,
    },
    /// The service answered with this status.
    #[error("{}", describe(.0))]
    Status(#[source] Box<Status>),
    /// The call's deadline passed.
    #[error("no answer within {:.1} s{}", deadline.as_secs_f64(), after_attempts(*attempts, last.as_deref()))]
    Deadline {
        /// The deadline, as a duration.
        deadline: Duration,
        /// The number of failed attempts.
        attempts: u32,
        /// The last failure.
        last: Option<Box<Status>>,
    },
}

impl Error {
    /// The status returned by the service; `None` when it returned none.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// The canonical code. UNAVAILABLE when no endpoint could be reached, DEADLINE_EXCEEDED after the deadline.
    pub fn code(&self) -> Code {
        match self {
            Self::Unusable { .. } => Code::InvalidArgument,
            Self::Unreachable { .. } => Code::Unavailable,
            Self::Status(status) => status.code(),
            Self::Deadline { .. } => Code::DeadlineExceeded,
        }
    }

    /// The reason in the answer's `google.rpc.ErrorInfo`, for example `UNKNOWN_ASSET`.
    pub fn reason(&self) -> Option<String> {
        self.status().and_then(reason_of)
    }

    /// The invalid fields, each with a description. Empty unless an argument was refused.
    pub fn field_violations(&self) -> Vec<(String, String)> {
        let bad_request = self.status().and_then(|status| status.get_details_bad_request());
        let violations = bad_request.map(|details| details.field_violations).unwrap_or_default();
        violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }
}

/// A status on one line: `NOT_FOUND (UNKNOWN_ASSET): asset "XYZ" is not in the catalogue`.
pub fn describe(status: &Status) -> String {
    let reason = reason_of(status).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let code = code_name(status.code());
    if is_local(status) {
        format!("{code}: {}", cause_of(status))
    } else if status.message().is_empty() {
        format!("{code}{reason}")
    } else {
        format!("{code}{reason}: {}", status.message())
    }
}

/// The code in capitals, as in the gRPC documentation.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// True for a temporary failure: the server is starting, draining or gone, or the connection broke.
pub(super) fn may_pass(status: &Status) -> bool {
    status.code() == Code::Unavailable || (is_local(status) && !is_timeout(status))
}

/// True when the status was created locally because the connection failed. A status from a server has no cause.
pub(super) fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// True when the transport gave up at the deadline in the request.
pub(super) fn is_timeout(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::TimeoutExpired>())
}

/// True when a stream cannot be continued from its cursor.
pub(super) fn is_cursor_too_old(status: &Status) -> bool {
    status.code() == Code::OutOfRange && reason_of(status).as_deref() == Some("CURSOR_TOO_OLD")
}

/// True when a stream ended because of its age; its server is healthy.
pub(super) fn is_planned_end(status: &Status) -> bool {
    status.code() == Code::Unavailable && reason_of(status).as_deref() == Some("STREAM_AGE")
}

/// True when the server ended the stream in order: because of its age, or a shutdown.
pub(super) fn is_orderly_end(status: &Status) -> bool {
    is_planned_end(status) || (status.code() == Code::Unavailable && reason_of(status).as_deref() == Some("DRAINING"))
}

/// The retry delay requested by the server, if any.
pub(super) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |cause: &&(dyn StdError + 'static)| (*cause).source())
}

/// The innermost causes on one line, without repetition; the status's message when there are none.
fn cause_of(status: &Status) -> String {
    let mut text = String::new();
    for said in causes(status).map(ToString::to_string) {
        // Texts such as "transport error" add nothing to the cause.
        if said == "transport error" || text.contains(&said) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&said);
    }
    if text.is_empty() { status.message().to_owned() } else { text }
}

fn after_attempts(attempts: u32, last: Option<&Status>) -> String {
    match last {
        Some(last) => format!("; {attempts} attempts failed, the last with {}", describe(last)),
        None => String::new(),
    }
}

pub(super) fn unusable(what: &'static str, value: &str, reason: impl Into<String>) -> Error {
    Error::Unusable { what, value: value.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use tonic_types::ErrorDetails;

    use super::*;

    fn with_reason(code: Code, reason: &str) -> Status {
        Status::with_error_details(code, "text", ErrorDetails::with_error_info(reason, "crossmarket", HashMap::new()))
    }

    fn local(code: Code, cause: impl StdError + Send + Sync + 'static) -> Status {
        let mut status = Status::new(code, "transport error");
        status.set_source(Arc::new(cause));
        status
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(may_pass(&Status::unavailable("draining")));
        assert!(may_pass(&local(Code::Unknown, broken())));
        assert!(may_pass(&local(Code::Cancelled, broken())));
        assert!(!may_pass(&local(Code::Cancelled, tonic::TimeoutExpired(()))), "the caller's own deadline");
        for code in [Code::Unknown, Code::Internal, Code::ResourceExhausted, Code::DeadlineExceeded, Code::NotFound] {
            assert!(!may_pass(&Status::new(code, "said by the server")), "{code:?}");
        }
    }

    #[test]
    fn a_cursor_is_too_old_only_when_the_server_says_so() {
        assert!(is_cursor_too_old(&with_reason(Code::OutOfRange, "CURSOR_TOO_OLD")));
        assert!(!is_cursor_too_old(&Status::out_of_range("decoded message length too large")));
        assert!(is_planned_end(&with_reason(Code::Unavailable, "STREAM_AGE")));
        assert!(!is_planned_end(&with_reason(Code::Unavailable, "DRAINING")));
        assert!(is_orderly_end(&with_reason(Code::Unavailable, "DRAINING")));
        assert!(!is_orderly_end(&with_reason(Code::Unavailable, "NOT_READY")));
    }

    #[test]
    fn a_status_is_told_with_code_reason_and_cause() {
        assert_eq!(describe(&with_reason(Code::NotFound, "UNKNOWN_ASSET")), "NOT_FOUND (UNKNOWN_ASSET): text");
        assert_eq!(describe(&Status::unavailable("")), "UNAVAILABLE");
        let refused = local(Code::Unavailable, std::io::Error::other("connection refused"));
        assert_eq!(describe(&refused), "UNAVAILABLE: connection refused");
    }

    #[test]
    fn fields_at_fault_are_named() {
        let details = ErrorDetails::with_bad_request_violation("page_size", "must be at most 1,000");
        let error = Error::Status(Box::new(Status::with_error_details(Code::InvalidArgument, "page_size", details)));
        assert_eq!(error.field_violations(), [("page_size".to_owned(), "must be at most 1,000".to_owned())]);
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}
