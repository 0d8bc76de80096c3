//! The state of one asset: at each venue, and per aggregate.

use std::sync::Arc;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use crate::long_short::rolling_24h::Rolling24h;
use crossmarket_analytics::long_short::Reading;
use crossmarket_domain::long_short::{
    DayBefore, LongShortContribution, LongShortKey, LongShortMethod, LongShortRatio, LongShortStatus, Shares,
};
use crossmarket_domain::observation::OpenInterestUnit;
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::time::HOUR;
use crossmarket_domain::{
    AssetCode, AssetId, Decimal, Instrument, InstrumentKind, LongShortKind, Period, Timestamp, VenueId,
};
use crossmarket_store::Update;

/// Older open interest has no weight. It is polled at least once an hour.
pub(super) const OPEN_INTEREST_FRESH_FOR: Duration = HOUR.saturating_mul(3);

/// What other parts of the collector know of an asset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssetContext {
    /// The ticker; `None` if the asset is not tracked.
    pub ticker: Option<AssetCode>,
    /// Rank by market cap.
    pub rank: Option<u32>,
    /// RSI over 14 daily closes.
    pub rsi_14d: Option<f64>,
}

#[derive(Default)]
pub(super) struct Asset {
    pub(super) venues: Vec<AtVenue>,
    pub(super) aggregates: Vec<Aggregate>,
}

/// One asset at one venue.
pub(super) struct AtVenue {
    pub(super) venue: u16,
    pub(super) instrument: Arc<Instrument>,
    pub(super) open_interest: Option<Interest>,
    pub(super) series: Vec<Series>,
}

#[derive(Clone, Copy)]
pub(super) struct Interest {
    pub(super) amount: Decimal,
    pub(super) unit: OpenInterestUnit,
    pub(super) usd: Option<Decimal>,
    pub(super) receive_time: Timestamp,
}

/// One kind and period of an asset at a venue.
pub(super) struct Series {
    pub(super) kind: LongShortKind,
    pub(super) period: Period,
    /// The newest reading, its event time and its receive time.
    pub(super) latest: Option<(Shares, Timestamp, Timestamp)>,
    pub(super) budget: Duration,
    pub(super) last_24h: Rolling24h,
    pub(super) dirty: bool,
    pub(super) published: bool,
    pub(super) receive_time: Timestamp,
}

/// One pooled kind and period of an asset.
pub(super) struct Aggregate {
    pub(super) kind: LongShortKind,
    pub(super) period: Period,
    pub(super) last_24h: Rolling24h,
    pub(super) dirty: bool,
    pub(super) published: bool,
    pub(super) receive_time: Timestamp,
    pub(super) next_stale: Option<Timestamp>,
    pub(super) told: AssetContext,
}

impl Asset {
    /// The asset's state at a venue for this instrument; `None` if another instrument holds the place there.
    pub(super) fn at_venue(
        &mut self,
        venue: u16,
        instrument: &Arc<Instrument>,
        replaces: bool,
    ) -> Option<&mut AtVenue> {
        let place = match self.venues.iter().position(|at_venue| at_venue.venue == venue) {
            Some(place) => place,
            None => {
                let (instrument, series) = (Arc::clone(instrument), Vec::new());
                self.venues.push(AtVenue { venue, instrument, open_interest: None, series });
                self.venues.len() - 1
            }
        };
        let at_venue = self.venues.get_mut(place)?;
        if at_venue.instrument.symbol != instrument.symbol {
            if !replaces {
                return None;
            }
            // The new instrument's readings replace what was published under the same keys.
            at_venue.instrument = Arc::clone(instrument);
            at_venue.open_interest = None;
            for series in &mut at_venue.series {
                series.latest = None;
                series.last_24h = Rolling24h::default();
            }
        }
        Some(at_venue)
    }

    pub(super) fn aggregate(&mut self, kind: LongShortKind, period: Period) -> &mut Aggregate {
        let place = self.aggregates.iter().position(|known| known.kind == kind && known.period == period);
        let place = place.unwrap_or_else(|| {
            self.aggregates.push(Aggregate {
                kind,
                period,
                last_24h: Rolling24h::default(),
                dirty: false,
                published: false,
                receive_time: Timestamp::EPOCH,
                next_stale: None,
                told: AssetContext::default(),
            });
            self.aggregates.len() - 1
        });
        &mut self.aggregates[place]
    }
}

