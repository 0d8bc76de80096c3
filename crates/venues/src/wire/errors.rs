//! Errors, worded so that none contains a venue's text.

use smol_str::SmolStr;

use super::reader::Scalar;
use crate::VenueError;

/// A venue's error code, made safe for our error texts: at most 48 plain characters of it.
pub(crate) fn plain_code(code: Scalar<'_>) -> SmolStr {
    let text = code.text().unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | ' ');
    let code: SmolStr = text.chars().filter(plain).take(48).collect();
    if code.is_empty() { SmolStr::new_static("unnamed") } else { code }
}

/// A refusal with the venue's error code.
pub(crate) fn rejected(code: Scalar<'_>) -> VenueError {
    VenueError::Rejected(smol_str::format_smolstr!("venue error {}", plain_code(code)))
}

/// A transient error with the venue's error code.
pub(crate) fn transient(code: Scalar<'_>) -> VenueError {
    VenueError::Transient(smol_str::format_smolstr!("venue error {}", plain_code(code)))
}

/// The error for decoding a feed that the venue does not have.
pub(crate) fn no_such_feed() -> VenueError {
    VenueError::Rejected(SmolStr::new_static("the venue does not have this feed"))
}

/// The error for a body without its data part.
pub(crate) fn without(part: &'static str) -> VenueError {
    VenueError::Malformed(smol_str::format_smolstr!("the answer has no {part}"))
}
