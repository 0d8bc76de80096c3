//! What a recorded HTTP body is: which feeds it holds, and which request it answers.

use bytes::Bytes;

use super::undated_time;
use crossmarket_domain::{CandleInterval, Feed, Instrument, Observation, Payload, Timestamp};
use crossmarket_venues::{Parsed, Request, RequestOptions, Response, Unresolved, Venue};

/// A recorded body as one feed's answer.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// The file's name.
    pub file: String,
    pub feed: Feed,
    /// The request that it answers.
    pub request: Request,
    pub content: Bytes,
    /// The newest of its observations, or [`undated_time`].
    pub time: Timestamp,
}

/// What a body says, read as one feed's answer.
struct Reading {
    feed: Feed,
    asked: Vec<Instrument>,
    observations: Vec<Observation>,
    unresolved: Vec<Unresolved>,
}

/// The body for every feed that it says something for; `Err` says why there is none.
pub(super) fn bodies(venue: &dyn Venue, file: &str, content: &Bytes) -> Result<Vec<Body>, String> {
    let mut bodies = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    for feed in venue.feeds() {
        match read(venue, *feed, file, content) {
            Ok(reading) => bodies.push(Body {
                file: file.to_owned(),
                feed: *feed,
                request: request(venue, file, content, &reading),
                content: content.clone(),
                time: reading.observations.iter().filter_map(|one| one.event_time).max().unwrap_or_else(undated_time),
            }),
            Err(reason) => {
                // What is wrong with the body as a whole is the same for every feed.
                if !problems.contains(&reason) {
                    problems.push(reason);
                }
            }
        }
    }
    if bodies.is_empty() {
        return Err(problems.join("; "));
    }
    Ok(bodies)
}

/// Reads a body as a feed's answer. One that does not name its instrument is about one that the file's name has a word for.
fn read(venue: &dyn Venue, feed: Feed, file: &str, content: &Bytes) -> Result<Reading, String> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let named = stem.split('_').filter_map(|word| venue.instrument(word)).map(|instrument| vec![instrument]);
    let mut problem = None;
    for asked in std::iter::once(Vec::new()).chain(named) {
        match parse(venue, feed, &asked, file, content) {
            Ok(parsed) => {
                let Parsed { observations, unresolved } = parsed;
                return Ok(Reading { feed, asked, observations, unresolved });
            }
            // The first is of the body as it is.
            Err(reason) => {
                problem.get_or_insert(reason);
            }
        }
    }
    Err(problem.unwrap_or_default())
}

/// What a body says for a feed if it was the answer at that path, with at least one observation.
fn parse(venue: &dyn Venue, feed: Feed, asked: &[Instrument], path: &str, content: &Bytes) -> Result<Parsed, String> {
    let response = Response { status: 200, path: path.to_owned(), body: content.clone(), ..Response::default() };
    let mut parsed = venue.parse(feed, asked, &response).map_err(|error| error.to_string())?;
    parsed.observations.retain(|observation| feed_of(&observation.payload) == feed);
    if parsed.observations.is_empty() {
        let reason = parsed.unresolved.first().map_or("it is empty", |entry| entry.reason.as_str());
        return Err(format!("says nothing for {feed}: {reason}"));
    }
    Ok(parsed)
}

/// The first of the venue's requests whose answer, if it were this body, would say the same. The venue may also have recorded endpoints
/// that are not asked in life; such a body gets an address of its own, which is its file's name.
fn request(venue: &dyn Venue, file: &str, content: &Bytes, reading: &Reading) -> Request {
    let first = reading.observations.first().map(|observation| &observation.instrument);
    let single = first.filter(|first| reading.observations.iter().all(|observation| observation.instrument == **first));
    let mut candidates: Vec<Request> = Vec::new();
    // Some feeds of a venue are answered at the same endpoint.
    let feeds = std::iter::once(reading.feed).chain(venue.feeds().iter().copied().filter(|feed| *feed != reading.feed));
    for feed in feeds {
        for options in options(feed) {
            if let Some(single) = single {
                candidates.extend(venue.requests(feed, std::slice::from_ref(single), &options));
            }
            candidates.extend(venue.requests(feed, &[], &options));
        }
    }
    // What is broken in the body counts too: asked for one instrument only, a venue's other entries are passed over.
    let says_the_same = |request: &Request| {
        let heard = parse(venue, reading.feed, &request.asked, &request.path, content);
        heard.is_ok_and(|heard| heard.observations == reading.observations && heard.unresolved == reading.unresolved)
    };
    candidates.into_iter().find(says_the_same).unwrap_or_else(|| Request {
        path: format!("/{}", url::form_urlencoded::byte_serialize(file.as_bytes()).collect::<String>()),
        host: None,
        scope: venue.limits().first().map_or("", |limit| limit.scope),
        weight: 1,
        asked: reading.asked.clone(),
    })
}

/// The options that change what a feed's requests are.
fn options(feed: Feed) -> Vec<RequestOptions> {
    match feed {
        Feed::Candles => CandleInterval::ALL
            .iter()
            .map(|interval| RequestOptions { interval: Some(*interval), ..RequestOptions::default() })
            .collect(),
        Feed::LongShortRatios | Feed::OpenInterest => crossmarket_domain::Period::ALL
            .iter()
            .map(|period| RequestOptions { period: Some(*period), ..RequestOptions::default() })
            .collect(),
        _ => vec![RequestOptions::default()],
    }
}

fn feed_of(payload: &Payload) -> Feed {
    match payload {
        Payload::Ticker(_) => Feed::Tickers,
        Payload::Candle(..) => Feed::Candles,
        Payload::LongShort(_) => Feed::LongShortRatios,
        Payload::OpenInterest(_) => Feed::OpenInterest,
        Payload::MarketCap(_) => Feed::MarketCaps,
        Payload::IndexLevel(_) => Feed::IndexLevels,
    }
}
