//! The wire format of Binance's spot and USD-M markets, which MEXC's spot market follows: tickers, klines, errors and
//! stream events.
//!
//! Each venue splits symbols in its own way; everything else is shared.

use smol_str::SmolStr;

use crossmarket_domain::{Instrument, Payload, Timestamp};

use super::{
    At, CandleColumns, Failure, Field, JsonError, Kind, Reader, ResponseBuilder, Scalar, Shape, Statement, TickerEntry,
    plain_code,
};
use crate::{Ask, Frame, Parsed, RequestOptions, Response, UnresolvedReason, VenueError};

/// How a venue parses its symbols.
pub(crate) type Split = fn(&str) -> Option<Instrument>;

/// Minimum bytes of an entry of a ticker list, used to reserve memory for observations: `{"symbol":"AB","price":"1"}`
/// and a comma.
const TICKER_LEN_MIN: usize = 28;

const KLINE_COLUMNS: CandleColumns =
    CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume: 5, quote_volume: Some(7) };

/// Rejects an answer by its status. For a 4xx status, an error code in the body is more specific and takes precedence.
pub(crate) fn check(response: &Response) -> Result<(), VenueError> {
    let by_status = super::check_status(response);
    if !matches!(by_status, Err(VenueError::Rejected(_))) {
        return by_status;
    }
    match refusal(&response.body) {
        Some(VenueError::RateLimited { .. }) => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        Some(by_code) => Err(by_code),
        None => by_status,
    }
}

/// The error in a body, or `None` when the body is not an error: `{"code":-1121,"msg":"…"}`, or
/// `{"status":"ERROR","code":"99099990","data":null}` with status 200 in place of a list.
pub(crate) fn refusal(body: &[u8]) -> Option<VenueError> {
    let (mut code, mut message, mut state) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
    let mut reader = Reader::new(body);
    let read = reader.object(|reader, key| {
        let value = reader.scalar()?;
        match key {
            b"code" => code = value,
            b"msg" | b"message" => message = value,
            b"status" => state = value,
            _ => {}
        }
        Ok(())
    });
    if read.is_err() || code.is_absent() || (message == Scalar::Missing && state.bytes() != b"ERROR") {
        return None;
    }
    Some(match code.bytes() {
        b"-1003" | b"-1015" | b"429" | b"510" => VenueError::RateLimited { retry_after: None },
        b"-1000" | b"-1001" | b"-1006" | b"-1007" | b"-1008" | b"-1016" => super::transient(code),
        _ => super::rejected(code),
    })
}

/// Reads a list of objects, or a single object in its place.
pub(crate) fn each_entry<'b>(
    body: &'b [u8],
    builder: &mut ResponseBuilder<'_>,
    mut read: impl FnMut(&mut Reader<'b>, &mut ResponseBuilder<'_>) -> Result<(), JsonError>,
) -> Result<(), VenueError> {
    let mut reader = Reader::new(body);
    if reader.kind()? == Kind::Object {
        if let Some(error) = refusal(body) {
            return Err(error);
        }
        read(&mut reader, builder)?;
    } else {
        super::each_object(&mut reader, builder, read)?;
    }
    Ok(reader.finish()?)
}

/// Reads `ticker/24hr` (FULL or MINI), `ticker/price`, `ticker/bookTicker` or `premiumIndex`, of one symbol or of all.
/// A mark price is not a trade price, so `premiumIndex` produces no observation.
///
/// `{"symbol":"ABCUSDT","lastPrice":"2.50","bidPrice":"2.49","askPrice":"2.51","openPrice":"2.00","highPrice":"2.60",
/// "lowPrice":"1.90","volume":"1000.5","quoteVolume":"2250.0","openTime":1700000000000,"closeTime":1700086400000,"count":9}`
pub(crate) fn tickers(ask: &Ask, body: &[u8], split: Split) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::new(ask);
    builder.reserve(body.len() / TICKER_LEN_MIN);
    let mut shape = Shape::default();
    each_entry(body, &mut builder, |reader, builder| ticker(reader, builder, &mut shape, split))?;
    builder.finish()
}

/// The ticker keys that are used, each with its index among an entry's values.
const TICKER_KEYS: [&str; 11] = [
    "symbol",
    "lastPrice",
    "price",
    "bidPrice",
    "askPrice",
    "highPrice",
    "lowPrice",
    "volume",
    "quoteVolume",
    "closeTime",
    "time",
];

fn ticker_key(key: &[u8]) -> Option<usize> {
    TICKER_KEYS.iter().position(|known| known.as_bytes() == key)
}

