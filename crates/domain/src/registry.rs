//! The assets that the program knows by itself: their ids, tickers and names, and how tickers changed.
//!
//! The data are the two files in `registry/`. With them a service that reaches no listing, or reaches them in any order,
//! gives every one of these assets the same id.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::state::AssetKind;
use super::{AssetCode, AssetId, Decimal, Timestamp};

const ASSETS: &str = include_str!("../registry/assets.tsv");
const RENAMES: &str = include_str!("../registry/renames.tsv");

/// An asset of the registry.
#[derive(Clone, Debug)]
pub struct RegisteredAsset {
    /// Of a coin or token, also its id at CoinGecko.
    pub id: AssetId,
    pub ticker: AssetCode,
    pub name: &'static str,
    pub kind: AssetKind,
    /// The tickers that it had before.
    pub former: Vec<FormerTicker>,
}

/// A ticker that an asset no longer has. Another asset may have it today.
#[derive(Clone, Debug)]
pub struct FormerTicker {
    pub ticker: AssetCode,
    /// Units of today's asset for one of the old.
    pub factor: Decimal,
    /// 00:00 UTC of the day of the change.
    pub since: Timestamp,
}

/// All registered assets.
pub struct Registry {
    assets: Vec<RegisteredAsset>,
    by_id: HashMap<AssetId, usize>,
    by_ticker: HashMap<AssetCode, usize>,
    /// The asset and the place among its former tickers.
    by_former: HashMap<AssetCode, (usize, usize)>,
    by_name: HashMap<String, usize>,
}

static SHIPPED: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::of(lines(ASSETS).filter_map(asset));
    lines(RENAMES).filter_map(rename).for_each(|(id, former)| registry.add_former(&id, former));
    registry
});

impl Registry {
    /// The registry that comes with this version of the program.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    fn of(assets: impl Iterator<Item = RegisteredAsset>) -> Self {
        let assets: Vec<RegisteredAsset> = assets.collect();
        let places = || assets.iter().enumerate();
        Self {
            by_id: places().map(|(place, asset)| (asset.id.clone(), place)).collect(),
            by_ticker: places().map(|(place, asset)| (asset.ticker.clone(), place)).collect(),
            by_name: places().map(|(place, asset)| (asset.name.to_lowercase(), place)).collect(),
            by_former: HashMap::new(),
            assets,
        }
    }

    fn add_former(&mut self, id: &AssetId, former: FormerTicker) {
        let Some(place) = self.by_id.get(id) else { return };
        let Some(asset) = self.assets.get_mut(*place) else { return };
        self.by_former.insert(former.ticker.clone(), (*place, asset.former.len()));
        asset.former.push(former);
    }

    pub fn assets(&self) -> impl Iterator<Item = &RegisteredAsset> {
        self.assets.iter()
    }

    pub fn by_id(&self, id: &str) -> Option<&RegisteredAsset> {
        self.assets.get(*self.by_id.get(id)?)
    }

    /// The asset that has the ticker today.
    pub fn by_ticker(&self, ticker: &str) -> Option<&RegisteredAsset> {
        self.assets.get(*self.by_ticker.get(ticker)?)
    }

    /// The asset that had the ticker before. Ask for today's holder first.
    pub fn by_former_ticker(&self, ticker: &str) -> Option<(&RegisteredAsset, &FormerTicker)> {
        let (place, former) = self.by_former.get(ticker)?;
        let asset = self.assets.get(*place)?;
        Some((asset, asset.former.get(*former)?))
    }

    /// The asset that has the ticker today, otherwise the one that had it before.
    pub fn find(&self, ticker: &str) -> Option<&RegisteredAsset> {
        self.by_ticker(ticker).or_else(|| self.by_former_ticker(ticker).map(|(asset, _)| asset))
    }

    /// The asset of that name, in any letter case.
    pub fn by_name(&self, name: &str) -> Option<&RegisteredAsset> {
        self.assets.get(*self.by_name.get(&name.to_lowercase())?)
    }
}

/// The lines with data, split at tabs.
fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn asset(columns: Vec<&'static str>) -> Option<RegisteredAsset> {
    let [id, ticker, name, kind] = columns.try_into().ok()?;
    let kind = match kind {
        "coin" => AssetKind::Coin,
        "stablecoin" => AssetKind::Stablecoin,
        "wrapped" => AssetKind::Wrapped,
        "staked" => AssetKind::Staked,
        "asset-backed" => AssetKind::AssetBacked,
        "fiat" => AssetKind::Fiat,
        _ => return None,
    };
    Some(RegisteredAsset { id: AssetId::parse(id)?, ticker: AssetCode::parse(ticker)?, name, kind, former: Vec::new() })
}

fn rename(columns: Vec<&'static str>) -> Option<(AssetId, FormerTicker)> {
    let [ticker, id, factor, since] = columns.try_into().ok()?;
    let former = FormerTicker {
        ticker: AssetCode::parse(ticker)?,
        factor: Decimal::parse(factor).ok().filter(|factor| factor.is_positive())?,
        since: Timestamp::parse(&format!("{since}T00:00:00Z"))?,
    };
    Some((AssetId::parse(id)?, former))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_no_id_or_ticker_occurs_twice() {
        let registry = Registry::shipped();
        let unread: Vec<_> = lines(ASSETS).filter(|line| asset(line.clone()).is_none()).collect();
        assert!(unread.is_empty(), "{unread:?}");
        let count = lines(ASSETS).count();
        assert!(count > 400);
        assert_eq!((registry.assets.len(), registry.by_id.len(), registry.by_ticker.len()), (count, count, count));
    }

    #[test]
    fn every_rename_leads_to_an_asset_that_has_another_ticker_today() {
        for line in lines(RENAMES) {
            let (id, former) = rename(line.clone()).unwrap_or_else(|| panic!("{line:?}"));
            let asset = Registry::shipped().by_id(id.as_str()).unwrap_or_else(|| panic!("{line:?}: no such asset"));
            assert!(asset.ticker != former.ticker, "{line:?}");
            assert!(asset.former.iter().any(|one| one.ticker == former.ticker));
        }
    }

    #[test]
    fn tickers_mean_what_they_mean_today() {
        let registry = Registry::shipped();
        let by_ticker = |ticker| registry.by_ticker(ticker).map(|asset| asset.id.as_str());
        for (ticker, id) in [
            ("BTC", "bitcoin"),
            ("LUNA", "terra-luna-2"),
            ("LUNC", "terra-luna"),
            ("FRAX", "frax-share"),
            ("GRAM", "the-open-network"),
            ("MKR", "maker"),
            ("SKY", "sky"),
            ("RON", "ronin"),
        ] {
            assert_eq!(by_ticker(ticker), Some(id), "{ticker}");
        }
        let former = |ticker| {
            registry.by_former_ticker(ticker).map(|(asset, former)| (asset.id.as_str(), former.factor.to_string()))
        };
        for (ticker, id, factor) in [
            ("MATIC", "polygon-ecosystem-token", "1"),
            ("OM", "mantra-dao", "4"),
            ("LEND", "aave", "0.01"),
            ("XBT", "bitcoin", "1"),
            ("LUNA", "terra-luna", "1"),
        ] {
            assert_eq!(former(ticker), Some((id, factor.to_owned())), "{ticker}");
        }
        assert_eq!(registry.by_name("ftx users' debt").map(|asset| asset.ticker.as_str()), Some("FUD"));
    }
}
