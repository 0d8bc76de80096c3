//! A venue's decoders: every feed and the stream, on one body.

use std::collections::HashSet;

use bytes::Bytes;
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::{Candle, CandleInterval, Decimal, Feed, Instrument, Observation, Payload};
use crossmarket_venues::{
    Frame, Parsed, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};

/// Most instruments that are asked for again after they were found in a body.
const ASKED_AGAIN_MAX: usize = 3;

/// Longest text of an error. Texts never hold an upstream body.
const ERROR_LEN_MAX: usize = 160;

/// Reads an input as an answer for every feed and as a frame of the stream.
///
/// A first line `#STATUS PATH` gives the answer's status and path, which some bodies need; the body comes after it.
pub fn venue(venue: &dyn Venue, data: &[u8]) {
    let response = response(data);
    for feed in Feed::ALL {
        answer(venue, feed, &response);
    }
    if let Some(stream) = venue.stream() {
        frame(stream, &response.body);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        symbol(venue, text);
    }
}

fn response(data: &[u8]) -> Response {
    let mut response = Response { status: 200, ..Response::default() };
    let mut body = data;
    if let Some(rest) = data.strip_prefix(b"#") {
        let line_len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(line_len);
        let line = String::from_utf8_lossy(line);
        let (status, path) = line.split_once(' ').unwrap_or((&line, ""));
        response.status = status.parse().unwrap_or(200);
        response.path = path.to_owned();
        body = after.strip_prefix(b"\n").unwrap_or_default();
    }
    response.body = Bytes::copy_from_slice(body);
    response
}

fn answer(venue: &dyn Venue, feed: Feed, response: &Response) {
    let everything = read_twice(venue, feed, &[], response);
    let mut asked: Vec<Instrument> = Vec::new();
    if let Ok(parsed) = &everything {
        bounded(parsed, response.body.len(), 0);
        observations(parsed);
        let named = parsed.observations.iter().filter(|observation| !observation.instrument.symbol.is_empty());
        asked.extend(named.take(ASKED_AGAIN_MAX).map(|observation| observation.instrument.clone()));
        // A symbol that could not be used is still one that may be asked for.
        let unusable = parsed.unresolved.iter().filter_map(|entry| venue.instrument(&entry.symbol));
        asked.extend(unusable.take(ASKED_AGAIN_MAX));
    }
    asked.extend(["USDT", "USD"].iter().filter_map(|quote| venue.listing("BTC", quote)));
    if asked.is_empty() {
        return;
    }
    if let Ok(parsed) = read_twice(venue, feed, &asked, response) {
        bounded(&parsed, response.body.len(), asked.len());
        observations(&parsed);
        each_asked_once(&parsed, &asked);
    }
}

/// Reads an answer, and again, which must give the same.
fn read_twice(venue: &dyn Venue, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
    let first = venue.parse(feed, asked, response);
    let second = venue.parse(feed, asked, response);
    match (&first, &second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.observations, second.observations, "{feed}");
            assert_eq!(first.unresolved, second.unresolved, "{feed}");
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second, "{feed}");
            let text = first.to_string();
            assert!(text.len() <= ERROR_LEN_MAX, "an error of {} bytes: {text}", text.len());
        }
        _ => panic!("read once as {first:?} and once as {second:?}"),
    }
    first
}

/// What is read out of a body is no more than what is in it.
fn bounded(parsed: &Parsed, body_len: usize, asked_len: usize) {
    let count = parsed.observations.len() + parsed.unresolved.len();
    assert!(count <= body_len + asked_len + 1, "{count} results of {body_len} bytes");
    for entry in &parsed.unresolved {
        assert!(
            entry.reason != UnresolvedReason::UnknownSymbol || entry.symbol.len() <= 64,
            "a label of {} bytes",
            entry.symbol.len()
        );
    }
}

fn each_asked_once(parsed: &Parsed, asked: &[Instrument]) {
    let observed: HashSet<&str> = parsed.observations.iter().map(|entry| entry.instrument.symbol.as_str()).collect();
    let unresolved: HashSet<&str> = parsed.unresolved.iter().map(|entry| entry.symbol.as_str()).collect();
    assert_eq!(unresolved.len(), parsed.unresolved.len(), "one is unresolved twice: {:?}", parsed.unresolved);
    let symbols: HashSet<&str> = asked.iter().map(|asked| asked.symbol.as_str()).collect();
    for symbol in &symbols {
        let ends = usize::from(observed.contains(symbol)) + usize::from(unresolved.contains(symbol));
        assert_eq!(ends, 1, "{symbol} asked for among {symbols:?}: {observed:?} observed, {unresolved:?} unresolved");
    }
    let others: Vec<_> = observed.union(&unresolved).filter(|symbol| !symbols.contains(*symbol)).collect();
    assert!(others.is_empty(), "{others:?} were not asked for");
}

