//! Long/short ratios as stored messages.

use smol_str::SmolStr;

use super::corrupt;
use super::scalar::{Coded, DecimalMessage, asset_code, codes, decimal, read_decimal, required};
use crate::StoreError;
use crossmarket_domain::long_short::{
    DayBefore, LongShortContribution, LongShortKey, LongShortMethod, LongShortRatio, LongShortStatus, Shares,
};
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::{AssetCode, LongShortKind, Period, Timestamp};

codes!(LongShortKind {
    GlobalAccount = 1,
    TopTraderAccount = 2,
    TopTraderPosition = 3,
    TakerVolume = 4,
    GlobalPosition = 5,
});

codes!(Period {
    FiveMinutes = 1,
    FifteenMinutes = 2,
    ThirtyMinutes = 3,
    OneHour = 4,
    FourHours = 5,
    OneDay = 6,
});

codes!(LongShortMethod { OpenInterestWeightedMean = 1, Mean = 2, SingleVenue = 3, LastKnown = 4 });

codes!(LongShortStatus {
    Used = 1,
    Stale = 2,
    NoOpenInterest = 3,
    NotOffered = 4,
    NoValue = 5,
    NotPooled = 6,
    Carried = 7,
});

codes!(OpenInterestUnit { Base = 1, Quote = 2, Contracts = 3 });

/// The key as text, without its kind's word. A venue may have any letters, an asset no colon.
pub(super) fn key_name(key: &LongShortKey) -> String {
    let LongShortKey { asset, kind, period, venue } = key;
    let (kind, period) = (kind.series_word(), period.as_str());
    match venue {
        Some(venue) => format!("{kind}:{period}:{venue}:{asset}"),
        None => format!("{kind}:{period}:{asset}"),
    }
}

