//! Yahoo Finance's chart endpoint: levels and daily closes of indices and funds.
//!
//! Yahoo's own pages use this endpoint; it is neither documented nor offered as an API. What is known about it comes
//! from recorded answers. Its terms of use allow personal use only.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, UnresolvedReason, Venue, VenueError};
use super::wire::levels::{self, Bar, PLACES_DEFAULT, Symbols, no_close};
use super::wire::{self, EntryInstrument, Failure, JsonError, Kind, Reader, ResponseBuilder, Scalar};
use crossmarket_domain::calendar;
use crossmarket_domain::{Feed, Instrument, Timestamp, VenueId};

/// `IWM` is a fund used in place of the Russell 2000: about a tenth of its level, less fees and dividends.
const SYMBOLS: Symbols = &[
    ("RUT", "^RUT"),
    ("SPX", "^GSPC"),
    ("NDX", "^NDX"),
    ("IXIC", "^IXIC"),
    ("DJI", "^DJI"),
    ("VIX", "^VIX"),
    ("DXY", "DX-Y.NYB"),
    ("IWM", "IWM"),
];

/// Maximum decimal places accepted from a `priceHint`.
const PLACES_MAX: u32 = 8;

/// Yahoo Finance's charts.
pub(crate) struct Yahoo;

const PROFILE: Profile = Profile {
    id: VenueId("yahoo"),
    title: "Yahoo Finance",
    documentation_url: "https://finance.yahoo.com/quote/%5ERUT/history",
    terms_url: "https://legal.yahoo.com/us/en/yahoo/terms/otos/index.html",
    official: false,
    rest_url: "https://query1.finance.yahoo.com",
    feeds: &[FeedProfile::of(Feed::IndexLevels).ranked(1)],
    limits: &[
        // Yahoo publishes no limit; in practice about one request a second was accepted.
        RateLimit::of("requests", 30, 60),
    ],
    ..Profile::NONE
};

impl Venue for Yahoo {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        levels::instrument(SYMBOLS, symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        levels::listing(SYMBOLS, base, quote)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        if feed != Feed::IndexLevels {
            return Vec::new();
        }
        let range = match options.start {
            Some(start) => {
                // The end is exclusive both in the options and at Yahoo.
                let end = options.end.map_or(i64::from(u32::MAX), Timestamp::as_seconds);
                format!("period1={}&period2={end}", start.as_seconds())
            }
            None => "range=5d".to_owned(),
        };
        let request = |instrument: Instrument| {
            let path = format!("/v8/finance/chart/{}?interval=1d&{range}", wire::url_encoded(&instrument.symbol));
            Request::of(Ask::about(feed, [instrument]), "requests", path)
        };
        levels::asked_or_all(SYMBOLS, asked).into_iter().map(request).collect()
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        if ask.feed != Feed::IndexLevels {
            return Err(wire::no_such_feed());
        }
        if let Some(limited) = levels::limited_text(&response.body) {
            return Err(limited);
        }
        let mut reader = Reader::new(&response.body);
        let mut error = Scalar::Missing;
        let mut charts = Vec::new();
        reader.object(|reader, key| match key {
            b"chart" | b"finance" if reader.kind()? == Kind::Object => reader.object(|reader, key| match key {
                b"error" if reader.kind()? == Kind::Object => reader.object(|reader, key| {
                    let value = reader.scalar()?;
                    if key == b"code" {
                        error = value;
                    }
                    Ok(())
                }),
                b"result" if reader.kind()? == Kind::Array => reader.array(|reader| {
                    if reader.kind()? != Kind::Object {
                        return reader.skip();
                    }
                    charts.push(Chart::read(reader)?);
                    Ok(())
                }),
                _ => reader.skip(),
            }),
            _ => reader.skip(),
        })?;
        reader.finish()?;
        if charts.is_empty() {
            return Err(match error {
                Scalar::Missing => wire::without("result"),
                code if is_passing(code) => wire::transient(code),
                code => wire::rejected(code),
            });
        }
        let mut builder = ResponseBuilder::new(ask);
        for chart in &charts {
            if let Some(about) = builder.resolve(chart.symbol, |symbol| self.instrument(symbol)) {
                chart.record(&mut builder, &about);
            }
        }
        builder.finish()
    }
}

