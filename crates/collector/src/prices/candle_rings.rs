//! An asset's price history in memory: 25 hours of 5-minute candles, 8 days of hourly and 400 days of daily ones,
//! packed.
//!
//! A packed candle takes 16 bytes: high, low and close as 32-bit integers with a common scale, which holds nine digits.
//! An asset with every slot in use takes 14 kB. The store has the exact candles, and hourly candles from further back.

use std::collections::VecDeque;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use crossmarket_domain::{Candle, CandleInterval, Decimal, Timestamp, VenueId};

/// Number of candles kept in memory per interval: 25 hours, 8 days, 400 days. The figures of a snapshot need this much.
pub(crate) fn slot_count_max(interval: CandleInterval) -> usize {
    match interval {
        CandleInterval::FiveMinutes => 300,
        CandleInterval::OneHour => 192,
        CandleInterval::OneDay => 400,
    }
}

/// How far back the venues are asked for an interval: 25 hours, 32 days, 400 days.
pub fn span(interval: CandleInterval) -> Duration {
    let candle_count = match interval {
        CandleInterval::FiveMinutes => 300,
        CandleInterval::OneHour => 768,
        CandleInterval::OneDay => 400,
    };
    interval.duration() * candle_count
}

/// Significant digits of a packed price.
const PACKED_DIGITS: u32 = 9;

#[derive(Clone, Copy, Debug)]
struct Packed {
    high: u32,
    low: u32,
    /// 0 in a slot without a candle.
    close: u32,
    scale: i8,
}

const EMPTY: Packed = Packed { high: 0, low: 0, close: 0, scale: 0 };

impl Packed {
    /// `None` for a candle with a price that is not positive or not below 10³⁷.
    fn of(candle: &Candle) -> Option<Self> {
        let highest = candle.high.max(candle.close).rounded_to_significant(PACKED_DIGITS).normalized();
        let (mantissa, scale) = highest.parts();
        // The high has the most digits, so a scale that fits it in nine digits fits the others too.
        let (mut top, mut scale) = (mantissa, i32::try_from(scale).ok()?);
        while top > 999_999_999 {
            top /= 10;
            scale -= 1;
        }
        while top > 0 && top <= 99_999_999 && scale < 28 {
            top *= 10;
            scale += 1;
        }
        let at_scale = |price: Decimal| {
            let (mantissa, own) = price.parts();
            let shift = scale - i32::try_from(own).ok()?;
            let power = 10i128.checked_pow(shift.unsigned_abs())?;
            let value = if shift >= 0 { mantissa.checked_mul(power)? } else { (mantissa + power / 2) / power };
            u32::try_from(value).ok().filter(|value| *value > 0)
        };
        let (high, low, close) = (at_scale(candle.high)?, at_scale(candle.low)?, at_scale(candle.close)?);
        Some(Self { high, low, close, scale: i8::try_from(scale).ok()? })
    }

    fn candle(self, start: Timestamp) -> Option<Candle> {
        if self.close == 0 {
            return None;
        }
        let price = |mantissa: u32| {
            let scale = i32::from(self.scale);
            let mantissa =
                i128::from(mantissa) * if scale < 0 { 10i128.checked_pow(scale.unsigned_abs())? } else { 1 };
            Decimal::from_parts(mantissa, scale.max(0).unsigned_abs())
        };
        let close = price(self.close)?;
        Some(Candle { high: price(self.high)?, low: price(self.low)?, ..new_candle(start, close) })
    }
}

/// The candles of one interval in consecutive slots. A new candle evicts the oldest when the ring is full.
#[derive(Clone, Debug)]
struct Ring {
    interval: CandleInterval,
    /// Number of the first slot's interval since 1970.
    first: i64,
    slots: VecDeque<Packed>,
}

impl Ring {
    fn number(&self, start: Timestamp) -> i64 {
        start.as_seconds().div_euclid(self.interval.duration().as_secs() as i64)
    }

