//! Twelve Data: levels and daily closes of indices and funds. The API requires a key; the plan decides which indices
//! are available.
//!
//! Documentation: <https://twelvedata.com/docs>.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::key::ApiKey;
use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, UnresolvedReason, Venue, VenueError};
use super::wire::levels::{self, Bar, PLACES_DEFAULT, Symbols, no_close};
use super::wire::{self, Failure, FieldError, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement};
use crossmarket_domain::{Feed, Instrument, Payload, Timestamp, VenueId};

const SYMBOLS: Symbols = &[
    ("RUT", "RUT"),
    ("SPX", "SPX"),
    ("NDX", "NDX"),
    ("IXIC", "IXIC"),
    ("DJI", "DJI"),
    ("VIX", "VIX"),
    ("DXY", "DXY"),
    ("IWM", "IWM"),
];

/// Maximum number of rows in one answer.
const ROWS_MAX: u32 = 5_000;

/// Twelve Data's API.
pub(crate) struct TwelveData;

const PROFILE: Profile = Profile {
    id: VenueId("twelvedata"),
    title: "Twelve Data",
    documentation_url: "https://twelvedata.com/docs",
    terms_url: "https://twelvedata.com/terms",
    rest_url: "https://api.twelvedata.com",
    feeds: &[
        // The interval stays within a plan's daily limit.
        FeedProfile::of(Feed::IndexLevels).every(1_200).ranked(2),
    ],
    limits: &[
        // The smallest plan's limit: 8 credits a minute (and 800 a day), one for each symbol of a request.
        RateLimit::of("credits", 8, 60),
    ],
    api_key: Some(ApiKey { parameter: "apikey" }),
    ..Profile::NONE
};

impl Venue for TwelveData {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        levels::instrument(SYMBOLS, symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        levels::listing(SYMBOLS, base, quote)
    }

    /// A time series when a start is given, otherwise the quote.
    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        if feed != Feed::IndexLevels {
            return Vec::new();
        }
        let day = |at: Timestamp| at.civil().strftime("%Y-%m-%d").to_string();
        let request = |instrument: Instrument| {
            let symbol = wire::url_encoded(&instrument.symbol);
            let path = match options.start {
                Some(start) => {
                    let until = options.end.map(|end| format!("&end_date={}", day(end))).unwrap_or_default();
                    let from = day(start);
                    format!(
                        "/time_series?symbol={symbol}&interval=1day&outputsize={ROWS_MAX}&order=asc&start_date={from}{until}"
                    )
                }
                None => format!("/quote?symbol={symbol}"),
            };
            Request::of(Ask::about(feed, [instrument]), "credits", path)
        };
        levels::asked_or_all(SYMBOLS, asked).into_iter().map(request).collect()
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        if ask.feed != Feed::IndexLevels {
            return Err(wire::no_such_feed());
        }
        let mut reader = Reader::new(&response.body);
        let answer = Answer::read(&mut reader)?;
        reader.finish()?;
        if let Some(error) = answer.error() {
            return Err(error);
        }
        if answer.symbol.is_absent() {
            return Err(wire::without("symbol"));
        }
        let mut builder = ResponseBuilder::new(ask);
        let about = builder.resolve(answer.symbol, |symbol| self.instrument(symbol));
        let Some(about) = about else { return builder.finish() };
        match &answer.values {
            Some(rows) => {
                for row in rows {
                    levels::record_row(&mut builder, &about, row.datetime.bytes(), || {
                        if answer.interval.bytes() != b"1day" {
                            return Err(Failure { reason: UnresolvedReason::Implausible, field: "interval" });
                        }
                        row.bar()
                    });
                }
            }
            None => builder.record(&about, answer.level()),
        }
        builder.finish()
    }
}

