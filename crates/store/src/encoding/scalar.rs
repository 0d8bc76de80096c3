//! The small things that every stored message is made of.

use std::time::Duration;

use smol_str::SmolStr;

use super::corrupt;
use crate::StoreError;
use crossmarket_domain::{AssetCode, Decimal, Feed, InstrumentKind, Timestamp};

/// A field that is never absent in what this version writes.
pub(super) fn required<T>(field: Option<T>, name: &str) -> Result<T, StoreError> {
    field.ok_or_else(|| corrupt(format!("no {name}")))
}

/// An asset code that was one when it was written.
pub(super) fn asset_code(text: &str) -> Result<AssetCode, StoreError> {
    AssetCode::parse(text).ok_or_else(|| corrupt(format!("asset code {text:?}")))
}

pub(super) fn texts(texts: &[SmolStr]) -> Vec<String> {
    texts.iter().map(SmolStr::to_string).collect()
}

pub(super) fn smol_texts(texts: Vec<String>) -> Vec<SmolStr> {
    texts.into_iter().map(SmolStr::from).collect()
}

pub(super) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

pub(super) fn timestamp(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

pub(super) fn decimal(number: Option<Decimal>) -> Option<DecimalMessage> {
    number.map(DecimalMessage::from)
}

pub(super) fn read_decimal(message: Option<DecimalMessage>) -> Result<Option<Decimal>, StoreError> {
    message.map(Decimal::try_from).transpose()
}

/// A decimal with its scale. The mantissa is in `mantissa` when 64 bits hold it and else in `wide_mantissa`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DecimalMessage {
    #[prost(sint64, tag = "1")]
    mantissa: i64,
    #[prost(uint32, tag = "2")]
    scale: u32,
    /// 16 bytes, big-endian, two's complement; empty when not used.
    #[prost(bytes = "vec", tag = "3")]
    wide_mantissa: Vec<u8>,
}

impl From<Decimal> for DecimalMessage {
    fn from(number: Decimal) -> Self {
        let (mantissa, scale) = number.parts();
        match i64::try_from(mantissa) {
            Ok(mantissa) => Self { mantissa, scale, wide_mantissa: Vec::new() },
            Err(_) => Self { mantissa: 0, scale, wide_mantissa: mantissa.to_be_bytes().to_vec() },
        }
    }
}

impl TryFrom<DecimalMessage> for Decimal {
    type Error = StoreError;

    fn try_from(message: DecimalMessage) -> Result<Self, StoreError> {
        let mantissa = if message.wide_mantissa.is_empty() {
            message.mantissa.into()
        } else {
            let bytes = message.wide_mantissa.as_slice().try_into();
            i128::from_be_bytes(bytes.map_err(|_| corrupt("decimal of a wrong length"))?)
        };
        Decimal::from_parts(mantissa, message.scale).ok_or_else(|| corrupt("decimal out of range"))
    }
}

/// A duration, to the nanosecond.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DurationMessage {
    #[prost(uint64, tag = "1")]
    seconds: u64,
    #[prost(uint32, tag = "2")]
    nanos: u32,
}

impl From<Duration> for DurationMessage {
    fn from(duration: Duration) -> Self {
        Self { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
    }
}

impl TryFrom<DurationMessage> for Duration {
    type Error = StoreError;

    fn try_from(message: DurationMessage) -> Result<Self, StoreError> {
        if message.nanos >= 1_000_000_000 {
            return Err(corrupt("duration out of range"));
        }
        Ok(Duration::new(message.seconds, message.nanos))
    }
}

/// Two texts that belong together.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PairMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

pub(super) fn pairs(pairs: &[(SmolStr, SmolStr)]) -> Vec<PairMessage> {
    pairs.iter().map(|(name, value)| PairMessage { name: name.to_string(), value: value.to_string() }).collect()
}

pub(super) fn read_pairs(pairs: Vec<PairMessage>) -> Vec<(SmolStr, SmolStr)> {
    pairs.into_iter().map(|pair| (pair.name.into(), pair.value.into())).collect()
}

/// A closed set of values, each with a number that stays its own for ever. 0 is no value's number.
pub(super) trait Coded: Copy + Sized {
    fn code(self) -> u32;
    fn from_code(code: u32) -> Result<Self, StoreError>;
}

/// Implements [`Coded`]. The match in `code` makes a forgotten variant an error of the compiler.
macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl $crate::encoding::scalar::Coded for $name {
            fn code(self) -> u32 {
                match self { $(Self::$variant => $code,)+ }
            }

            fn from_code(code: u32) -> Result<Self, $crate::StoreError> {
                match code {
                    $($code => Ok(Self::$variant),)+
                    other => Err($crate::StoreError::Corrupt(format!("{} {other}", stringify!($name)))),
                }
            }
        }
    };
}
pub(super) use codes;

codes!(Feed {
    Tickers = 1,
    Candles = 2,
    LongShortRatios = 3,
    OpenInterest = 4,
    MarketCaps = 5,
    IndexLevels = 6,
    Categories = 7,
});

codes!(InstrumentKind {
    Spot = 1,
    PerpetualLinear = 2,
    PerpetualInverse = 3,
    Other = 4,
    Listing = 5,
    Index = 6,
});
