//! KuCoin: spot.
//!
//! Documentation: <https://www.kucoin.com/docs-new>. Bodies come as `{"code":"200000","data":…}` and any figure may be null.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use crossmarket_domain::{CandleInterval, Feed, Instrument, Payload, VenueId};

use super::gather::{
    self, At, CandleColumns, Failure, Gather, Statement, TickerEntry, each_object, plain_code, query_value,
    spot_instrument, url_encoded,
};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue, Venue,
    VenueError, status, symbols,
};

/// KuCoin spot.
#[derive(Clone, Copy, Debug)]
pub struct Kucoin;

const SCOPE: &str = "public";

/// `["time","open","close","high","low","volume","turnover"]`: the close comes before the high.
const CANDLE: CandleColumns =
    CandleColumns { time: 0, open: 1, close: 2, high: 3, low: 4, base_volume: 5, quote_volume: Some(6) };

const INTERVALS: &[(&str, CandleInterval)] =
    &[("5min", CandleInterval::FiveMinutes), ("1hour", CandleInterval::OneHour), ("1day", CandleInterval::OneDay)];

/// Pairs in one subscription.
const PAIRS_PER_TOPIC_MAX: usize = 100;

const LIMITS: &[RateLimit] = &[RateLimit { scope: SCOPE, limit: 2_000, window: Duration::from_secs(30) }];

impl Venue for Kucoin {
    fn id(&self) -> VenueId {
        VenueId("kucoin")
    }