/// `/quote` (flat, with the time of the last trade) and `/time_series` (daily rows). Numbers are strings. Errors have
/// status 200 too.
///
/// ```json
/// {"symbol":"RUT","name":"Russell 2000 Index","currency":"USD","datetime":"2026-01-15","timestamp":1768487400,"last_quote_at":1768510740,
///  "open":"2641.50","high":"2655.50","low":"2631.00","close":"2650.25","previous_close":"2639.99","is_market_open":true}
/// {"meta":{"symbol":"RUT","interval":"1day","currency":"USD","exchange_timezone":"America/New_York"},
///  "values":[{"datetime":"2026-01-14","open":"2640.00","high":"2648.00","low":"2630.00","close":"2639.99"}],"status":"ok"}
/// {"code":401,"message":"**apikey** parameter is incorrect or not specified.","status":"error"}
/// ```
#[derive(Default)]
struct Answer<'a> {
    symbol: Scalar<'a>,
    interval: Scalar<'a>,
    code: Scalar<'a>,
    status: Scalar<'a>,
    timestamp: Scalar<'a>,
    last_quote: Scalar<'a>,
    previous_close: Scalar<'a>,
    quote: Row<'a>,
    values: Option<Vec<Row<'a>>>,
}

#[derive(Clone, Copy, Default)]
struct Row<'a> {
    datetime: Scalar<'a>,
    open: Scalar<'a>,
    high: Scalar<'a>,
    low: Scalar<'a>,
    close: Scalar<'a>,
}

impl<'a> Row<'a> {
    fn slot(&mut self, key: &[u8]) -> Option<&mut Scalar<'a>> {
        Some(match key {
            b"datetime" => &mut self.datetime,
            b"open" => &mut self.open,
            b"high" => &mut self.high,
            b"low" => &mut self.low,
            b"close" => &mut self.close,
            _ => return None,
        })
    }

    fn bar(&self) -> Result<Bar, Failure> {
        Bar::read(self.open, self.high, self.low, self.close, PLACES_DEFAULT)
    }
}

