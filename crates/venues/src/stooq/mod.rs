//! Stooq: daily closes of indices as CSV. It requires a key, which its site issues after a captcha.
//!
//! There is no documented API; requests use the download link of Stooq's pages.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use smol_str::SmolStr;

use super::key::ApiKey;
use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, UnresolvedReason, Venue, VenueError};
use super::wire::levels::{self, Bar, PLACES_DEFAULT, Symbols};
use super::wire::{self, Failure, ResponseBuilder, Scalar};
use crossmarket_domain::{Feed, Instrument, Timestamp, VenueId};

/// `^ndq` is the Nasdaq Composite, `^ndx` the Nasdaq-100.
const SYMBOLS: Symbols =
    &[("RUT", "^rut"), ("SPX", "^spx"), ("NDX", "^ndx"), ("IXIC", "^ndq"), ("DJI", "^dji"), ("VIX", "^vix")];

/// Stooq's CSV downloads.
pub(crate) struct Stooq;

const PROFILE: Profile = Profile {
    id: VenueId("stooq"),
    title: "Stooq",
    documentation_url: "https://stooq.com/q/d/?s=^spx",
    terms_url: "https://stooq.com/info/",
    official: false,
    rest_url: "https://stooq.com",
    feeds: &[FeedProfile::of(Feed::IndexLevels).every(3_600).ranked(3)],
    limits: &[
        // Stooq publishes no limit, but is known to have a daily one.
        RateLimit::of("requests", 10, 60),
    ],
    api_key: Some(ApiKey { parameter: "apikey" }),
    ..Profile::NONE
};

impl Venue for Stooq {
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
        let day = |at: Timestamp| at.civil().strftime("%Y%m%d").to_string();
        let start = options.start.or(options.end.map(|end| end - levels::RECENT_SPAN));
        let from = start.map(|start| format!("&d1={}", day(start))).unwrap_or_default();
        let until = options.end.map(|end| format!("&d2={}", day(end))).unwrap_or_default();
        let request = |instrument: Instrument| {
            let path = format!("/q/d/l/?s={}&i=d{from}{until}", wire::url_encoded(&instrument.symbol));
            Request::of(Ask::about(feed, [instrument]), "requests", path)
        };
        levels::asked_or_all(SYMBOLS, asked).into_iter().map(request).collect()
    }

    /// ```text
    /// Date,Open,High,Low,Close,Volume
    /// 2026-01-14,6930.1,6941.2,6885.7,6926.6,3012345678
    /// ```
    /// Every other answer has status 200 too: `No data` for an unknown symbol, `Get your apikey: …` without a key, and
    /// a text about the daily limit. So the header line is checked first.
    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        if ask.feed != Feed::IndexLevels {
            return Err(wire::no_such_feed());
        }
        let mut lines = levels::lines(&response.body);
        let header = lines.next().unwrap_or_default();
        let mut builder = ResponseBuilder::new(ask);
        if header.eq_ignore_ascii_case(b"No data") {
            if let Some(about) = builder.only_instrument() {
                let reason = UnresolvedReason::NotListed;
                builder.record(&about, Err(Failure { reason, field: "" }));
            }
            return builder.finish();
        }
        let place = |name: &str| levels::fields(header).position(|field| field.eq_ignore_ascii_case(name.as_bytes()));
        let (Some(date), Some(close)) = (place("Date"), place("Close")) else { return Err(refusal(header)) };
        let [open, high, low] = ["Open", "High", "Low"].map(place);
        let Some(about) = builder.only_instrument() else { return builder.finish() };
        for line in lines {
            let fields: Vec<&[u8]> = levels::fields(line).collect();
            let field = |place: usize| fields.get(place).copied().unwrap_or_default();
            let value = |place: Option<usize>| place.map_or(Scalar::Missing, |place| Scalar::Text(field(place)));
            levels::record_row(&mut builder, &about, field(date), || {
                Bar::read(value(open), value(high), value(low), value(Some(close)), PLACES_DEFAULT)
            });
        }
        builder.finish()
    }
}