    fn start_of(&self, number: i64) -> Timestamp {
        Timestamp::from_seconds(number * self.interval.duration().as_secs() as i64)
    }

    fn put(&mut self, start: Timestamp, candle: Packed) {
        let number = self.number(start);
        let capacity = slot_count_max(self.interval) as i64;
        if self.slots.is_empty() {
            self.first = number;
        }
        let last = self.first + self.slots.len() as i64 - 1;
        if number <= last - capacity {
            return;
        }
        if number >= last + capacity {
            self.slots.clear();
            self.first = number;
        }
        // Bounded by the capacity: `number > last - capacity` at this point.
        while number < self.first {
            self.make_room();
            self.slots.push_front(EMPTY);
            self.first -= 1;
        }
        while number >= self.first + self.slots.len() as i64 {
            if self.slots.len() as i64 >= capacity {
                self.slots.pop_front();
                self.first += 1;
            }
            self.make_room();
            self.slots.push_back(EMPTY);
        }
        if let Some(slot) = self.slots.get_mut((number - self.first) as usize) {
            *slot = candle;
        }
    }

    /// Doubles the capacity like a vector, but only up to the limit: with a thousand assets the excess would waste ten
    /// megabytes.
    fn make_room(&mut self) {
        let length = self.slots.len();
        if length == self.slots.capacity() {
            let missing = slot_count_max(self.interval).saturating_sub(length);
            self.slots.reserve_exact(if missing > 0 { length.max(16).min(missing) } else { 1 });
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = Candle> + '_ {
        let unpack = |(index, slot): (usize, &Packed)| slot.candle(self.start_of(self.first + index as i64));
        self.slots.iter().enumerate().filter_map(unpack)
    }
}

/// Where an interval's closed candles come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// Sampled by this service.
    #[default]
    Collected,
    /// A venue's candles.
    Venue(VenueId),
}

impl Source {
    /// Label in a response: `collected`, `venue:binance`.
    pub(crate) fn label(self) -> SmolStr {
        match self {
            Self::Collected => SmolStr::new_static("collected"),
            Self::Venue(venue) => format_smolstr!("venue:{venue}"),
        }
    }
}

/// The price history of one asset, including the running candles.
#[derive(Clone, Debug)]
pub(crate) struct History {
    rings: [Ring; 3],
    open: [Option<Candle>; 3],
    sources: [Source; 3],
    /// The highest daily candle ever seen, even if it is no longer in memory.
    highest_day: Option<Candle>,
    first_day: Option<Timestamp>,
}

impl Default for History {
    fn default() -> Self {
        let ring = |interval| Ring { interval, first: 0, slots: VecDeque::new() };
        Self {
            rings: CandleInterval::ALL.map(ring),
            open: [const { None }; 3],
            sources: [Source::Collected; 3],
            highest_day: None,
            first_day: None,
        }
    }
}

fn place(interval: CandleInterval) -> usize {
    match interval {
        CandleInterval::FiveMinutes => 0,
        CandleInterval::OneHour => 1,
        CandleInterval::OneDay => 2,
    }
}

