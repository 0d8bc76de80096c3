//! What one venue said about one instrument at one time.

use std::time::Duration;

use smol_str::SmolStr;

use super::stored::codes;
use super::{Candle, CandleInterval, Decimal, Instrument, Timestamp};

/// One decoded statement of a venue. Numbers are as observed: percentages are not recomputed, multipliers not applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What it is about.
    pub instrument: Instrument,
    /// The venue's own time of the event; absent when the payload has none (then the receive time is used).
    pub event_time: Option<Timestamp>,
    /// What was said.
    pub payload: Payload,
}

/// The kinds of statement, one for each [`super::Feed`].
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Prices and 24-hour figures.
    Ticker(Ticker),
    Candle(CandleInterval, Candle),
    /// Long and short shares.
    LongShort(LongShort),
    OpenInterest(OpenInterest),
    /// A market-cap listing's row.
    MarketCap(Box<MarketCap>),
    IndexLevel(IndexLevel),
}

/// Prices and 24-hour figures. An absent field was not sent (in a stream's delta: has not changed).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticker {
    /// Price of the last trade, in the quote asset.
    pub last_price: Option<Decimal>,
    /// Best bid, in the quote asset.
    pub bid_price: Option<Decimal>,
    /// Best ask, in the quote asset.
    pub ask_price: Option<Decimal>,
    /// Highest price of the last 24 hours, in the quote asset.
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours, in the quote asset.
    pub low_24h: Option<Decimal>,
    /// Quantity traded in the last 24 hours, in the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Value traded in the last 24 hours, in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
}

/// Which population a long/short ratio counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LongShortKind {
    /// All accounts with a position, each counted once.
    GlobalAccount,
    /// The venue's top traders' accounts, each counted once. Venues define "top" differently.
    TopTraderAccount,
    /// The venue's top traders' positions, by size.
    TopTraderPosition,
    /// Taker buy volume against taker sell volume.
    TakerVolume,
    /// All positions at the venue, by size. Only some venues split them into long and short, each in its own way.
    GlobalPosition,
}

codes!(LongShortKind {
    GlobalAccount = 0,
    TopTraderAccount = 1,
    TopTraderPosition = 2,
    TakerVolume = 3,
    GlobalPosition = 4,
});

impl LongShortKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::GlobalAccount, Self::TopTraderAccount, Self::TopTraderPosition, Self::TakerVolume, Self::GlobalPosition];

    /// The API's name: `GLOBAL_ACCOUNT` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GlobalAccount => "GLOBAL_ACCOUNT",
            Self::TopTraderAccount => "TOP_TRADER_ACCOUNT",
            Self::TopTraderPosition => "TOP_TRADER_POSITION",
            Self::TakerVolume => "TAKER_VOLUME",
            Self::GlobalPosition => "GLOBAL_POSITION",
        }
    }

    /// The name in series: `global-account` and so on.
    pub fn series_word(self) -> &'static str {
        match self {
            Self::GlobalAccount => "global-account",
            Self::TopTraderAccount => "top-trader-account",
            Self::TopTraderPosition => "top-trader-position",
            Self::TakerVolume => "taker-volume",
            Self::GlobalPosition => "global-position",
        }
    }

    /// True when venues mean the same by it, so that their values may be pooled. Who a top trader is, and how positions are split, is
    /// each venue's own rule.
    pub fn is_pooled(self) -> bool {
        matches!(self, Self::GlobalAccount | Self::TakerVolume)
    }
}

/// The interval that a long/short ratio is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// 5 minutes.
    FiveMinutes,
    /// 15 minutes.
    FifteenMinutes,
    /// 30 minutes.
    ThirtyMinutes,
    /// 1 hour.
    OneHour,
    /// 4 hours.
    FourHours,
    /// 1 day.
    OneDay,
}

codes!(Period { FiveMinutes = 0, FifteenMinutes = 1, ThirtyMinutes = 2, OneHour = 3, FourHours = 4, OneDay = 5 });

impl Period {
    /// Every period, shortest first.
    pub const ALL: [Self; 6] =
        [Self::FiveMinutes, Self::FifteenMinutes, Self::ThirtyMinutes, Self::OneHour, Self::FourHours, Self::OneDay];

    /// `5m`, `15m`, `30m`, `1h`, `4h` or `1d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::ThirtyMinutes => "30m",
            Self::OneHour => "1h",
            Self::FourHours => "4h",
            Self::OneDay => "1d",
        }
    }

    /// The period of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == text)
    }

    /// How long it is.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveMinutes => 300,
            Self::FifteenMinutes => 900,
            Self::ThirtyMinutes => 1_800,
            Self::OneHour => 3_600,
            Self::FourHours => 14_400,
            Self::OneDay => 86_400,
        })
    }
}

/// Long and short shares in one normal form: `long_share + short_share = 1`, `ratio = long_share / short_share`.
#[derive(Clone, Debug, PartialEq)]
pub struct LongShort {
    /// Which population.
    pub kind: LongShortKind,
    /// The period, when the payload or the request names it.
    pub period: Option<Period>,
    /// Share that is long, above 0 and below 1.
    pub long_share: f64,
    /// Share that is short, above 0 and below 1.
    pub short_share: f64,
    /// `long_share / short_share`; recomputed when the venue gives the shares, as given when it gives only the ratio.
    pub ratio: f64,
}

/// What one unit of [`OpenInterest::open_interest`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenInterestUnit {
    /// Units of the base asset.
    Base,
    /// Units of the quote asset.
    Quote,
    /// The venue's contracts.
    Contracts,
}

codes!(OpenInterestUnit { Base = 0, Quote = 1, Contracts = 2 });

/// Open interest of a derivative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInterest {
    /// How much is open, in `unit`.
    pub open_interest: Decimal,
    /// The unit of `open_interest`.
    pub unit: OpenInterestUnit,
    /// The same in US dollars (or a dollar stablecoin) where the venue gives it.
    pub open_interest_usd: Option<Decimal>,
}

/// A row of a market-cap listing. Money is in US dollars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketCap {
    /// The listing's own id, unique there: `bitcoin`, `btc-bitcoin`.
    pub listing_id: SmolStr,
    /// The asset's name: `Bitcoin`.
    pub name: SmolStr,
    /// Price of one unit.
    pub price: Option<Decimal>,
    /// Market capitalization.
    pub market_cap: Option<Decimal>,
    /// Rank by market cap, from 1.
    pub market_cap_rank: Option<u32>,
    /// Circulating supply, in units of the asset.
    pub circulating_supply: Option<Decimal>,
    /// Value traded in the last 24 hours.
    pub volume_24h: Option<Decimal>,
    /// Highest price of the last 24 hours.
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours.
    pub low_24h: Option<Decimal>,
    /// Highest price ever.
    pub all_time_high: Option<Decimal>,
    pub all_time_high_time: Option<Timestamp>,
    /// The category that the listing was asked for, by its id: the asset is a member of it.
    pub category: Option<SmolStr>,
}

/// An index level. `high`, `low` and `open` are of the same session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexLevel {
    /// The level, or the close of the session.
    pub level: Decimal,
    /// First level of the session.
    pub open: Option<Decimal>,
    /// Highest level of the session.
    pub high: Option<Decimal>,
    /// Lowest level of the session.
    pub low: Option<Decimal>,
    /// Close of the session before.
    pub previous_close: Option<Decimal>,
    /// Of the close of a session that is over, midnight UTC of the session's date; absent for a level of now.
    pub close_of: Option<Timestamp>,
}
