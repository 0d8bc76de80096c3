//! Gate: spot, and perpetuals with trader statistics.
//!
//! Documentation: <https://www.gate.com/docs/developers/apiv4/en/>. Bodies have no envelope; an error is an object with
//! a `label`.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{
    Ask, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};
use super::wire::{
    self, At, EntryInstrument, Failure, Field, FieldError, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement,
    TickerEntry,
};
use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, Timestamp, VenueId};

/// Gate spot and USDT perpetuals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate;

const SPOT_TICKERS: &str = "spot-tickers";
const FUTURES_TICKERS: &str = "futures-tickers";
const CONTRACT_STATS: &str = "futures-contract-stats";

const STATS_ROWS_MAX: u32 = 100;

/// The market that a symbol belongs to: spot and futures both use `BTC_USDT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Market {
    Spot,
    Futures,
}

fn instrument(symbol: &str, market: Market) -> Option<Instrument> {
    // A dated future ends in its date: `BTC_USDT_20260327`.
    if let Some((pair, date)) = symbol.rsplit_once('_')
        && date.len() == 8
        && date.bytes().all(|byte| byte.is_ascii_digit())
    {
        let (base, quote) = wire::split_at(pair, '_')?;
        return wire::derivative(symbol, base, quote, InstrumentKind::Other);
    }
    let (base, quote) = wire::split_at(symbol, '_')?;
    match market {
        Market::Spot => wire::spot_instrument(symbol, base, quote),
        Market::Futures if quote == "USD" => wire::derivative(symbol, base, quote, InstrumentKind::PerpetualInverse),
        Market::Futures => wire::derivative(symbol, base, quote, InstrumentKind::PerpetualLinear),
    }
}

const PROFILE: Profile = Profile {
    id: VenueId("gate"),
    title: "Gate",
    documentation_url: "https://www.gate.com/docs/developers/apiv4/en/",
    terms_url: "https://www.gate.com/legal/user-agreement",
    rest_url: "https://api.gateio.ws/api/v4",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        // One row of contract statistics contains both.
        FeedProfile::of(Feed::LongShortRatios).answering(&[Feed::OpenInterest]),
        FeedProfile::of(Feed::OpenInterest),
    ],
    limits: &[
        RateLimit::of(SPOT_TICKERS, 200, 10),
        RateLimit::of(FUTURES_TICKERS, 200, 10),
        RateLimit::of(CONTRACT_STATS, 200, 10),
    ],
    long_short_kinds: &[
        LongShortKind::GlobalAccount,
        LongShortKind::TopTraderAccount,
        LongShortKind::TopTraderPosition,
        LongShortKind::TakerVolume,
    ],
    stream: Some(StreamProfile {
        url: "wss://api.gateio.ws/ws/v4",
        path: "/",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: r#"{"time":1,"channel":"spot.ping"}"#, every: Duration::from_secs(20) },
            instruments_max: 100,
            messages_per_second_max: 10,
        },
    }),
    codes: &[
        ("88MPH", "MPH"),
        ("ASS", "ASSF"),
        ("AXIS", "AXISDEFI"),
        ("BIFI", "BITCOINFILE"),
        ("BOX", "DEFIBOX"),
        ("BYN", "BEYONDFI"),
        ("EGG", "GOOSEFINANCE"),
        ("GTC_BSC", "GAMECOM_BSC"),
        ("GTC_HT", "GAMECOM_HT"),
        ("HIT", "HITCHAIN"),
        ("MM", "MILLION"),
        ("MPH", "MORPHER"),
        ("ORT", "XREATORS"),
        ("POINT", "GATEPOINT"),
        ("RAI", "RAIREFLEXINDEX"),
        ("SBTC", "SUPERBITCOIN"),
        ("TNC", "TRINITYNETWORKCREDIT"),
        ("VAI", "VAIOT"),
    ],
    ..Profile::NONE
};

