//! Tickers in the form that aggregation uses.

use std::time::Duration;

use smol_str::SmolStr;

use super::median::midpoint;
use crossmarket_domain::{Decimal, Instrument, Timestamp};

/// The newest known ticker of one instrument at one venue. Prices are as observed, without multipliers applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// The venue's id.
    pub venue: SmolStr,
    pub instrument: Instrument,
    /// Price of the last trade, in the quote asset.
    pub last_price: Option<Decimal>,
    /// Best bid, in the quote asset.
    pub bid_price: Option<Decimal>,
    /// Best ask, in the quote asset.
    pub ask_price: Option<Decimal>,
    /// Quantity traded in the last 24 hours, in the venue's unit of the base asset.
    pub base_volume_24h: Option<Decimal>,
    /// Value traded in the last 24 hours, in the quote asset.
    pub quote_volume_24h: Option<Decimal>,
    /// Highest price of the last 24 hours, in the quote asset.
    pub high_24h: Option<Decimal>,
    /// Lowest price of the last 24 hours, in the quote asset.
    pub low_24h: Option<Decimal>,
    /// The event time, by the venue's clock.
    pub event_time: Timestamp,
    /// The receive time.
    pub receive_time: Timestamp,
    /// How long it is fresh.
    pub budget: Duration,
    /// True if its price contradicts the evidence of what the asset costs, so that it may be another asset's.
    pub contradicted: bool,
    /// True for a simulated venue.
    pub simulated: bool,
}

impl Quote {
    /// The last price, or the midpoint of bid and ask when there is none. `None` unless positive.
    pub fn observed_price(&self) -> Option<Decimal> {
        let positive = |price: &Decimal| price.is_positive();
        self.last_price.filter(positive).or_else(|| {
            let (bid, ask) = (self.bid_price.filter(positive)?, self.ask_price.filter(positive)?);
            Some(midpoint(bid.min(ask), bid.max(ask)))
        })
    }

    /// The earlier of event and receive time.
    pub fn known_time(&self) -> Timestamp {
        self.event_time.min(self.receive_time)
    }
}
