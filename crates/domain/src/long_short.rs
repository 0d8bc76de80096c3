//! Long/short ratios as they are stored and answered: the share that is long, of one venue or of several together.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use super::observation::OpenInterestUnit;
use super::stored::{self, codes};
use super::{AssetCode, AssetId, Decimal, LongShortKind, Period, Timestamp};

/// What a long/short ratio is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LongShortKey {
    #[n(0)]
    pub asset: AssetId,
    /// Which population is counted.
    #[n(1)]
    pub kind: LongShortKind,
    /// The interval that a reading covers.
    #[n(2)]
    pub period: Period,
    /// The venue's id; `None` for the aggregate.
    #[cbor(n(3), with = "stored", has_nil)]
    pub venue: Option<SmolStr>,
}

/// A long and a short share that sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct Shares {
    /// Share that is long, above 0 and below 1.
    #[n(0)]
    pub long_share: f64,
    /// `long_share / short_share`, above 0 and finite.
    #[n(1)]
    pub ratio: f64,
}

impl Shares {
    /// The shares with that long one; `None` unless it is above 0 and below 1 by enough for a finite ratio.
    pub fn of_long_share(long_share: f64) -> Option<Self> {
        let ratio = long_share / (1.0 - long_share);
        (long_share > 0.0 && long_share < 1.0 && ratio.is_finite() && ratio > 0.0).then_some(Self { long_share, ratio })
    }

    pub fn short_share(self) -> f64 {
        1.0 - self.long_share
    }
}

/// The current state of one ratio. It is small, since there are thousands: derivations are computed from these fields when it is
/// encoded.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct LongShortRatio {
    #[n(0)]
    pub key: LongShortKey,
    /// Absent when no venue has usable shares.
    #[n(1)]
    pub shares: Option<Shares>,
    /// Open interest in US dollars; of an aggregate, the sum over the venues used.
    #[n(2)]
    pub open_interest: Option<Decimal>,
    /// The asset's rank by market cap, from 1.
    #[n(3)]
    pub market_cap_rank: Option<u32>,
    /// Wilder's relative strength index of the asset's 14 daily closes.
    #[n(4)]
    pub rsi_14d: Option<f64>,
    /// The reading of 24 hours before, against which the change is taken.
    #[n(5)]
    pub day_before: Option<DayBefore>,
    #[n(6)]
    pub method: LongShortMethod,
    /// One entry for each venue considered.
    #[n(7)]
    pub contributions: Vec<LongShortContribution>,
    /// The asset's ticker.
    #[n(8)]
    pub ticker: AssetCode,
}

impl LongShortRatio {
    /// The ratio minus that of 24 hours before.
    pub fn change_24h(&self) -> Option<f64> {
        Some(self.shares?.ratio - self.day_before?.ratio)
    }

    /// Number of venues whose values make it up.
    pub fn venue_count(&self) -> usize {
        let is_in = |contribution: &&LongShortContribution| {
            matches!(contribution.status, LongShortStatus::Used | LongShortStatus::NotPooled)
        };
        self.contributions.iter().filter(is_in).count()
    }
}

/// A reading of 24 hours before.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct DayBefore {
    #[n(0)]
    pub time: Timestamp,
    #[n(1)]
    pub ratio: f64,
}

/// How shares of several venues became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongShortMethod {
    /// Mean of the long shares weighted by open interest in US dollars.
    OpenInterestWeightedMean,
    /// Unweighted mean: no venue gave its open interest.
    Mean,
    /// The value of one venue.
    SingleVenue,
    /// No venue has a current value: the newest known ones are carried, weighted as before.
    LastKnown,
}

codes!(LongShortMethod { OpenInterestWeightedMean = 0, Mean = 1, SingleVenue = 2, LastKnown = 3 });

/// Whether and why one venue's value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongShortStatus {
    /// It counts.
    Used,
    /// Older than its TTL.
    Stale,
    /// Without open interest while others have it, so without weight.
    NoOpenInterest,
    /// The venue has no such series of the asset.
    NotOffered,
    /// The venue has the series and gave no usable value.
    NoValue,
    /// Defined by the venue in its own way: not aggregated.
    NotPooled,
    /// Nothing is current, and this value is carried.
    Carried,
}

codes!(LongShortStatus {
    Used = 0,
    Stale = 1,
    NoOpenInterest = 2,
    NotOffered = 3,
    NoValue = 4,
    NotPooled = 5,
    Carried = 6,
});

/// One venue's part in a ratio.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct LongShortContribution {
    /// The venue's id.
    #[cbor(n(0), with = "stored")]
    pub venue: SmolStr,
    /// The instrument as `BASE/QUOTE:perpetual`; empty when the venue has none.
    #[cbor(n(1), with = "stored")]
    pub instrument: SmolStr,
    #[cbor(n(2), with = "stored")]
    pub venue_symbol: SmolStr,
    /// The venue's shares.
    #[n(3)]
    pub shares: Option<Shares>,
    /// Share of the total weight, 0 to 1; 0 when not used.
    #[n(4)]
    pub weight: f64,
    #[n(5)]
    pub status: LongShortStatus,
    /// Its open interest in US dollars.
    #[n(6)]
    pub open_interest: Option<Decimal>,
    /// Its open interest as the venue gave it.
    #[n(7)]
    pub observed_open_interest: Option<(Decimal, OpenInterestUnit)>,
    /// The venue's time of the reading and the time at which it was received.
    #[n(8)]
    pub times: Option<(Timestamp, Timestamp)>,
    /// True for a simulated venue.
    #[n(9)]
    pub simulated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_without_its_other_side_has_no_ratio() {
        for long_share in [0.0, 1.0, -0.1, 1.1, f64::NAN, 1.0 - f64::EPSILON / 4.0] {
            assert_eq!(Shares::of_long_share(long_share), None, "{long_share}");
        }
        let shares = Shares::of_long_share(0.6).expect("both sides");
        assert!((shares.ratio - 1.5).abs() < 1e-12 && (shares.long_share + shares.short_share() - 1.0).abs() < 1e-15);
    }
}
