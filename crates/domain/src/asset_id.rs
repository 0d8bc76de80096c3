//! The immutable key of an asset.

use std::fmt;

use smol_str::SmolStr;

use super::AssetCode;
use super::stored::as_text;

/// An asset's id: a lower-case slug such as `bitcoin`, given once and never changed. Everything stored, streamed and
/// derived is keyed by it. The ticker is only a handle that resolves to an id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(SmolStr);

/// Before the id of an asset, in requests and in the names of histories.
pub(crate) const ID: &str = "id:";

/// The id of Bitcoin, against which others are measured.
pub const BITCOIN: &str = "bitcoin";
/// The id of Ether.
pub const ETHEREUM: &str = "ethereum";

/// Longest asset id, in bytes.
const ASSET_ID_LEN_MAX: usize = 64;

/// What the id of an asset that no listing knows starts with: `unlisted-xyz` is what venues trade as XYZ.
const UNLISTED: &str = "unlisted-";

impl AssetId {
    /// Reads an id in any letter case. `None` if it is empty, longer than [`ASSET_ID_LEN_MAX`] bytes, starts or ends
    /// with a separator, or has anything but ASCII letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Option<Self> {
        let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
        let bytes = text.as_bytes();
        let is_id = bytes.len() <= ASSET_ID_LEN_MAX
            && bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'_' | b'.'));
        is_id.then(|| Self(SmolStr::from(text.to_ascii_lowercase())))
    }

    /// The id of an asset that only venues know, by its ticker there. Characters that an id cannot have are written as
    /// their code point in hexadecimal, so that different tickers have different ids.
    pub fn unlisted(ticker: &str) -> Option<Self> {
        let mut slug = String::from(UNLISTED);
        for character in ticker.chars() {
            match character.to_ascii_lowercase() {
                plain if plain.is_ascii_alphanumeric() => slug.push(plain),
                other => slug.push_str(&format!("_{:x}.", u32::from(other))),
            }
        }
        Self::parse(slug.trim_end_matches('.'))
    }

    /// True if no listing knew the asset when its id was given.
    pub fn is_unlisted(&self) -> bool {
        self.0.starts_with(UNLISTED)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

as_text!(AssetId);

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for AssetId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// How a request names an asset: by its ticker, `BTC`, or by its id, `id:bitcoin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetName {
    Id(AssetId),
    Ticker(AssetCode),
}

impl AssetName {
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_at_checked(ID.len()) {
            Some((prefix, id)) if prefix.eq_ignore_ascii_case(ID) => AssetId::parse(id).map(Self::Id),
            _ => AssetCode::parse(text).map(Self::Ticker),
        }
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{ID}{id}"),
            Self::Ticker(ticker) => ticker.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<String> {
        AssetId::parse(text).map(|id| id.to_string())
    }

    #[test]
    fn ids_are_lower_case_slugs() {
        assert_eq!(id("Bitcoin").as_deref(), Some("bitcoin"));
        assert_eq!(id("usd-coin_2.0").as_deref(), Some("usd-coin_2.0"));
        let long = "a".repeat(ASSET_ID_LEN_MAX + 1);
        for bad in ["", "-a", "a-", "a b", "a/b", "a:b", "å", long.as_str()] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn unlisted_assets_say_so() {
        let unlisted = |ticker| AssetId::unlisted(ticker).map(|id| id.to_string());
        assert_eq!(unlisted("XYZ").as_deref(), Some("unlisted-xyz"));
        assert_eq!(unlisted("A.B").as_deref(), Some("unlisted-a_2e.b"));
        assert_eq!(unlisted("AB.").as_deref(), Some("unlisted-ab_2e"));
        assert_eq!(unlisted("币").as_deref(), Some("unlisted-_5e01"));
        assert!(AssetId::unlisted("XYZ").is_some_and(|id| id.is_unlisted()));
        assert!(AssetId::parse("bitcoin").is_some_and(|id| !id.is_unlisted()));
    }
}
