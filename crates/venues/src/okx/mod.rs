//! OKX v5: spot, perpetuals and trader statistics.
//!
//! Documentation: <https://www.okx.com/docs-v5/en/>. The envelope is `{"code":"0","msg":"","data":[…]}`, and errors
//! have status 200 too.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{
    Ask, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};
use super::wire::{
    self, At, CandleColumns, Failure, Field, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement, TickerEntry,
};
use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, VenueId};

/// OKX's markets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Okx;

const TICKERS: &str = "tickers";
const CANDLES: &str = "candles";
const OPEN_INTEREST: &str = "open-interest";
const STATISTICS: &str = "statistics";

const CANDLES_MAX: u32 = 300;
const STATISTICS_ROWS_MAX: u32 = 100;

/// Maximum number of instruments in one subscription.
const CHANNELS_PER_FRAME: usize = 50;

const STATISTICS_PATH: &str = "/api/v5/rubik/stat";

/// The statistics per contract: each endpoint and the population that it counts.
const CONTRACT_STATISTICS: &[(&str, LongShortKind)] = &[
    ("contracts/long-short-account-ratio-contract-top-trader", LongShortKind::TopTraderAccount),
    ("contracts/long-short-position-ratio-contract-top-trader", LongShortKind::TopTraderPosition),
    ("contracts/long-short-account-ratio-contract", LongShortKind::GlobalAccount),
    ("taker-volume-contract", LongShortKind::TakerVolume),
];

const PERIODS: &[(&str, Period)] = &[
    ("5m", Period::FiveMinutes),
    ("15m", Period::FifteenMinutes),
    ("30m", Period::ThirtyMinutes),
    ("1H", Period::OneHour),
    ("4H", Period::FourHours),
    ("1D", Period::OneDay),
];

/// OKX's day starts at 16:00 UTC unless the request asks for UTC days.
const BARS: &[(&str, CandleInterval)] =
    &[("5m", CandleInterval::FiveMinutes), ("1H", CandleInterval::OneHour), ("1Dutc", CandleInterval::OneDay)];

const CANDLE_COLUMNS: CandleColumns =
    CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume: 5, quote_volume: Some(7) };

/// `BTC-USDT` is spot, `BTC-USDT-SWAP` a perpetual, `BTC-USD-260327` a future, `BTC-USD-260327-60000-C` an option.
fn instrument(symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let (base, family) = (parts.next()?, parts.next()?);
    // `BTC-USD_UM-SWAP` is quoted in USD: what follows is the family of the contract, margined in dollars.
    let (quote, is_family) = family.split_once('_').map_or((family, false), |(quote, _)| (quote, true));
    match (parts.next(), parts.next()) {
        (None, _) => wire::spot_instrument(symbol, base, quote),
        (Some("SWAP"), None) if quote == "USD" && !is_family => {
            wire::derivative(symbol, base, quote, InstrumentKind::PerpetualInverse)
        }
        (Some("SWAP"), None) => wire::derivative(symbol, base, quote, InstrumentKind::PerpetualLinear),
        _ => wire::derivative(symbol, base, quote, InstrumentKind::Other),
    }
}

const PROFILE: Profile = Profile {
    id: VenueId("okx"),
    title: "OKX",
    documentation_url: "https://www.okx.com/docs-v5/en/",
    terms_url: "https://www.okx.com/help/terms-of-service",
    rest_url: "https://www.okx.com",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        FeedProfile::of(Feed::Candles).ranked(5),
        FeedProfile::of(Feed::LongShortRatios),
        FeedProfile::of(Feed::OpenInterest),
    ],
    limits: &[
        RateLimit::of(TICKERS, 20, 2),
        // The history endpoint allows 20, the endpoint for the newest candles 40.
        RateLimit::of(CANDLES, 20, 2),
        RateLimit::of(OPEN_INTEREST, 20, 2),
        RateLimit::of(STATISTICS, 5, 2),
    ],
    long_short_kinds: &[
        LongShortKind::GlobalAccount,
        LongShortKind::TopTraderAccount,
        LongShortKind::TopTraderPosition,
        LongShortKind::TakerVolume,
    ],
    stream: Some(StreamProfile {
        url: "wss://ws.okx.com:8443",
        path: "/ws/v5/public",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            // The server closes a connection that is silent for 30 s.
            ping: Ping::Text { text: "ping", every: Duration::from_secs(25) },
            // OKX allows 480 subscriptions an hour; half is kept for a reconnect.
            instruments_max: 240,
            messages_per_second_max: 3,
        },
    }),
    codes: &[("AE", "AET")],
    ..Profile::NONE
};

