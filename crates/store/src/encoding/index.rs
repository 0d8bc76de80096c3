//! Index snapshots as stored messages.

use super::price::DerivationMessage;
use super::scalar::{
    Coded, DecimalMessage, asset_code, codes, decimal, micros, read_decimal, required, smol_texts, texts, timestamp,
};
use crate::StoreError;
use crossmarket_domain::index::{
    Exclusion, ExclusionReason, IndexCalendar, IndexConstituent, IndexHigh, IndexKind, IndexMethodology, IndexSnapshot,
    IndexSource, IndexWeighting, MarketCapReference, MarketSession,
};
use crossmarket_domain::state::{ContributionStatus, Derivation};
use crossmarket_domain::{IndexCode, Timestamp};

codes!(IndexKind {
    Equity = 1,
    EtfProxy = 2,
    Volatility = 3,
    Currency = 4,
    CryptoMarketCap = 5,
    CryptoDominance = 6,
    Category = 7,
    Basket = 8,
    Asset = 9,
    Quotient = 10,
});

codes!(MarketSession { Open = 1, Closed = 2, Pre = 3, Post = 4, Continuous = 5 });

codes!(IndexCalendar { UtcDays = 1, NewYork = 2 });

codes!(IndexWeighting { MarketCap = 1, CappedMarketCap = 2, Equal = 3 });