impl<'a> Answer<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut answer = Self::default();
        reader.object(|reader, key| {
            let kind = reader.kind()?;
            match key {
                b"meta" if kind == Kind::Object => {
                    return reader.object(|reader, key| {
                        let value = reader.scalar()?;
                        match key {
                            b"symbol" => answer.symbol = value,
                            b"interval" => answer.interval = value,
                            _ => {}
                        }
                        Ok(())
                    });
                }
                b"values" if kind == Kind::Array => {
                    let mut rows = Vec::new();
                    reader.array(|reader| {
                        let mut row = Row::default();
                        if reader.kind()? == Kind::Object {
                            reader.object(|reader, key| match row.slot(key) {
                                Some(slot) => {
                                    *slot = reader.scalar()?;
                                    Ok(())
                                }
                                None => reader.skip(),
                            })?;
                        } else {
                            reader.skip()?;
                        }
                        rows.push(row);
                        Ok(())
                    })?;
                    answer.values = Some(rows);
                    return Ok(());
                }
                _ => {}
            }
            let slot = match key {
                b"symbol" => &mut answer.symbol,
                b"code" => &mut answer.code,
                b"status" => &mut answer.status,
                b"timestamp" => &mut answer.timestamp,
                b"last_quote_at" => &mut answer.last_quote,
                b"previous_close" => &mut answer.previous_close,
                key => match answer.quote.slot(key) {
                    Some(slot) => slot,
                    None => return reader.skip(),
                },
            };
            *slot = reader.scalar()?;
            Ok(())
        })?;
        Ok(answer)
    }

    fn error(&self) -> Option<VenueError> {
        if self.status.bytes() != b"error" {
            return None;
        }
        Some(match self.code.integer() {
            Ok(Some(429)) => VenueError::RateLimited { retry_after: None },
            Ok(Some(500..)) => wire::transient(self.code),
            _ => wire::rejected(self.code),
        })
    }

    /// The level of a quote, at the time of the last trade.
    fn level(&self) -> Result<Statement, Failure> {
        let malformed = |field| move |FieldError(reason)| Failure { reason, field };
        let time = match self.last_quote.seconds().map_err(malformed("last_quote_at"))? {
            Some(time) => time,
            None => self.timestamp.seconds().map_err(malformed("timestamp"))?.ok_or(no_close("timestamp"))?,
        };
        let bar = self.quote.bar()?;
        let mut statement = bar.statement(bar.close.ok_or(no_close("close"))?, time, None);
        if let Payload::IndexLevel(level) = &mut statement.1 {
            let previous = self.previous_close.price().map_err(malformed("previous_close"))?;
            level.previous_close = previous.map(|previous| levels::rounded(previous, PLACES_DEFAULT));
        }
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        TwelveData.parse(&Ask::all(Feed::IndexLevels), &response)
    }

    #[test]
    fn a_quote_is_a_level_and_no_close() {
        let parsed = parse(
            r#"{"symbol":"RUT","currency":"USD","datetime":"2026-01-15","timestamp":1768487400,"last_quote_at":1768510740,
                "open":"2641.500","high":"2655.5","low":null,"close":"2650.2499","previous_close":2639.99,"is_market_open":true,
                "fifty_two_week":{"low":"1","high":"2"}}"#,
        )
        .expect("readable");
        let [observation] = &parsed.observations[..] else { panic!("{parsed:?}") };
        let Payload::IndexLevel(level) = &observation.payload else { panic!("{observation:?}") };
        assert_eq!(observation.event_time, Some(Timestamp::from_seconds(1_768_510_740)));
        let shown =
            format!("{} {:?} {:?} {:?} {:?}", level.level, level.open, level.high, level.low, level.previous_close);
        assert_eq!(shown, "2650.25 Some(2641.50) Some(2655.5) None Some(2639.99)");
        assert_eq!(level.close_of, None);
    }

    #[test]
    fn a_series_is_closes_and_other_intervals_are_none() {
        let body = |interval: &str| {
            format!(
                r#"{{"meta":{{"symbol":"RUT","interval":"{interval}"}},"values":[{{"datetime":"2026-01-14","open":"1","high":"3","low":"1",
                    "close":"2"}},{{"datetime":"2026-01-17","close":"2"}},{{"datetime":"2026-01-15 09:30:00","close":"2"}},7],"status":"ok"}}"#
            )
        };
        let parsed = parse(&body("1day")).expect("readable");
        assert_eq!(parsed.observations.len(), 1);
        let reasons: Vec<_> = parsed.unresolved.iter().map(|entry| entry.reason.as_str()).collect();
        assert_eq!(reasons, ["no_value", "malformed", "malformed"]);
        assert!(parse(&body("1week")).expect("readable").observations.is_empty());
    }

    #[test]
    fn refusals_come_with_status_200() {
        let refused = parse(r#"{"code":401,"message":"**apikey** parameter is incorrect","status":"error"}"#);
        assert!(matches!(refused, Err(VenueError::Rejected(_))), "{refused:?}");
        let limited = parse(r#"{"code":429,"message":"You have run out of API credits","status":"error"}"#);
        assert_eq!(limited.err(), Some(VenueError::RateLimited { retry_after: None }));
        let broken = parse(r#"{"code":500,"message":"x","status":"error"}"#);
        assert!(matches!(broken, Err(VenueError::Transient(_))), "{broken:?}");
        assert!(matches!(parse("{}"), Err(VenueError::Malformed(_))));
    }

    #[test]
    fn history_is_asked_for_with_a_start() {
        let asked = [TwelveData.listing("RUT", "USD").expect("listed")];
        let path = |start| {
            TwelveData.requests(Feed::IndexLevels, &asked, &RequestOptions { start, ..RequestOptions::default() })[0]
                .path
                .clone()
        };
        assert_eq!(path(None), "/quote?symbol=RUT");
        assert!(
            path(Timestamp::from_date(2016, 1, 4))
                .contains("interval=1day&outputsize=5000&order=asc&start_date=2016-01-04")
        );
    }
}
