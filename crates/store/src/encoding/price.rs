//! Price snapshots as stored messages.

use super::scalar::{
    Coded, DecimalMessage, PairMessage, asset_code, codes, decimal, micros, pairs, read_decimal, read_pairs, required,
    smol_texts, texts, timestamp,
};
use crate::StoreError;
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{
    Aggregation, AggregationMethod, AllTimeHigh, Contribution, ContributionStatus, Derivation, PriceSnapshot,
};

codes!(AggregationMethod { VolumeWeightedMedian = 1, Median = 2, SingleVenue = 3, LastKnown = 4, Listing = 5 });

codes!(ContributionStatus {
    Used = 1,
    Stale = 2,
    Outlier = 3,
    UnpricedQuote = 4,
    NoPrice = 5,
    NoVolume = 6,
    Carried = 7,
    Disagrees = 11,
    Standby = 12,
});

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PriceMessage {
    #[prost(string, tag = "1")]
    asset: String,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "3")]
    price: Option<DecimalMessage>,
    #[prost(double, optional, tag = "4")]
    change_1h_percent: Option<f64>,
    #[prost(double, optional, tag = "5")]
    change_24h_percent: Option<f64>,
    #[prost(double, optional, tag = "6")]
    change_7d_percent: Option<f64>,
    #[prost(double, optional, tag = "7")]
    change_30d_percent: Option<f64>,
    #[prost(double, optional, tag = "8")]
    change_ytd_percent: Option<f64>,
    #[prost(message, optional, tag = "9")]
    high_24h: Option<DecimalMessage>,
    #[prost(message, optional, tag = "10")]
    low_24h: Option<DecimalMessage>,
    #[prost(message, optional, tag = "11")]
    high_7d: Option<DecimalMessage>,
    #[prost(message, optional, tag = "12")]
    low_7d: Option<DecimalMessage>,
    #[prost(double, optional, tag = "13")]
    range_24h_percent: Option<f64>,
    #[prost(double, optional, tag = "14")]
    volatility_24h_percent: Option<f64>,
    #[prost(double, optional, tag = "15")]
    volatility_30d_annualized_percent: Option<f64>,
    #[prost(double, optional, tag = "16")]
    rsi_14d: Option<f64>,
    #[prost(message, optional, tag = "17")]
    volume_24h: Option<DecimalMessage>,
    #[prost(message, optional, tag = "18")]
    market_cap: Option<DecimalMessage>,
    #[prost(uint32, optional, tag = "19")]
    market_cap_rank: Option<u32>,
    #[prost(message, optional, tag = "20")]
    circulating_supply: Option<DecimalMessage>,
    #[prost(message, optional, tag = "21")]
    all_time_high: Option<AllTimeHighMessage>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(message, optional, tag = "23")]
    aggregation: Option<AggregationMessage>,
    #[prost(message, repeated, tag = "24")]
    derivations: Vec<DerivationMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AllTimeHighMessage {
    #[prost(message, optional, tag = "1")]
    price: Option<DecimalMessage>,
    #[prost(sint64, optional, tag = "2")]
    time: Option<i64>,
    #[prost(double, optional, tag = "3")]
    drawdown_percent: Option<f64>,
    #[prost(string, tag = "4")]
    source: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AggregationMessage {
    #[prost(uint32, tag = "1")]
    method: u32,
    #[prost(uint32, tag = "2")]
    venue_count: u32,
    #[prost(uint32, tag = "3")]
    candidate_count: u32,
    #[prost(uint32, tag = "4")]
    required_venue_count: u32,
    #[prost(double, optional, tag = "5")]
    dispersion_percent: Option<f64>,
    #[prost(double, optional, tag = "6")]
    outlier_limit_percent: Option<f64>,
    #[prost(message, repeated, tag = "7")]
    contributions: Vec<ContributionMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContributionMessage {
    #[prost(string, tag = "1")]
    venue: String,
    #[prost(string, tag = "2")]
    instrument: String,
    #[prost(string, tag = "3")]
    venue_symbol: String,
    #[prost(string, tag = "4")]
    quote_asset: String,
    #[prost(message, optional, tag = "5")]
    observed_price: Option<DecimalMessage>,
    #[prost(message, optional, tag = "6")]
    conversion_rate: Option<DecimalMessage>,
    #[prost(message, optional, tag = "7")]
    price: Option<DecimalMessage>,
    /// Optional, since without presence a weight of -0.0 would come back as 0.0.
    #[prost(double, optional, tag = "8")]
    weight: Option<f64>,
    #[prost(message, optional, tag = "9")]
    volume_24h: Option<DecimalMessage>,
    #[prost(double, optional, tag = "10")]
    deviation_percent: Option<f64>,
    #[prost(sint64, tag = "11")]
    event_time: i64,
    #[prost(sint64, tag = "12")]
    receive_time: i64,
    #[prost(uint32, tag = "13")]
    status: u32,
    #[prost(bool, tag = "14")]
    simulated: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DerivationMessage {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(message, repeated, tag = "3")]
    parameters: Vec<PairMessage>,
    #[prost(message, repeated, tag = "4")]
    inputs: Vec<InputMessage>,
    #[prost(uint32, tag = "5")]
    observation_count: u32,
    #[prost(uint32, tag = "6")]
    missing_count: u32,
    #[prost(sint64, tag = "7")]
    start_time: i64,
    #[prost(sint64, tag = "8")]
    end_time: i64,
    #[prost(string, tag = "9")]
    source: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InputMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<DecimalMessage>,
}

impl From<&PriceSnapshot> for PriceMessage {
    fn from(snapshot: &PriceSnapshot) -> Self {
        Self {
            asset: snapshot.asset.to_string(),
            name: snapshot.name.as_ref().map(ToString::to_string),
            price: decimal(snapshot.price),
            change_1h_percent: snapshot.change_1h_percent,
            change_24h_percent: snapshot.change_24h_percent,
            change_7d_percent: snapshot.change_7d_percent,
            change_30d_percent: snapshot.change_30d_percent,
            change_ytd_percent: snapshot.change_ytd_percent,
            high_24h: decimal(snapshot.high_24h),
            low_24h: decimal(snapshot.low_24h),
            high_7d: decimal(snapshot.high_7d),
            low_7d: decimal(snapshot.low_7d),
            range_24h_percent: snapshot.range_24h_percent,
            volatility_24h_percent: snapshot.volatility_24h_percent,
            volatility_30d_annualized_percent: snapshot.volatility_30d_annualized_percent,
            rsi_14d: snapshot.rsi_14d,
            volume_24h: decimal(snapshot.volume_24h),
            market_cap: decimal(snapshot.market_cap),
            market_cap_rank: snapshot.market_cap_rank,
            circulating_supply: decimal(snapshot.circulating_supply),
            all_time_high: snapshot.all_time_high.as_ref().map(AllTimeHighMessage::from),
            categories: texts(&snapshot.categories),
            aggregation: Some((&snapshot.aggregation).into()),
            derivations: snapshot.derivations.iter().map(DerivationMessage::from).collect(),
        }
    }
}

impl TryFrom<PriceMessage> for PriceSnapshot {
    type Error = StoreError;

    fn try_from(message: PriceMessage) -> Result<Self, StoreError> {
        Ok(Self {
            asset: asset_code(&message.asset)?,
            name: message.name.map(Into::into),
            price: read_decimal(message.price)?,
            change_1h_percent: message.change_1h_percent,
            change_24h_percent: message.change_24h_percent,
            change_7d_percent: message.change_7d_percent,
            change_30d_percent: message.change_30d_percent,
            change_ytd_percent: message.change_ytd_percent,
            high_24h: read_decimal(message.high_24h)?,
            low_24h: read_decimal(message.low_24h)?,
            high_7d: read_decimal(message.high_7d)?,
            low_7d: read_decimal(message.low_7d)?,
            range_24h_percent: message.range_24h_percent,
            volatility_24h_percent: message.volatility_24h_percent,
            volatility_30d_annualized_percent: message.volatility_30d_annualized_percent,
            rsi_14d: message.rsi_14d,
            volume_24h: read_decimal(message.volume_24h)?,
            market_cap: read_decimal(message.market_cap)?,
            market_cap_rank: message.market_cap_rank,
            circulating_supply: read_decimal(message.circulating_supply)?,
            all_time_high: message.all_time_high.map(AllTimeHigh::try_from).transpose()?,
            categories: smol_texts(message.categories),
            aggregation: required(message.aggregation, "aggregation")?.try_into()?,
            derivations: message.derivations.into_iter().map(Derivation::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&AllTimeHigh> for AllTimeHighMessage {
    fn from(high: &AllTimeHigh) -> Self {
        Self {
            price: Some(high.price.into()),
            time: micros(high.time),
            drawdown_percent: high.drawdown_percent,
            source: high.source.to_string(),
        }
    }
}

impl TryFrom<AllTimeHighMessage> for AllTimeHigh {
    type Error = StoreError;

    fn try_from(message: AllTimeHighMessage) -> Result<Self, StoreError> {
        Ok(Self {
            price: required(message.price, "all-time high")?.try_into()?,
            time: timestamp(message.time),
            drawdown_percent: message.drawdown_percent,
            source: message.source.into(),
        })
    }
}

impl From<&Aggregation> for AggregationMessage {
    fn from(aggregation: &Aggregation) -> Self {
        Self {
            method: aggregation.method.code(),
            venue_count: aggregation.venue_count,
            candidate_count: aggregation.candidate_count,
            required_venue_count: aggregation.required_venue_count,
            dispersion_percent: aggregation.dispersion_percent,
            outlier_limit_percent: aggregation.outlier_limit_percent,
            contributions: aggregation.contributions.iter().map(ContributionMessage::from).collect(),
        }
    }
}

impl TryFrom<AggregationMessage> for Aggregation {
    type Error = StoreError;

    fn try_from(message: AggregationMessage) -> Result<Self, StoreError> {
        Ok(Self {
            method: AggregationMethod::from_code(message.method)?,
            venue_count: message.venue_count,
            candidate_count: message.candidate_count,
            required_venue_count: message.required_venue_count,
            dispersion_percent: message.dispersion_percent,
            outlier_limit_percent: message.outlier_limit_percent,
            contributions: message.contributions.into_iter().map(Contribution::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Contribution> for ContributionMessage {
    fn from(contribution: &Contribution) -> Self {
        Self {
            venue: contribution.venue.to_string(),
            instrument: contribution.instrument.to_string(),
            venue_symbol: contribution.venue_symbol.to_string(),
            quote_asset: contribution.quote_asset.to_string(),
            observed_price: decimal(contribution.observed_price),
            conversion_rate: decimal(contribution.conversion_rate),
            price: decimal(contribution.price),
            weight: Some(contribution.weight),
            volume_24h: decimal(contribution.volume_24h),
            deviation_percent: contribution.deviation_percent,
            event_time: contribution.event_time.as_micros(),
            receive_time: contribution.receive_time.as_micros(),
            status: contribution.status.code(),
            simulated: contribution.simulated,
        }
    }
}

impl TryFrom<ContributionMessage> for Contribution {
    type Error = StoreError;

    fn try_from(message: ContributionMessage) -> Result<Self, StoreError> {
        Ok(Self {
            venue: message.venue.into(),
            instrument: message.instrument.into(),
            venue_symbol: message.venue_symbol.into(),
            quote_asset: message.quote_asset.into(),
            observed_price: read_decimal(message.observed_price)?,
            conversion_rate: read_decimal(message.conversion_rate)?,
            price: read_decimal(message.price)?,
            weight: required(message.weight, "weight")?,
            volume_24h: read_decimal(message.volume_24h)?,
            deviation_percent: message.deviation_percent,
            event_time: Timestamp::from_micros(message.event_time),
            receive_time: Timestamp::from_micros(message.receive_time),
            status: ContributionStatus::from_code(message.status)?,
            simulated: message.simulated,
        })
    }
}

impl From<&Derivation> for DerivationMessage {
    fn from(derivation: &Derivation) -> Self {
        let input = |(name, value): &(smol_str::SmolStr, crossmarket_domain::Decimal)| InputMessage {
            name: name.to_string(),
            value: Some((*value).into()),
        };
        Self {
            field: derivation.field.to_string(),
            method: derivation.method.to_string(),
            parameters: pairs(&derivation.parameters),
            inputs: derivation.inputs.iter().map(input).collect(),
            observation_count: derivation.observation_count,
            missing_count: derivation.missing_count,
            start_time: derivation.start_time.as_micros(),
            end_time: derivation.end_time.as_micros(),
            source: derivation.source.to_string(),
        }
    }
}

impl TryFrom<DerivationMessage> for Derivation {
    type Error = StoreError;

    fn try_from(message: DerivationMessage) -> Result<Self, StoreError> {
        let input = |input: InputMessage| Ok((input.name.into(), required(input.value, "input")?.try_into()?));
        Ok(Self {
            field: message.field.into(),
            method: message.method.into(),
            parameters: read_pairs(message.parameters),
            inputs: message.inputs.into_iter().map(input).collect::<Result<_, StoreError>>()?,
            observation_count: message.observation_count,
            missing_count: message.missing_count,
            start_time: Timestamp::from_micros(message.start_time),
            end_time: Timestamp::from_micros(message.end_time),
            source: message.source.into(),
        })
    }
}
