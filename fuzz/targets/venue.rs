//! A venue's decoders: every feed and the stream, on one body.

use std::collections::HashSet;

use bytes::Bytes;
use crossmarket_domain::observation::Ticker;
use crossmarket_domain::{
    Candle, CandleInterval, Decimal, Feed, Instrument, LongShortKind, Observation, Payload, Period,
};
use crossmarket_venues::{
    Ask, Frame, Parsed, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};

/// Most instruments that are asked for again after they were found in a body.
const ASKED_AGAIN_MAX: usize = 3;

/// Longest text of an error. Texts never hold an upstream body.
const ERROR_LEN_MAX: usize = 160;

/// Reads an input as an answer for every feed and as a frame of the stream.
///
/// A first line `#STATUS` gives the answer's status; the body comes after it.
pub fn venue(venue: &dyn Venue, data: &[u8]) {
    let response = response(data);
    for ask in Feed::ALL.into_iter().flat_map(asks) {
        answer(venue, &ask, &response);
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
        response.status = line.trim().parse().unwrap_or(200);
        body = after.strip_prefix(b"\n").unwrap_or_default();
    }
    response.body = Bytes::copy_from_slice(body);
    response
}

/// The questions that a body may answer for a feed.
fn asks(feed: Feed) -> Vec<Ask> {
    match feed {
        Feed::Candles => {
            CandleInterval::ALL.iter().map(|interval| Ask { interval: Some(*interval), ..Ask::all(feed) }).collect()
        }
        Feed::LongShortRatios => {
            let ask = |kind| Ask { kind: Some(kind), period: Some(Period::FiveMinutes), ..Ask::all(feed) };
            [LongShortKind::GlobalAccount, LongShortKind::TakerVolume].map(ask).to_vec()
        }
        Feed::Categories => vec![Ask::all(feed), Ask { category: Some("layer-1".into()), ..Ask::all(feed) }],
        _ => vec![Ask::all(feed)],
    }
}

fn answer(venue: &dyn Venue, ask: &Ask, response: &Response) {
    let everything = read_twice(venue, ask, response);
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
    // One alone is what a body that names no instrument is about.
    for asked in [&asked[..1], &asked[..]] {
        if let Ok(parsed) = read_twice(venue, &Ask { instruments: asked.to_vec(), ..ask.clone() }, response) {
            bounded(&parsed, response.body.len(), asked.len());
            observations(&parsed);
            each_asked_once(&parsed, asked);
        }
    }
}

/// Reads an answer, and again, which must give the same.
fn read_twice(venue: &dyn Venue, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
    let feed = ask.feed;
    let first = venue.parse(ask, response);
    let second = venue.parse(ask, response);
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

/// Nothing is read from a body that is not in it.
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

/// For any symbol, the requests are well formed.
fn symbol(venue: &dyn Venue, text: &str) {
    let Some(instrument) = venue.instrument(text) else { return };
    assert_eq!(instrument.symbol, text);
    assert!(instrument.multiplier >= 1);
    // A listing's id does not say which asset it is of; a market's symbol does.
    if venue.profile().feed(Feed::Tickers).is_some() {
        assert!(!instrument.base.is_empty() && !instrument.quote.is_empty(), "{instrument:?}");
    }
    for feed in venue.profile().feed_ids() {
        for request in venue.requests(feed, std::slice::from_ref(&instrument), &RequestOptions::default()) {
            assert!(request.path.starts_with('/'), "{}", request.path);
            assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.path);
            assert!(venue.profile().limits.iter().any(|limit| limit.scope == request.scope), "{}", request.scope);
        }
    }
}
