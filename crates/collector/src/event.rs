//! What the feeds hand to the pipeline.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::prices::candle_rings::Source;
use crossmarket_domain::long_short::LongShortKey;
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::series::Point;
use crossmarket_domain::{
    AssetCode, Candle, CandleInterval, Feed, Instrument, Observation, Payload, Timestamp, TraceContext,
};

/// One message from a feed. The channel that carries it is bounded: polling feeds wait, streams conflate.
#[derive(Debug)]
pub(crate) enum CollectorEvent {
    /// What an answer or a stream said.
    Observed(Observed),
    /// Candles of an asset, oldest first.
    History {
        asset: AssetCode,
        interval: CandleInterval,
        candles: Vec<Candle>,
        /// The quote asset that they are in, to be converted and stored; `None` for what the store had, in US dollars.
        quote: Option<SmolStr>,
        /// Where they are from.
        source: Source,
    },
    /// Long/short ratios of one instrument.
    LongShort(LongShortAnswer),
    /// What the store had of an aggregated ratio.
    RatioHistory(RatioHistory),
    /// Every page of a listing was read.
    ListingComplete {
        /// The venue's place in the collector's list.
        venue_index: u16,
    },
}

/// Long/short ratios of one instrument, received at one time.
#[derive(Debug)]
pub(crate) struct LongShortAnswer {
    /// The venue's place in the collector's list.
    pub venue_index: u16,
    /// When they were received.
    pub receive_time: Timestamp,
    /// The instrument, the one that counts of its asset there.
    pub instrument: Arc<Instrument>,
    /// How long a reading is fresh.
    pub budget: Duration,
    /// The span that asked, when that is traced.
    pub trace: Option<TraceContext>,
    /// Rows of any kinds and times.
    pub observations: Vec<Observation>,
}

/// Stored readings of an aggregated ratio, oldest first.
#[derive(Debug)]
pub(crate) struct RatioHistory {
    /// Of which ratio.
    pub key: LongShortKey,
    /// The long shares.
    pub points: Vec<Point>,
}

/// Observations of one venue's feed, received at one time.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The venue's place in the collector's list.
    pub venue_index: u16,
    pub feed: Feed,
    /// When they were received.
    pub receive_time: Timestamp,
    /// True for a stream's, where an absent field has not changed; in an answer it is absent.
    pub streaming: bool,
    /// The span that asked or listened, when that is traced.
    pub trace: Option<TraceContext>,
    /// What was said.
    pub observations: Vec<Observation>,
}

/// Takes a stream's later ticker into an earlier one that has not been handed on yet: the latest wins, field by field.
pub(crate) fn conflate(earlier: &mut Observation, later: Observation) {
    match (&mut earlier.payload, later.payload) {
        (Payload::Ticker(held), Payload::Ticker(news)) => {
            merge(held, &news);
            earlier.event_time = later.event_time.or(earlier.event_time);
        }
        (held, news) => {
            *held = news;
            earlier.event_time = later.event_time;
        }
    }
}

/// Overwrites the fields that `news` has.
pub(crate) fn merge(held: &mut Ticker, news: &Ticker) {
    let Ticker { last_price, bid_price, ask_price, high_24h, low_24h, base_volume_24h, quote_volume_24h } = news;
    for (slot, value) in [
        (&mut held.last_price, last_price),
        (&mut held.bid_price, bid_price),
        (&mut held.ask_price, ask_price),
        (&mut held.high_24h, high_24h),
        (&mut held.low_24h, low_24h),
        (&mut held.base_volume_24h, base_volume_24h),
        (&mut held.quote_volume_24h, quote_volume_24h),
    ] {
        if value.is_some() {
            *slot = *value;
        }
    }
}