codes!(ExclusionReason {
    Stablecoin = 1,
    Wrapped = 2,
    Staked = 3,
    AssetBacked = 4,
    InsufficientHistory = 5,
    Stale = 6,
    NoData = 7,
    NoMarketCap = 8,
    Benchmark = 9,
});

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IndexMessage {
    #[prost(string, tag = "1")]
    index: String,
    #[prost(string, tag = "2")]
    title: String,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(message, optional, tag = "4")]
    level: Option<DecimalMessage>,
    #[prost(double, optional, tag = "5")]
    change_1d_percent: Option<f64>,
    #[prost(double, optional, tag = "6")]
    change_7d_percent: Option<f64>,
    #[prost(double, optional, tag = "7")]
    change_30d_percent: Option<f64>,
    #[prost(double, optional, tag = "8")]
    change_ytd_percent: Option<f64>,
    #[prost(message, optional, tag = "9")]
    all_time_high: Option<IndexHighMessage>,
    #[prost(message, optional, tag = "10")]
    market_cap: Option<DecimalMessage>,
    #[prost(message, optional, tag = "11")]
    market_cap_change_ytd: Option<DecimalMessage>,
    #[prost(message, optional, tag = "12")]
    market_cap_reference: Option<ReferenceMessage>,
    #[prost(uint32, tag = "13")]
    market_session: u32,
    #[prost(sint64, optional, tag = "14")]
    closed_until: Option<i64>,
    #[prost(message, optional, tag = "15")]
    methodology: Option<MethodologyMessage>,
    #[prost(message, repeated, tag = "16")]
    constituents: Vec<ConstituentMessage>,
    #[prost(message, repeated, tag = "17")]
    sources: Vec<SourceMessage>,
    #[prost(message, repeated, tag = "18")]
    derivations: Vec<DerivationMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IndexHighMessage {
    #[prost(message, optional, tag = "1")]
    level: Option<DecimalMessage>,
    #[prost(sint64, tag = "2")]
    time: i64,
    #[prost(double, optional, tag = "3")]
    drawdown_percent: Option<f64>,
    #[prost(bool, tag = "4")]
    is_new: bool,
    #[prost(bool, tag = "5")]
    closes_only: bool,
    #[prost(sint64, optional, tag = "6")]
    history_start: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReferenceMessage {
    #[prost(message, optional, tag = "1")]
    market_cap: Option<DecimalMessage>,
    #[prost(message, optional, tag = "2")]
    level: Option<DecimalMessage>,
    #[prost(sint64, tag = "3")]
    time: i64,
    #[prost(string, tag = "4")]
    source: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MethodologyMessage {
    #[prost(string, tag = "1")]
    definition: String,
    #[prost(uint32, optional, tag = "2")]
    weighting: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    constituent_count: Option<u32>,
    #[prost(double, optional, tag = "4")]
    weight_cap_percent: Option<f64>,
    #[prost(message, optional, tag = "5")]
    divisor: Option<DecimalMessage>,
    #[prost(message, optional, tag = "6")]
    base_level: Option<DecimalMessage>,
    #[prost(sint64, optional, tag = "7")]
    base_time: Option<i64>,
    #[prost(sint64, optional, tag = "8")]
    last_rebalance: Option<i64>,
    #[prost(sint64, optional, tag = "9")]
    next_rebalance: Option<i64>,
    #[prost(uint32, tag = "10")]
    calendar: u32,
    #[prost(string, tag = "11")]
    source: String,
    #[prost(string, optional, tag = "12")]
    proxy_for: Option<String>,
    #[prost(string, repeated, tag = "13")]
    operands: Vec<String>,
    #[prost(message, repeated, tag = "14")]
    excluded: Vec<ExclusionMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExclusionMessage {
    #[prost(string, tag = "1")]
    asset: String,
    #[prost(uint32, tag = "2")]
    reason: u32,
    #[prost(string, tag = "3")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ConstituentMessage {
    #[prost(string, tag = "1")]
    asset: String,
    /// Optional, since without presence a weight of -0.0 would come back as 0.0.
    #[prost(double, optional, tag = "2")]
    weight: Option<f64>,
    #[prost(message, optional, tag = "3")]
    market_cap: Option<DecimalMessage>,
    #[prost(message, optional, tag = "4")]
    price: Option<DecimalMessage>,
    #[prost(message, optional, tag = "5")]
    units: Option<DecimalMessage>,
    #[prost(double, optional, tag = "6")]
    contribution_1d_percent: Option<f64>,
    #[prost(bool, tag = "7")]
    stale: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SourceMessage {
    #[prost(string, tag = "1")]
    venue: String,
    #[prost(string, tag = "2")]
    venue_symbol: String,
    #[prost(message, optional, tag = "3")]
    level: Option<DecimalMessage>,
    #[prost(sint64, optional, tag = "4")]
    event_time: Option<i64>,
    #[prost(double, optional, tag = "5")]
    deviation_percent: Option<f64>,
    #[prost(uint32, tag = "6")]
    status: u32,
    #[prost(bool, tag = "7")]
    adjusted: bool,
}

impl From<&IndexSnapshot> for IndexMessage {
    fn from(snapshot: &IndexSnapshot) -> Self {
        Self {
            index: snapshot.index.to_string(),
            title: snapshot.title.to_string(),
            kind: snapshot.kind.code(),
            level: decimal(snapshot.level),
            change_1d_percent: snapshot.change_1d_percent,
            change_7d_percent: snapshot.change_7d_percent,
            change_30d_percent: snapshot.change_30d_percent,
            change_ytd_percent: snapshot.change_ytd_percent,
            all_time_high: snapshot.all_time_high.as_ref().map(|high| IndexHighMessage {
                level: Some(high.level.into()),
                time: high.time.as_micros(),
                drawdown_percent: high.drawdown_percent,
                is_new: high.is_new,
                closes_only: high.closes_only,
                history_start: micros(high.history_start),
            }),
            market_cap: decimal(snapshot.market_cap),
            market_cap_change_ytd: decimal(snapshot.market_cap_change_ytd),
            market_cap_reference: snapshot.market_cap_reference.as_ref().map(|reference| ReferenceMessage {
                market_cap: Some(reference.market_cap.into()),
                level: Some(reference.level.into()),
                time: reference.time.as_micros(),
                source: reference.source.to_string(),
            }),
            market_session: snapshot.market_session.code(),
            closed_until: micros(snapshot.closed_until),
            methodology: Some((&snapshot.methodology).into()),
            constituents: snapshot.constituents.iter().map(ConstituentMessage::from).collect(),
            sources: snapshot.sources.iter().map(SourceMessage::from).collect(),
            derivations: snapshot.derivations.iter().map(DerivationMessage::from).collect(),
        }
    }
}

impl TryFrom<IndexMessage> for IndexSnapshot {
    type Error = StoreError;

    fn try_from(message: IndexMessage) -> Result<Self, StoreError> {
        let index = IndexCode::parse(&message.index);
        Ok(Self {
            index: required(index, "index code of a known kind")?,
            title: message.title.into(),
            kind: IndexKind::from_code(message.kind)?,
            level: read_decimal(message.level)?,
            change_1d_percent: message.change_1d_percent,
            change_7d_percent: message.change_7d_percent,
            change_30d_percent: message.change_30d_percent,
            change_ytd_percent: message.change_ytd_percent,
            all_time_high: message.all_time_high.map(IndexHigh::try_from).transpose()?,
            market_cap: read_decimal(message.market_cap)?,
            market_cap_change_ytd: read_decimal(message.market_cap_change_ytd)?,
            market_cap_reference: message.market_cap_reference.map(MarketCapReference::try_from).transpose()?,
            market_session: MarketSession::from_code(message.market_session)?,
            closed_until: timestamp(message.closed_until),
            methodology: required(message.methodology, "methodology")?.try_into()?,
            constituents: message.constituents.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            sources: message.sources.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            derivations: message.derivations.into_iter().map(Derivation::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<IndexHighMessage> for IndexHigh {
    type Error = StoreError;

    fn try_from(message: IndexHighMessage) -> Result<Self, StoreError> {
        Ok(Self {
            level: required(message.level, "all-time high")?.try_into()?,
            time: Timestamp::from_micros(message.time),
            drawdown_percent: message.drawdown_percent,
            is_new: message.is_new,
            closes_only: message.closes_only,
            history_start: timestamp(message.history_start),
        })
    }
}

impl TryFrom<ReferenceMessage> for MarketCapReference {
    type Error = StoreError;

    fn try_from(message: ReferenceMessage) -> Result<Self, StoreError> {
        Ok(Self {
            market_cap: required(message.market_cap, "reference market cap")?.try_into()?,
            level: required(message.level, "reference level")?.try_into()?,
            time: Timestamp::from_micros(message.time),
            source: message.source.into(),
        })
    }
}

impl From<&IndexMethodology> for MethodologyMessage {
    fn from(methodology: &IndexMethodology) -> Self {
        Self {
            definition: methodology.definition.to_string(),
            weighting: methodology.weighting.map(Coded::code),
            constituent_count: methodology.constituent_count,
            weight_cap_percent: methodology.weight_cap_percent,
            divisor: decimal(methodology.divisor),
            base_level: decimal(methodology.base_level),
            base_time: micros(methodology.base_time),
            last_rebalance: micros(methodology.last_rebalance),
            next_rebalance: micros(methodology.next_rebalance),
            calendar: methodology.calendar.code(),
            source: methodology.source.to_string(),
            proxy_for: methodology.proxy_for.as_ref().map(ToString::to_string),
            operands: texts(&methodology.operands),
            excluded: methodology
                .excluded
                .iter()
                .map(|exclusion| ExclusionMessage {
                    asset: exclusion.asset.to_string(),
                    reason: exclusion.reason.code(),
                    message: exclusion.message.to_string(),
                })
                .collect(),
        }
    }
}

impl TryFrom<MethodologyMessage> for IndexMethodology {
    type Error = StoreError;

    fn try_from(message: MethodologyMessage) -> Result<Self, StoreError> {
        let exclusion = |message: ExclusionMessage| {
            Ok(Exclusion {
                asset: asset_code(&message.asset)?,
                reason: ExclusionReason::from_code(message.reason)?,
                message: message.message.into(),
            })
        };
        Ok(Self {
            definition: message.definition.into(),
            weighting: message.weighting.map(IndexWeighting::from_code).transpose()?,
            constituent_count: message.constituent_count,
            weight_cap_percent: message.weight_cap_percent,
            divisor: read_decimal(message.divisor)?,
            base_level: read_decimal(message.base_level)?,
            base_time: timestamp(message.base_time),
            last_rebalance: timestamp(message.last_rebalance),
            next_rebalance: timestamp(message.next_rebalance),
            calendar: IndexCalendar::from_code(message.calendar)?,
            source: message.source.into(),
            proxy_for: message.proxy_for.map(Into::into),
            operands: smol_texts(message.operands),
            excluded: message.excluded.into_iter().map(exclusion).collect::<Result<_, StoreError>>()?,
        })
    }
}

impl From<&IndexConstituent> for ConstituentMessage {
    fn from(constituent: &IndexConstituent) -> Self {
        Self {
            asset: constituent.asset.to_string(),
            weight: Some(constituent.weight),
            market_cap: decimal(constituent.market_cap),
            price: decimal(constituent.price),
            units: decimal(constituent.units),
            contribution_1d_percent: constituent.contribution_1d_percent,
            stale: constituent.stale,
        }
    }
}

impl TryFrom<ConstituentMessage> for IndexConstituent {
    type Error = StoreError;

    fn try_from(message: ConstituentMessage) -> Result<Self, StoreError> {
        Ok(Self {
            asset: asset_code(&message.asset)?,
            weight: required(message.weight, "weight")?,
            market_cap: read_decimal(message.market_cap)?,
            price: read_decimal(message.price)?,
            units: read_decimal(message.units)?,
            contribution_1d_percent: message.contribution_1d_percent,
            stale: message.stale,
        })
    }
}

impl From<&IndexSource> for SourceMessage {
    fn from(source: &IndexSource) -> Self {
        Self {
            venue: source.venue.to_string(),
            venue_symbol: source.venue_symbol.to_string(),
            level: decimal(source.level),
            event_time: micros(source.event_time),
            deviation_percent: source.deviation_percent,
            status: source.status.code(),
            adjusted: source.adjusted,
        }
    }
}

impl TryFrom<SourceMessage> for IndexSource {
    type Error = StoreError;

    fn try_from(message: SourceMessage) -> Result<Self, StoreError> {
        Ok(Self {
            venue: message.venue.into(),
            venue_symbol: message.venue_symbol.into(),
            level: read_decimal(message.level)?,
            event_time: timestamp(message.event_time),
            deviation_percent: message.deviation_percent,
            status: ContributionStatus::from_code(message.status)?,
            adjusted: message.adjusted,
        })
    }
}
