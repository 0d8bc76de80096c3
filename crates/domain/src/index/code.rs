//! What indices are called, and what may replace them in a request.

use std::fmt;

use smol_str::{SmolStr, format_smolstr};

use crate::asset_id::ID;
use crate::stored::{as_text, codes};
use crate::{AssetCode, AssetId, AssetName};

/// Longest name of a category or basket, in bytes.
pub(crate) const INDEX_NAME_LEN_MAX: usize = 64;

/// An index's code: one of [`KNOWN`] in upper case, or `category:<name>` or `basket:<name>` in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexCode(SmolStr);

/// What kind of thing an index is, and so the unit of its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKind {
    /// An index of shares, in points.
    Equity,
    /// A fund that replaces an index, in US dollars a share.
    EtfProxy,
    /// An index of implied volatility, in per cent a year.
    Volatility,
    /// An index of a currency, in points.
    Currency,
    /// A sum of market caps, in US dollars.
    CryptoMarketCap,
    /// A share of a sum of market caps, in per cent.
    CryptoDominance,
    /// A chain-linked index of a category of assets, in points.
    Category,
    /// A chain-linked index from the configuration, in points.
    Basket,
    /// One asset taken as an index, in US dollars.
    Asset,
    /// The quotient of two of the others, a plain number.
    Quotient,
}

codes!(IndexKind {
    Equity = 0,
    EtfProxy = 1,
    Volatility = 2,
    Currency = 3,
    CryptoMarketCap = 4,
    CryptoDominance = 5,
    Category = 6,
    Basket = 7,
    Asset = 8,
    Quotient = 9,
});

/// An index that has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownIndex {
    pub code: &'static str,
    /// Its name for people.
    pub title: &'static str,
    pub kind: IndexKind,
    /// The index that a fund replaces.
    pub proxy_for: Option<&'static str>,
}

/// Every index with a name of its own, in the order in which they are listed. A code in this table means the index wherever an index is
/// taken; the asset of the same ticker is `asset:<ticker>` there.
pub const KNOWN: &[KnownIndex] = &[
    known("RUT", "Russell 2000", IndexKind::Equity),
    known("SPX", "S&P 500", IndexKind::Equity),
    known("NDX", "Nasdaq-100", IndexKind::Equity),
    known("IXIC", "Nasdaq Composite", IndexKind::Equity),
    known("DJI", "Dow Jones Industrial Average", IndexKind::Equity),
    KnownIndex { code: "IWM", title: "iShares Russell 2000 ETF", kind: IndexKind::EtfProxy, proxy_for: Some("RUT") },
    known("VIX", "Cboe Volatility Index", IndexKind::Volatility),
    known("DXY", "US Dollar Index", IndexKind::Currency),
    known("TOTAL", "Market cap of the 125 largest crypto assets", IndexKind::CryptoMarketCap),
    known("TOTAL2", "TOTAL without Bitcoin", IndexKind::CryptoMarketCap),
    known("TOTAL3", "TOTAL without Bitcoin and Ethereum", IndexKind::CryptoMarketCap),
    known("OTHERS", "TOTAL without the 10 largest", IndexKind::CryptoMarketCap),
    known("BTC.D", "Bitcoin's share of TOTAL", IndexKind::CryptoDominance),
];

const fn known(code: &'static str, title: &'static str, kind: IndexKind) -> KnownIndex {
    KnownIndex { code, title, kind, proxy_for: None }
}