impl AtVenue {
    pub(super) fn series(&mut self, kind: LongShortKind, period: Period) -> &mut Series {
        let place = self.series.iter().position(|known| known.kind == kind && known.period == period);
        let place = place.unwrap_or_else(|| {
            self.series.push(Series {
                kind,
                period,
                latest: None,
                budget: period.duration() * 3,
                last_24h: Rolling24h::default(),
                dirty: false,
                published: false,
                receive_time: Timestamp::EPOCH,
            });
            self.series.len() - 1
        });
        &mut self.series[place]
    }

    pub(super) fn reading(
        &self,
        id: VenueId,
        kind: LongShortKind,
        period: Period,
        simulated: bool,
        now: Timestamp,
    ) -> Reading {
        let series = self.series.iter().find(|series| series.kind == kind && series.period == period);
        let current = |interest: &Interest| now.since(interest.receive_time) <= OPEN_INTEREST_FRESH_FOR;
        let interest = self.open_interest.filter(current);
        Reading {
            venue: SmolStr::new_static(id.as_str()),
            instrument: notation(&self.instrument),
            venue_symbol: self.instrument.symbol.clone(),
            // A venue that lists the contract but has no reading of this kind yet may still deliver one.
            is_offered: series.is_some(),
            shares: series.and_then(|series| series.latest),
            budget: series.map_or(Duration::ZERO, |series| series.budget),
            open_interest: interest.and_then(|interest| interest.usd),
            observed_open_interest: interest.map(|interest| (interest.amount, interest.unit)),
            simulated,
        }
    }

    pub(super) fn state(
        &mut self,
        code: &AssetId,
        place: usize,
        reading: &Reading,
        context: &AssetContext,
        simulated: bool,
        now: Timestamp,
    ) -> Option<Update> {
        let series = self.series.get_mut(place)?;
        let (shares, event_time, receive_time) = series.latest?;
        series.published = true;
        series.receive_time = series.receive_time.max(receive_time);
        let (status, weight) = match series.kind.is_pooled() {
            true => (LongShortStatus::Used, 1.0),
            false => (LongShortStatus::NotPooled, 0.0),
        };
        let contributions: Vec<LongShortContribution> = vec![reading.contribution(weight, status)];
        let day_before: Option<DayBefore> = series.last_24h.before(series.period, event_time);
        let key = LongShortKey {
            asset: code.clone(),
            kind: series.kind,
            period: series.period,
            venue: Some(reading.venue.clone()),
        };
        let ratio = LongShortRatio {
            key: key.clone(),
            shares: Some(shares),
            open_interest: reading.open_interest,
            market_cap_rank: context.rank,
            rsi_14d: context.rsi_14d,
            day_before,
            method: LongShortMethod::SingleVenue,
            contributions,
            ticker: context.ticker.clone()?,
        };
        let state = State {
            event_time,
            receive_time: series.receive_time,
            publish_time: now,
            budget: series.budget,
            simulated,
            body: Body::LongShort(Box::new(ratio)),
        };
        Some((Key::LongShort(key), Some(state)))
    }
}

pub(super) fn key(code: &AssetId, kind: LongShortKind, period: Period, venue: Option<VenueId>) -> LongShortKey {
    LongShortKey { asset: code.clone(), kind, period, venue: venue.map(|venue| SmolStr::new_static(venue.as_str())) }
}

pub(super) fn absent(id: VenueId, simulated: bool) -> Reading {
    Reading {
        venue: SmolStr::new_static(id.as_str()),
        instrument: SmolStr::default(),
        venue_symbol: SmolStr::default(),
        is_offered: false,
        shares: None,
        budget: Duration::ZERO,
        open_interest: None,
        observed_open_interest: None,
        simulated,
    }
}

fn notation(instrument: &Instrument) -> SmolStr {
    let suffix = match instrument.kind {
        InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse => ":perpetual",
        _ => "",
    };
    format_smolstr!("{}/{}{suffix}", instrument.base, instrument.quote)
}
