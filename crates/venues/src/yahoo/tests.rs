use super::*;
use crossmarket_domain::Payload;
use crossmarket_domain::observation::IndexLevel;

fn parse(body: &str) -> Result<Parsed, VenueError> {
    let response = Response { status: 200, body: body.to_owned().into(), ..Response::default() };
    Yahoo.parse(&Ask::all(Feed::IndexLevels), &response)
}

/// A chart of the Russell 2000 whose last trade was at `market_time`, in the session of 2026-01-15 (14:30 to 21:00
/// UTC).
fn chart(market_time: &str, rest: &str) -> String {
    let second = Timestamp::parse(market_time).expect("a time").as_seconds();
    format!(
        r#"{{"chart":{{"result":[{{"meta":{{"currency":"USD","symbol":"^RUT","regularMarketTime":{second},"regularMarketPrice":2650.2500001,
            "regularMarketDayHigh":2655.5,"regularMarketDayLow":2631,"gmtoffset":-18000,"exchangeTimezoneName":"America/New_York",
            "chartPreviousClose":2600,"dataGranularity":"1d",
            "currentTradingPeriod":{{"regular":{{"start":1768487400,"end":1768510800}}}}}}{rest}}}],"error":null}}}}"#
    )
}

/// The sessions of 13, 14 and 15 January, Saturday the 10th before them, and one without a date.
const BARS: &str = r#","timestamp":[1768055400,1768314600,1768401000,1768487400],"indicators":{"quote":[{
    "open":[2600,2618.1,null,2641.5],"high":[2600,2620,null,2655.5],"low":[2600,2601,null,2631],
    "close":[2600,2619.98999023,null,2650.25],"volume":[0,0,0,0]}],"adjclose":[{"adjclose":[1,1,1,1]}]}"#;

fn levels_of(parsed: &Parsed) -> Vec<(String, &IndexLevel)> {
    let level = |observation: &'_ crossmarket_domain::Observation| observation.event_time.expect("a time").to_string();
    let levels = parsed.observations.iter().map(|observation| match &observation.payload {
        Payload::IndexLevel(found) => (level(observation), found),
        other => panic!("{other:?}"),
    });
    levels.collect()
}

#[test]
fn the_running_session_is_a_level_and_no_close() {
    let parsed = parse(&chart("2026-01-15T18:00:00Z", BARS)).expect("readable");
    let levels = levels_of(&parsed);
    let shown: Vec<String> = levels
        .iter()
        .map(|(time, level)| {
            format!(
                "{time} {} {}",
                level.level,
                level.close_of.map_or("-".to_owned(), |day| day.civil().date().to_string())
            )
        })
        .collect();
    assert_eq!(shown, ["2026-01-13T14:30:00Z 2619.99 2026-01-13", "2026-01-15T18:00:00Z 2650.25 -"]);
    let (_, now) = levels[1];
    let digits = [now.open, now.high, now.low, now.previous_close].map(|level| level.map(|level| level.to_string()));
    assert_eq!(digits.map(|level| level.unwrap_or_default()), ["2641.5", "2655.5", "2631", ""]);
    // The Saturday repeats the Friday before, and the 14th has no values.
    let reasons: Vec<_> = parsed.unresolved.iter().map(|entry| (entry.reason.as_str(), entry.field)).collect();
    assert_eq!(reasons, [("no_value", "timestamp"), ("no_value", "close")]);
}