impl Venue for Gate {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol, Market::Spot)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}_{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/spot/tickers?currency_pair={}", wire::url_encoded(&only.symbol));
                vec![Request::of(Ask::about(feed, asked), SPOT_TICKERS, path)]
            }
            (Feed::Tickers, _) => vec![Request::of(Ask::about(feed, asked), SPOT_TICKERS, "/spot/tickers")],
            (Feed::OpenInterest, []) => vec![Request::of(Ask::all(feed), FUTURES_TICKERS, "/futures/usdt/tickers")],
            (Feed::LongShortRatios | Feed::OpenInterest, _) => {
                asked.iter().map(|asked| stats_request(feed, asked, options)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let mut reader = Reader::new(&response.body);
        if reader.kind()? == Kind::Object {
            return Err(refusal(&mut reader)?);
        }
        let mut builder = ResponseBuilder::new(ask);
        match ask.feed {
            Feed::Tickers => {
                wire::each_object(&mut reader, &mut builder, |reader, builder| {
                    read_ticker(reader, builder, Market::Spot, Ok(None))
                })?;
            }
            Feed::LongShortRatios | Feed::OpenInterest => {
                wire::each_object(&mut reader, &mut builder, |reader, builder| {
                    read_stats(reader, builder, ask.feed, ask.period)
                })?;
            }
            _ => return Err(wire::no_such_feed()),
        }
        reader.finish()?;
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn stats_request(feed: Feed, asked: &Instrument, options: &RequestOptions) -> Request {
    let period = options.period_or_default();
    let contract = wire::url_encoded(&asked.symbol);
    let mut path = format!("/futures/usdt/contract_stats?contract={contract}&interval={}", period.as_str());
    if let Some(start) = options.start {
        path.push_str(&format!("&from={}", start.as_seconds()));
    }
    if let Some(limit) = options.limit {
        path.push_str(&format!("&limit={}", limit.clamp(1, STATS_ROWS_MAX)));
    }
    Request::of(Ask { feed, ..Ask::ratios(asked, period, None) }, CONTRACT_STATS, path)
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
        b"" => wire::without("list"),
        b"TOO_MANY_REQUESTS" | b"TOO_FAST" => VenueError::RateLimited { retry_after: None },
        b"SERVER_ERROR" | b"INTERNAL" | b"TOO_BUSY" => wire::transient(label),
        _ => wire::rejected(label),
    })
}

/// Reads a spot ticker `{"currency_pair":"BTC_USDT","last":"2.05","lowest_ask":"2.1","highest_bid":"2.0","base_volume":"9",
/// "quote_volume":"18","high_24h":"2.3","low_24h":"1.8"}`, a futures ticker (`contract`, `volume_24h_base`,
/// `volume_24h_quote`; its `volume_24h` counts contracts), or a book ticker (`s`, `b`, `a`, `t`).
fn read_ticker(
    reader: &mut Reader<'_>,
    builder: &mut ResponseBuilder<'_>,
    mut market: Market,
    frame_time: Result<Option<Timestamp>, Failure>,
) -> Result<(), JsonError> {
    let mut entry = TickerEntry::default();
    let mut symbol = Scalar::Missing;
    let mut book_time = Scalar::Missing;
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
    if let Some(about) = builder.resolve(symbol, |symbol| instrument(symbol, market)) {
        let statement = if is_book { book_ticker(&entry, book_time) } else { ticker(&entry, frame_time) };
        builder.record(&about, statement);
    }
    Ok(())
}

fn ticker(entry: &TickerEntry<'_>, time: Result<Option<Timestamp>, Failure>) -> Result<Statement, Failure> {
    Ok((time?, Payload::Ticker(entry.full()?)))
}

fn book_ticker(entry: &TickerEntry<'_>, time: Scalar<'_>) -> Result<Statement, Failure> {
    Ok((time.millis().at("t")?, Payload::Ticker(entry.partial()?)))
}