impl History {
    /// The closed candles, oldest first, without empty slots. The open price is not kept and equals the close; volumes
    /// are not kept either.
    pub(crate) fn closed(&self, interval: CandleInterval) -> impl DoubleEndedIterator<Item = Candle> + '_ {
        // `place` is below 3 by its definition.
        self.rings[place(interval)].iter()
    }

    /// The running candle.
    pub(crate) fn open(&self, interval: CandleInterval) -> Option<&Candle> {
        self.open[place(interval)].as_ref()
    }

    /// Where the closed candles come from.
    pub(crate) fn source(&self, interval: CandleInterval) -> Source {
        self.sources[place(interval)]
    }

    /// Records a price. When it starts a new 5-minute candle, returns every candle to store: those closed now, and the
    /// longer ones as they stand, so that a restart loses at most 5 minutes.
    pub(crate) fn observe(&mut self, price: Decimal, at: Timestamp) -> Vec<(CandleInterval, Candle)> {
        let mut to_store = Vec::new();
        let begins = self.open[0].as_ref().is_some_and(|open| at.since(open.start) >= open_length(0));
        for (index, interval) in CandleInterval::ALL.into_iter().enumerate() {
            let start = at.floor_to(interval.duration());
            match &mut self.open[index] {
                Some(open) if open.start >= start => {
                    if begins {
                        to_store.push((interval, open.clone()));
                    }
                    open.high = open.high.max(price);
                    open.low = open.low.min(price);
                    open.close = price;
                }
                open => {
                    let fresh = new_candle(start, price);
                    if let Some(closed) = open.replace(fresh) {
                        if let Some(packed) = Packed::of(&closed) {
                            self.rings[index].put(closed.start, packed);
                        }
                        if interval == CandleInterval::OneDay {
                            self.note_day(&closed);
                        }
                        to_store.push((interval, closed));
                    }
                }
            }
        }
        to_store
    }

    /// Adds candles from a venue or the store. Candles of closed intervals (relative to `now`) replace those held; a
    /// running one is merged into the running candle held.
    pub(crate) fn fill(&mut self, interval: CandleInterval, candles: &[Candle], source: Source, now: Timestamp) {
        let index = place(interval);
        let running = now.floor_to(interval.duration());
        for candle in candles {
            if interval == CandleInterval::OneDay {
                self.note_day(candle);
            }
            if candle.start == running {
                self.extend_open(index, candle);
            } else if candle.start < running
                && let Some(packed) = Packed::of(candle)
            {
                self.rings[index].put(candle.start, packed);
            }
        }
        if !candles.is_empty() {
            self.sources[index] = source;
        }
    }

    fn extend_open(&mut self, index: usize, candle: &Candle) {
        match &mut self.open[index] {
            Some(open) if open.start == candle.start => {
                open.open = candle.open;
                open.high = open.high.max(candle.high);
                open.low = open.low.min(candle.low);
            }
            Some(open) if open.start > candle.start => {}
            slot => *slot = Some(candle.clone()),
        }
    }

    /// The running candles, to be stored at shutdown.
    pub(crate) fn open_candles(&self) -> impl Iterator<Item = (CandleInterval, &Candle)> {
        CandleInterval::ALL.into_iter().zip(&self.open).filter_map(|(interval, open)| Some((interval, open.as_ref()?)))
    }

    /// The highest daily candle ever seen.
    pub(crate) fn highest_day(&self) -> Option<&Candle> {
        self.highest_day.as_ref()
    }

    /// Start of the first daily candle ever seen, and the number of daily candles in memory, including the running one.
    pub(crate) fn days(&self) -> (Option<Timestamp>, u32) {
        let running = self.open(CandleInterval::OneDay).map(|open| open.start);
        let count = self.closed(CandleInterval::OneDay).count() as u32 + u32::from(running.is_some());
        (self.first_day.or(running), count)
    }

    fn note_day(&mut self, candle: &Candle) {
        self.first_day = Some(self.first_day.map_or(candle.start, |first| first.min(candle.start)));
        if self.highest_day.as_ref().is_none_or(|highest| candle.high > highest.high) {
            self.highest_day = Some(candle.clone());
        }
    }
}

fn open_length(index: usize) -> Duration {
    CandleInterval::ALL[index].duration()
}

