//! Why a call is refused. The caller learns no more than the status code.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crossmarket_api::ERROR_DOMAIN;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are no credentials.
    Missing,
    /// The credentials are unknown, or were not signed by the issuer.
    Invalid,
    /// The credentials have expired.
    Expired,
    /// The credentials are for another scope.
    Scope,
    /// Too many calls; the time until the next is allowed.
    Calls(Duration),
    /// Too many streams.
    Streams,
    /// Too many subscriptions.
    Subscriptions,
}

/// The retry delay for a client with too many streams or subscriptions. It depends on when the client closes one, so it
/// is a guess.
const PERMIT_RETRY_DELAY: Duration = Duration::from_secs(5);

impl Refusal {
    /// Refusals because of credentials, with their metric label.
    const CREDENTIALS: [(Self, &'static str); 4] =
        [(Self::Missing, "missing"), (Self::Invalid, "invalid"), (Self::Expired, "expired"), (Self::Scope, "scope")];

    /// Refusals because of quotas, with their metric label.
    const QUOTAS: [(Self, &'static str); 3] =
        [(Self::Calls(Duration::ZERO), "calls"), (Self::Streams, "streams"), (Self::Subscriptions, "subscriptions")];

    fn index(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Invalid => 1,
            Self::Expired => 2,
            Self::Scope => 3,
            Self::Calls(_) => 4,
            Self::Streams => 5,
            Self::Subscriptions => 6,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let quota = |text: &str, reason: &str, delay: Duration| {
            let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
            details.set_retry_info(Some(delay));
            Status::with_error_details(Code::ResourceExhausted, text, details)
        };
        match refusal {
            Refusal::Missing | Refusal::Invalid | Refusal::Expired => {
                let details = ErrorDetails::with_error_info("UNAUTHENTICATED", ERROR_DOMAIN, []);
                Status::with_error_details(Code::Unauthenticated, "the call has no valid credentials", details)
            }
            Refusal::Scope => {
                let details = ErrorDetails::with_error_info("PERMISSION_DENIED", ERROR_DOMAIN, []);
                Status::with_error_details(Code::PermissionDenied, "the credentials are not for this call", details)
            }
            Refusal::Calls(delay) => quota("too many calls", "QUOTA_CALLS", delay),
            Refusal::Streams => quota("too many open streams", "QUOTA_STREAMS", PERMIT_RETRY_DELAY),
            Refusal::Subscriptions => quota("too many subscriptions", "QUOTA_SUBSCRIPTIONS", PERMIT_RETRY_DELAY),
        }
    }
}

/// The number of refused calls by kind.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; 7]);

impl Refusals {
    pub(super) fn count(&self, refusal: Refusal) {
        // An index is below the number of kinds.
        if let Some(count) = self.0.get(refusal.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts of refusals because of credentials, by reason.
    pub(crate) fn of_credentials(&self) -> [(&'static str, u64); 4] {
        Refusal::CREDENTIALS.map(|(refusal, reason)| (reason, self.of(refusal)))
    }

    /// Counts of refusals because of quotas, by limit.
    pub(crate) fn of_quotas(&self) -> [(&'static str, u64); 3] {
        Refusal::QUOTAS.map(|(refusal, limit)| (limit, self.of(refusal)))
    }

    fn of(&self, refusal: Refusal) -> u64 {
        self.0.get(refusal.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_tells_unknown_ended_and_missing_credentials_apart() {
        let [missing, invalid, expired] = [Refusal::Missing, Refusal::Invalid, Refusal::Expired].map(Status::from);
        assert_eq!(missing.code(), Code::Unauthenticated);
        for other in [invalid, expired] {
            assert_eq!((other.code(), other.message()), (missing.code(), missing.message()));
            assert_eq!(other.details(), missing.details());
        }
    }

    #[test]
    fn each_kind_is_counted_by_itself() {
        let refusals = Refusals::default();
        refusals.count(Refusal::Expired);
        refusals.count(Refusal::Calls(Duration::from_secs(1)));
        refusals.count(Refusal::Calls(Duration::from_secs(2)));
        assert_eq!(refusals.of_credentials(), [("missing", 0), ("invalid", 0), ("expired", 1), ("scope", 0)]);
        assert_eq!(refusals.of_quotas(), [("calls", 2), ("streams", 0), ("subscriptions", 0)]);
    }

    #[test]
    fn a_quota_says_when_to_come_back() {
        let status = Status::from(Refusal::Calls(Duration::from_millis(250)));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(delay, Some(Duration::from_millis(250)));
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("QUOTA_CALLS"));
    }
}
