//! Messages from the feeds to the pipeline.

use std::sync::Arc;
use std::time::Duration;

use crate::prices::candle_rings::Source;
use crossmarket_domain::long_short::LongShortKey;
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::series::Point;
use crossmarket_domain::{
    AssetId, Candle, CandleInterval, Feed, Instrument, Observation, Payload, Timestamp, TraceContext,
};

/// One message from a feed. The channel is bounded: when it is full, polling feeds wait and streams conflate.
#[derive(Debug)]
pub(crate) enum CollectorEvent {
    /// The observations of one response or stream frame.
    Observed(Observed),
    /// Candles of an asset, oldest first.
    History {
        asset: AssetId,
        interval: CandleInterval,
        candles: Vec<Candle>,
        /// The instrument of the candles, which are converted and then stored. `None` for candles loaded from the store,
        /// in US dollars.
        instrument: Option<Instrument>,
        /// Where the candles come from.
        source: Source,
    },
    /// Long/short ratios of one instrument.
    LongShort(LongShortAnswer),
    /// Stored readings of an aggregated ratio.
    RatioHistory(RatioHistory),
    /// Every page of a listing has been read.
    ListingComplete {
        /// Index of the venue in the collector's list.
        venue_index: u16,
    },
}

/// Long/short ratios of one instrument, received together.
#[derive(Debug)]
pub(crate) struct LongShortAnswer {
    /// Index of the venue in the collector's list.
    pub venue_index: u16,
    pub receive_time: Timestamp,
    /// The instrument that represents its asset at this venue.
    pub instrument: Arc<Instrument>,
    /// How long a reading stays fresh.
    pub budget: Duration,
    /// Span of the request, if traced.
    pub trace: Option<TraceContext>,
    /// Rows of any kind and time.
    pub observations: Vec<Observation>,
}

/// Stored readings of an aggregated ratio, oldest first.
#[derive(Debug)]
pub(crate) struct RatioHistory {
    pub key: LongShortKey,
    /// Long shares.
    pub points: Vec<Point>,
}

/// Observations of one venue's feed, received together.
#[derive(Debug)]
pub(crate) struct Observed {
    /// Index of the venue in the collector's list.
    pub venue_index: u16,
    pub feed: Feed,
    pub receive_time: Timestamp,
    /// True for stream data, where an absent field means "unchanged". In a response, an absent field has no value.
    pub streaming: bool,
    /// Span of the request or stream, if traced.
    pub trace: Option<TraceContext>,
    pub observations: Vec<Observation>,
}

/// Merges a later stream ticker into an earlier one that is still queued. The latest value of each field wins.
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

/// Overwrites the fields that are set in `news`.
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