impl IndexCode {
    /// Reads a code in any letter case, of a category also by a short name of it; `None` when there is no such index and no category or basket could be called so.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some((prefix, name)) => {
                let prefix = [CATEGORY, BASKET].into_iter().find(|known| prefix.eq_ignore_ascii_case(known))?;
                let short =
                    CATEGORY_NAMES.iter().find(|(short, _)| prefix == CATEGORY && name.eq_ignore_ascii_case(short));
                let name = short.map_or(name, |(_, id)| id);
                is_name(name).then(|| Self(format_smolstr!("{prefix}:{}", name.to_ascii_lowercase())))
            }
            None => {
                let known = KNOWN.iter().find(|known| text.eq_ignore_ascii_case(known.code))?;
                Some(Self(SmolStr::new_static(known.code)))
            }
        }
    }

    /// The index of a category of assets, by the category's id.
    pub fn category(id: &str) -> Option<Self> {
        is_name(id).then(|| Self(format_smolstr!("{CATEGORY}:{}", id.to_ascii_lowercase())))
    }

    /// The index of a basket of the configuration.
    pub fn basket(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(format_smolstr!("{BASKET}:{}", name.to_ascii_lowercase())))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> IndexKind {
        match self.0.split_once(':') {
            Some((CATEGORY, _)) => IndexKind::Category,
            Some(_) => IndexKind::Basket,
            // A code without a prefix is from the table.
            None => self.known().map_or(IndexKind::Basket, |known| known.kind),
        }
    }

    /// Its row in the table of known indices; `None` for categories and baskets.
    pub fn known(&self) -> Option<&'static KnownIndex> {
        KNOWN.iter().find(|known| known.code == self.0)
    }

    /// The name for people: of a category or basket its own name.
    pub fn title(&self) -> SmolStr {
        match self.known() {
            Some(known) => SmolStr::new_static(known.title),
            None => self.0.split_once(':').map_or_else(|| self.0.clone(), |(_, name)| name.into()),
        }
    }
}

const CATEGORY: &str = "category";

/// Short names of categories, with the ids that the listing has for them.
const CATEGORY_NAMES: &[(&str, &str)] = &[
    ("privacy", "privacy-coins"),
    ("meme", "meme-token"),
    ("defi", "decentralized-finance-defi"),
    ("ai", "artificial-intelligence"),
];

const BASKET: &str = "basket";
const ASSET: &str = "asset";

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= INDEX_NAME_LEN_MAX && name.bytes().all(allowed)
}

as_text!(IndexCode);

impl fmt::Display for IndexCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IndexCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for IndexCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl IndexKind {
    /// The unit of the level, as the API writes it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Equity | Self::Currency | Self::Category | Self::Basket => "points",
            Self::EtfProxy | Self::CryptoMarketCap | Self::Asset => "USD",
            Self::Volatility | Self::CryptoDominance => "percent",
            Self::Quotient => "",
        }
    }

    /// Whether it trades, or is computed from what trades, in New York sessions only.
    pub fn is_exchange_traded(self) -> bool {
        matches!(self, Self::Equity | Self::EtfProxy | Self::Volatility | Self::Currency)
    }
}

/// One thing with a level: an index, or an asset in the place of one. `A` is how the asset is named: by its id or, in a
/// request, by [`AssetName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject<A = AssetId> {
    Index(IndexCode),
    /// An asset, whose price is the level.
    Asset(A),
}

impl<A> Subject<A> {
    /// The same subject with the asset named otherwise; `None` if the asset has no such name.
    pub fn resolve<B>(&self, name: impl FnOnce(&A) -> Option<B>) -> Option<Subject<B>> {
        match self {
            Self::Index(code) => Some(Subject::Index(code.clone())),
            Self::Asset(asset) => name(asset).map(Subject::Asset),
        }
    }
}

impl Subject {
    /// Under what name its histories are stored.
    pub fn series_subject(&self) -> SmolStr {
        match self {
            Self::Index(code) => code.0.clone(),
            Self::Asset(id) => asset_subject(id),
        }
    }

    /// The subject whose histories are stored under that name.
    pub fn of_series(text: &str) -> Option<Self> {
        match text.strip_prefix(ID) {
            Some(id) => AssetId::parse(id).map(Self::Asset),
            None => IndexCode::parse(text).map(Self::Index),
        }
    }
}

impl Subject<AssetName> {
    /// Reads an index's code or a name of an asset. `asset:SPX` is an asset that is called like an index.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some((prefix, ticker)) if prefix.eq_ignore_ascii_case(ASSET) => {
                AssetCode::parse(ticker).map(|ticker| Self::Asset(AssetName::Ticker(ticker)))
            }
            _ => IndexCode::parse(text).map(Self::Index).or_else(|| AssetName::parse(text).map(Self::Asset)),
        }
    }
}

/// Under what name an asset's histories are stored: `id:bitcoin`. An index's are stored under its code.
pub fn asset_subject(asset: &AssetId) -> SmolStr {
    format_smolstr!("{ID}{asset}")
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.series_subject())
    }
}

