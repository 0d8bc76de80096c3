//! Where a value comes from, and how fresh it is.

use super::scalar::{count, decimal, span, time};
use crossmarket_api::v1;
use crossmarket_domain::Decimal;
use crossmarket_domain::state::{self, ContributionStatus, State};
use crossmarket_image::Freshness;

pub(super) fn wire_freshness(state: &State, freshness: Freshness) -> v1::Freshness {
    v1::Freshness {
        budget: Some(span(state.budget)),
        stale_since_time: (freshness != Freshness::Closed).then(|| time(state.stale_since())),
        ..freshness_only(freshness)
    }
}

/// Freshness without times, for values that are computed from several states.
pub(crate) fn freshness_only(freshness: Freshness) -> v1::Freshness {
    let state = match freshness {
        Freshness::Fresh => v1::FreshnessState::Fresh,
        Freshness::Stale => v1::FreshnessState::Stale,
        Freshness::Closed => v1::FreshnessState::Closed,
    };
    v1::Freshness { state: state.into(), budget: None, stale_since_time: None }
}

pub(super) fn contribution_status(status: ContributionStatus) -> v1::ContributionStatus {
    match status {
        ContributionStatus::Used => v1::ContributionStatus::Used,
        ContributionStatus::Stale => v1::ContributionStatus::Stale,
        ContributionStatus::Outlier => v1::ContributionStatus::Outlier,
        ContributionStatus::UnpricedQuote => v1::ContributionStatus::UnpricedQuote,
        ContributionStatus::NoPrice => v1::ContributionStatus::NoPrice,
        ContributionStatus::NoVolume => v1::ContributionStatus::NoVolume,
        ContributionStatus::Carried => v1::ContributionStatus::Carried,
        ContributionStatus::Disagrees => v1::ContributionStatus::Disagrees,
        ContributionStatus::Standby => v1::ContributionStatus::Standby,
    }
}

pub(super) fn derivation(derivation: &state::Derivation) -> v1::Derivation {
    let parameter = |(name, value): &(smol_str::SmolStr, smol_str::SmolStr)| v1::Parameter {
        name: name.to_string(),
        value: value.to_string(),
    };
    let input = |(name, value): &(smol_str::SmolStr, Decimal)| v1::Input {
        name: name.to_string(),
        value: Some(decimal(*value)),
        ..Default::default()
    };
    v1::Derivation {
        field: derivation.field.to_string(),
        method: derivation.method.to_string(),
        parameters: derivation.parameters.iter().map(parameter).collect(),
        inputs: derivation.inputs.iter().map(input).collect(),
        observation_count: count(derivation.observation_count),
        start_time: Some(time(derivation.start_time)),
        end_time: Some(time(derivation.end_time)),
        source: derivation.source.to_string(),
        estimated: false,
        missing_count: count(derivation.missing_count),
    }
}