fn ticker<'b>(
    reader: &mut Reader<'b>,
    builder: &mut ResponseBuilder<'_>,
    shape: &mut Shape<'b, Option<usize>>,
    split: Split,
) -> Result<(), JsonError> {
    let mut values = [Scalar::Missing; TICKER_KEYS.len()];
    reader.object_like(shape, ticker_key, |reader, slot| match slot.and_then(|slot| values.get_mut(slot)) {
        Some(value) => reader.scalar().map(|scalar| *value = scalar),
        None => reader.skip(),
    })?;
    let [symbol, last, price, bid, ask, high, low, volume, quote_volume, close_time, time] = values;
    let Some(about) = builder.resolve(symbol, split) else { return Ok(()) };
    let field = |name, value| Field { name, value };
    let entry = TickerEntry {
        last: if matches!(last, Scalar::Missing) { field("price", price) } else { field("lastPrice", last) },
        bid: field("bidPrice", bid),
        ask: field("askPrice", ask),
        high: field("highPrice", high),
        low: field("lowPrice", low),
        base_volume: field("volume", volume),
        quote_volume: field("quoteVolume", quote_volume),
    };
    let event_time =
        if close_time.is_absent() { time.millis().at("time") } else { close_time.millis().at("closeTime") };
    builder.record(&about, event_time.and_then(|event_time| statement(&entry, event_time)));
    Ok(())
}

/// A ticker in which the last price, the bid or the ask is known.
pub(crate) fn statement(entry: &TickerEntry<'_>, event_time: Option<Timestamp>) -> Result<Statement, Failure> {
    let ticker = entry.partial()?;
    if ticker.last_price.is_none() && ticker.bid_price.is_none() && ticker.ask_price.is_none() {
        return Err(Failure { reason: UnresolvedReason::NoValue, field: entry.price_field() });
    }
    Ok((event_time, Payload::Ticker(ticker)))
}

/// The query of a klines request, in milliseconds. Binance's end is inclusive.
pub(crate) fn kline_query(asked: &Instrument, interval: &str, options: &RequestOptions, rows_max: u32) -> String {
    let mut query = format!("symbol={}&interval={interval}", super::url_encoded(&asked.symbol));
    push_span(&mut query, options, rows_max);
    query
}

/// Appends `startTime`, `endTime` and `limit`.
pub(crate) fn push_span(query: &mut String, options: &RequestOptions, rows_max: u32) {
    if let Some(start) = options.start {
        query.push_str(&format!("&startTime={}", start.as_millis()));
    }
    if let Some(end) = options.end {
        query.push_str(&format!("&endTime={}", end.as_millis().saturating_sub(1)));
    }
    if let Some(limit) = options.limit {
        query.push_str(&format!("&limit={}", limit.clamp(1, rows_max)));
    }
}

/// Reads klines, oldest first:
/// `[[1700006400000,"2.0","2.6","1.9","2.5","1000.5",1700092799999,"2250.0",9,"…","…","0"]]`. The body does not name
/// its symbol.
pub(crate) fn klines(ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
    if let Some(error) = refusal(&response.body) {
        return Err(error);
    }
    let mut reader = Reader::new(&response.body);
    let mut rows = super::candle_rows(&mut reader)?;
    reader.finish()?;
    for row in &mut rows {
        let [time, ..] = row;
        *time = whole_seconds(*time);
    }
    let interval = ask.required_interval()?;
    let mut builder = ResponseBuilder::new(ask);
    if let Some(about) = builder.only_instrument() {
        super::record_candles(&mut builder, &about, KLINE_COLUMNS, interval, &rows);
    }
    builder.finish()
}

/// A candle's start in seconds. Every multiple of our intervals ends in three zeros in milliseconds; any other value
/// becomes one that no candle starts at.
pub(crate) fn whole_seconds(millis: Scalar<'_>) -> Scalar<'_> {
    match millis {
        Scalar::Number(text) => text.strip_suffix(b"000").map_or(Scalar::Compound, Scalar::Number),
        Scalar::Text(text) => text.strip_suffix(b"000").map_or(Scalar::Compound, Scalar::Text),
        other => other,
    }
}

/// The frames that subscribe to each instrument's ticker, up to `STREAMS_PER_FRAME` in each.
pub(crate) fn subscribe(asked: &[Instrument]) -> Vec<String> {
    const STREAMS_PER_FRAME: usize = 200;
    let frame = |(index, chunk): (usize, &[Instrument])| {
        let streams: Vec<String> =
            chunk.iter().map(|asked| format!("{}@ticker", asked.symbol.to_lowercase())).collect();
        serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": index + 1}).to_string()
    };
    asked.chunks(STREAMS_PER_FRAME).enumerate().map(frame).collect()
}

/// The kind of one object in a stream.
#[derive(Default)]
struct Event<'a> {
    name: Scalar<'a>,
    symbol: Scalar<'a>,
    time: Scalar<'a>,
    ticker: TickerEntry<'a>,
    update_id: Scalar<'a>,
    id: Scalar<'a>,
    code: Scalar<'a>,
    result: Scalar<'a>,
    error: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
}

