//! Index snapshots on the wire.

use prost::Message;

use super::provenance::{contribution_status, derivation, wire_freshness};
use super::scalar::{count, decimal, finite, long_count, texts, time};
use crossmarket_api::v1;
use crossmarket_domain::index::{
    Exclusion, ExclusionReason, IndexCalendar, IndexConstituent, IndexHigh, IndexKind, IndexMethodology, IndexSnapshot,
    IndexSource, IndexWeighting, MarketCapReference, MarketSession,
};
use crossmarket_domain::state::{Revision, State};
use crossmarket_image::{Encoding, Freshness};

/// A snapshot as an entry of the responses' field 1, in both views.
pub(crate) fn encode(index: &IndexSnapshot, state: &State, revision: Revision, freshness: Freshness) -> Encoding {
    let message = index_snapshot(index, state, revision, freshness);
    let mut entry = v1::GetIndexSnapshotResponse { snapshot: Some(message) };
    let full = entry.encode_to_vec().into();
    entry.snapshot.iter_mut().for_each(reduce_to_basic);
    Encoding { basic: entry.encode_to_vec().into(), full }
}

/// Takes out of a snapshot what only the view FULL has.
pub(crate) fn reduce_to_basic(message: &mut v1::IndexSnapshot) {
    message.constituents.clear();
    message.sources.clear();
    message.derivations.clear();
    message.methodology.iter_mut().for_each(|methodology| methodology.excluded.clear());
}

/// A snapshot in the view FULL.
pub(crate) fn index_snapshot(
    index: &IndexSnapshot,
    state: &State,
    revision: Revision,
    freshness: Freshness,
) -> v1::IndexSnapshot {
    v1::IndexSnapshot {
        index: index.index.to_string(),
        title: index.title.to_string(),
        kind: wire_kind(index.kind).into(),
        level: index.level.map(decimal),
        change_1d_percent: finite(index.change_1d_percent),
        change_7d_percent: finite(index.change_7d_percent),
        change_30d_percent: finite(index.change_30d_percent),
        change_ytd_percent: finite(index.change_ytd_percent),
        all_time_high: index.all_time_high.as_ref().map(all_time_high),
        market_cap: index.market_cap.map(decimal),
        market_cap_change_ytd: index.market_cap_change_ytd.map(decimal),
        market_session: wire_session(index.market_session).into(),
        event_time: Some(time(state.event_time)),
        freshness: Some(wire_freshness(state, freshness)),
        methodology: Some(methodology(&index.methodology)),
        constituents: index.constituents.iter().map(constituent).collect(),
        simulated: state.simulated,
        revision: long_count(revision),
        receive_time: Some(time(state.receive_time)),
        publish_time: Some(time(state.publish_time)),
        market_cap_estimated: index.market_cap_reference.is_some(),
        market_cap_reference: index.market_cap_reference.as_ref().map(reference),
        unit: index.kind.unit().to_owned(),
        sources: index.sources.iter().map(source).collect(),
        derivations: index
            .derivations
            .iter()
            .map(|one| {
                let estimated = index.market_cap_reference.is_some() && one.field.starts_with("market_cap");
                v1::Derivation { estimated, ..derivation(one) }
            })
            .collect(),
    }
}

pub(crate) fn wire_kind(kind: IndexKind) -> v1::IndexKind {
    match kind {
        IndexKind::Equity => v1::IndexKind::Equity,
        IndexKind::EtfProxy => v1::IndexKind::EtfProxy,
        IndexKind::Volatility => v1::IndexKind::Volatility,
        IndexKind::Currency => v1::IndexKind::Currency,
        IndexKind::CryptoMarketCap => v1::IndexKind::CryptoMarketCap,
        IndexKind::CryptoDominance => v1::IndexKind::CryptoDominance,
        IndexKind::Category => v1::IndexKind::Category,
        IndexKind::Basket => v1::IndexKind::Basket,
        IndexKind::Asset => v1::IndexKind::Asset,
        IndexKind::Quotient => v1::IndexKind::Quotient,
    }
}

pub(crate) fn wire_session(session: MarketSession) -> v1::MarketSession {
    match session {
        MarketSession::Open => v1::MarketSession::Open,
        MarketSession::Closed => v1::MarketSession::Closed,
        MarketSession::Pre => v1::MarketSession::Pre,
        MarketSession::Post => v1::MarketSession::Post,
        MarketSession::Continuous => v1::MarketSession::Continuous,
    }
}

