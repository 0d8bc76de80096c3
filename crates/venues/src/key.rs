//! API keys, for venues that require one.

use std::fmt;

/// How a venue expects its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The query parameter that carries the key.
    pub parameter: &'static str,
}

/// An API key. Neither `Debug` nor any text shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Maximum length of a key, in bytes.
pub(crate) const SECRET_LEN_MAX: usize = 256;

impl Secret {
    /// Validates a key: printable ASCII without leading or trailing white space, not empty and at most `SECRET_LEN_MAX`
    /// bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (printable && !text.is_empty() && text.len() <= SECRET_LEN_MAX).then(|| Self(text.to_owned()))
    }

    /// The key itself, for the outgoing request.
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