fn observations(parsed: &Parsed) {
    parsed.observations.iter().for_each(observation);
}

fn observation(observation: &Observation) {
    let instrument = &observation.instrument;
    assert!(instrument.multiplier >= 1, "{instrument:?}");
    match &observation.payload {
        Payload::Ticker(found) => ticker(found),
        Payload::Candle(interval, found) => candle(*interval, found),
        Payload::LongShort(found) => {
            let shares = [found.long_share, found.short_share];
            assert!(shares.iter().all(|share| *share > 0.0 && *share < 1.0), "{found:?}");
            assert!((found.long_share + found.short_share - 1.0).abs() < 1e-9, "{found:?}");
            assert!(found.ratio.is_finite() && found.ratio > 0.0, "{found:?}");
        }
        Payload::OpenInterest(found) => not_negative(&[Some(found.open_interest), found.open_interest_usd]),
        Payload::MarketCap(found) => {
            not_negative(&[found.market_cap, found.circulating_supply, found.volume_24h]);
            positive(&[found.price, found.high_24h, found.low_24h, found.all_time_high]);
            assert_ne!(found.market_cap_rank, Some(0));
        }
        Payload::IndexLevel(found) => positive(&[Some(found.level), found.open, found.high, found.low]),
    }
}

fn ticker(found: &Ticker) {
    assert_ne!(*found, Ticker::default(), "a ticker without any figure");
    let prices = [found.last_price, found.bid_price, found.ask_price];
    positive(&prices);
    positive(&[found.high_24h, found.low_24h]);
    not_negative(&[found.base_volume_24h, found.quote_volume_24h]);
}

fn candle(interval: CandleInterval, found: &Candle) {
    positive(&[found.open, found.high, found.low, found.close].map(Some));
    not_negative(&[found.base_volume, found.quote_volume]);
    assert!(found.high >= found.open.max(found.close), "{found:?}");
    assert!(found.low <= found.open.min(found.close), "{found:?}");
    assert_eq!(found.start.floor_to(interval.duration()), found.start, "{found:?}");
}

fn positive(numbers: &[Option<Decimal>]) {
    assert!(numbers.iter().flatten().all(|number| number.is_positive()), "{numbers:?}");
}

fn not_negative(numbers: &[Option<Decimal>]) {
    assert!(numbers.iter().flatten().all(|number| *number >= Decimal::ZERO), "{numbers:?}");
}

fn frame(stream: &dyn StreamingVenue, data: &[u8]) {
    let first = stream.parse_frame(data);
    let second = stream.parse_frame(data);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    match first {
        Ok(Frame::Data(parsed)) => {
            bounded(&parsed, data.len(), 0);
            observations(&parsed);
        }
        Ok(Frame::Reply(text)) => assert!(text.len() <= data.len() + 64, "a reply of {} bytes", text.len()),
        Ok(Frame::Refused { symbol, reason }) => {
            assert!(symbol.len() <= data.len() && reason.len() <= ERROR_LEN_MAX, "{symbol}: {reason}");
        }
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() <= ERROR_LEN_MAX, "{error}"),
    }
}

/// Whatever a symbol is, the requests for it are well formed.
fn symbol(venue: &dyn Venue, text: &str) {
    let Some(instrument) = venue.instrument(text) else { return };
    assert_eq!(instrument.symbol, text);
    assert!(instrument.multiplier >= 1);
    // A listing's id does not say which asset it is of; a market's symbol does.
    if venue.feeds().contains(&Feed::Tickers) {
        assert!(!instrument.base.is_empty() && !instrument.quote.is_empty(), "{instrument:?}");
    }
    for feed in venue.feeds() {
        for request in venue.requests(*feed, std::slice::from_ref(&instrument), &RequestOptions::default()) {
            assert!(request.path.starts_with('/'), "{}", request.path);
            assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.path);
            assert!(venue.limits().iter().any(|limit| limit.scope == request.scope), "{}", request.scope);
        }
    }
}
