//! How a figure came about: which venues it rests on, by what method, with what parameters.

use minicbor::{Decode, Encode};
use smol_str::SmolStr;

use super::stored::{self, codes};
use super::{Decimal, Timestamp};

/// How an aggregate price was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregationMethod {
    /// Median of the venues' prices weighted by their 24-hour volume.
    VolumeWeightedMedian,
    /// Unweighted median: no venue gave a volume.
    Median,
    /// Only one venue had a usable price.
    SingleVenue,
    /// No venue has a fresh price: the newest known one is carried.
    LastKnown,
    /// No venue trades it: the price of a market-cap listing.
    Listing,
}

codes!(AggregationMethod { VolumeWeightedMedian = 0, Median = 1, SingleVenue = 2, LastKnown = 3, Listing = 4 });

/// Whether and why one venue's price counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContributionStatus {
    /// It counts.
    Used,
    /// Older than its feed's TTL.
    Stale,
    /// Too far from the others.
    Outlier,
    /// Its quote asset has no price in US dollars.
    UnpricedQuote,
    /// The venue lists the instrument and gives no price.
    NoPrice,
    /// It gives no volume where the others do, so it has no weight.
    NoVolume,
    /// Nothing is fresh, and this price is carried.
    Carried,
    /// It differs from the preferred source by more than the tolerance.
    Disagrees,
    /// It agrees with the preferred source, which was used.
    Standby,
}

codes!(ContributionStatus {
    Used = 0,
    Stale = 1,
    Outlier = 2,
    UnpricedQuote = 3,
    NoPrice = 4,
    NoVolume = 5,
    Carried = 6,
    Disagrees = 7,
    Standby = 8,
});

/// How a price was aggregated.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Aggregation {
    #[n(0)]
    pub method: AggregationMethod,
    /// Number of venues used.
    #[n(1)]
    pub venue_count: u32,
    /// Number of venues considered.
    #[n(2)]
    pub candidate_count: u32,
    /// Number of venues that the configuration asks for.
    #[n(3)]
    pub required_venue_count: u32,
    /// Median absolute deviation of the used prices from their median, in per cent of it.
    #[n(4)]
    pub dispersion_percent: Option<f64>,
    /// Deviation from the median beyond which a price was an outlier, in per cent of it.
    #[n(5)]
    pub outlier_limit_percent: Option<f64>,
    /// One entry for every instrument considered.
    #[n(6)]
    pub contributions: Vec<Contribution>,
}

/// One instrument's part in an aggregate.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Contribution {
    /// The venue's id.
    #[cbor(n(0), with = "stored")]
    pub venue: SmolStr,
    /// The instrument as `BASE/QUOTE`, with `:perpetual` for a perpetual.
    #[cbor(n(1), with = "stored")]
    pub instrument: SmolStr,
    #[cbor(n(2), with = "stored")]
    pub venue_symbol: SmolStr,
    #[cbor(n(3), with = "stored")]
    pub quote_asset: SmolStr,
    /// The price as observed, in the quote asset and for the venue's unit.
    #[n(4)]
    pub observed_price: Option<Decimal>,
    /// US dollars for one unit of the quote asset.
    #[n(5)]
    pub conversion_rate: Option<Decimal>,
    /// The price of one unit, in US dollars.
    #[n(6)]
    pub price: Option<Decimal>,
    /// Share of the total weight, 0 to 1; 0 when not used.
    #[n(7)]
    pub weight: f64,
    /// Value traded in the last 24 hours, in US dollars.
    #[n(8)]
    pub volume_24h: Option<Decimal>,
    /// `price / aggregate price − 1`, in per cent.
    #[n(9)]
    pub deviation_percent: Option<f64>,
    /// By the venue's clock.
    #[n(10)]
    pub event_time: Timestamp,
    #[n(11)]
    pub receive_time: Timestamp,
    #[n(12)]
    pub status: ContributionStatus,
    /// True for a simulated venue.
    #[n(13)]
    pub simulated: bool,
}

/// How one derived figure was made.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Derivation {
    /// The field of the snapshot: `rsi_14d`.
    #[cbor(n(0), with = "stored")]
    pub field: SmolStr,
    /// The method in words.
    #[cbor(n(1), with = "stored")]
    pub method: SmolStr,
    /// Name and value.
    #[cbor(n(2), with = "stored")]
    pub parameters: Vec<(SmolStr, SmolStr)>,
    /// The figures that it started from: name and value.
    #[cbor(n(3), with = "stored")]
    pub inputs: Vec<(SmolStr, Decimal)>,
    /// How many observations it rests on.
    #[n(4)]
    pub observation_count: u32,
    /// How many were missing between the first and the last.
    #[n(5)]
    pub missing_count: u32,
    /// The first observation's time.
    #[n(6)]
    pub start_time: Timestamp,
    /// The last observation's time.
    #[n(7)]
    pub end_time: Timestamp,
    /// Where the observations are from: `venue:binance`, `collected`.
    #[cbor(n(8), with = "stored")]
    pub source: SmolStr,
}

impl Derivation {
    /// Adds a parameter.
    pub fn parameter(&mut self, name: &'static str, value: &str) {
        self.parameters.push((SmolStr::new_static(name), SmolStr::new(value)));
    }
}
