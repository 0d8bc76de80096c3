//! Keys of venues that answer nothing without one.

use std::fmt;

/// How a venue takes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The query parameter that carries it.
    pub parameter: &'static str,
}

/// A key. It is not shown: neither by `Debug` nor in any text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Longest key, in bytes.
pub(crate) const SECRET_LEN_MAX: usize = 256;

impl Secret {
    /// Reads a key: printable ASCII without white space at its ends, not empty and not longer than `SECRET_LEN_MAX`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (printable && !text.is_empty() && text.len() <= SECRET_LEN_MAX).then(|| Self(text.to_owned()))
    }

    /// The key itself, for the request that is sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let secret = Secret::parse(" abc123\n").expect("a key");
        assert_eq!(secret.reveal(), "abc123");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        for refused in ["", " ", "a b", "ä", &"x".repeat(SECRET_LEN_MAX + 1)] {
            assert_eq!(Secret::parse(refused), None, "{refused:?}");
        }
    }
}
