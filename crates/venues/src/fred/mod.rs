//! FRED, the database of the Federal Reserve Bank of St. Louis: daily closes of some indices as CSV, published the next
//! morning.
//!
//! `DTWEXBGS` is the Fed's broad trade-weighted dollar index (about 119), not the ICE dollar index `DXY` (about 99). It
//! can be read, but is never used as `DXY`. FRED has no reliable Russell index.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, Venue, VenueError};
use super::wire::levels::{self, Bar, PLACES_DEFAULT, Symbols};
use super::wire::{self, ResponseBuilder, Scalar};
use crossmarket_domain::{Feed, Instrument, Timestamp, VenueId};

const SYMBOLS: Symbols =
    &[("SPX", "SP500"), ("NDX", "NASDAQ100"), ("IXIC", "NASDAQCOM"), ("DJI", "DJIA"), ("VIX", "VIXCLS")];

/// Decimal places of series that are more precise than an index level: exchange-rate indices have four.
const PLACES_OF_OTHERS: u32 = 6;

/// FRED's graph downloads.
pub(crate) struct Fred;

const PROFILE: Profile = Profile {
    id: VenueId("fred"),
    title: "FRED",
    documentation_url: "https://fred.stlouisfed.org/docs/api/fred/",
    terms_url: "https://fred.stlouisfed.org/legal/",
    official: false,
    rest_url: "https://fred.stlouisfed.org",
    feeds: &[
        // Published once a day.
        FeedProfile::of(Feed::IndexLevels).every(10_800).ranked(4),
    ],
    limits: &[RateLimit::of("requests", 20, 60)],
    ..Profile::NONE
};

impl Venue for Fred {
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
        let day = |at: Timestamp| at.civil().strftime("%Y-%m-%d").to_string();
        let start = options.start.or(options.end.map(|end| end - levels::RECENT_SPAN));
        let from = start.map(|start| format!("&cosd={}", day(start))).unwrap_or_default();
        let until = options.end.map(|end| format!("&coed={}", day(end))).unwrap_or_default();
        let request = |instrument: Instrument| {
            let path = format!("/graph/fredgraph.csv?id={}{from}{until}", wire::url_encoded(&instrument.symbol));
            Request::of(Ask::about(feed, [instrument]), "requests", path)
        };
        levels::asked_or_all(SYMBOLS, asked).into_iter().map(request).collect()
    }

    /// ```text
    /// observation_date,VIXCLS
    /// 2025-12-24,13.47
    /// 2025-12-25,.
    /// 2025-12-26,
    /// ```
    /// Before 2025 the first column was called `DATE`. A missing value is `.` or empty. Each series has its own column.
    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        if ask.feed != Feed::IndexLevels {
            return Err(wire::no_such_feed());
        }
        let mut lines = levels::lines(&response.body);
        let mut header = levels::fields(lines.next().unwrap_or_default());
        let first = header.next().unwrap_or_default();
        if ![&b"observation_date"[..], b"DATE"].iter().any(|name| first.eq_ignore_ascii_case(name)) {
            return Err(VenueError::Malformed("expected a line observation_date,SERIES".into()));
        }
        let mut builder = ResponseBuilder::new(ask);
        let mut columns = Vec::new();
        for name in header {
            columns.push(builder.resolve(Scalar::Text(name), |symbol| self.instrument(symbol)));
        }
        for line in lines {
            let mut fields = levels::fields(line);
            let day = fields.next().unwrap_or_default();
            for (about, field) in columns.iter().zip(fields) {
                let Some(about) = about else { continue };
                let known = SYMBOLS.iter().any(|(index, _)| *index == about.instrument().base);
                let places = if known { PLACES_DEFAULT } else { PLACES_OF_OTHERS };
                let value = if field == b"." { Scalar::Missing } else { Scalar::Text(field) };
                let missing = Scalar::Missing;
                levels::record_row(&mut builder, about, day, || Bar::read(missing, missing, missing, value, places));
            }
        }
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::Payload;

    fn parse(body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        Fred.parse(&Ask::all(Feed::IndexLevels), &response)
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
        let parsed = Fred.parse(&Ask::about(Feed::IndexLevels, asked), &response).expect("readable");
        assert_eq!((parsed.observations.len(), parsed.unresolved.len()), (0, 1));
    }
}