#[test]
fn a_session_that_is_over_is_a_close() {
    for market_time in ["2026-01-15T21:00:00Z", "2026-01-15T21:30:05Z"] {
        let parsed = parse(&chart(market_time, BARS)).expect("readable");
        let days: Vec<_> = levels_of(&parsed).iter().filter_map(|(_, level)| level.close_of).collect();
        assert_eq!(days.len(), 2, "{market_time}");
        assert_eq!(days.last(), Timestamp::from_date(2026, 1, 15).as_ref());
    }
    // Before the next open, the last trade belongs to the previous session.
    let early =
        chart("2026-01-14T21:00:00Z", r#","timestamp":[1768401000],"indicators":{"quote":[{"close":[2639.99]}]}"#);
    assert_eq!(levels_of(&parse(&early).expect("readable"))[0].1.close_of, Timestamp::from_date(2026, 1, 14));
}

#[test]
fn a_chart_without_timestamps_has_the_level_only() {
    let rest = r#","indicators":{"quote":[{"close":[75.08]}],"adjclose":[{"adjclose":[72.7]}]}"#;
    let parsed = parse(&chart("2026-01-15T21:00:00Z", rest)).expect("readable");
    let levels = levels_of(&parsed);
    assert_eq!(levels.len(), 1);
    assert_eq!((levels[0].1.level.to_string().as_str(), levels[0].1.close_of), ("2650.25", None));
    let quiet = parse(&chart("2026-01-15T21:00:00Z", r#","indicators":{"quote":[{}]}"#)).expect("readable");
    assert!(quiet.unresolved.is_empty(), "{:?}", quiet.unresolved);
}

#[test]
fn weeks_and_months_are_no_closes() {
    let body = chart("2026-01-15T21:00:00Z", BARS).replace(r#""dataGranularity":"1d""#, r#""dataGranularity":"1mo""#);
    let parsed = parse(&body).expect("readable");
    assert!(levels_of(&parsed).iter().all(|(_, level)| level.close_of.is_none()));
    assert!(parsed.unresolved.iter().all(|entry| entry.field == "dataGranularity"), "{:?}", parsed.unresolved);
}

#[test]
fn a_day_that_comes_twice_counts_once() {
    let rest = r#","timestamp":[1768314600,1768338000],"indicators":{"quote":[{"close":[2619,2620.5]}]}"#;
    let parsed = parse(&chart("2026-01-15T18:00:00Z", rest)).expect("readable");
    let closes: Vec<_> = levels_of(&parsed).into_iter().filter(|(_, level)| level.close_of.is_some()).collect();
    assert_eq!(closes.len(), 1);
    assert_eq!(closes[0].1.level.to_string(), "2620.5");
}

#[test]
fn refusals_are_told_apart() {
    let check = |status, body: &str| {
        let response = Response { status, body: body.to_owned().into(), ..Response::default() };
        Yahoo.parse(&Ask::all(Feed::IndexLevels), &response).expect_err(body)
    };
    let body = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#;
    assert!(matches!(check(404, body), VenueError::Rejected(_)));
    assert!(matches!(check(200, body), VenueError::Rejected(_)));
    let body = r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"x"}}}"#;
    assert!(matches!(check(200, body), VenueError::Rejected(_)));
    let body = r#"{"chart":{"result":null,"error":{"code":"internal-error","description":"x"}}}"#;
    assert!(matches!(check(200, body), VenueError::Transient(_)));
    assert!(matches!(check(200, "Too Many Requests\r\n"), VenueError::RateLimited { .. }));
    assert!(matches!(check(429, "Too Many Requests\r\n"), VenueError::RateLimited { .. }));
    assert!(matches!(check(200, r#"{"chart":{"result":[],"error":null}}"#), VenueError::Malformed(_)));
    assert!(matches!(check(200, "<html>"), VenueError::Malformed(_)));
}

#[test]
fn another_symbol_than_was_asked_for_is_passed_over() {
    let asked = [Yahoo.listing("SPX", "USD").expect("listed")];
    let response = Response { status: 200, body: chart("2026-01-15T21:00:00Z", BARS).into(), ..Response::default() };
    let parsed = Yahoo.parse(&Ask::about(Feed::IndexLevels, asked), &response).expect("readable");
    assert!(parsed.observations.is_empty());
    assert_eq!(parsed.unresolved[0].symbol, "^GSPC");
}

#[test]
fn asks_for_five_days_or_a_range() {
    let asked = [Yahoo.listing("RUT", "USD").expect("listed")];
    let path = |options: &RequestOptions| Yahoo.requests(Feed::IndexLevels, &asked, options)[0].path.clone();
    assert_eq!(path(&RequestOptions::default()), "/v8/finance/chart/%5ERUT?interval=1d&range=5d");
    let since = RequestOptions {
        start: Some(Timestamp::from_seconds(1)),
        end: Some(Timestamp::from_seconds(9)),
        ..RequestOptions::default()
    };
    assert_eq!(path(&since), "/v8/finance/chart/%5ERUT?interval=1d&period1=1&period2=9");
}