impl Venue for Okx {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        instrument(&format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => market_requests(feed, "market/ticker", "SPOT", asked),
            Feed::OpenInterest => market_requests(feed, "public/open-interest", "SWAP", asked),
            Feed::Candles => asked.iter().map(|asked| candle_request(asked, options)).collect(),
            Feed::LongShortRatios => asked.iter().flat_map(|asked| statistics_requests(asked, options)).collect(),
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let data = data(response)?;
        let mut reader = Reader::new(data);
        let mut builder = ResponseBuilder::new(ask);
        match ask.feed {
            Feed::Tickers => wire::each_object(&mut reader, &mut builder, ticker)?,
            Feed::OpenInterest => wire::each_object(&mut reader, &mut builder, open_interest)?,
            Feed::Candles => candles(&mut reader, &mut builder, ask)?,
            Feed::LongShortRatios => statistics(&mut reader, &mut builder, ask)?,
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn market_of(asked: &Instrument) -> &'static str {
    match asked.kind {
        InstrumentKind::Spot => "SPOT",
        InstrumentKind::PerpetualLinear | InstrumentKind::PerpetualInverse => "SWAP",
        _ if asked.symbol.matches('-').count() > 2 => "OPTION",
        _ if asked.symbol.matches('-').count() == 2 => "FUTURES",
        _ => "SPOT",
    }
}

/// One request for a single instrument, otherwise one per market that has a requested instrument.
fn market_requests(feed: Feed, endpoint: &str, all: &'static str, asked: &[Instrument]) -> Vec<Request> {
    let scope = if feed == Feed::Tickers { TICKERS } else { OPEN_INTEREST };
    let request = |path: String, asked: &[Instrument]| Request::of(Ask::about(feed, asked), scope, path);
    let single = |only: &Instrument| match scope {
        TICKERS => format!("/api/v5/{endpoint}?instId={}", wire::url_encoded(&only.symbol)),
        _ => format!("/api/v5/{endpoint}?instType={}&instId={}", market_of(only), wire::url_encoded(&only.symbol)),
    };
    let whole = |market: &str| match scope {
        TICKERS => format!("/api/v5/{endpoint}s?instType={market}"),
        _ => format!("/api/v5/{endpoint}?instType={market}"),
    };
    match asked {
        [] => vec![request(whole(all), asked)],
        [only] => vec![request(single(only), asked)],
        _ => ["SPOT", "SWAP", "FUTURES", "OPTION"]
            .into_iter()
            .filter_map(|market| {
                let of_market: Vec<_> = asked.iter().filter(|asked| market_of(asked) == market).cloned().collect();
                (!of_market.is_empty()).then(|| request(whole(market), &of_market))
            })
            .collect(),
    }
}

fn candle_request(asked: &Instrument, options: &RequestOptions) -> Request {
    let interval = options.interval_or_default();
    let bar = BARS.iter().find(|(_, known)| *known == interval).map_or("1Dutc", |(bar, _)| *bar);
    let endpoint = if options.start.is_some() { "history-candles" } else { "candles" };
    let mut path = format!("/api/v5/market/{endpoint}?instId={}&bar={bar}", wire::url_encoded(&asked.symbol));
    // `before` is the older bound and `after` the newer one, both exclusive.
    if let Some(start) = options.start {
        path.push_str(&format!("&before={}", start.as_millis().saturating_sub(1)));
    }
    if let Some(end) = options.end {
        path.push_str(&format!("&after={}", end.as_millis()));
    }
    if let Some(limit) = options.limit {
        path.push_str(&format!("&limit={}", limit.clamp(1, CANDLES_MAX)));
    }
    Request::of(Ask::candles(asked, interval), CANDLES, path)
}

/// A contract has four kinds of statistics. A coin, requested by its spot market, has one: the accounts of all its
/// contracts.
fn statistics_requests(asked: &Instrument, options: &RequestOptions) -> Vec<Request> {
    let period = options.period_or_default();
    let word = PERIODS.iter().find(|(_, known)| *known == period).map_or("5m", |(word, _)| *word);
    let mut span = String::new();
    if let Some(start) = options.start {
        span.push_str(&format!("&begin={}", start.as_millis()));
    }
    if let Some(end) = options.end {
        span.push_str(&format!("&end={}", end.as_millis().saturating_sub(1)));
    }
    let request = |kind, path: String| Request::of(Ask::ratios(asked, period, Some(kind)), STATISTICS, path);
    if asked.kind == InstrumentKind::Spot {
        let coin = wire::url_encoded(&asked.base);
        let endpoint = "contracts/long-short-account-ratio";
        let path = format!("{STATISTICS_PATH}/{endpoint}?ccy={coin}&period={word}{span}");
        return vec![request(LongShortKind::GlobalAccount, path)];
    }
    let newest = options.start.is_none().then_some(1);
    if let Some(limit) = options.limit.or(newest) {
        span.push_str(&format!("&limit={}", limit.clamp(1, STATISTICS_ROWS_MAX)));
    }
    let symbol = wire::url_encoded(&asked.symbol);
    let path = |endpoint: &str| format!("{STATISTICS_PATH}/{endpoint}?instId={symbol}&period={word}{span}");
    CONTRACT_STATISTICS.iter().map(|(endpoint, kind)| request(*kind, path(endpoint))).collect()
}

/// The list inside the envelope.
fn data(response: &Response) -> Result<&[u8], VenueError> {
    let mut reader = Reader::new(&response.body);
    let (mut code, mut data) = (Scalar::Missing, None);
    reader.object(|reader, key| {
        match key {
            b"code" => code = reader.scalar()?,
            b"data" => data = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    match code.bytes() {
        b"0" => data.ok_or(wire::without("data")),
        b"" => Err(wire::without("code")),
        b"50011" | b"50061" => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        b"50001" | b"50004" | b"50013" | b"50026" => Err(wire::transient(code)),
        _ => Err(wire::rejected(code)),
    }
}

/// Reads `{"instType":"SPOT","instId":"ABC-USDT","last":"2.5","askPx":"2.6","bidPx":"2.4","open24h":"2.0","high24h":"2.7",
/// "low24h":"1.9","volCcy24h":"2250","vol24h":"1000","ts":"1700000000123"}`. A derivative's `vol24h` counts contracts and its
/// `volCcy24h` is in the base asset. Index tickers (`idxPx`) and mark prices (`markPx`) are not prices of trades.
fn ticker(reader: &mut Reader<'_>, builder: &mut ResponseBuilder<'_>) -> Result<(), JsonError> {
    let mut entry = TickerEntry::default();
    let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
    let (mut volume, mut currency_volume) = (Field::default(), Field::default());
    reader.object(|reader, key| {
        match key {
            b"instId" => symbol = reader.scalar()?,
            b"last" => entry.last.set("last", reader.scalar()?),
            b"bidPx" => entry.bid.set("bidPx", reader.scalar()?),
            b"askPx" => entry.ask.set("askPx", reader.scalar()?),
            b"high24h" => entry.high.set("high24h", reader.scalar()?),
            b"low24h" => entry.low.set("low24h", reader.scalar()?),
            b"vol24h" => volume.set("vol24h", reader.scalar()?),
            b"volCcy24h" => currency_volume.set("volCcy24h", reader.scalar()?),
            b"ts" => time = reader.scalar()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let is_spot = symbol.bytes().iter().filter(|byte| **byte == b'-').count() == 1;
    if is_spot {
        (entry.base_volume, entry.quote_volume) = (volume, currency_volume);
    } else {
        entry.base_volume = currency_volume;
    }
    if let Some(about) = builder.resolve(symbol, instrument) {
        let event_time = time.millis().at("ts");
        builder.record(&about, event_time.and_then(|time| wire::binance::statement(&entry, time)));
    }
    Ok(())
}

/// Reads `{"instType":"SWAP","instId":"ABC-USDT-SWAP","oi":"5000","oiCcy":"500","oiUsd":"1250","ts":"1700000000123"}`: contracts, and
/// units of the base asset.
fn open_interest(reader: &mut Reader<'_>, builder: &mut ResponseBuilder<'_>) -> Result<(), JsonError> {
    let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
    let (mut contracts, mut base, mut usd) = (Field::default(), Field::default(), Field::default());
    reader.object(|reader, key| {
        match key {
            b"instId" => symbol = reader.scalar()?,
            b"oi" => contracts.set("oi", reader.scalar()?),
            b"oiCcy" => base.set("oiCcy", reader.scalar()?),
            b"oiUsd" => usd.set("oiUsd", reader.scalar()?),
            b"ts" => time = reader.scalar()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if let Some(about) = builder.resolve(symbol, instrument) {
        builder.record(&about, open_interest_statement(contracts, base, usd, time));
    }
    Ok(())
}

fn open_interest_statement(
    contracts: Field<'_>,
    base: Field<'_>,
    usd: Field<'_>,
    time: Scalar<'_>,
) -> Result<Statement, Failure> {
    let (open_interest, unit) = match (base.quantity()?, contracts.quantity()?) {
        (Some(base), _) => (base, OpenInterestUnit::Base),
        (None, Some(contracts)) => (contracts, OpenInterestUnit::Contracts),
        (None, None) => return Err(Failure { reason: UnresolvedReason::NoValue, field: "oi" }),
    };
    let value = OpenInterest { open_interest, unit, open_interest_usd: usd.price()? };
    Ok((time.millis().at("ts")?, Payload::OpenInterest(value)))
}

/// Reads candles, newest first: `["1700006400000","2.0","2.6","1.9","2.5","1000","1000","2250","1"]`. The last field is
/// 0 for a candle that has not ended.
fn candles(reader: &mut Reader<'_>, builder: &mut ResponseBuilder<'_>, ask: &Ask) -> Result<(), VenueError> {
    let (mut rows, mut unfinished_count) = (Vec::new(), 0u32);
    reader.array(|reader| {
        if reader.kind()? != Kind::Array {
            reader.skip()?;
            rows.push([Scalar::Compound; 8]);
            return Ok(());
        }
        let [time, open, high, low, close, volume, currency_volume, quote_volume, confirmed] = reader.row()?;
        if confirmed.bytes() == b"0" {
            unfinished_count += 1;
        } else {
            let time = wire::binance::whole_seconds(time);
            rows.push([time, open, high, low, close, volume, currency_volume, quote_volume]);
        }
        Ok(())
    })?;
    let interval = ask.required_interval()?;
    // A derivative's volume is in contracts; the next column is in the base asset.
    let is_spot = |symbol: &str| symbol.matches('-').count() < 2;
    if let Some(about) = builder.only_instrument() {
        let base_volume = if is_spot(&about.instrument().symbol) { 5 } else { 6 };
        let columns = CandleColumns { base_volume, ..CANDLE_COLUMNS };
        wire::record_candles(builder, &about, columns, interval, &rows);
        for _ in 0..unfinished_count {
            builder.record(&about, Err(Failure { reason: UnresolvedReason::NoValue, field: "confirm" }));
        }
    }
    Ok(())
}

/// Reads rows of statistics, newest first: `["1700000100000","1.25"]`, or taker volumes
/// `["1700000100000","20.0","30.0"]`, sold before bought. The rows do not name their instrument.
fn statistics(reader: &mut Reader<'_>, builder: &mut ResponseBuilder<'_>, ask: &Ask) -> Result<(), VenueError> {
    let kind = ask.required_kind()?;
    let Some(about) = builder.only_instrument() else { return Ok(()) };
    reader.array(|reader| {
        let row = if reader.kind()? == Kind::Array {
            reader.row::<3>()?
        } else {
            reader.skip()?;
            [Scalar::Compound; 3]
        };
        builder.record(&about, statistics_statement(row, kind, ask.period));
        Ok(())
    })?;
    Ok(())
}

fn statistics_statement(
    row: [Scalar<'_>; 3],
    kind: LongShortKind,
    period: Option<Period>,
) -> Result<Statement, Failure> {
    let [time, first, second] = row;
    let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
    let is_volume = kind == LongShortKind::TakerVolume || second != Scalar::Missing;
    let value = if is_volume {
        let sold = first.price().at("sellVol")?.ok_or(no_value("sellVol"))?;
        let bought = second.price().at("buyVol")?.ok_or(no_value("buyVol"))?;
        wire::long_short_of_shares(LongShortKind::TakerVolume, period, bought, sold)
    } else {
        let ratio = first.price().at("ratio")?.ok_or(no_value("ratio"))?;
        wire::long_short_of_ratio(kind, period, ratio)
    };
    Ok((time.millis().at("ts")?, Payload::LongShort(value.ok_or(no_value("ratio"))?)))
}

impl StreamingVenue for Okx {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let channel = |asked: &Instrument| serde_json::json!({"channel": "tickers", "instId": asked.symbol.as_str()});
        let frame = |chunk: &[Instrument]| {
            let channels: Vec<_> = chunk.iter().map(channel).collect();
            serde_json::json!({"op": "subscribe", "args": channels}).to_string()
        };
        asked.chunks(CHANNELS_PER_FRAME).map(frame).collect()
    }

    /// Reads `{"arg":{"channel":"tickers","instId":"ABC-USDT"},"data":[{…}]}`, `{"event":"subscribe","arg":{…}}`,
    /// `{"event":"error","code":"60018","msg":"…"}` and the text `pong`.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        if frame == b"pong" {
            return Ok(Frame::Alive);
        }
        let mut reader = Reader::new(frame);
        let (mut event, mut code) = (Scalar::Missing, Scalar::Missing);
        let (mut channel, mut symbol, mut data) = (Scalar::Missing, Scalar::Missing, None);
        reader.object(|reader, key| {
            match key {
                b"event" => event = reader.scalar()?,
                b"code" => code = reader.scalar()?,
                b"arg" if reader.kind()? == Kind::Object => reader.object(|reader, key| {
                    match key {
                        b"channel" => channel = reader.scalar()?,
                        b"instId" => symbol = reader.scalar()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                b"data" => data = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(match (event.bytes(), channel.bytes(), data) {
            (b"subscribe", ..) => Frame::Subscribed,
            (b"error", ..) => Frame::Refused { symbol: symbol.label(), reason: wire::plain_code(code) },
            // OKX announces a service upgrade.
            (b"notice", ..) if code.bytes() == b"64008" => Frame::Closing,
            (b"", b"tickers", Some(data)) => {
                let mut builder = ResponseBuilder::of_all();
                wire::each_object(&mut Reader::new(data), &mut builder, ticker)?;
                Frame::Data(builder.finish()?)
            }
            _ => Frame::Ignored,
        })
    }
}
