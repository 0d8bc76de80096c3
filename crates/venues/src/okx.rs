//! OKX v5: spot, perpetuals and the statistics of traders.
//!
//! Documentation: <https://www.okx.com/docs-v5/en/>. Every answer is an envelope `{"code":"0","msg":"","data":[…]}` with status 200
//! for errors too.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, VenueId};

use super::gather::{
    self, At, CandleColumns, Failure, Field, Gather, Statement, Subject, TickerEntry, each_object, plain_code,
    query_value, url_encoded,
};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue,
    UnresolvedReason, Venue, VenueError, binance_format, status,
};

/// OKX's markets.
#[derive(Clone, Copy, Debug)]
pub struct Okx;

const TICKERS: &str = "tickers";
const CANDLES: &str = "candles";
const OPEN_INTEREST: &str = "open-interest";
const STATISTICS: &str = "statistics";

const CANDLES_MAX: u32 = 300;
const STATISTICS_ROWS_MAX: u32 = 100;

/// Instruments in one subscription.
const CHANNELS_PER_FRAME: usize = 50;

const STATISTICS_PATH: &str = "/api/v5/rubik/stat";

/// The statistics by contract: the endpoint's name, which also tells a body's kind. The longer before any that it contains.
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
    ("1Dutc", Period::OneDay),
];

/// OKX's day starts at 16:00 UTC unless it is asked for in UTC.
const BARS: &[(&str, CandleInterval)] =
    &[("5m", CandleInterval::FiveMinutes), ("1H", CandleInterval::OneHour), ("1Dutc", CandleInterval::OneDay)];

const CANDLE_COLUMNS: CandleColumns =
    CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume: 5, quote_volume: Some(7) };

/// `BTC-USDT` is spot, `BTC-USDT-SWAP` a perpetual, `BTC-USD-260327` a future, `BTC-USD-260327-60000-C` an option.
fn instrument(symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let (base, quote) = (parts.next()?, parts.next()?);
    match (parts.next(), parts.next()) {
        (None, _) => gather::spot_instrument(symbol, base, quote),
        (Some("SWAP"), None) if quote == "USD" => {
            gather::derivative(symbol, base, quote, InstrumentKind::PerpetualInverse)
        }
        (Some("SWAP"), None) => gather::derivative(symbol, base, quote, InstrumentKind::PerpetualLinear),
        _ => gather::derivative(symbol, base, quote, InstrumentKind::Other),
    }
}

impl Venue for Okx {
    fn id(&self) -> VenueId {
        VenueId("okx")
    }

    fn about(&self) -> About {
        About {
            title: "OKX",
            documentation_url: "https://www.okx.com/docs-v5/en/",
            terms_url: "https://www.okx.com/help/terms-of-service",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles, Feed::LongShortRatios, Feed::OpenInterest]
    }