/// The error of an answer that is not CSV, by its first line.
fn refusal(line: &[u8]) -> VenueError {
    let line = String::from_utf8_lossy(line).to_ascii_lowercase();
    let text = |text: &'static str| SmolStr::new_static(text);
    if line.contains("apikey") {
        VenueError::Rejected(text("a key is needed, or this one is not accepted"))
    } else if line.contains("limit") {
        VenueError::RateLimited { retry_after: None }
    } else {
        VenueError::Malformed(text("expected a line Date,Open,High,Low,Close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::Payload;

    fn parse(symbol: &str, body: &str) -> Result<Parsed, VenueError> {
        let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
        let asked = [Stooq.instrument(symbol).expect("a symbol")];
        Stooq.parse(&Ask { reports_every_entry: true, ..Ask::about(Feed::IndexLevels, asked) }, &response)
    }

    #[test]
    fn reads_closes_and_passes_over_what_is_none() {
        let body = "\u{feff}Date,Open,High,Low,Close,Volume\r\n2026-01-14,2630.1,2641.5,2622,2640.125,0\r\n2026-01-17,1,1,1,1,0\r\n\
                    2026-01-15,,,,2651.9\r\n2026-01-16,2650,2640,2660,2655,0\r\nsoon,1,1,1,1,0\r\n2026-01-20,1,1,1,abc,0\r\n2026-01-21,,,,,\r\n";
        let parsed = parse("^rut", body).expect("readable");
        let levels: Vec<String> = parsed
            .observations
            .iter()
            .map(|observation| {
                let Payload::IndexLevel(level) = &observation.payload else { panic!("{observation:?}") };
                assert_eq!((observation.instrument.base.as_str(), level.close_of), ("RUT", observation.event_time));
                format!(
                    "{} {:?} {:?} {:?} {}",
                    level.close_of.expect("a date"),
                    level.open,
                    level.high,
                    level.low,
                    level.level
                )
            })
            .collect();
        assert_eq!(
            levels,
            [
                "2026-01-14T00:00:00Z Some(2630.1) Some(2641.5) Some(2622) 2640.12",
                "2026-01-15T00:00:00Z None None None 2651.9",
                // A high below the close and a low above the open are dropped.
                "2026-01-16T00:00:00Z Some(2650) None None 2655",
            ]
        );
        let unresolved: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.reason.as_str(), entry.field)).collect();
        assert_eq!(
            unresolved,
            [("no_value", "date"), ("malformed", "date"), ("malformed", "close"), ("no_value", "close")]
        );
    }

    #[test]
    fn texts_with_status_200_are_refusals() {
        let rejected = parse("^rut", "Get your apikey:\n\n1. Open …");
        assert!(matches!(rejected, Err(VenueError::Rejected(_))), "{rejected:?}");
        let limited = parse("^rut", "Exceeded the daily hits limit");
        assert_eq!(limited.err(), Some(VenueError::RateLimited { retry_after: None }));
        assert!(matches!(parse("^rut", "<html>"), Err(VenueError::Malformed(_))));
        assert!(matches!(parse("^rut", ""), Err(VenueError::Malformed(_))));
        let none = parse("^zzz", "No data").expect("an answer");
        assert_eq!(none.unresolved[0].reason.as_str(), "not_listed");
    }

    #[test]
    fn asks_for_days() {
        let options = RequestOptions { start: Timestamp::from_date(2016, 1, 4), ..RequestOptions::default() };
        let asked = [Stooq.listing("RUT", "USD").expect("listed")];
        let requests = Stooq.requests(Feed::IndexLevels, &asked, &options);
        assert_eq!(requests[0].path, "/q/d/l/?s=%5Erut&i=d&d1=20160104");
        assert_eq!(Stooq.requests(Feed::IndexLevels, &[], &RequestOptions::default()).len(), SYMBOLS.len());
    }
}
