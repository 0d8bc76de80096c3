//! What the keys in Redis are called, and which slot of a Cluster each belongs to.
//!
//! Everything of one shard has one hash tag, and everything of one shelf of histories has one, so that every script's keys are on one node.
//! The keys are `cm:{SHARD}:latest`, `…:feed` and `…:lease`; `cm:{hSHELF}:series` and `cm:{hSHELF}:blocks:NAME`.

use crate::error::StoreError;
use crossmarket_domain::ShardId;

/// Histories are spread over this many hash tags. It is part of the stored format.
pub(super) const SHELVES: u16 = 16;

/// Longest name of a series in a key, escaped, in bytes.
pub(crate) const SERIES_NAME_LEN_MAX: usize = 256;

/// Longest prefix of the keys, in bytes.
pub(crate) const PREFIX_LEN_MAX: usize = 32;

/// What every key starts with, unless the URL says otherwise.
pub(super) const DEFAULT_PREFIX: &str = "cm";

/// A shard expires this long after its last write, to remove what nobody uses any more. Expiry never means stale.
pub(super) const SHARD_KEPT_SECONDS: u64 = 24 * 3_600;

const SLOTS: u16 = 16_384;

/// The keys of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys with a prefix of letters, digits, `-`, `_` and `:`; `None` for anything else.
    pub(super) fn with_prefix(prefix: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_:".contains(c);
        let fits = (1..=PREFIX_LEN_MAX).contains(&prefix.len()) && prefix.chars().all(allowed);
        fits.then(|| Self { prefix: prefix.to_owned() })
    }

    /// HASH: a field for each key's state, and the head in fields that begin with `#`.
    pub(super) fn latest(&self, shard: ShardId) -> String {
        format!("{}:{{{shard}}}:latest", self.prefix)
    }

    /// STREAM: the change feed, with ids `EPOCH-REVISION`.
    pub(super) fn feed(&self, shard: ShardId) -> String {
        format!("{}:{{{shard}}}:feed", self.prefix)
    }

    /// STRING: `EPOCH HOLDER`, while the lease lasts.
    pub(super) fn lease(&self, shard: ShardId) -> String {
        format!("{}:{{{shard}}}:lease", self.prefix)
    }

    /// HASH: a field `COUNT FIRST LAST` for each series of a shelf.
    pub(super) fn series(&self, shelf: u16) -> String {
        format!("{}:{{h{shelf}}}:series", self.prefix)
    }

    /// HASH: a field for each block of a series.
    pub(super) fn blocks(&self, name: &str) -> Result<String, StoreError> {
        Ok(format!("{}:{{h{}}}:blocks:{}", self.prefix, shelf(name), escaped(name)?))
    }
}

/// The shelf of a series.
pub(super) fn shelf(name: &str) -> u16 {
    crc16(name.as_bytes()) % SHELVES
}

/// The slot of a key in a Cluster: that of its hash tag, if it has one.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

/// A series' name with everything but letters, digits and `-_.:` as `%XX`, so that no name breaks a tool or leaves its hash tag.
fn escaped(name: &str) -> Result<String, StoreError> {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        if text.len() > SERIES_NAME_LEN_MAX {
            return Err(StoreError::Refused(format!("the series name {:?}… is too long", shortened(name))));
        }
    }
    Ok(text)
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// CRC-16/XMODEM, by which a Cluster assigns keys to slots.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_the_clusters_own() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // From the documentation of CLUSTER KEYSLOT and of hash tags.
        assert_eq!(slot("somekey"), 11_058);
        assert_eq!(slot("foo{hash_tag}"), 2_515);
        assert_eq!(slot("bar{hash_tag}"), 2_515);
        assert_eq!(slot("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        let keys = Keys::with_prefix("cm").expect("a prefix");
        assert!(slot(&keys.latest(3)) == slot(&keys.feed(3)) && slot(&keys.feed(3)) == slot(&keys.lease(3)));
        let blocks = keys.blocks("candles:1d:BTC").expect("a name");
        assert_eq!(slot(&blocks), slot(&keys.series(shelf("candles:1d:BTC"))));
    }

    #[test]
    fn names_in_keys_are_escaped_and_bounded() {
        let keys = Keys::with_prefix("cm").expect("a prefix");
        let blocks = keys.blocks("candles:1d:a{b}c\nd é").expect("a name");
        assert!(blocks.ends_with(":blocks:candles:1d:a%7Bb%7Dc%0Ad%20%C3%A9"), "{blocks}");
        assert!(keys.blocks(&"x".repeat(SERIES_NAME_LEN_MAX)).is_ok());
        assert!(keys.blocks(&"x".repeat(SERIES_NAME_LEN_MAX + 1)).is_err());
        assert!(keys.blocks(&"{".repeat(SERIES_NAME_LEN_MAX / 2)).is_err());
        for prefix in ["", "a b", "{x}", &"x".repeat(PREFIX_LEN_MAX + 1)] {
            assert_eq!(Keys::with_prefix(prefix), None, "{prefix}");
        }
    }
}
