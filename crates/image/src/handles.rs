//! Which asset a ticker currently means.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId};

/// The tickers of the assets in the image. One ticker means one asset; an asset may change its ticker.
#[derive(Default)]
pub(crate) struct Handles(RwLock<Both>);

#[derive(Default)]
struct Both {
    ids: HashMap<AssetCode, AssetId>,
    tickers: HashMap<AssetId, AssetCode>,
}

impl Handles {
    pub(crate) fn id_of(&self, ticker: &AssetCode) -> Option<AssetId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).ids.get(ticker).cloned()
    }

    pub(crate) fn ticker_of(&self, id: &AssetId) -> Option<AssetCode> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).tickers.get(id).cloned()
    }

    /// Takes the ticker from a new state of an asset.
    pub(crate) fn put(&self, state: &State) {
        let (id, ticker) = match &state.body {
            Body::Price(price) => (&price.asset_id, &price.asset),
            Body::Asset(info) => (&info.asset_id, &info.asset),
            _ => return,
        };
        // Tickers hardly ever change, and states always do.
        if self.0.read().unwrap_or_else(PoisonError::into_inner).ids.get(ticker) == Some(id) {
            return;
        }
        let mut both = self.0.write().unwrap_or_else(PoisonError::into_inner);
        both.forget(id);
        both.ids.insert(ticker.clone(), id.clone());
        both.tickers.insert(id.clone(), ticker.clone());
    }

    /// Forgets an asset whose state is gone.
    pub(crate) fn remove(&self, key: &Key) {
        if let Key::Price(id) | Key::Asset(id) = key {
            self.0.write().unwrap_or_else(PoisonError::into_inner).forget(id);
        }
    }
}

impl Both {
    fn forget(&mut self, id: &AssetId) {
        if let Some(ticker) = self.tickers.remove(id)
            && self.ids.get(&ticker) == Some(id)
        {
            self.ids.remove(&ticker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, id, snapshot, state};

    fn put(handles: &Handles, asset: &str, ticker: &str) {
        let mut snapshot = snapshot(asset, 1, "1");
        snapshot.asset = AssetCode::parse(ticker).expect("a ticker");
        handles.put(&state(Body::Price(Box::new(snapshot)), at(0)));
    }

    fn find(handles: &Handles, ticker: &str) -> Option<AssetId> {
        handles.id_of(&AssetCode::parse(ticker).expect("a ticker"))
    }

    #[test]
    fn a_ticker_that_changes_hands_means_the_new_holder_in_either_order() {
        for order in [[("one", "OLD"), ("two", "T")], [("two", "T"), ("one", "OLD")]] {
            let handles = Handles::default();
            put(&handles, "one", "T");
            for (asset, ticker) in order {
                put(&handles, asset, ticker);
            }
            assert_eq!(find(&handles, "T"), Some(id("two")));
            assert_eq!(find(&handles, "OLD"), Some(id("one")));
            handles.remove(&Key::Price(id("two")));
            assert_eq!(find(&handles, "T"), None);
            assert_eq!(handles.ticker_of(&id("one")).map(|ticker| ticker.to_string()).as_deref(), Some("OLD"));
        }
    }
}
