//! The fields of a ticker, under any venue's names.

use super::builder::{At, Failure};
use super::reader::Scalar;
use crate::UnresolvedReason;
use crossmarket_domain::Decimal;
use crossmarket_domain::observation::Ticker;

/// A scalar and the key it was found under.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field<'a> {
    pub name: &'static str,
    pub value: Scalar<'a>,
}

impl<'a> Field<'a> {
    /// Sets the value unless an earlier key has set it.
    pub(crate) fn set(&mut self, name: &'static str, value: Scalar<'a>) {
        if self.value.is_absent() {
            *self = Self { name, value };
        }
    }

    pub(crate) fn price(self) -> Result<Option<Decimal>, Failure> {
        self.value.price().at(self.name)
    }

    pub(crate) fn quantity(self) -> Result<Option<Decimal>, Failure> {
        self.value.quantity().at(self.name)
    }
}

/// The scalars of a ticker entry, under any venue's names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TickerEntry<'a> {
    pub last: Field<'a>,
    pub bid: Field<'a>,
    pub ask: Field<'a>,
    pub high: Field<'a>,
    pub low: Field<'a>,
    pub base_volume: Field<'a>,
    pub quote_volume: Field<'a>,
}

impl TickerEntry<'_> {
    /// Converts an entry of a snapshot, which must have a last price.
    pub(crate) fn full(&self) -> Result<Ticker, Failure> {
        let ticker = self.read()?;
        if ticker.last_price.is_none() {
            return Err(Failure { reason: UnresolvedReason::NoValue, field: or_else(self.last.name, "last_price") });
        }
        Ok(ticker)
    }

    /// Converts an entry of a stream, which must have at least one figure.
    pub(crate) fn partial(&self) -> Result<Ticker, Failure> {
        let ticker = self.read()?;
        if ticker == Ticker::default() {
            return Err(Failure { reason: UnresolvedReason::NoValue, field: self.price_field() });
        }
        Ok(ticker)
    }

    /// The field to report when there is no price: the venue's own key, if it sent one.
    pub(crate) fn price_field(&self) -> &'static str {
        or_else(self.last.name, "last_price")
    }

    fn read(&self) -> Result<Ticker, Failure> {
        Ok(Ticker {
            last_price: self.last.price()?,
            bid_price: self.bid.price()?,
            ask_price: self.ask.price()?,
            high_24h: self.high.price()?,
            low_24h: self.low.price()?,
            base_volume_24h: self.base_volume.quantity()?,
            quote_volume_24h: self.quote_volume.quantity()?,
        })
    }
}

fn or_else(name: &'static str, otherwise: &'static str) -> &'static str {
    if name.is_empty() { otherwise } else { name }
}