/// Reads a row `{"time":1700000100,"lsr_taker":1.1,"lsr_account":0.9,"top_lsr_account":1.2,"top_lsr_size":1.02,
/// "open_interest":"1234","open_interest_usd":5678.9}`. It names its contract on the stream but not by HTTP. A futures
/// ticker has the open interest as `total_size`, and no time.
fn read_stats(
    reader: &mut Reader<'_>,
    builder: &mut ResponseBuilder<'_>,
    feed: Feed,
    period: Option<Period>,
) -> Result<(), JsonError> {
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
    let about = match contract {
        Scalar::Missing => builder.only_instrument(),
        contract => builder.resolve(contract, split),
    };
    let Some(about) = about else { return Ok(()) };
    let time = time
        .seconds()
        .at("time")
        .and_then(|time| time.ok_or(Failure { reason: UnresolvedReason::NoValue, field: "time" }));
    match time {
        Err(_) if is_ticker && feed == Feed::OpenInterest => {
            builder.record(&about, open_interest(open, open_usd).map(|payload| (None, payload)));
        }
        Err(failure) => builder.record(&about, Err(failure)),
        Ok(time) if feed == Feed::OpenInterest => {
            builder.record(&about, open_interest(open, open_usd).map(|payload| (Some(time), payload)));
        }
        Ok(time) => record_ratios(builder, &about, time, period, ratios),
    }
    Ok(())
}

/// Each ratio of a row is a separate observation; a row without any is an entry without a value.
fn record_ratios(
    builder: &mut ResponseBuilder<'_>,
    about: &EntryInstrument,
    time: Timestamp,
    period: Option<Period>,
    ratios: [(LongShortKind, &'static str, Scalar<'_>); 4],
) {
    let mut said = false;
    for (kind, field, value) in ratios {
        let statement = match value.quantity() {
            Ok(None) => continue,
            Ok(Some(ratio)) => match wire::long_short_of_ratio(kind, period, ratio) {
                Some(long_short) => Ok((Some(time), Payload::LongShort(long_short))),
                // Gate writes 0 when there was nothing to compare.
                None => continue,
            },
            Err(FieldError(reason)) => Err(Failure { reason, field }),
        };
        said = true;
        builder.record(about, statement);
    }
    if !said {
        builder.record(about, Err(Failure { reason: UnresolvedReason::NoValue, field: "lsr_account" }));
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
    /// One frame per pair, because Gate rejects the whole frame when it names one unknown pair.
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
        let result = result.ok_or(wire::without("result"));
        let frame_time = match time_ms.is_absent() {
            false => time_ms.millis().at("time_ms"),
            true => time.seconds().at("time"),
        };
        let mut builder = ResponseBuilder::of_all();
        match (channel.bytes(), event.bytes()) {
            (b"spot.pong" | b"futures.pong", _) => return Ok(Frame::Alive),
            (_, b"subscribe") => return Ok(Frame::Subscribed),
            (
                channel @ (b"spot.tickers" | b"futures.tickers" | b"spot.book_ticker" | b"futures.book_ticker"),
                b"update",
            ) => {
                let market = if channel.starts_with(b"futures") { Market::Futures } else { Market::Spot };
                one_or_more(result?, &mut builder, |reader, builder| read_ticker(reader, builder, market, frame_time))?;
            }
            (b"futures.contract_stats", b"update") => {
                one_or_more(result?, &mut builder, |reader, builder| {
                    read_stats(reader, builder, Feed::LongShortRatios, None)
                })?;
            }
            _ => return Ok(Frame::Ignored),
        }
        builder.finish().map(Frame::Data)
    }
}

/// The documentation describes the result as an array; on the wire it is an object.
fn one_or_more<'b>(
    result: &'b [u8],
    builder: &mut ResponseBuilder<'_>,
    mut read: impl FnMut(&mut Reader<'b>, &mut ResponseBuilder<'_>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(result);
    match reader.kind()? {
        Kind::Array => wire::each_object(&mut reader, builder, read),
        _ => read(&mut reader, builder),
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
    let symbol = text.split([' ', ':', ',']).find(|word| wire::split_at(word, '_').is_some() && word.len() <= 64);
    Ok(Frame::Refused { symbol: SmolStr::new(symbol.unwrap_or_default()), reason: wire::plain_code(code) })
}
