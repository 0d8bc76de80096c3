//! Gate: spot, and perpetuals with statistics of their traders.
//!
//! Documentation: <https://www.gate.com/docs/developers/apiv4/en/>. Bodies have no envelope; an error is an object with a `label`.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, Timestamp, VenueId};

use super::gather::{
    self, At, Failure, Field, Gather, Statement, Subject, TickerEntry, derivative, each_object, plain_code,
    query_value, spot_instrument, url_encoded,
};
use super::json::{FieldError, JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue,
    UnresolvedReason, Venue, VenueError, status, symbols,
};

/// Gate spot and USDT perpetuals.
#[derive(Clone, Copy, Debug)]
pub struct Gate;

const SPOT_TICKERS: &str = "spot-tickers";
const FUTURES_TICKERS: &str = "futures-tickers";
const CONTRACT_STATS: &str = "futures-contract-stats";

const WINDOW: Duration = Duration::from_secs(10);

const STATS_ROWS_MAX: u32 = 100;

/// Which market a symbol belongs to: both write `BTC_USDT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Market {
    Spot,
    Futures,
}

fn instrument(symbol: &str, market: Market) -> Option<Instrument> {
    // A dated future carries its day: `BTC_USDT_20260327`.
    if let Some((pair, date)) = symbol.rsplit_once('_')
        && date.len() == 8
        && date.bytes().all(|byte| byte.is_ascii_digit())
    {
        let (base, quote) = symbols::split_at(pair, '_')?;
        return derivative(symbol, base, quote, InstrumentKind::Other);
    }
    let (base, quote) = symbols::split_at(symbol, '_')?;
    match market {
        Market::Spot => spot_instrument(symbol, base, quote),
        Market::Futures if quote == "USD" => derivative(symbol, base, quote, InstrumentKind::PerpetualInverse),
        Market::Futures => derivative(symbol, base, quote, InstrumentKind::PerpetualLinear),
    }
}

/// The contract that a path or a recorded body's file name tells, as it is written there.
fn contract_in_path(path: &str) -> Option<String> {
    if let Some(contract) = query_value(path, "contract") {
        return Some(contract.to_owned());
    }
    let words: Vec<&str> = gather::path_words(path).collect();
    let is_base = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    words.windows(2).find_map(|pair| match pair {
        [base, quote @ ("USDT" | "USD" | "USDC" | "BTC")] if is_base(base) => Some(format!("{base}_{quote}")),
        _ => None,
    })
}

impl Venue for Gate {
    fn id(&self) -> VenueId {
        VenueId("gate")
    }

    fn about(&self) -> About {
        About {
            title: "Gate",
            documentation_url: "https://www.gate.com/docs/developers/apiv4/en/",
            terms_url: "https://www.gate.com/legal/user-agreement",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::LongShortRatios, Feed::OpenInterest]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.gateio.ws/api/v4"
    }