/// Reads a frame: an event, a list of events, either of them wrapped as `{"stream":"…","data":…}`, or the answer to a request.
///
/// `{"e":"24hrTicker","E":1700000000123,"s":"ABCUSDT","c":"2.50","o":"2.00","h":"2.60","l":"1.90","v":"1000.5","q":"2250.0",
/// "b":"2.49","a":"2.51"}`; a miniTicker has no `b` and `a`; a bookTicker is `{"u":7,"s":"ABCUSDT","b":"2.49","B":"1","a":"2.51","A":"2"}`,
/// on spot without name and time.
pub(crate) fn frame(text: &[u8], split: Split) -> Result<Frame, VenueError> {
    let mut reader = Reader::new(text);
    if reader.kind()? == Kind::Array {
        let frame = events(&mut reader, split)?;
        reader.finish()?;
        return Ok(frame);
    }
    let event = event(&mut reader)?;
    reader.finish()?;
    if let Some(data) = event.data {
        let mut reader = Reader::new(data);
        return match reader.kind()? {
            Kind::Array => events(&mut reader, split),
            Kind::Object => single(&self::event(&mut reader)?, split),
            Kind::Scalar => Ok(Frame::Ignored),
        };
    }
    single(&event, split)
}

fn single(event: &Event<'_>, split: Split) -> Result<Frame, VenueError> {
    if let Some(error) = event.error {
        return Ok(refused(refusal_code(error)));
    }
    match event.name.bytes() {
        b"serverShutdown" => return Ok(Frame::Closing),
        b"" if !event.code.is_absent() => return Ok(refused(plain_code(event.code))),
        b"" if event.result == Scalar::Null && !event.id.is_absent() => return Ok(Frame::Subscribed),
        _ => {}
    }
    let mut builder = ResponseBuilder::of_all();
    if record_event(event, &mut builder, split) { builder.finish().map(Frame::Data) } else { Ok(Frame::Ignored) }
}

fn events(reader: &mut Reader<'_>, split: Split) -> Result<Frame, VenueError> {
    let mut builder = ResponseBuilder::of_all();
    let mut any_ticker = false;
    super::each_object(reader, &mut builder, |reader, builder| {
        any_ticker |= record_event(&event(reader)?, builder, split);
        Ok(())
    })?;
    let parsed = builder.finish()?;
    Ok(if any_ticker || !parsed.unresolved.is_empty() { Frame::Data(parsed) } else { Frame::Ignored })
}

fn refused(reason: SmolStr) -> Frame {
    Frame::Refused { symbol: SmolStr::default(), reason }
}

/// The code in `{"code":2,"msg":"…"}`.
fn refusal_code(error: &[u8]) -> SmolStr {
    let mut code = Scalar::Missing;
    let read = Reader::new(error).object(|reader, key| {
        let value = reader.scalar()?;
        if key == b"code" {
            code = value;
        }
        Ok(())
    });
    plain_code(if read.is_ok() { code } else { Scalar::Missing })
}

fn event<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, JsonError> {
    let mut event = Event::default();
    reader.object(|reader, key| {
        match key {
            b"e" => event.name = reader.scalar()?,
            b"E" => event.time = reader.scalar()?,
            b"s" => event.symbol = reader.scalar()?,
            b"c" => event.ticker.last.set("c", reader.scalar()?),
            b"b" => event.ticker.bid.set("b", reader.scalar()?),
            b"a" => event.ticker.ask.set("a", reader.scalar()?),
            b"h" => event.ticker.high.set("h", reader.scalar()?),
            b"l" => event.ticker.low.set("l", reader.scalar()?),
            b"v" => event.ticker.base_volume.set("v", reader.scalar()?),
            b"q" => event.ticker.quote_volume.set("q", reader.scalar()?),
            b"u" => event.update_id = reader.scalar()?,
            b"id" => event.id = reader.scalar()?,
            b"code" => event.code = reader.scalar()?,
            b"result" => event.result = reader.scalar()?,
            b"error" => event.error = Some(reader.raw()?),
            b"data" => event.data = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(event)
}

/// Records a ticker event; returns false for any other event.
fn record_event(event: &Event<'_>, builder: &mut ResponseBuilder<'_>, split: Split) -> bool {
    let is_ticker = match event.name.bytes() {
        b"24hrTicker" | b"24hrMiniTicker" | b"bookTicker" => true,
        // Spot's bookTicker has no event name: its update id, bid and ask identify it.
        b"" => {
            event.name == Scalar::Missing
                && event.update_id != Scalar::Missing
                && event.ticker.bid.value != Scalar::Missing
        }
        _ => false,
    };
    if is_ticker && let Some(about) = builder.resolve(event.symbol, split) {
        let event_time = event.time.millis().at("E");
        builder.record(&about, event_time.and_then(|event_time| statement(&event.ticker, event_time)));
    }
    is_ticker
}
