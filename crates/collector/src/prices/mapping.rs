//! Whether an instrument is of the asset that its name says: its price is the evidence.

use std::time::Duration;

use crossmarket_domain::Timestamp;
use crossmarket_domain::state::{AssetKind, MappingRule, MappingState};

/// How much evidence a mapping needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MappingSettings {
    /// A price contradicts another if it is this many times as high or as low.
    pub factor: f64,
    /// The same for stablecoins.
    pub stablecoin_factor: f64,
    /// How long a price must contradict the state of its mapping to change it.
    pub patience: Duration,
}

impl Default for MappingSettings {
    fn default() -> Self {
        Self { factor: 1.5, stablecoin_factor: 1.1, patience: Duration::from_secs(600) }
    }
}

impl MappingSettings {
    pub(crate) fn factor_of(&self, kind: AssetKind) -> f64 {
        if kind == AssetKind::Stablecoin { self.stablecoin_factor } else { self.factor }
    }
}

/// True if two prices with this ratio are about the same.
pub(crate) fn agrees(ratio: f64, factor: f64) -> bool {
    ratio <= factor && ratio >= 1.0 / factor
}

/// The mapping of one instrument to its asset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mapping {
    pub rule: MappingRule,
    pub state: MappingState,
    /// When the state began.
    pub since: Timestamp,
    /// The price divided by the one that it was last compared with.
    pub price_ratio: Option<f64>,
    /// Since when the price has said otherwise than the state.
    doubted_since: Option<Timestamp>,
}

impl Mapping {
    pub(crate) fn new(rule: MappingRule, now: Timestamp) -> Self {
        Self { rule, state: MappingState::Provisional, since: now, price_ratio: None, doubted_since: None }
    }

    /// True if the instrument may contribute to anything of its asset. One that was never confirmed may not as soon as
    /// its price contradicts the evidence; a confirmed one may until that has lasted.
    pub(crate) fn contributes(&self) -> bool {
        match self.state {
            MappingState::Confirmed => true,
            MappingState::Provisional => self.doubted_since.is_none(),
            MappingState::Conflict => false,
        }
    }

    /// Compares the price: `ratio` is to the evidence, and `agreed` is whether that is close enough. Returns true if the
    /// state changed.
    pub(crate) fn judge(&mut self, ratio: f64, agreed: bool, patience: Duration, now: Timestamp) -> bool {
        self.price_ratio = Some(ratio);
        let next = match (self.state, agreed) {
            (MappingState::Provisional, true) => return self.enter(MappingState::Confirmed, now),
            (MappingState::Confirmed, true) | (MappingState::Conflict, false) => {
                self.doubted_since = None;
                return false;
            }
            (MappingState::Conflict, true) => MappingState::Confirmed,
            (MappingState::Provisional | MappingState::Confirmed, false) => MappingState::Conflict,
        };
        let since = *self.doubted_since.get_or_insert(now);
        now.since(since) >= patience && self.enter(next, now)
    }

    fn enter(&mut self, state: MappingState, now: Timestamp) -> bool {
        (self.state, self.since, self.doubted_since) = (state, now, None);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MappingState::{Confirmed, Conflict, Provisional};

    const PATIENCE: Duration = Duration::from_secs(600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_768_478_400 + seconds)
    }

    #[test]
    fn a_state_changes_only_when_the_price_has_contradicted_it_for_long_enough() {
        let mut mapping = Mapping::new(MappingRule::Ticker, at(0));
        let mut check = |seconds, agreed, state, contributes| {
            mapping.judge(1.0, agreed, PATIENCE, at(seconds));
            assert_eq!((mapping.state, mapping.contributes()), (state, contributes), "at {seconds} s");
        };
        check(0, false, Provisional, false);
        check(5, true, Confirmed, true);
        check(10, false, Confirmed, true);
        check(500, true, Confirmed, true);
        check(600, false, Confirmed, true);
        check(1_199, false, Confirmed, true);
        check(1_200, false, Conflict, false);
        check(1_300, true, Conflict, false);
        check(1_800, false, Conflict, false);
        check(1_900, true, Conflict, false);
        check(2_500, true, Confirmed, true);
    }

    #[test]
    fn a_mapping_that_was_never_confirmed_ends_in_conflict() {
        let mut mapping = Mapping::new(MappingRule::Ticker, at(0));
        assert!(!mapping.judge(0.001, false, PATIENCE, at(1)));
        assert!(mapping.judge(0.001, false, PATIENCE, at(601)));
        assert_eq!((mapping.state, mapping.since, mapping.price_ratio), (Conflict, at(601), Some(0.001)));
    }

    #[test]
    fn prices_agree_within_the_factor_in_both_directions() {
        assert!(agrees(1.5, 1.5) && agrees(0.667, 1.5) && !agrees(1.51, 1.5) && !agrees(0.66, 1.5));
        assert!(!agrees(f64::NAN, 1.5) && !agrees(0.0, 1.5));
    }
}