    fn limits(&self) -> &'static [RateLimit] {
        &[
            RateLimit { scope: SPOT_TICKERS, limit: 200, window: WINDOW },
            RateLimit { scope: FUTURES_TICKERS, limit: 200, window: WINDOW },
            RateLimit { scope: CONTRACT_STATS, limit: 200, window: WINDOW },
        ]
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol, Market::Spot)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}_{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn long_short_kinds(&self) -> &'static [LongShortKind] {
        const KINDS: &[LongShortKind] = &[
            LongShortKind::GlobalAccount,
            LongShortKind::TopTraderAccount,
            LongShortKind::TopTraderPosition,
            LongShortKind::TakerVolume,
        ];
        KINDS
    }

    /// One row of contract statistics has both.
    fn also_answers(&self, feed: Feed) -> &'static [Feed] {
        if feed == Feed::LongShortRatios { &[Feed::OpenInterest] } else { &[] }
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let request = |path, scope, asked| Request { path, host: None, scope, weight: 1, asked };
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/spot/tickers?currency_pair={}", url_encoded(&only.symbol));
                vec![request(path, SPOT_TICKERS, asked.to_vec())]
            }
            (Feed::Tickers, _) => vec![request("/spot/tickers".to_owned(), SPOT_TICKERS, asked.to_vec())],
            (Feed::OpenInterest, []) => {
                vec![request("/futures/usdt/tickers".to_owned(), FUTURES_TICKERS, Vec::new())]
            }
            (Feed::LongShortRatios | Feed::OpenInterest, _) => {
                let path = |asked: &Instrument| stats_path(&asked.symbol, options);
                asked.iter().map(|asked| request(path(asked), CONTRACT_STATS, vec![asked.clone()])).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        let mut reader = Reader::new(&response.body);
        if reader.kind()? == Kind::Object {
            return Err(refusal(&mut reader)?);
        }
        let mut gather = Gather::new(asked);
        match feed {
            Feed::Tickers => {
                each_object(&mut reader, &mut gather, |reader, gather| read_ticker(reader, gather, Ok(None)))?;
            }
            Feed::LongShortRatios | Feed::OpenInterest => {
                let period = gather::period_in_path(&response.path, "interval", gather::COMMON_PERIODS);
                let named = contract_in_path(&response.path);
                let context = StatsContext { feed, period, contract: named.as_deref() };
                each_object(&mut reader, &mut gather, |reader, gather| read_stats(reader, gather, context))?;
            }
            _ => return Err(gather::no_such_feed()),
        }
        reader.finish()?;
        Ok(gather.finish())
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn stats_path(contract: &str, options: &RequestOptions) -> String {
    let interval = options.period.unwrap_or(Period::FiveMinutes).as_str();
    let mut path = format!("/futures/usdt/contract_stats?contract={}&interval={interval}", url_encoded(contract));
    if let Some(start) = options.start {
        path.push_str(&format!("&from={}", start.as_seconds()));
    }
    if let Some(limit) = options.limit {
        path.push_str(&format!("&limit={}", limit.clamp(1, STATS_ROWS_MAX)));
    }
    path
}

/// `{"label":"INVALID_CURRENCY_PAIR","message":"…"}` where a list is documented.
fn refusal(reader: &mut Reader<'_>) -> Result<VenueError, JsonError> {
    let mut label = Scalar::Missing;
    reader.object(|reader, key| {
        let value = reader.scalar()?;
        if key == b"label" {
            label = value;
        }
        Ok(())
    })?;
    Ok(match label.bytes() {
        b"" => gather::without("list"),
        b"TOO_MANY_REQUESTS" | b"TOO_FAST" => VenueError::RateLimited { retry_after: None },
        b"SERVER_ERROR" | b"INTERNAL" | b"TOO_BUSY" => gather::transient(label),
        _ => gather::rejected(label),
    })
}

/// Reads a spot ticker `{"currency_pair":"BTC_USDT","last":"2.05","lowest_ask":"2.1","highest_bid":"2.0","base_volume":"9",
/// "quote_volume":"18","high_24h":"2.3","low_24h":"1.8"}`, a futures ticker (`contract`, `volume_24h_base`,
/// `volume_24h_quote`; its `volume_24h` counts contracts), or a book ticker (`s`, `b`, `a`, `t`).
fn read_ticker(
    reader: &mut Reader<'_>,
    gather: &mut Gather<'_>,
    frame_time: Result<Option<Timestamp>, Failure>,
) -> Result<(), JsonError> {
    let mut entry = TickerEntry::default();
    let mut symbol = Scalar::Missing;
    let mut book_time = Scalar::Missing;
    let mut market = Market::Spot;
    let mut is_book = false;
    reader.object(|reader, key| {
        let value = reader.scalar()?;
        match key {
            b"currency_pair" => symbol = value,
            b"contract" => {
                symbol = value;
                market = Market::Futures;
            }
            b"s" => {
                symbol = value;
                is_book = true;
            }
            b"t" => book_time = value,
            b"last" => entry.last.set("last", value),
            b"lowest_ask" => entry.ask.set("lowest_ask", value),
            b"a" => entry.ask.set("a", value),
            b"highest_bid" => entry.bid.set("highest_bid", value),
            b"b" => entry.bid.set("b", value),
            b"high_24h" => entry.high.set("high_24h", value),
            b"low_24h" => entry.low.set("low_24h", value),
            b"base_volume" => entry.base_volume.set("base_volume", value),
            b"volume_24h_base" => entry.base_volume.set("volume_24h_base", value),
            b"quote_volume" => entry.quote_volume.set("quote_volume", value),
            b"volume_24h_quote" => entry.quote_volume.set("volume_24h_quote", value),
            _ => {}
        }
        Ok(())
    })?;
    if let Some(subject) = gather.subject(symbol, |symbol| instrument(symbol, market)) {
        let statement = if is_book { book_ticker(&entry, book_time) } else { ticker(&entry, frame_time) };
        gather.settle(&subject, statement);
    }
    Ok(())
}

fn ticker(entry: &TickerEntry<'_>, time: Result<Option<Timestamp>, Failure>) -> Result<Statement, Failure> {
    Ok((time?, Payload::Ticker(entry.full()?)))
}

fn book_ticker(entry: &TickerEntry<'_>, time: Scalar<'_>) -> Result<Statement, Failure> {
    Ok((time.millis().at("t")?, Payload::Ticker(entry.partial()?)))
}

/// What the rows of contract statistics do not say.
#[derive(Clone, Copy)]
struct StatsContext<'a> {
    feed: Feed,
    period: Option<Period>,
    contract: Option<&'a str>,
}