    fn rest_url(&self) -> &'static str {
        "https://www.okx.com"
    }

    fn limits(&self) -> &'static [RateLimit] {
        const WINDOW: Duration = Duration::from_secs(2);
        const LIMITS: &[RateLimit] = &[
            RateLimit { scope: TICKERS, limit: 20, window: WINDOW },
            // History gives 20, the newest candles 40.
            RateLimit { scope: CANDLES, limit: 20, window: WINDOW },
            RateLimit { scope: OPEN_INTEREST, limit: 20, window: WINDOW },
            RateLimit { scope: STATISTICS, limit: 5, window: WINDOW },
        ];
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        instrument(&format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
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

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => market_requests("market/ticker", TICKERS, "SPOT", asked),
            Feed::OpenInterest => market_requests("public/open-interest", OPEN_INTEREST, "SWAP", asked),
            Feed::Candles => asked.iter().map(|asked| candle_request(asked, options)).collect(),
            Feed::LongShortRatios => asked.iter().flat_map(|asked| statistics_requests(asked, options)).collect(),
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        let data = data(response)?;
        let mut reader = Reader::new(data);
        let mut gather = Gather::new(asked);
        match feed {
            Feed::Tickers => each_object(&mut reader, &mut gather, ticker)?,
            Feed::OpenInterest => each_object(&mut reader, &mut gather, open_interest)?,
            Feed::Candles => candles(&mut reader, &mut gather, &response.path)?,
            Feed::LongShortRatios => statistics(&mut reader, &mut gather, &response.path)?,
            _ => return Err(gather::no_such_feed()),
        }
        Ok(gather.finish())
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

/// One request for one instrument, else one for each market with an instrument asked for.
fn market_requests(endpoint: &str, scope: &'static str, all: &'static str, asked: &[Instrument]) -> Vec<Request> {
    let request = |path, asked| Request { path, host: None, scope, weight: 1, asked };
    let single = |only: &Instrument| match scope {
        TICKERS => format!("/api/v5/{endpoint}?instId={}", url_encoded(&only.symbol)),
        _ => format!("/api/v5/{endpoint}?instType={}&instId={}", market_of(only), url_encoded(&only.symbol)),
    };
    let whole = |market: &str| match scope {
        TICKERS => format!("/api/v5/{endpoint}s?instType={market}"),
        _ => format!("/api/v5/{endpoint}?instType={market}"),
    };
    match asked {
        [] => vec![request(whole(all), Vec::new())],
        [only] => vec![request(single(only), asked.to_vec())],
        _ => ["SPOT", "SWAP", "FUTURES", "OPTION"]
            .into_iter()
            .filter_map(|market| {
                let of_market: Vec<_> = asked.iter().filter(|asked| market_of(asked) == market).cloned().collect();
                (!of_market.is_empty()).then(|| request(whole(market), of_market))
            })
            .collect(),
    }
}

fn candle_request(asked: &Instrument, options: &RequestOptions) -> Request {
    let wanted = options.interval.unwrap_or(CandleInterval::OneDay);
    let bar = BARS.iter().find(|(_, interval)| *interval == wanted).map_or("1Dutc", |(bar, _)| *bar);
    let endpoint = if options.start.is_some() { "history-candles" } else { "candles" };
    let mut path = format!("/api/v5/market/{endpoint}?instId={}&bar={bar}", url_encoded(&asked.symbol));
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
    Request { path, host: None, scope: CANDLES, weight: 1, asked: vec![asked.clone()] }
}

/// A contract has statistics of four kinds; a coin as a whole, asked for by its spot market, has the accounts of all its contracts.
fn statistics_requests(asked: &Instrument, options: &RequestOptions) -> Vec<Request> {
    let wanted = options.period.unwrap_or(Period::FiveMinutes);
    let period = PERIODS.iter().find(|(_, period)| *period == wanted).map_or("5m", |(word, _)| *word);
    let mut span = String::new();
    if let Some(start) = options.start {
        span.push_str(&format!("&begin={}", start.as_millis()));
    }
    if let Some(end) = options.end {
        span.push_str(&format!("&end={}", end.as_millis().saturating_sub(1)));
    }
    let request = |path| Request { path, host: None, scope: STATISTICS, weight: 1, asked: vec![asked.clone()] };
    if asked.kind == InstrumentKind::Spot {
        let coin = url_encoded(&asked.base);
        let endpoint = "contracts/long-short-account-ratio";
        return vec![request(format!("{STATISTICS_PATH}/{endpoint}?ccy={coin}&period={period}{span}"))];
    }
    let newest = options.start.is_none().then_some(1);
    if let Some(limit) = options.limit.or(newest) {
        span.push_str(&format!("&limit={}", limit.clamp(1, STATISTICS_ROWS_MAX)));
    }
    let symbol = url_encoded(&asked.symbol);
    let path = |endpoint: &str| format!("{STATISTICS_PATH}/{endpoint}?instId={symbol}&period={period}{span}");
    CONTRACT_STATISTICS.iter().map(|(endpoint, _)| request(path(endpoint))).collect()
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
        b"0" => data.ok_or(gather::without("data")),
        b"" => Err(gather::without("code")),
        b"50011" | b"50061" => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        b"50001" | b"50004" | b"50013" | b"50026" => Err(gather::transient(code)),
        _ => Err(gather::rejected(code)),
    }
}

/// Reads `{"instType":"SPOT","instId":"ABC-USDT","last":"2.5","askPx":"2.6","bidPx":"2.4","open24h":"2.0","high24h":"2.7",
/// "low24h":"1.9","volCcy24h":"2250","vol24h":"1000","ts":"1700000000123"}`. A derivative's `vol24h` counts contracts and its
/// `volCcy24h` is in the base asset. Index tickers (`idxPx`) and mark prices (`markPx`) are not prices of trades.
fn ticker(reader: &mut Reader<'_>, gather: &mut Gather<'_>) -> Result<(), JsonError> {
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
    if let Some(subject) = gather.subject(symbol, instrument) {
        let event_time = time.millis().at("ts");
        gather.settle(&subject, event_time.and_then(|time| binance_format::statement(&entry, time)));
    }
    Ok(())
}

