//! Decides which observations are accepted. The others are dropped and counted by reason; the last good value is kept.
//!
//! Texts that are not numbers never get here: the venues' parsers reject them. The limits are far outside what any
//! market shows, because a rejected value leaves a gap; values that are merely wrong are left to the aggregation.

use std::time::Duration;

use crossmarket_domain::observation::{IndexLevel, LongShort, MarketCap, OpenInterest, Ticker};
use crossmarket_domain::{Candle, Decimal, Observation, Payload, Timestamp};

/// Highest price or index level: 10¹². Bitcoin in Iranian rials is below 10¹¹.
const PRICE_MAX: i64 = 1_000_000_000_000;

/// Largest volume, supply, market cap or open interest: 10²¹ whole units of the quantity. The largest token supplies
/// are near 10¹⁷.
const AMOUNT_MAX: i128 = 1_000_000_000_000_000_000_000;

/// How far ahead of the receive time an event may be: clocks differ, by less than a minute.
const FUTURE_MAX: Duration = Duration::from_secs(60);

/// Maximum factor between a price and the last good one, in either direction.
const JUMP_FACTOR_MAX: i64 = 1_000;

/// How long the last good price is used for comparison. After this time a redenominated token is accepted.
const JUMP_MEMORY: Duration = Duration::from_secs(3_600);

/// How far the sum of a long and a short share may be from 1: venues round to four places.
const SHARE_SUM_TOLERANCE: f64 = 0.01;

/// The last accepted price of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// The price, as observed.
    pub price: Decimal,
    /// The receive time.
    pub receive_time: Timestamp,
}

/// Why an observation is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// A number is not finite.
    NotFinite,
    /// A number is negative.
    Negative,
    /// A price is 0.
    Zero,
    /// A number is larger than anything real.
    TooLarge,
    /// The price is more than [`JUMP_FACTOR_MAX`] times the last good one, or less than 1/[`JUMP_FACTOR_MAX`] of it.
    Jump,
    /// The event time is more than [`FUTURE_MAX`] after the receive time.
    FutureDated,
    /// The numbers contradict each other: a high below a low, or invalid shares.
    Inconsistent,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::NotFinite,
        Self::Negative,
        Self::Zero,
        Self::TooLarge,
        Self::Jump,
        Self::FutureDated,
        Self::Inconsistent,
    ];

    /// The reason's label in metrics and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::Negative => "negative",
            Self::Zero => "zero",
            Self::TooLarge => "too_large",
            Self::Jump => "jump",
            Self::FutureDated => "future_dated",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// Checks an observation. For tickers, `last_good` is the instrument's last accepted price; other observations ignore
/// it.
pub fn check(
    observation: &Observation,
    receive_time: Timestamp,
    last_good: Option<LastGood>,
) -> Result<(), RejectReason> {
    let latest = receive_time + FUTURE_MAX;
    if observation.event_time.is_some_and(|time| time > latest) {
        return Err(RejectReason::FutureDated);
    }
    match &observation.payload {
        Payload::Ticker(ticker) => check_ticker(ticker, receive_time, last_good),
        Payload::Candle(_, candle) => check_candle(candle, latest),
        Payload::LongShort(shares) => check_long_short(shares),
        Payload::OpenInterest(interest) => check_open_interest(interest),
        Payload::MarketCap(row) => check_market_cap(row, latest),
        Payload::IndexLevel(level) => check_index_level(level),
    }
}

/// The last price, if present, must be above 0. A bid or ask, or a new listing's high, may be 0, which means that there
/// is none.
fn check_ticker(ticker: &Ticker, receive_time: Timestamp, last_good: Option<LastGood>) -> Result<(), RejectReason> {
    ticker.last_price.map_or(Ok(()), check_price)?;
    let others = [ticker.bid_price, ticker.ask_price, ticker.high_24h, ticker.low_24h];
    for price in others.into_iter().flatten().filter(|price| !price.is_zero()) {
        check_price(price)?;
    }
    check_amounts([ticker.base_volume_24h, ticker.quote_volume_24h])?;
    match (ticker.last_price, last_good) {
        (Some(price), Some(last)) if receive_time.since(last.receive_time) <= JUMP_MEMORY => {
            check_jump(price, last.price)
        }
        _ => Ok(()),
    }
}