    fn about(&self) -> About {
        About {
            title: "KuCoin",
            documentation_url: "https://www.kucoin.com/docs-new",
            terms_url: "https://www.kucoin.com/legal/terms-of-use",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.kucoin.com"
    }

    fn limits(&self) -> &'static [RateLimit] {
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (base, quote) = symbols::split_at(symbol, '-')?;
        spot_instrument(symbol, base, quote)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let request = |path, weight, asked| Request { path, host: None, scope: SCOPE, weight, asked };
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/api/v1/market/stats?symbol={}", url_encoded(&only.symbol));
                vec![request(path, 15, asked.to_vec())]
            }
            (Feed::Tickers, _) => vec![request("/api/v1/market/allTickers".to_owned(), 15, asked.to_vec())],
            (Feed::Candles, _) => {
                let path = |asked: &Instrument| candles_path(&asked.symbol, options);
                asked.iter().map(|asked| request(path(asked), 3, vec![asked.clone()])).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        let data = data_of(&response.body)?;
        let mut gather = Gather::new(asked);
        match feed {
            Feed::Tickers => self.parse_tickers(&mut gather, data)?,
            Feed::Candles => {
                let rows = gather::candle_rows(&mut Reader::new(data))?;
                let interval = gather::candle_interval(&response.path, "type", INTERVALS, CANDLE.time, &rows);
                let named = query_value(&response.path, "symbol").or_else(|| pair_in_file_name(&response.path));
                if let Some(subject) = gather.only_subject(named, |symbol| self.instrument(symbol)) {
                    gather::settle_candles(&mut gather, &subject, CANDLE, interval, &rows);
                }
            }
            _ => return Err(gather::no_such_feed()),
        }
        Ok(gather.finish())
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// The pair in a recorded body's file name: a word such as `BTC-USDT`.
fn pair_in_file_name(path: &str) -> Option<&str> {
    let is_pair = |word: &&str| {
        symbols::split_at(word, '-').is_some_and(|(base, quote)| {
            quote.bytes().all(|byte| byte.is_ascii_uppercase()) && base == base.to_ascii_uppercase()
        })
    };
    gather::path_words(path).find(is_pair)
}

fn candles_path(symbol: &str, options: &RequestOptions) -> String {
    let interval = options.interval.unwrap_or(CandleInterval::OneDay);
    let word = INTERVALS.iter().find(|(_, known)| *known == interval).map_or("1day", |(word, _)| word);
    let mut path = format!("/api/v1/market/candles?type={word}&symbol={}", url_encoded(symbol));
    if let Some(start) = options.start {
        path.push_str(&format!("&startAt={}", start.as_seconds()));
    }
    if let Some(end) = options.end {
        path.push_str(&format!("&endAt={}", end.as_seconds()));
    }
    path
}

/// The `data` of `{"code":"200000","data":…}`; every other code is an error.
fn data_of(body: &[u8]) -> Result<&[u8], VenueError> {
    let mut reader = Reader::new(body);
    let mut code = Scalar::Missing;
    let mut data: Option<&[u8]> = None;
    reader.object(|reader, key| {
        match key {
            b"code" => code = reader.scalar()?,
            b"data" if reader.kind()? != Kind::Scalar => data = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    match code.bytes() {
        b"200000" => data.ok_or(gather::without("data")),
        b"" => Err(gather::without("code")),
        b"429000" | b"200002" => Err(VenueError::RateLimited { retry_after: None }),
        // The server's own troubles.
        other if other.starts_with(b"5") => Err(gather::transient(code)),
        _ => Err(gather::rejected(code)),
    }
}

impl Kucoin {
    /// `{"time":1700000000000,"ticker":[{"symbol":"BTC-USDT","buy":"2.0","sell":"2.1","high":"2.3","low":"1.8","vol":"9",
    /// "volValue":"18","last":"2.05"}]}`, or one such entry with its own `time`.
    fn parse_tickers(&self, gather: &mut Gather<'_>, data: &[u8]) -> Result<(), VenueError> {
        let mut time = Scalar::Missing;
        let mut tickers: Option<&[u8]> = None;
        let mut symbol = Scalar::Missing;
        Reader::new(data).object(|reader, key| {
            if key == b"ticker" && reader.kind()? == Kind::Array {
                tickers = Some(reader.raw()?);
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"time" => time = value,
                b"symbol" => symbol = value,
                _ => {}
            }
            Ok(())
        })?;
        let Some(tickers) = tickers else {
            if symbol == Scalar::Missing {
                return Err(gather::without("ticker"));
            }
            return Ok(self.read_ticker(&mut Reader::new(data), gather, time)?);
        };
        Ok(each_object(&mut Reader::new(tickers), gather, |reader, gather| self.read_ticker(reader, gather, time))?)
    }

    fn read_ticker(&self, reader: &mut Reader<'_>, gather: &mut Gather<'_>, time: Scalar<'_>) -> Result<(), JsonError> {
        let mut entry = TickerEntry::default();
        let mut symbol = Scalar::Missing;
        reader.object(|reader, key| {
            let value = reader.scalar()?;
            match key {
                b"symbol" => symbol = value,
                key => figure(&mut entry, key, value),
            }
            Ok(())
        })?;
        if let Some(subject) = gather.subject(symbol, |symbol| self.instrument(symbol)) {
            let statement = time.millis().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.full()?))));
            gather.settle(&subject, statement);
        }
        Ok(())
    }
}

/// Keeps a figure under any of the names that the bodies and frames give it.
fn figure<'a>(entry: &mut TickerEntry<'a>, key: &[u8], value: Scalar<'a>) {
    match key {
        b"last" => entry.last.set("last", value),
        b"price" => entry.last.set("price", value),
        b"lastTradedPrice" => entry.last.set("lastTradedPrice", value),
        b"buy" => entry.bid.set("buy", value),
        b"bestBid" => entry.bid.set("bestBid", value),
        b"sell" => entry.ask.set("sell", value),
        b"bestAsk" => entry.ask.set("bestAsk", value),
        b"high" => entry.high.set("high", value),
        b"low" => entry.low.set("low", value),
        b"vol" => entry.base_volume.set("vol", value),
        b"volValue" => entry.quote_volume.set("volValue", value),
        _ => {}
    }
}