/// Reads `{"instType":"SWAP","instId":"ABC-USDT-SWAP","oi":"5000","oiCcy":"500","oiUsd":"1250","ts":"1700000000123"}`: contracts, and
/// units of the base asset.
fn open_interest(reader: &mut Reader<'_>, gather: &mut Gather<'_>) -> Result<(), JsonError> {
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
    if let Some(subject) = gather.subject(symbol, instrument) {
        gather.settle(&subject, open_interest_statement(contracts, base, usd, time));
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

/// Reads candles, newest first: `["1700006400000","2.0","2.6","1.9","2.5","1000","1000","2250","1"]`, the last being 0 for a candle that
/// is not over yet.
fn candles(reader: &mut Reader<'_>, gather: &mut Gather<'_>, path: &str) -> Result<(), JsonError> {
    let named = binance_format::symbol_in_path(path, "instId", instrument);
    let subject = gather.subject_of_path(named, instrument);
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
            let time = binance_format::whole_seconds(time);
            rows.push([time, open, high, low, close, volume, currency_volume, quote_volume]);
        }
        Ok(())
    })?;
    let interval = gather::candle_interval(path, "bar", BARS, CANDLE_COLUMNS.time, &rows);
    // A derivative's volume counts contracts, and the next column is in the base asset.
    let is_spot = |symbol: &str| symbol.matches('-').count() < 2;
    if let Some(subject) = subject {
        let base_volume = if is_spot(&subject.instrument().symbol) { 5 } else { 6 };
        let columns = CandleColumns { base_volume, ..CANDLE_COLUMNS };
        gather::settle_candles(gather, &subject, columns, interval, &rows);
        for _ in 0..unfinished_count {
            gather.settle(&subject, Err(Failure { reason: UnresolvedReason::NoValue, field: "confirm" }));
        }
    }
    Ok(())
}

/// What a path or a recorded body's file name tells of the statistics in it.
struct StatisticsContext {
    kind: LongShortKind,
    period: Option<Period>,
}

impl StatisticsContext {
    fn of(path: &str) -> Self {
        let spelled = path.to_ascii_lowercase().replace('_', "-");
        let told = |endpoint: &str| spelled.contains(endpoint.rsplit('/').next().unwrap_or(endpoint));
        let kind = match CONTRACT_STATISTICS.iter().find(|(endpoint, _)| told(endpoint)) {
            Some((_, kind)) => *kind,
            None if spelled.contains("taker-volume") => LongShortKind::TakerVolume,
            None => LongShortKind::GlobalAccount,
        };
        Self { kind, period: gather::period_in_path(path, "period", PERIODS) }
    }
}

/// Reads rows of statistics, newest first: `["1700000100000","1.25"]`, or of taker volumes `["1700000100000","20.0","30.0"]`, sold before
/// bought. They do not say whom they are about.
fn statistics(reader: &mut Reader<'_>, gather: &mut Gather<'_>, path: &str) -> Result<(), JsonError> {
    let context = StatisticsContext::of(path);
    let Some(subject) = statistics_subject(gather, path) else { return reader.skip() };
    reader.array(|reader| {
        let row = if reader.kind()? == Kind::Array {
            reader.row::<3>()?
        } else {
            reader.skip()?;
            [Scalar::Compound; 3]
        };
        gather.settle(&subject, statistics_statement(row, &context));
        Ok(())
    })
}

fn statistics_subject(gather: &mut Gather<'_>, path: &str) -> Option<Subject> {
    match query_value(path, "ccy") {
        // All contracts of a coin together.
        Some(coin) => gather.subject_of_path(Some(coin), |coin| {
            gather::derivative(coin, coin, "USDT", InstrumentKind::PerpetualLinear)
        }),
        None => gather.subject_of_path(binance_format::symbol_in_path(path, "instId", instrument), instrument),
    }
}

fn statistics_statement(row: [Scalar<'_>; 3], context: &StatisticsContext) -> Result<Statement, Failure> {
    let [time, first, second] = row;
    let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
    let is_volume = context.kind == LongShortKind::TakerVolume || second != Scalar::Missing;
    let value = if is_volume {
        let sold = first.price().at("sellVol")?.ok_or(no_value("sellVol"))?;
        let bought = second.price().at("buyVol")?.ok_or(no_value("buyVol"))?;
        gather::long_short_of_shares(LongShortKind::TakerVolume, context.period, bought, sold)
    } else {
        let ratio = first.price().at("ratio")?.ok_or(no_value("ratio"))?;
        gather::long_short_of_ratio(context.kind, context.period, ratio)
    };
    Ok((time.millis().at("ts")?, Payload::LongShort(value.ok_or(no_value("ratio"))?)))
}

impl StreamingVenue for Okx {
    fn ws_url(&self) -> &'static str {
        "wss://ws.okx.com:8443"
    }

    fn path(&self) -> &'static str {
        "/ws/v5/public"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            // The server closes a connection that is silent for 30 s.
            ping: Ping::Text { text: "ping", every: Duration::from_secs(25) },
            // 480 subscriptions in an hour; the other half is left for a reconnect.
            instruments_max: 240,
            messages_per_second_max: 3,
        }
    }

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
            (b"error", ..) => Frame::Refused { symbol: symbol.label(), reason: plain_code(code) },
            // The service is about to be upgraded.
            (b"notice", ..) if code.bytes() == b"64008" => Frame::Closing,
            (b"", b"tickers", Some(data)) => {
                let mut gather = Gather::new(&[]);
                each_object(&mut Reader::new(data), &mut gather, ticker)?;
                Frame::Data(gather.finish())
            }
            _ => Frame::Ignored,
        })
    }
}
