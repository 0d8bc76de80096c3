//! What is traded, and where.

use std::fmt;

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use super::stored::{self, as_text, codes, in_tuples};

/// An asset's code in the catalogue: an upper-case ticker such as `BTC`, unique there (on a collision the asset with
/// the larger market cap keeps the bare ticker).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetCode(SmolStr);

/// Longest asset code, in bytes.
pub const ASSET_CODE_LEN_MAX: usize = 32;

impl AssetCode {
    /// Reads a code in any letter case. `None` when it is empty, longer than [`ASSET_CODE_LEN_MAX`] bytes, or has a
    /// white space, a control character or one of `/ , : *`, which mean something else in requests.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | ',' | ':' | '*');
        if text.is_empty() || text.len() > ASSET_CODE_LEN_MAX || !text.chars().all(allowed) {
            return None;
        }
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            Some(Self(SmolStr::from(text.to_ascii_uppercase())))
        } else {
            Some(Self(SmolStr::new(text)))
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

as_text!(AssetCode);

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for AssetCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One API server of a market: `binance` (spot) and `binance-usdm` (futures) are two venues. Every venue's id is
/// declared in its own file under `venues/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VenueId(pub &'static str);

impl VenueId {
    /// The id as text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One kind of data at one venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// Last price, bid, ask and the 24-hour figures of each instrument.
    Tickers,
    /// Daily, hourly or 5-minute candles.
    Candles,
    /// Long and short shares.
    LongShortRatios,
    OpenInterest,
    /// Market capitalization, supply, rank, all-time high.
    MarketCaps,
    /// Levels of equity indices.
    IndexLevels,
    /// Which assets are in which category.
    Categories,
}

codes!(Feed {
    Tickers = 0,
    Candles = 1,
    LongShortRatios = 2,
    OpenInterest = 3,
    MarketCaps = 4,
    IndexLevels = 5,
    Categories = 6,
});

impl Feed {
    /// Every feed, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Tickers,
        Self::Candles,
        Self::LongShortRatios,
        Self::OpenInterest,
        Self::MarketCaps,
        Self::IndexLevels,
        Self::Categories,
    ];

    /// The feed's name on the command line, in metrics and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tickers => "tickers",
            Self::Candles => "candles",
            Self::LongShortRatios => "long-short-ratios",
            Self::OpenInterest => "open-interest",
            Self::MarketCaps => "market-caps",
            Self::IndexLevels => "index-levels",
            Self::Categories => "categories",
        }
    }

    /// The feed of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feed| feed.as_str() == text)
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of contract an instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstrumentKind {
    /// The asset itself.
    Spot,
    /// A perpetual future margined in the quote asset.
    PerpetualLinear,
    /// A perpetual future margined in the base asset.
    PerpetualInverse,
    /// Anything that is not an asset's price: dated futures, options, leveraged tokens. Never aggregated.
    Other,
    /// A listing's own price of an asset, not traded.
    Listing,
    /// An index level.
    Index,
}

codes!(InstrumentKind { Spot = 0, PerpetualLinear = 1, PerpetualInverse = 2, Other = 3, Listing = 4, Index = 5 });

/// Something with a price at a venue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Instrument {
    /// The venue's own symbol, exactly as the venue writes it: `BTCUSDT`, `XXBTZUSD`, `1000PEPEUSDT`.
    #[cbor(n(0), with = "stored")]
    pub symbol: SmolStr,
    /// The base asset's common ticker, upper case: `BTC` (never `XBT`), `PEPE` (never `1000PEPE`).
    #[cbor(n(1), with = "stored")]
    pub base: SmolStr,
    /// The quote asset's ticker, upper case: `USDT`.
    #[cbor(n(2), with = "stored")]
    pub quote: SmolStr,
    /// The kind of contract.
    #[n(3)]
    pub kind: InstrumentKind,
    /// How many units of the base asset one unit of the symbol's price is for: 1000 for `1000PEPEUSDT`, else 1. An
    /// observation keeps the price as observed; whoever compares venues divides by this.
    #[n(4)]
    pub multiplier: u32,
}

in_tuples!(Instrument);

impl Instrument {
    /// A spot instrument.
    pub fn spot(symbol: impl Into<SmolStr>, base: impl Into<SmolStr>, quote: impl Into<SmolStr>) -> Self {
        Self {
            symbol: symbol.into(),
            base: base.into(),
            quote: quote.into(),
            kind: InstrumentKind::Spot,
            multiplier: 1,
        }
    }
}