impl StreamingVenue for Kucoin {
    fn ws_url(&self) -> &'static str {
        "wss://ws-api-spot.kucoin.com"
    }

    /// A connection needs a token, which is had by a POST request.
    fn connects(&self) -> bool {
        false
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: Some(Duration::from_secs(24 * 3_600)),
            silence_max: Duration::from_secs(28),
            ping: Ping::Text { text: r#"{"id":"1","type":"ping"}"#, every: Duration::from_secs(18) },
            instruments_max: 300,
            messages_per_second_max: 10,
        }
    }

    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |(index, asked): (usize, &[Instrument])| {
            let symbols: Vec<&str> = asked.iter().map(|asked| asked.symbol.as_str()).collect();
            let topic = format!("/market/ticker:{}", symbols.join(","));
            serde_json::json!({"id": index.to_string(), "type": "subscribe", "topic": topic, "response": true})
                .to_string()
        };
        asked.chunks(PAIRS_PER_TOPIC_MAX).enumerate().map(frame).collect()
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let (mut kind, mut topic, mut subject) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
        let mut code = Scalar::Missing;
        let mut data: Option<&[u8]> = None;
        reader.object(|reader, key| {
            if key == b"data" && reader.kind()? == Kind::Object {
                data = Some(reader.raw()?);
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"type" => kind = value,
                b"topic" => topic = value,
                b"subject" => subject = value,
                b"code" => code = value,
                _ => {}
            }
            Ok(())
        })?;
        reader.finish()?;
        match kind.bytes() {
            b"message" => self.read_message(topic, subject, data),
            b"welcome" | b"pong" => Ok(Frame::Alive),
            b"ack" => Ok(Frame::Subscribed),
            b"error" => Ok(Frame::Refused { symbol: SmolStr::default(), reason: plain_code(code) }),
            _ => Ok(Frame::Ignored),
        }
    }
}

impl Kucoin {
    fn read_message(&self, topic: Scalar<'_>, subject: Scalar<'_>, data: Option<&[u8]>) -> Result<Frame, VenueError> {
        let topic = topic.text().unwrap_or_default();
        let mut gather = Gather::new(&[]);
        let data = data.ok_or(gather::without("data"));
        let (symbol, time, entry) = if let Some(named) = topic.strip_prefix("/market/ticker:") {
            let (_, time, entry) = read_figures(data?)?;
            // The topic of all pairs names the pair in `subject`.
            (if named == "all" { subject } else { Scalar::Text(named.as_bytes()) }, time, entry)
        } else if topic.starts_with("/market/snapshot:") {
            read_figures(nested_data(data?)?.ok_or(gather::without("data"))?)?
        } else {
            return Ok(Frame::Ignored);
        };
        if let Some(subject) = gather.subject(symbol, |symbol| self.instrument(symbol)) {
            gather.settle(&subject, stream_ticker(&entry, time));
        }
        Ok(Frame::Data(gather.finish()))
    }
}

fn stream_ticker(entry: &TickerEntry<'_>, time: Scalar<'_>) -> Result<Statement, Failure> {
    Ok((time.millis().at("time")?, Payload::Ticker(entry.partial()?)))
}

/// Symbol, time and figures of a frame's data.
fn read_figures(data: &[u8]) -> Result<(Scalar<'_>, Scalar<'_>, TickerEntry<'_>), JsonError> {
    let mut entry = TickerEntry::default();
    let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
    Reader::new(data).object(|reader, key| {
        let value = reader.scalar()?;
        match key {
            b"symbol" => symbol = value,
            b"time" | b"datetime" => time = value,
            key => figure(&mut entry, key, value),
        }
        Ok(())
    })?;
    Ok((symbol, time, entry))
}

/// A snapshot is nested: `{"sequence":"1","data":{…}}`.
fn nested_data(data: &[u8]) -> Result<Option<&[u8]>, JsonError> {
    let mut nested = None;
    Reader::new(data).object(|reader, key| {
        if key == b"data" && reader.kind()? == Kind::Object {
            nested = Some(reader.raw()?);
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(nested)
}