impl fmt::Display for Subject<AssetName> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(code) => f.write_str(code.as_str()),
            Self::Asset(AssetName::Ticker(ticker)) if IndexCode::parse(ticker.as_str()).is_some() => {
                write!(f, "{ASSET}:{ticker}")
            }
            Self::Asset(name) => name.fmt(f),
        }
    }
}

/// What a request may name where it names an index: an index, an asset, or the quotient of two of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression<A = AssetId> {
    Single(Subject<A>),
    /// The numerator and the denominator.
    Quotient(Subject<A>, Subject<A>),
}

impl Expression<AssetName> {
    /// Reads `RUT`, `BTC`, `OTHERS/BTC`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None => Subject::parse(text).map(Self::Single),
            Some((numerator, denominator)) => {
                Some(Self::Quotient(Subject::parse(numerator)?, Subject::parse(denominator)?))
            }
        }
    }
}

impl<A> Expression<A> {
    pub fn kind(&self) -> IndexKind {
        match self {
            Self::Single(Subject::Index(code)) => code.kind(),
            Self::Single(Subject::Asset(_)) => IndexKind::Asset,
            Self::Quotient(..) => IndexKind::Quotient,
        }
    }

    /// Its one or two sides, the numerator first.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject<A>> {
        let (first, second) = match self {
            Self::Single(subject) => (subject, None),
            Self::Quotient(numerator, denominator) => (numerator, Some(denominator)),
        };
        std::iter::once(first).chain(second)
    }
}

impl fmt::Display for Expression<AssetName> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(subject) => subject.fmt(f),
            Self::Quotient(numerator, denominator) => write!(f, "{numerator}/{denominator}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_any_letter_case() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(IndexCode::parse(text).as_ref().map(IndexCode::as_str), expected, "{text}");
        };
        check("rut", Some("RUT"));
        check("BTC.d", Some("BTC.D"));
        check("Category:Privacy-Coins", Some("category:privacy-coins"));
        check("category:Privacy", Some("category:privacy-coins"));
        check("category:meme", Some("category:meme-token"));
        check("basket:meme", Some("basket:meme"));
        check("basket:ai", Some("basket:ai"));
        check("BTC", None);
        check("category:", None);
        check("category:a b", None);
        check("sector:ai", None);
        check(&format!("basket:{}", "a".repeat(65)), None);
    }

    #[test]
    fn expressions_are_indices_assets_and_quotients() {
        let check = |text: &str, kind: IndexKind, shown: &str| {
            let read = Expression::parse(text).expect(text);
            assert_eq!((read.kind(), read.to_string().as_str()), (kind, shown));
            assert_eq!(Expression::parse(&read.to_string()), Some(read), "reads back");
        };
        check("RUT", IndexKind::Equity, "RUT");
        check("btc", IndexKind::Asset, "BTC");
        check("others/btc", IndexKind::Quotient, "OTHERS/BTC");
        check("category:meme/BTC.D", IndexKind::Quotient, "category:meme-token/BTC.D");
        check("spx", IndexKind::Equity, "SPX");
        check("asset:spx", IndexKind::Asset, "asset:SPX");
        check("asset:btc", IndexKind::Asset, "BTC");
        for refused in ["", "/", "A/", "/B", "A/B/C", "a b", "category:x y/BTC", "index:RUT"] {
            assert_eq!(Expression::parse(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn an_asset_and_an_index_of_one_name_keep_their_histories_apart() {
        let asset = Subject::Asset(AssetId::parse("spx").expect("an id"));
        let index = Subject::Index(IndexCode::parse("SPX").expect("an index"));
        for subject in [asset, index] {
            assert_eq!(Subject::of_series(&subject.series_subject()), Some(subject));
        }
    }

    #[test]
    fn every_known_code_is_its_own() {
        for known in KNOWN {
            let code = IndexCode::parse(known.code).expect(known.code);
            assert_eq!((code.kind(), code.title().as_str()), (known.kind, known.title));
            assert_eq!(KNOWN.iter().filter(|other| other.code == known.code).count(), 1);
            assert!(known.proxy_for.is_none_or(|index| KNOWN.iter().any(|other| other.code == index)));
        }
    }
}
