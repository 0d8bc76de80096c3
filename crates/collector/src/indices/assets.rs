//! The state of the assets at one moment, as far as indices need it.

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::prices::universe::classify;
use crossmarket_domain::state::{AssetKind, Body};
use crossmarket_domain::{AssetCode, AssetId, AssetName, Decimal, Timestamp};
use crossmarket_image::{Collection, Freshness, Image};

pub(super) struct Asset {
    pub id: AssetId,
    pub ticker: AssetCode,
    pub kind: AssetKind,
    pub categories: Vec<SmolStr>,
    pub price: Option<Decimal>,
    pub market_cap: Option<Decimal>,
    pub change_24h_percent: Option<f64>,
    pub is_stale: bool,
    pub event_time: Timestamp,
    pub receive_time: Timestamp,
}

/// All assets, by id.
pub(super) struct Assets {
    all: Vec<Asset>,
    places: HashMap<AssetId, usize>,
}

impl Asset {
    /// Market cap, if known and positive.
    pub(super) fn cap(&self) -> Option<f64> {
        positive(self.market_cap)
    }

    /// Price, if known and positive.
    pub(super) fn price(&self) -> Option<f64> {
        positive(self.price)
    }

    /// Growth factor of the price over 24 hours.
    pub(super) fn growth_24h(&self) -> Option<f64> {
        self.change_24h_percent
            .map(|percent| 1.0 + percent / 100.0)
            .filter(|growth| growth.is_finite() && *growth > 0.0)
    }
}

impl Assets {
    /// The assets of an image.
    pub(super) fn of(image: &Image) -> Self {
        let mut kinds: HashMap<AssetId, AssetKind> = HashMap::new();
        for item in image.select(Collection::Assets, |_| true) {
            if let Body::Asset(info) = &item.state.body {
                kinds.insert(info.asset_id.clone(), info.kind);
            }
        }
        let mut all: Vec<Asset> = image
            .select(Collection::Prices, |_| true)
            .iter()
            .filter_map(|item| {
                let Body::Price(price) = &item.state.body else { return None };
                Some(Asset {
                    kind: kinds
                        .get(&price.asset_id)
                        .copied()
                        .unwrap_or_else(|| classify(&price.asset_id, &price.categories)),
                    id: price.asset_id.clone(),
                    ticker: price.asset.clone(),
                    categories: price.categories.clone(),
                    price: price.price,
                    market_cap: price.market_cap,
                    change_24h_percent: price.change_24h_percent,
                    is_stale: item.freshness == Freshness::Stale,
                    event_time: item.state.event_time,
                    receive_time: item.state.receive_time,
                })
            })
            .collect();
        all.sort_by(|left, right| left.id.cmp(&right.id));
        let places = all.iter().enumerate().map(|(place, asset)| (asset.id.clone(), place)).collect();
        Self { all, places }
    }

    pub(super) fn get(&self, id: &AssetId) -> Option<&Asset> {
        self.all.get(*self.places.get(id)?)
    }

    /// All assets, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Asset> {
        self.all.iter()
    }

    /// The asset of that name.
    pub(super) fn named(&self, name: &AssetName) -> Option<&Asset> {
        match name {
            AssetName::Id(id) => self.get(id),
            AssetName::Ticker(ticker) => self.all.iter().find(|asset| asset.ticker == *ticker),
        }
    }

    pub(super) fn kinds(&self) -> HashMap<AssetId, AssetKind> {
        self.all.iter().map(|asset| (asset.id.clone(), asset.kind)).collect()
    }

    /// Market cap and price of each asset that has both.
    pub(super) fn caps(&self) -> HashMap<AssetId, (f64, f64)> {
        self.all.iter().filter_map(|asset| Some((asset.id.clone(), (asset.cap()?, asset.price()?)))).collect()
    }
}

fn positive(value: Option<Decimal>) -> Option<f64> {
    value.map(Decimal::to_f64).filter(|value| value.is_finite() && *value > 0.0)
}
