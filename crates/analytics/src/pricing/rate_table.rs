//! US dollars per asset, and which assets are currencies.

use std::collections::HashMap;

use smol_str::SmolStr;

use crossmarket_domain::{Decimal, Timestamp};

const FIAT: [&str; 40] = [
    "USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "TRY", "BRL", "KRW", "AED", "ARS", "CNH", "CNY", "COP", "CZK",
    "DKK", "HKD", "HUF", "IDR", "ILS", "INR", "KZT", "MXN", "MYR", "NGN", "NOK", "NZD", "PHP", "PLN", "RON", "RUB",
    "SEK", "SGD", "THB", "TWD", "UAH", "UZS", "VND", "ZAR",
];

const DOLLAR_STABLECOINS: [&str; 17] = [
    "USDT", "USDC", "FDUSD", "DAI", "TUSD", "USDP", "PYUSD", "BUSD", "USDE", "USDD", "USD1", "RLUSD", "USDS", "GUSD",
    "USDG", "LUSD", "USDQ",
];

const OTHER_STABLECOINS: [&str; 4] = ["EURC", "EURI", "EURR", "EURQ"];

/// US dollars for one unit of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The rate, above 0.
    pub usd: Decimal,
    /// The rate's source.
    pub source: RateSource,
    pub stale_since: Timestamp,
}

/// The source of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateSource {
    /// The US dollar itself.
    Dollar,
    /// The asset's aggregate of the venues' prices.
    Market,
    /// A dollar stablecoin's market rate, less than 24 hours old but no longer fresh, assumed to still hold.
    Carried,
    /// A dollar stablecoin without a known market against the dollar, assumed to be worth 1.
    Par,
}

impl RateSource {
    /// `dollar`, `market`, `carried` or `par`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dollar => "dollar",
            Self::Market => "market",
            Self::Carried => "carried",
            Self::Par => "par",
        }
    }
}

/// US dollars per asset, by ticker. USD is always present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateTable {
    rates: HashMap<SmolStr, Rate>,
}

impl RateTable {
    pub fn get(&self, asset: &str) -> Option<Rate> {
        if asset == "USD" {
            return Some(Rate { usd: Decimal::ONE, source: RateSource::Dollar, stale_since: never() });
        }
        self.rates.get(asset).copied()
    }

    /// Sets the rate of an asset.
    pub fn insert(&mut self, asset: SmolStr, rate: Rate) {
        self.rates.insert(asset, rate);
    }

    /// Every rate except the dollar's, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Rate)> {
        self.rates.iter()
    }
}

/// True for fiat currencies.
pub fn is_fiat(asset: &str) -> bool {
    FIAT.contains(&asset)
}

/// True for stablecoins pegged to the US dollar.
pub fn is_dollar_stablecoin(asset: &str) -> bool {
    DOLLAR_STABLECOINS.contains(&asset)
}

/// True for fiat currencies and assets pegged to one.
pub(super) fn is_currency(asset: &str) -> bool {
    is_dollar_stablecoin(asset) || is_fiat(asset) || OTHER_STABLECOINS.contains(&asset)
}

/// The end of time: for rates that never become stale.
pub(super) fn never() -> Timestamp {
    Timestamp::from_micros(i64::MAX)
}
