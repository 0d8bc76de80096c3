//! States as bytes, encoded once for all readers.

use bytes::Bytes;
use prost::Message;

use super::{catalog, index, long_short, price};
use crossmarket_api::v1;
use crossmarket_domain::state::{Body, Revision, State};
use crossmarket_image::{Encoder, Encoding, Freshness};

/// Encodes states as entries of the responses' field 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireEncoder;

impl Encoder for WireEncoder {
    fn encode(&self, state: &State, revision: Revision, freshness: Freshness) -> Encoding {
        match &state.body {
            Body::Price(price) => {
                // A response with nothing but field 1 is that field's entry.
                let message = price::price_snapshot(price, state, revision, freshness);
                let mut entry = v1::GetPriceSnapshotResponse { snapshot: Some(message) };
                let full = entry.encode_to_vec().into();
                if let Some(message) = &mut entry.snapshot {
                    message.derivations.clear();
                    message.aggregation.iter_mut().for_each(|aggregation| aggregation.contributions.clear());
                }
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::Asset(info) => {
                let message = catalog::asset(info, state.simulated);
                let mut entry = v1::ListAssetsResponse { assets: vec![message], ..Default::default() };
                let full = entry.encode_to_vec().into();
                entry.assets.iter_mut().for_each(|message| message.instruments.clear());
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::LongShort(ratio) => {
                let message = long_short::ratio(ratio, state, revision, freshness);
                let mut entry = v1::GetLongShortRatioResponse { ratio: Some(message) };
                let full = entry.encode_to_vec().into();
                if let Some(message) = &mut entry.ratio {
                    message.derivations.clear();
                    message.aggregation.iter_mut().for_each(|aggregation| aggregation.contributions.clear());
                }
                Encoding { basic: entry.encode_to_vec().into(), full }
            }
            Body::Index(index) => index::encode(index, state, revision, freshness),
            // A feed's answer holds its age at the time of the call, so it is made then.
            Body::Feed(_) => Encoding { basic: Bytes::new(), full: Bytes::new() },
        }
    }
}