pub(crate) fn wire_calendar(calendar: IndexCalendar) -> v1::Calendar {
    match calendar {
        IndexCalendar::UtcDays => v1::Calendar::UtcDays,
        IndexCalendar::NewYork => v1::Calendar::NewYork,
    }
}

/// An asset that was left out.
pub(crate) fn exclusion(exclusion: &Exclusion) -> v1::Exclusion {
    v1::Exclusion {
        asset: exclusion.asset.to_string(),
        asset_id: exclusion.asset_id.to_string(),
        reason: match exclusion.reason {
            ExclusionReason::Stablecoin => v1::ExclusionReason::Stablecoin,
            ExclusionReason::Wrapped => v1::ExclusionReason::Wrapped,
            ExclusionReason::Staked => v1::ExclusionReason::Staked,
            ExclusionReason::AssetBacked => v1::ExclusionReason::AssetBacked,
            ExclusionReason::InsufficientHistory => v1::ExclusionReason::InsufficientHistory,
            ExclusionReason::Stale => v1::ExclusionReason::Stale,
            ExclusionReason::NoData => v1::ExclusionReason::NoData,
            ExclusionReason::NoMarketCap => v1::ExclusionReason::NoMarketCap,
            ExclusionReason::Benchmark => v1::ExclusionReason::Benchmark,
        }
        .into(),
        message: exclusion.message.to_string(),
    }
}

fn all_time_high(high: &IndexHigh) -> v1::IndexAllTimeHigh {
    v1::IndexAllTimeHigh {
        level: decimal(high.level),
        time: Some(time(high.time)),
        drawdown_percent: finite(high.drawdown_percent),
        is_new: high.is_new,
        closes_only: high.closes_only,
        history_start_time: high.history_start.map(time),
    }
}

fn reference(reference: &MarketCapReference) -> v1::MarketCapReference {
    v1::MarketCapReference {
        market_cap: decimal(reference.market_cap),
        level: decimal(reference.level),
        time: Some(time(reference.time)),
        source: reference.source.to_string(),
    }
}

fn methodology(methodology: &IndexMethodology) -> v1::IndexMethodology {
    v1::IndexMethodology {
        definition: methodology.definition.to_string(),
        weighting: match methodology.weighting {
            None => v1::IndexWeighting::Unspecified,
            Some(IndexWeighting::MarketCap) => v1::IndexWeighting::MarketCap,
            Some(IndexWeighting::CappedMarketCap) => v1::IndexWeighting::CappedMarketCap,
            Some(IndexWeighting::Equal) => v1::IndexWeighting::Equal,
        }
        .into(),
        constituent_count: methodology.constituent_count.map(count),
        weight_cap_percent: finite(methodology.weight_cap_percent),
        divisor: methodology.divisor.map(decimal),
        base_level: methodology.base_level.map(decimal),
        base_time: methodology.base_time.map(time),
        last_rebalance_time: methodology.last_rebalance.map(time),
        next_rebalance_time: methodology.next_rebalance.map(time),
        calendar: wire_calendar(methodology.calendar).into(),
        source: methodology.source.to_string(),
        proxy_for: methodology.proxy_for.as_ref().map(ToString::to_string).unwrap_or_default(),
        operands: texts(&methodology.operands),
        excluded: methodology.excluded.iter().map(exclusion).collect(),
    }
}

fn constituent(constituent: &IndexConstituent) -> v1::IndexConstituent {
    v1::IndexConstituent {
        asset: constituent.asset.to_string(),
        asset_id: constituent.asset_id.to_string(),
        weight: finite(Some(constituent.weight)).unwrap_or(0.0),
        market_cap: constituent.market_cap.map(decimal),
        price: constituent.price.map(decimal),
        units: constituent.units.map(decimal),
        contribution_1d_percent: finite(constituent.contribution_1d_percent),
        stale: constituent.stale,
    }
}

fn source(source: &IndexSource) -> v1::IndexSource {
    v1::IndexSource {
        venue: source.venue.to_string(),
        venue_symbol: source.venue_symbol.to_string(),
        level: source.level.map(decimal),
        event_time: source.event_time.map(time),
        deviation_percent: finite(source.deviation_percent),
        status: contribution_status(source.status).into(),
        adjusted: source.adjusted,
    }
}
