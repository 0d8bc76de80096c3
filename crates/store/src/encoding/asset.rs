//! Catalogue entries as stored messages.

use super::scalar::{
    Coded, PairMessage, asset_code, codes, micros, pairs, read_pairs, required, smol_texts, texts, timestamp,
};
use crate::StoreError;
use crossmarket_domain::state::{AssetInfo, AssetKind};
use crossmarket_domain::{Instrument, InstrumentKind};

codes!(AssetKind { Coin = 1, Stablecoin = 2, Wrapped = 3, Staked = 4, AssetBacked = 5, Fiat = 6 });

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AssetMessage {
    #[prost(string, tag = "1")]
    asset: String,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(uint32, optional, tag = "4")]
    market_cap_rank: Option<u32>,
    #[prost(string, repeated, tag = "5")]
    categories: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    listing_ids: Vec<PairMessage>,
    #[prost(message, repeated, tag = "7")]
    instruments: Vec<VenueInstrumentMessage>,
    #[prost(sint64, optional, tag = "8")]
    history_start: Option<i64>,
    #[prost(uint32, tag = "9")]
    history_day_count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VenueInstrumentMessage {
    #[prost(string, tag = "1")]
    venue: String,
    #[prost(message, optional, tag = "2")]
    instrument: Option<InstrumentMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InstrumentMessage {
    #[prost(string, tag = "1")]
    symbol: String,
    #[prost(string, tag = "2")]
    base: String,
    #[prost(string, tag = "3")]
    quote: String,
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(uint32, tag = "5")]
    multiplier: u32,
}

impl From<&AssetInfo> for AssetMessage {
    fn from(asset: &AssetInfo) -> Self {
        let instrument = |(venue, instrument): &(smol_str::SmolStr, Instrument)| VenueInstrumentMessage {
            venue: venue.to_string(),
            instrument: Some(instrument.into()),
        };
        Self {
            asset: asset.asset.to_string(),
            name: asset.name.as_ref().map(ToString::to_string),
            kind: asset.kind.code(),
            market_cap_rank: asset.market_cap_rank,
            categories: texts(&asset.categories),
            listing_ids: pairs(&asset.listing_ids),
            instruments: asset.instruments.iter().map(instrument).collect(),
            history_start: micros(asset.history_start),
            history_day_count: asset.history_day_count,
        }
    }
}

impl TryFrom<AssetMessage> for AssetInfo {
    type Error = StoreError;

    fn try_from(message: AssetMessage) -> Result<Self, StoreError> {
        let instrument = |entry: VenueInstrumentMessage| {
            Ok((entry.venue.into(), required(entry.instrument, "instrument")?.try_into()?))
        };
        Ok(Self {
            asset: asset_code(&message.asset)?,
            name: message.name.map(Into::into),
            kind: AssetKind::from_code(message.kind)?,
            market_cap_rank: message.market_cap_rank,
            categories: smol_texts(message.categories),
            listing_ids: read_pairs(message.listing_ids),
            instruments: message.instruments.into_iter().map(instrument).collect::<Result<_, StoreError>>()?,
            history_start: timestamp(message.history_start),
            history_day_count: message.history_day_count,
        })
    }
}

impl From<&Instrument> for InstrumentMessage {
    fn from(instrument: &Instrument) -> Self {
        Self {
            symbol: instrument.symbol.to_string(),
            base: instrument.base.to_string(),
            quote: instrument.quote.to_string(),
            kind: instrument.kind.code(),
            multiplier: instrument.multiplier,
        }
    }
}

impl TryFrom<InstrumentMessage> for Instrument {
    type Error = StoreError;

    fn try_from(message: InstrumentMessage) -> Result<Self, StoreError> {
        Ok(Self {
            symbol: message.symbol.into(),
            base: message.base.into(),
            quote: message.quote.into(),
            kind: InstrumentKind::from_code(message.kind)?,
            multiplier: message.multiplier,
        })
    }
}
