//! FRED, the database of the Federal Reserve Bank of St. Louis: daily closes of some indices as CSV, the next morning.
//!
//! `DTWEXBGS` is the Fed's broad trade-weighted dollar index (about 119), not the ICE dollar index `DXY` (about 99): it can be read, and nothing
//! takes it for the other. There is no Russell index to rely on.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::gather::{Gather, no_such_feed, url_encoded};
use super::json::Scalar;
use super::levels::{self, Bar, PLACES_DEFAULT, Symbols};
use super::{About, Parsed, RateLimit, Request, RequestOptions, Response, Venue, VenueError, status};
use crossmarket_domain::{Feed, Instrument, Timestamp, VenueId};

/// The venue's id.
pub const ID: VenueId = VenueId("fred");

const SYMBOLS: Symbols =
    &[("SPX", "SP500"), ("NDX", "NASDAQ100"), ("IXIC", "NASDAQCOM"), ("DJI", "DJIA"), ("VIX", "VIXCLS")];

/// Decimal places of series that have more than an index level: exchange-rate indices have four.
const PLACES_OF_OTHERS: u32 = 6;

const LIMITS: &[RateLimit] = &[RateLimit { scope: "requests", limit: 20, window: Duration::from_secs(60) }];

/// FRED's graph downloads.
pub struct Fred;

impl Venue for Fred {
    fn id(&self) -> VenueId {
        ID
    }

    fn about(&self) -> About {
        About {
            title: "FRED",
            documentation_url: "https://fred.stlouisfed.org/docs/api/fred/",
            terms_url: "https://fred.stlouisfed.org/legal/",
            official: false,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::IndexLevels]
    }

    fn rest_url(&self) -> &'static str {
        "https://fred.stlouisfed.org"
    }

    fn limits(&self) -> &'static [RateLimit] {
        LIMITS
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
        let day = |at: Timestamp| at.civil().strftime("%Y-%m-%d").to_string();
        let start = options.start.or(options.end.map(|end| end - levels::RECENT_SPAN));
        let from = start.map(|start| format!("&cosd={}", day(start))).unwrap_or_default();
        let until = options.end.map(|end| format!("&coed={}", day(end))).unwrap_or_default();
        let request = |instrument: Instrument| Request {
            path: format!("/graph/fredgraph.csv?id={}{from}{until}", url_encoded(&instrument.symbol)),
            host: None,
            scope: "requests",
            weight: 1,
            asked: vec![instrument],
        };
        levels::asked_or_all(SYMBOLS, asked).into_iter().map(request).collect()
    }

    /// ```text
    /// observation_date,VIXCLS
    /// 2025-12-24,13.47
    /// 2025-12-25,.
    /// 2025-12-26,
    /// ```
    /// The first column was called `DATE` before 2025. A missing value is `.` or nothing. Several series are several columns.
    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        if feed != Feed::IndexLevels {
            return Err(no_such_feed());
        }
        let mut lines = levels::lines(&response.body);
        let mut header = levels::fields(lines.next().unwrap_or_default());
        let first = header.next().unwrap_or_default();
        if ![&b"observation_date"[..], b"DATE"].iter().any(|name| first.eq_ignore_ascii_case(name)) {
            return Err(VenueError::Malformed("expected a line observation_date,SERIES".into()));
        }
        let mut gather = Gather::new(asked);
        let mut columns = Vec::new();
        for name in header {
            columns.push(gather.subject(Scalar::Text(name), |symbol| self.instrument(symbol)));
        }
        for line in lines {
            let mut fields = levels::fields(line);
            let day = fields.next().unwrap_or_default();
            for (subject, field) in columns.iter().zip(fields) {
                let Some(subject) = subject else { continue };
                let known = SYMBOLS.iter().any(|(index, _)| *index == subject.instrument().base);
                let places = if known { PLACES_DEFAULT } else { PLACES_OF_OTHERS };
                let value = if field == b"." { Scalar::Missing } else { Scalar::Text(field) };
                let missing = Scalar::Missing;
                levels::settle_row(&mut gather, subject, day, || Bar::read(missing, missing, missing, value, places));
            }
        }
        Ok(gather.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::Payload;

    fn parse(body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        Fred.parse(Feed::IndexLevels, &[], &response)
    }

    fn closes(parsed: &Parsed) -> Vec<String> {
        let close = |observation: &crossmarket_domain::Observation| {
            let Payload::IndexLevel(level) = &observation.payload else { panic!("{observation:?}") };
            format!(
                "{} {} {}",
                observation.instrument.base,
                level.close_of.expect("a date").civil().date(),
                level.level
            )
        };
        parsed.observations.iter().map(close).collect()
    }

    #[test]
    fn reads_both_headers_and_leaves_out_what_is_missing() {
        let new = parse("observation_date,VIXCLS\n2025-12-24,13.47\n2025-12-25,.\n2025-12-26,\n2025-12-29,14.2\n")
            .expect("readable");
        assert_eq!(closes(&new), ["VIX 2025-12-24 13.47", "VIX 2025-12-29 14.2"]);
        let old = parse("DATE,SP500,DTWEXBGS\r\n2024-12-31,5881.63,129.2775\r\n").expect("readable");
        assert_eq!(closes(&old), ["SPX 2024-12-31 5881.63", "DTWEXBGS 2024-12-31 129.2775"]);
        assert!(old.unresolved.is_empty(), "{:?}", old.unresolved);
    }

    #[test]
    fn the_broad_dollar_index_is_not_the_other_one() {
        assert_eq!(Fred.listing("DXY", "USD"), None);
        assert_eq!(Fred.listing("RUT", "USD"), None);
        assert_eq!(Fred.instrument("DTWEXBGS").expect("a series").base, "DTWEXBGS");
    }

    #[test]
    fn a_page_is_no_series() {
        assert!(matches!(parse("<!DOCTYPE html>"), Err(VenueError::Malformed(_))));
        assert!(matches!(parse(""), Err(VenueError::Malformed(_))));
    }

    #[test]
    fn a_series_without_a_value_is_told() {
        let asked = [Fred.listing("VIX", "USD").expect("listed")];
        let body = "observation_date,VIXCLS\n2025-12-25,.\n";
        let response = Response { status: 200, body: body.into(), ..Response::default() };
        let parsed = Fred.parse(Feed::IndexLevels, &asked, &response).expect("readable");
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (0, 1));
    }
}
