//! Errors that follow from the HTTP status alone, shared by the venues.

use crate::{Response, VenueError};

/// Rejects an answer by its HTTP status: 429 and 418 are rate limits, other 4xx are permanent, and anything else
/// outside 2xx may be transient.
pub(crate) fn check(response: &Response) -> Result<(), VenueError> {
    match response.status {
        200..=299 => Ok(()),
        429 | 418 => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        408 | 425 => Err(VenueError::Transient(smol_str::format_smolstr!("HTTP status {}", response.status))),
        status @ 400..=499 => Err(VenueError::Rejected(smol_str::format_smolstr!("HTTP status {status}"))),
        status => Err(VenueError::Transient(smol_str::format_smolstr!("HTTP status {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sorts_statuses() {
        let answer = |status| Response { status, retry_after: Some(Duration::from_secs(7)), ..Response::default() };
        assert_eq!(check(&answer(200)), Ok(()));
        for status in [418, 429] {
            let wait = Some(Duration::from_secs(7));
            assert_eq!(check(&answer(status)), Err(VenueError::RateLimited { retry_after: wait }));
        }
        for status in [400, 401, 403, 404, 451] {
            assert!(matches!(check(&answer(status)), Err(VenueError::Rejected(_))), "{status}");
        }
        for status in [500, 502, 503, 301] {
            assert!(matches!(check(&answer(status)), Err(VenueError::Transient(_))), "{status}");
        }
    }
}