/// Reads a row `{"time":1700000100,"lsr_taker":1.1,"lsr_account":0.9,"top_lsr_account":1.2,"top_lsr_size":1.02,
/// "open_interest":"1234","open_interest_usd":5678.9}`. It has no contract by HTTP and one on the stream. A futures ticker tells the
/// open interest as `total_size`, and no time.
fn read_stats(reader: &mut Reader<'_>, gather: &mut Gather<'_>, context: StatsContext<'_>) -> Result<(), JsonError> {
    let mut ratios = [
        (LongShortKind::GlobalAccount, "lsr_account", Scalar::Missing),
        (LongShortKind::TopTraderAccount, "top_lsr_account", Scalar::Missing),
        (LongShortKind::TopTraderPosition, "top_lsr_size", Scalar::Missing),
        (LongShortKind::TakerVolume, "lsr_taker", Scalar::Missing),
    ];
    let (mut contract, mut time) = (Scalar::Missing, Scalar::Missing);
    let (mut open, mut open_usd) = (Field::default(), Field::default());
    let mut is_ticker = false;
    reader.object(|reader, key| {
        let value = reader.scalar()?;
        match key {
            b"contract" => contract = value,
            b"time" => time = value,
            b"open_interest" => open.set("open_interest", value),
            b"total_size" => {
                is_ticker = true;
                open.set("total_size", value);
            }
            b"open_interest_usd" => open_usd.set("open_interest_usd", value),
            key => {
                for (_, _, slot) in ratios.iter_mut().filter(|(_, name, _)| name.as_bytes() == key) {
                    *slot = value;
                }
            }
        }
        Ok(())
    })?;
    let split = |symbol: &str| instrument(symbol, Market::Futures);
    let subject = match contract {
        Scalar::Missing => gather.only_subject(context.contract, split),
        contract => gather.subject(contract, split),
    };
    let Some(subject) = subject else { return Ok(()) };
    let time = time
        .seconds()
        .at("time")
        .and_then(|time| time.ok_or(Failure { reason: UnresolvedReason::NoValue, field: "time" }));
    match time {
        Err(_) if is_ticker && context.feed == Feed::OpenInterest => {
            gather.settle(&subject, open_interest(open, open_usd).map(|payload| (None, payload)));
        }
        Err(failure) => gather.settle(&subject, Err(failure)),
        Ok(time) if context.feed == Feed::OpenInterest => {
            gather.settle(&subject, open_interest(open, open_usd).map(|payload| (Some(time), payload)));
        }
        Ok(time) => settle_ratios(gather, &subject, time, context.period, ratios),
    }
    Ok(())
}

/// Each ratio of a row stands for itself; a row without any is an entry without a value.
fn settle_ratios(
    gather: &mut Gather<'_>,
    subject: &Subject,
    time: Timestamp,
    period: Option<Period>,
    ratios: [(LongShortKind, &'static str, Scalar<'_>); 4],
) {
    let mut said = false;
    for (kind, field, value) in ratios {
        let statement = match value.quantity() {
            Ok(None) => continue,
            Ok(Some(ratio)) => match gather::long_short_of_ratio(kind, period, ratio) {
                Some(long_short) => Ok((Some(time), Payload::LongShort(long_short))),
                // 0 is written when there was nothing to compare.
                None => continue,
            },
            Err(FieldError(reason)) => Err(Failure { reason, field }),
        };
        said = true;
        gather.settle(subject, statement);
    }
    if !said {
        gather.settle(subject, Err(Failure { reason: UnresolvedReason::NoValue, field: "lsr_account" }));
    }
}