fn new_candle(start: Timestamp, price: Decimal) -> Candle {
    Candle { start, open: price, high: price, low: price, close: price, base_volume: None, quote_volume: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: CandleInterval = CandleInterval::FiveMinutes;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("valid")
    }

    fn price(text: &str) -> Decimal {
        Decimal::parse(text).expect("valid")
    }

    #[test]
    fn prices_become_candles_of_every_interval() {
        let mut history = History::default();
        assert!(history.observe(price("100"), at("2026-01-15T11:58:00Z")).is_empty());
        assert!(history.observe(price("103"), at("2026-01-15T11:59:00Z")).is_empty());
        assert!(history.observe(price("101.5"), at("2026-01-15T11:59:59Z")).is_empty());
        let stored = history.observe(price("102"), at("2026-01-15T12:00:00Z"));
        let described: Vec<_> = stored
            .iter()
            .map(|(interval, candle)| format!("{} {} {} {}", interval.as_str(), candle.high, candle.low, candle.close))
            .collect();
        assert_eq!(described, ["5m 103 100 101.5", "1h 103 100 101.5", "1d 103 100 101.5"]);
        let closed: Vec<_> = history.closed(FIVE).collect();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].high, price("103"));
        assert_eq!(history.closed(CandleInterval::OneDay).count(), 0, "the day goes on");
        assert_eq!(history.days(), (Some(at("2026-01-15T00:00:00Z")), 1));
    }

    #[test]
    fn memory_is_bounded_and_gaps_stay_gaps() {
        let mut history = History::default();
        let start = at("2026-01-01T00:00:00Z");
        let sample = |number: u32| new_candle(start + FIVE.duration() * number, price("2"));
        let now = at("2026-02-01T00:00:00Z");
        history.fill(FIVE, &[sample(3), sample(0), sample(5)], Source::Venue(VenueId("test")), now);
        let starts: Vec<_> = history.closed(FIVE).map(|held| held.start.since(start).as_secs() / 300).collect();
        assert_eq!(starts, [0, 3, 5]);
        let many: Vec<_> = (0..1_000).map(sample).collect();
        history.fill(FIVE, &many, Source::Venue(VenueId("test")), now);
        assert_eq!(history.closed(FIVE).count(), slot_count_max(FIVE));
        history.fill(FIVE, &[sample(0)], Source::Venue(VenueId("test")), now);
        assert_eq!(history.closed(FIVE).next().map(|held| held.start), Some(sample(700).start), "too old to keep");
        history.fill(FIVE, &[sample(8_000)], Source::Venue(VenueId("test")), now);
        assert_eq!(history.closed(FIVE).map(|held| held.close).collect::<Vec<_>>(), [price("2")]);
    }

    #[test]
    fn packing_keeps_nine_digits() {
        for (high, low, close) in [
            ("97010.01", "91234.56", "95391.5"),
            ("0.00001234", "0.00000999", "0.00001"),
            ("1000000000000", "900000000000", "950000000000"),
            ("1", "0.99999999", "1.00000000000"),
            ("0.000000000000123456789", "0.0000000000001", "0.00000000000012"),
        ] {
            let start = at("2026-01-01T00:00:00Z");
            let candle = Candle { high: price(high), low: price(low), ..new_candle(start, price(close)) };
            let mut history = History::default();
            history.fill(CandleInterval::OneDay, &[candle], Source::Collected, at("2026-01-02T00:00:00Z"));
            let held = history.closed(CandleInterval::OneDay).next().expect("held");
            assert_eq!((held.high, held.low, held.close), (price(high), price(low), price(close)));
        }
        assert_eq!(size_of::<Packed>(), 16);
    }

    #[test]
    fn a_venue_extends_the_running_candle() {
        let mut history = History::default();
        let now = at("2026-01-15T12:34:00Z");
        history.observe(price("100"), now);
        let day = Candle { high: price("110"), low: price("90"), ..new_candle(now.day_start(), price("95")) };
        history.fill(CandleInterval::OneDay, &[day], Source::Collected, now);
        let open = history.open(CandleInterval::OneDay).expect("running");
        assert_eq!(
            (open.open, open.high, open.low, open.close),
            (price("95"), price("110"), price("90"), price("100"))
        );
    }
}