/// `Internal Server Error` and similar are transient; every other error is permanent.
fn is_passing(code: Scalar<'_>) -> bool {
    let code = wire::plain_code(code).to_ascii_lowercase();
    code.contains("internal") || code.contains("timeout") || code.contains("unavailable")
}

/// One chart. The arrays are parallel, with nulls where there was no session or it has not ended; `timestamp` may be
/// missing entirely. `timestamp` is the session's open. Closes are adjusted for splits; `adjclose` is adjusted for
/// dividends as well, which an index level is not.
///
/// ```json
/// {"chart":{"result":[{"meta":{"currency":"USD","symbol":"^RUT","regularMarketTime":1768510800,"regularMarketPrice":2650.25,
///  "regularMarketDayHigh":2655.5,"regularMarketDayLow":2631.0,"gmtoffset":-18000,"exchangeTimezoneName":"America/New_York","priceHint":2,
///  "dataGranularity":"1d","currentTradingPeriod":{"regular":{"start":1768487400,"end":1768510800}}},"timestamp":[1768401000,1768487400],
///  "indicators":{"quote":[{"open":[2640.0,2641.5],"high":[2648.0,null],"low":[2630.0,2631.0],"close":[2639.9899902,2650.25],
///  "volume":[0,0]}],"adjclose":[{"adjclose":[2639.98,2650.25]}]}}],"error":null}}
/// ```
#[derive(Default)]
struct Chart<'a> {
    symbol: Scalar<'a>,
    price: Scalar<'a>,
    price_time: Scalar<'a>,
    day_high: Scalar<'a>,
    day_low: Scalar<'a>,
    previous_close: Scalar<'a>,
    utc_offset: Scalar<'a>,
    time_zone: Scalar<'a>,
    price_hint: Scalar<'a>,
    granularity: Scalar<'a>,
    regular_start: Scalar<'a>,
    regular_end: Scalar<'a>,
    timestamps: Vec<Scalar<'a>>,
    open: Vec<Scalar<'a>>,
    high: Vec<Scalar<'a>>,
    low: Vec<Scalar<'a>>,
    close: Vec<Scalar<'a>>,
}