fn open_interest(open: Field<'_>, open_usd: Field<'_>) -> Result<Payload, Failure> {
    let value = open.quantity()?.ok_or(Failure { reason: UnresolvedReason::NoValue, field: "open_interest" })?;
    Ok(Payload::OpenInterest(OpenInterest {
        open_interest: value,
        unit: OpenInterestUnit::Contracts,
        open_interest_usd: open_usd.quantity()?,
    }))
}

impl StreamingVenue for Gate {
    fn ws_url(&self) -> &'static str {
        "wss://api.gateio.ws/ws/v4"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: r#"{"time":1,"channel":"spot.ping"}"#, every: Duration::from_secs(20) },
            instruments_max: 100,
            messages_per_second_max: 10,
        }
    }

    /// One frame for each pair, because one unknown pair refuses the whole frame that names it.
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |asked: &Instrument| {
            serde_json::json!({"time": 1, "channel": "spot.tickers", "event": "subscribe", "payload": [asked.symbol.as_str()]})
                .to_string()
        };
        asked.iter().map(frame).collect()
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let (mut channel, mut event) = (Scalar::Missing, Scalar::Missing);
        let (mut time, mut time_ms) = (Scalar::Missing, Scalar::Missing);
        let (mut result, mut error): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        reader.object(|reader, key| {
            let is_scalar = reader.kind()? == Kind::Scalar;
            match key {
                b"channel" => channel = reader.scalar()?,
                b"event" => event = reader.scalar()?,
                b"time" => time = reader.scalar()?,
                b"time_ms" => time_ms = reader.scalar()?,
                b"result" if !is_scalar => result = Some(reader.raw()?),
                b"error" if !is_scalar => error = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        if let Some(error) = error {
            return Ok(refused(error)?);
        }
        let result = result.ok_or(gather::without("result"));
        let frame_time = match time_ms.is_absent() {
            false => time_ms.millis().at("time_ms"),
            true => time.seconds().at("time"),
        };
        let mut gather = Gather::new(&[]);
        match (channel.bytes(), event.bytes()) {
            (b"spot.pong" | b"futures.pong", _) => return Ok(Frame::Alive),
            (_, b"subscribe") => return Ok(Frame::Subscribed),
            (b"spot.tickers" | b"futures.tickers" | b"spot.book_ticker" | b"futures.book_ticker", b"update") => {
                one_or_more(result?, &mut gather, |reader, gather| read_ticker(reader, gather, frame_time))?;
            }
            (b"futures.contract_stats", b"update") => {
                let context = StatsContext { feed: Feed::LongShortRatios, period: None, contract: None };
                one_or_more(result?, &mut gather, |reader, gather| read_stats(reader, gather, context))?;
            }
            _ => return Ok(Frame::Ignored),
        }
        Ok(Frame::Data(gather.finish()))
    }
}

/// A result is an object on the wire where the documentation has an array.
fn one_or_more<'b>(
    result: &'b [u8],
    gather: &mut Gather<'_>,
    mut read: impl FnMut(&mut Reader<'b>, &mut Gather<'_>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(result);
    match reader.kind()? {
        Kind::Array => each_object(&mut reader, gather, read),
        _ => read(&mut reader, gather),
    }
}

/// `{"code":2,"message":"unknown currency pair: ABC_USDT"}`.
fn refused(error: &[u8]) -> Result<Frame, JsonError> {
    let (mut code, mut message) = (Scalar::Missing, Scalar::Missing);
    let mut reader = Reader::new(error);
    if reader.kind()? == Kind::Object {
        reader.object(|reader, key| {
            let value = reader.scalar()?;
            match key {
                b"code" => code = value,
                b"message" => message = value,
                _ => {}
            }
            Ok(())
        })?;
    }
    let text = message.text().unwrap_or_default();
    let symbol = text.split([' ', ':', ',']).find(|word| symbols::split_at(word, '_').is_some() && word.len() <= 64);
    Ok(Frame::Refused { symbol: SmolStr::new(symbol.unwrap_or_default()), reason: plain_code(code) })
}