/// The key of that text.
pub(super) fn parse_key(name: &str) -> Option<LongShortKey> {
    let (kind, rest) = name.split_once(':')?;
    let (period, rest) = rest.split_once(':')?;
    let (venue, asset) = match rest.rsplit_once(':') {
        Some((venue, asset)) => (Some(SmolStr::new(venue)), asset),
        None => (None, rest),
    };
    Some(LongShortKey {
        asset: AssetCode::parse(asset)?,
        kind: LongShortKind::ALL.into_iter().find(|known| known.series_word() == kind)?,
        period: Period::parse(period)?,
        venue,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LongShortMessage {
    #[prost(string, tag = "1")]
    asset: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint32, tag = "3")]
    period: u32,
    #[prost(string, optional, tag = "4")]
    venue: Option<String>,
    #[prost(message, optional, tag = "5")]
    shares: Option<SharesMessage>,
    #[prost(message, optional, tag = "6")]
    open_interest: Option<DecimalMessage>,
    #[prost(uint32, optional, tag = "7")]
    market_cap_rank: Option<u32>,
    #[prost(double, optional, tag = "8")]
    rsi_14d: Option<f64>,
    #[prost(message, optional, tag = "9")]
    day_before: Option<DayBeforeMessage>,
    #[prost(uint32, tag = "10")]
    method: u32,
    #[prost(message, repeated, tag = "11")]
    contributions: Vec<ContributionMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct SharesMessage {
    #[prost(double, optional, tag = "1")]
    long_share: Option<f64>,
    #[prost(double, optional, tag = "2")]
    ratio: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct DayBeforeMessage {
    #[prost(sint64, tag = "1")]
    time: i64,
    #[prost(double, optional, tag = "2")]
    ratio: Option<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContributionMessage {
    #[prost(string, tag = "1")]
    venue: String,
    #[prost(string, tag = "2")]
    instrument: String,
    #[prost(string, tag = "3")]
    venue_symbol: String,
    #[prost(message, optional, tag = "4")]
    shares: Option<SharesMessage>,
    #[prost(double, optional, tag = "5")]
    weight: Option<f64>,
    #[prost(uint32, tag = "6")]
    status: u32,
    #[prost(message, optional, tag = "7")]
    open_interest: Option<DecimalMessage>,
    #[prost(message, optional, tag = "8")]
    observed: Option<DecimalMessage>,
    /// 0 when nothing was observed.
    #[prost(uint32, tag = "9")]
    observed_unit: u32,
    #[prost(sint64, optional, tag = "10")]
    event_time: Option<i64>,
    #[prost(sint64, optional, tag = "11")]
    receive_time: Option<i64>,
    #[prost(bool, tag = "12")]
    simulated: bool,
}

impl From<Shares> for SharesMessage {
    fn from(shares: Shares) -> Self {
        Self { long_share: Some(shares.long_share), ratio: Some(shares.ratio) }
    }
}

impl TryFrom<SharesMessage> for Shares {
    type Error = StoreError;

    fn try_from(message: SharesMessage) -> Result<Self, StoreError> {
        let SharesMessage { long_share, ratio } = message;
        Ok(Self { long_share: required(long_share, "long share")?, ratio: required(ratio, "ratio")? })
    }
}

fn read_shares(message: Option<SharesMessage>) -> Result<Option<Shares>, StoreError> {
    message.map(TryInto::try_into).transpose()
}

fn read_day_before(message: DayBeforeMessage) -> Result<DayBefore, StoreError> {
    Ok(DayBefore { time: Timestamp::from_micros(message.time), ratio: required(message.ratio, "ratio")? })
}

impl From<&LongShortRatio> for LongShortMessage {
    fn from(ratio: &LongShortRatio) -> Self {
        let LongShortKey { asset, kind, period, venue } = &ratio.key;
        Self {
            asset: asset.to_string(),
            kind: kind.code(),
            period: period.code(),
            venue: venue.as_ref().map(SmolStr::to_string),
            shares: ratio.shares.map(Into::into),
            open_interest: decimal(ratio.open_interest),
            market_cap_rank: ratio.market_cap_rank,
            rsi_14d: ratio.rsi_14d,
            day_before: ratio
                .day_before
                .map(|before| DayBeforeMessage { time: before.time.as_micros(), ratio: Some(before.ratio) }),
            method: ratio.method.code(),
            contributions: ratio.contributions.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<LongShortMessage> for LongShortRatio {
    type Error = StoreError;

    fn try_from(message: LongShortMessage) -> Result<Self, StoreError> {
        Ok(Self {
            key: LongShortKey {
                asset: asset_code(&message.asset)?,
                kind: LongShortKind::from_code(message.kind)?,
                period: Period::from_code(message.period)?,
                venue: message.venue.map(SmolStr::from),
            },
            shares: read_shares(message.shares)?,
            open_interest: read_decimal(message.open_interest)?,
            market_cap_rank: message.market_cap_rank,
            rsi_14d: message.rsi_14d,
            day_before: message.day_before.map(read_day_before).transpose()?,
            method: LongShortMethod::from_code(message.method)?,
            contributions: message
                .contributions
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, StoreError>>()?,
        })
    }
}

impl From<&LongShortContribution> for ContributionMessage {
    fn from(contribution: &LongShortContribution) -> Self {
        Self {
            venue: contribution.venue.to_string(),
            instrument: contribution.instrument.to_string(),
            venue_symbol: contribution.venue_symbol.to_string(),
            shares: contribution.shares.map(Into::into),
            weight: Some(contribution.weight),
            status: contribution.status.code(),
            open_interest: decimal(contribution.open_interest),
            observed: contribution.observed_open_interest.map(|(amount, _)| amount.into()),
            observed_unit: contribution.observed_open_interest.map_or(0, |(_, unit)| unit.code()),
            event_time: contribution.times.map(|(event, _)| event.as_micros()),
            receive_time: contribution.times.map(|(_, receive)| receive.as_micros()),
            simulated: contribution.simulated,
        }
    }
}

impl TryFrom<ContributionMessage> for LongShortContribution {
    type Error = StoreError;

    fn try_from(message: ContributionMessage) -> Result<Self, StoreError> {
        let observed_open_interest = match read_decimal(message.observed)? {
            Some(amount) => Some((amount, OpenInterestUnit::from_code(message.observed_unit)?)),
            None => None,
        };
        let times = match (message.event_time, message.receive_time) {
            (Some(event), Some(receive)) => Some((Timestamp::from_micros(event), Timestamp::from_micros(receive))),
            (None, None) => None,
            _ => return Err(corrupt("one time without the other")),
        };
        Ok(Self {
            venue: message.venue.into(),
            instrument: message.instrument.into(),
            venue_symbol: message.venue_symbol.into(),
            shares: read_shares(message.shares)?,
            weight: required(message.weight, "weight")?,
            status: LongShortStatus::from_code(message.status)?,
            open_interest: read_decimal(message.open_interest)?,
            observed_open_interest,
            times,
            simulated: message.simulated,
        })
    }
}
