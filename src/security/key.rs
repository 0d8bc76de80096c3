//! API keys. The configuration holds only their hashes, so reading it reveals no key.
//!
//! The hash is plain SHA-256. Slow hashes protect passwords, which can be guessed; a key of 256 random bits cannot, and
//! a slow hash per call would help an attacker to keep the service busy.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

use crossmarket_domain::Timestamp;

/// The prefix of every key, so that a leaked key is recognised.
const PREFIX: &str = "crossmarket_";

/// Random bytes in a key.
const RANDOM_LEN: usize = 32;

/// Shortest key accepted as random, in characters.
pub(crate) const KEY_LEN_MIN: usize = 32;

/// Longest key, in characters.
pub(crate) const KEY_LEN_MAX: usize = 256;

/// The SHA-256 of a key, as words: a comparison takes four steps instead of 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u64; SHA256_OUTPUT_LEN / 8]);

/// A client's key in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    pub hash: KeyHash,
    /// When it expires; `None` means never.
    pub end: Option<Timestamp>,
}

/// A new key.
///
/// # Errors
///
/// When the system provides no random bytes.
pub(crate) fn generate() -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; RANDOM_LEN];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut hash = Self([0; SHA256_OUTPUT_LEN / 8]);
        for (word, bytes) in hash.0.iter_mut().zip(digest(&SHA256, key).as_ref().chunks(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        hash
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 2 * SHA256_OUTPUT_LEN)?;
        let mut hash = Self([0; SHA256_OUTPUT_LEN / 8]);
        for (word, digits) in hash.0.iter_mut().zip(digits.as_bytes().chunks(16)) {
            let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|c| c.is_ascii_hexdigit()))?;
            *word = u64::from_str_radix(digits, 16).ok()?;
        }
        Some(hash)
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |all, (left, right)| all | (left ^ right));
        differences.ct_eq(&0).into()
    }

    /// Its text shortened to the first digits, enough to distinguish hashes.
    pub(crate) fn shortened(&self) -> String {
        self.to_string().chars().take("sha256:".len() + 8).chain(['…']).collect()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shortened())
    }
}

impl KeyEntry {
    /// Parses a hash, followed by ` until ` and a date or time if the key expires: `sha256:… until 2027-01-01`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hash, end) = match text.split_once(" until ") {
            None => (text, None),
            Some((hash, end)) => {
                let end = end.trim();
                let end = Timestamp::parse(end).or_else(|| Timestamp::parse(&format!("{end}T00:00:00Z")))?;
                (hash, Some(end))
            }
        };
        Some(Self { hash: KeyHash::parse(hash.trim())?, end })
    }

    /// The form that may be shown.
    pub fn shown(&self) -> String {
        let end = self.end.map(|end| format!(" until {end}")).unwrap_or_default();
        format!("{}{end}", self.hash.shortened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_differ() {
        let keys: Vec<String> = (0..100).map(|_| generate().expect("random")).collect();
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert!(keys.iter().all(|key| key.len() >= KEY_LEN_MIN && key.starts_with(PREFIX)));
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hash = KeyHash::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert!(KeyHash::parse(text).expect("a hash").matches(&hash));
        assert!(!KeyHash::of(b"abd").matches(&hash));
        let too_long = format!("{text}0");
        for bad in ["", "sha256:", "sha256:zz", &text[7..], &too_long, "sha512:00", &text.replace("ba", "+1")] {
            assert_eq!(KeyHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_may_end() {
        let text = KeyHash::of(b"abc").to_string();
        assert_eq!(KeyEntry::parse(&text).expect("an entry").end, None);
        let day = KeyEntry::parse(&format!("{text} until 2027-01-01")).expect("an entry");
        assert_eq!(day.end.map(|end| end.to_string()).as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(KeyEntry::parse(&format!("{text} until 2027-01-01T00:00:00Z")), Some(day.clone()));
        assert_eq!(day.shown(), "sha256:ba7816bf… until 2027-01-01T00:00:00Z");
        assert_eq!(KeyEntry::parse(&format!("{text} until soon")), None);
    }
}