impl<'a> Chart<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut chart = Self::default();
        reader.object(|reader, key| match key {
            b"meta" if reader.kind()? == Kind::Object => reader.object(|reader, key| chart.meta(reader, key)),
            b"timestamp" => scalars(reader, &mut chart.timestamps),
            b"indicators" if reader.kind()? == Kind::Object => reader.object(|reader, key| match key {
                b"quote" if reader.kind()? == Kind::Array => reader.array(|reader| chart.quote(reader)),
                _ => reader.skip(),
            }),
            _ => reader.skip(),
        })?;
        Ok(chart)
    }

    fn meta(&mut self, reader: &mut Reader<'a>, key: &[u8]) -> Result<(), JsonError> {
        let slot = match key {
            b"symbol" => &mut self.symbol,
            b"regularMarketPrice" => &mut self.price,
            b"regularMarketTime" => &mut self.price_time,
            b"regularMarketDayHigh" => &mut self.day_high,
            b"regularMarketDayLow" => &mut self.day_low,
            b"previousClose" => &mut self.previous_close,
            b"gmtoffset" => &mut self.utc_offset,
            b"exchangeTimezoneName" => &mut self.time_zone,
            b"priceHint" => &mut self.price_hint,
            b"dataGranularity" => &mut self.granularity,
            b"currentTradingPeriod" if reader.kind()? == Kind::Object => {
                return reader.object(|reader, key| match key {
                    b"regular" if reader.kind()? == Kind::Object => reader.object(|reader, key| {
                        let value = reader.scalar()?;
                        match key {
                            b"start" => self.regular_start = value,
                            b"end" => self.regular_end = value,
                            _ => {}
                        }
                        Ok(())
                    }),
                    _ => reader.skip(),
                });
            }
            _ => return reader.skip(),
        };
        *slot = reader.scalar()?;
        Ok(())
    }

    fn quote(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        reader.object(|reader, key| match key {
            b"open" => scalars(reader, &mut self.open),
            b"high" => scalars(reader, &mut self.high),
            b"low" => scalars(reader, &mut self.low),
            b"close" => scalars(reader, &mut self.close),
            _ => reader.skip(),
        })
    }

    /// Records the closes of ended sessions, and the current level.
    fn record(&self, builder: &mut ResponseBuilder<'_>, about: &EntryInstrument) {
        let places = self.places();
        let now = self.price_time.seconds().ok().flatten();
        let today = now.map(|now| self.day_of(now));
        let daily = self.granularity.is_absent() || self.granularity.bytes() == b"1d";
        if self.timestamps.is_empty() && !self.close.is_empty() {
            builder.record(about, Err(no_close("timestamp")));
        }
        let mut running = Bar::default();
        for (place, timestamp) in self.timestamps.iter().enumerate() {
            let at = |values: &[Scalar<'a>]| values.get(place).copied().unwrap_or_default();
            let bar = Bar::read(at(&self.open), at(&self.high), at(&self.low), at(&self.close), places);
            let start = match timestamp.seconds() {
                Ok(Some(start)) => start,
                _ => {
                    builder.record(about, Err(Failure { reason: UnresolvedReason::Malformed, field: "timestamp" }));
                    continue;
                }
            };
            let day = self.day_of(start);
            if today == Some(day) && daily {
                running = bar.unwrap_or_default();
                if !self.is_over(about, day, now) {
                    continue;
                }
            }
            // A day may occur twice: at the time of its open, and at the time of the last trade.
            let repeated = self.timestamps.get(place + 1).and_then(|next| next.seconds().ok().flatten());
            if repeated.is_some_and(|next| self.day_of(next) == day) {
                continue;
            }
            let statement = bar.and_then(|bar| {
                if !daily {
                    return Err(Failure { reason: UnresolvedReason::Implausible, field: "dataGranularity" });
                }
                if !calendar::may_have_close(&about.instrument().base, day) {
                    return Err(no_close("timestamp"));
                }
                Ok(bar.statement(bar.close.ok_or(no_close("close"))?, start, Some(day)))
            });
            builder.record(about, statement);
        }
        if let (Some(now), Ok(Some(price))) = (now, self.price.price()) {
            let read = |value: Scalar<'_>| value.price().ok().flatten().map(|level| levels::rounded(level, places));
            let bar = Bar {
                open: running.open,
                high: running.high.max(read(self.day_high)),
                low: [running.low, read(self.day_low)].into_iter().flatten().min(),
                close: None,
            };
            let mut statement = bar.statement(levels::rounded(price, places), now, None);
            if let crossmarket_domain::Payload::IndexLevel(level) = &mut statement.1 {
                level.previous_close = read(self.previous_close);
            }
            builder.record(about, Ok(statement));
        }
    }

    /// True when the session of the last trade's day has ended, according to the chart or the calendar.
    fn is_over(&self, about: &EntryInstrument, day: Timestamp, now: Option<Timestamp>) -> bool {
        let Some(now) = now else { return true };
        let known = |value: Scalar<'_>| value.seconds().ok().flatten();
        match (known(self.regular_start), known(self.regular_end)) {
            (Some(start), Some(end)) if self.day_of(start) == day => now >= end,
            // The chart already shows the next trading period.
            (Some(start), Some(_)) if start > now => true,
            _ => {
                let session = calendar::session_of_day(day).filter(|_| self.is_new_york());
                session.is_some_and(|session| now >= session.close) && about.instrument().base != "DXY"
            }
        }
    }

    fn is_new_york(&self) -> bool {
        self.time_zone.bytes() == b"America/New_York"
    }

    /// Midnight UTC of the exchange's local date at `instant`.
    fn day_of(&self, instant: Timestamp) -> Timestamp {
        if self.is_new_york() {
            return calendar::day_start(calendar::new_york_civil(instant).date());
        }
        // The offset is today's. A session's open is far enough from midnight that an hour does not matter.
        let offset = self.utc_offset.integer().ok().flatten().unwrap_or(0).clamp(-50_400, 50_400);
        Timestamp::from_seconds(instant.as_seconds() + offset).day_start()
    }

    fn places(&self) -> u32 {
        let hint = self.price_hint.integer().ok().flatten().and_then(|hint| u32::try_from(hint).ok());
        hint.unwrap_or(PLACES_DEFAULT).clamp(PLACES_DEFAULT, PLACES_MAX)
    }
}

fn scalars<'a>(reader: &mut Reader<'a>, into: &mut Vec<Scalar<'a>>) -> Result<(), JsonError> {
    if reader.kind()? != Kind::Array {
        return reader.skip();
    }
    into.clear();
    reader.array(|reader| {
        into.push(reader.scalar()?);
        Ok(())
    })
}

#[cfg(test)]
mod tests;