fn check_jump(price: Decimal, last: Decimal) -> Result<(), RejectReason> {
    let (low, high) = (price.min(last), price.max(last));
    match low.checked_mul(Decimal::from(JUMP_FACTOR_MAX)) {
        Some(limit) if high > limit => Err(RejectReason::Jump),
        _ => Ok(()),
    }
}

fn check_candle(candle: &Candle, latest: Timestamp) -> Result<(), RejectReason> {
    if candle.start > latest {
        return Err(RejectReason::FutureDated);
    }
    for price in [candle.open, candle.high, candle.low, candle.close] {
        check_price(price)?;
    }
    check_amounts([candle.base_volume, candle.quote_volume])?;
    let ordered = candle.low <= candle.open.min(candle.close) && candle.high >= candle.open.max(candle.close);
    if ordered { Ok(()) } else { Err(RejectReason::Inconsistent) }
}

fn check_long_short(shares: &LongShort) -> Result<(), RejectReason> {
    let numbers = [shares.long_share, shares.short_share, shares.ratio];
    if !numbers.iter().all(|number| number.is_finite()) {
        return Err(RejectReason::NotFinite);
    }
    if numbers.iter().any(|number| *number < 0.0) {
        return Err(RejectReason::Negative);
    }
    let proper = |share: f64| share > 0.0 && share < 1.0;
    let sum_is_one = (shares.long_share + shares.short_share - 1.0).abs() <= SHARE_SUM_TOLERANCE;
    if proper(shares.long_share) && proper(shares.short_share) && sum_is_one && shares.ratio > 0.0 {
        Ok(())
    } else {
        Err(RejectReason::Inconsistent)
    }
}

fn check_open_interest(interest: &OpenInterest) -> Result<(), RejectReason> {
    check_amounts([Some(interest.open_interest), interest.open_interest_usd])
}

fn check_market_cap(row: &MarketCap, latest: Timestamp) -> Result<(), RejectReason> {
    if row.all_time_high_time.is_some_and(|time| time > latest) {
        return Err(RejectReason::FutureDated);
    }
    row.price.map_or(Ok(()), check_price)?;
    for price in [row.high_24h, row.low_24h, row.all_time_high].into_iter().flatten().filter(|price| !price.is_zero()) {
        check_price(price)?;
    }
    check_amounts([row.market_cap, row.circulating_supply, row.volume_24h])
}

fn check_index_level(level: &IndexLevel) -> Result<(), RejectReason> {
    check_price(level.level)?;
    for price in [level.open, level.high, level.low, level.previous_close].into_iter().flatten() {
        check_price(price)?;
    }
    match (level.high, level.low) {
        (Some(high), Some(low)) if high < low => Err(RejectReason::Inconsistent),
        _ => Ok(()),
    }
}

fn check_price(price: Decimal) -> Result<(), RejectReason> {
    if price.is_zero() {
        Err(RejectReason::Zero)
    } else if price < Decimal::ZERO {
        Err(RejectReason::Negative)
    } else if price > Decimal::from(PRICE_MAX) {
        Err(RejectReason::TooLarge)
    } else {
        Ok(())
    }
}

fn check_amounts<const N: usize>(amounts: [Option<Decimal>; N]) -> Result<(), RejectReason> {
    for amount in amounts.into_iter().flatten() {
        if amount < Decimal::ZERO {
            return Err(RejectReason::Negative);
        }
        let (mantissa, scale) = amount.parts();
        // Whole units; a scale is at most 28, so the power of ten exists.
        if mantissa / 10i128.pow(scale) > AMOUNT_MAX {
            return Err(RejectReason::TooLarge);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
