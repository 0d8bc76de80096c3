//! States for tests, of this crate and of those above it.

use std::time::Duration;

use bytes::Bytes;
use crossmarket_domain::registry::Registry;
use crossmarket_domain::state::{Aggregation, AggregationMethod, Body, Key, PriceSnapshot, Revision, State};
use crossmarket_domain::{AssetCode, AssetId, Decimal, Timestamp};

use crate::item::{Change, Encoder, Encoding, Freshness};

/// How long the states of these tests are fresh.
pub const BUDGET: Duration = Duration::from_secs(60);

/// An instant, in seconds of no particular day.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

/// The id of an asset with that ticker: the registry's, otherwise the ticker itself.
pub fn id(ticker: &str) -> AssetId {
    let registered = Registry::shipped().by_ticker(ticker).map(|asset| asset.id.clone());
    registered.or_else(|| AssetId::parse(ticker)).expect("an id")
}

/// A snapshot with a price and a rank and little else.
pub fn snapshot(asset: &str, rank: u32, price: &str) -> PriceSnapshot {
    PriceSnapshot {
        asset_id: id(asset),
        asset: AssetCode::parse(asset).expect("a ticker"),
        name: None,
        price: Some(Decimal::parse(price).expect("a number")),
        change_1h_percent: None,
        change_24h_percent: None,
        change_7d_percent: None,
        change_30d_percent: None,
        change_ytd_percent: None,
        high_24h: None,
        low_24h: None,
        high_7d: None,
        low_7d: None,
        range_24h_percent: None,
        volatility_24h_percent: None,
        volatility_30d_annualized_percent: None,
        rsi_14d: None,
        volume_24h: None,
        market_cap: None,
        market_cap_rank: Some(rank),
        circulating_supply: None,
        all_time_high: None,
        categories: Vec::new(),
        aggregation: Aggregation {
            method: AggregationMethod::SingleVenue,
            venue_count: 1,
            candidate_count: 1,
            required_venue_count: 1,
            dispersion_percent: None,
            outlier_limit_percent: None,
            contributions: Vec::new(),
        },
        derivations: Vec::new(),
    }
}

/// A state received at a time.
pub fn state(body: Body, received: Timestamp) -> State {
    State {
        event_time: received,
        receive_time: received,
        publish_time: received,
        budget: BUDGET,
        simulated: false,
        body,
    }
}

/// The update of one asset's price.
pub fn priced(revision: Revision, snapshot: PriceSnapshot, received: Timestamp) -> Change {
    let key = Key::Price(snapshot.asset_id.clone());
    Change { key, revision, state: Some(state(Body::Price(Box::new(snapshot)), received)) }
}

/// Writes `ASSET@revision` and a mark for stale ones.
pub struct TextEncoder;

impl Encoder for TextEncoder {
    fn encode(&self, state: &State, revision: Revision, freshness: Freshness) -> Encoding {
        let name = match &state.body {
            Body::Price(price) => price.asset.as_str(),
            Body::Index(index) => index.index.as_str(),
            _ => panic!("only prices and indices here"),
        };
        let mark = match freshness {
            Freshness::Fresh => "",
            Freshness::Stale => "!",
            Freshness::Closed => "-",
        };
        let text = Bytes::from(format!("{name}@{revision}{mark}"));
        Encoding { basic: text.clone(), full: text }
    }
}
