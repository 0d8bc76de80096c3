//! Bybit v5: spot, and perpetuals margined in a stablecoin (linear) or in the coin (inverse).
//!
//! Documentation: <https://bybit-exchange.github.io/docs/v5/intro>. Every answer is an envelope
//! `{"retCode":0,"retMsg":"OK","result":{…},"time":1700000000123}`.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, VenueId};

use super::gather::{
    self, At, CandleColumns, Failure, Field, Gather, Statement, TickerEntry, each_object, plain_code, query_value,
};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue,
    UnresolvedReason, Venue, VenueError, binance_format, status, symbols,
};

/// Bybit's spot, linear and inverse markets.
#[derive(Clone, Copy, Debug)]
pub struct Bybit;

const IP: &str = "ip";

/// How long an address that asked too often is shut out.
const SHUT_OUT: Duration = Duration::from_secs(600);

const CANDLES_MAX: u32 = 1_000;
const RATIOS_MAX: u32 = 500;
const OPEN_INTERESTS_MAX: u32 = 200;

/// Topics in one subscription on spot.
const TOPICS_PER_FRAME: usize = 10;

const PERIODS: &[(&str, Period)] = &[
    ("5min", Period::FiveMinutes),
    ("15min", Period::FifteenMinutes),
    ("30min", Period::ThirtyMinutes),
    ("1h", Period::OneHour),
    ("4h", Period::FourHours),
    ("1d", Period::OneDay),
];

const INTERVALS: &[(&str, CandleInterval)] =
    &[("5", CandleInterval::FiveMinutes), ("60", CandleInterval::OneHour), ("D", CandleInterval::OneDay)];

/// The market that a symbol belongs to; spot and linear both write `BTCUSDT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Spot,
    Linear,
    Inverse,
    Option,
}

impl Category {
    fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
            Self::Inverse => "inverse",
            Self::Option => "option",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Spot, Self::Linear, Self::Inverse, Self::Option].into_iter().find(|category| category.as_str() == text)
    }

    /// Where to ask about an instrument. Figures of derivatives asked for by the name of a spot market are its perpetual's.
    fn of(asked: &Instrument, feed: Feed) -> Self {
        match asked.kind {
            InstrumentKind::PerpetualInverse => Self::Inverse,
            InstrumentKind::Spot if matches!(feed, Feed::Tickers | Feed::Candles) => Self::Spot,
            InstrumentKind::Other if without_delivery_month(&asked.symbol).is_some() => Self::Inverse,
            InstrumentKind::Other if !asked.symbol.contains('-') => Self::Spot,
            _ => Self::Linear,
        }
    }

    fn split(self) -> binance_format::Split {
        match self {
            Self::Spot => spot_instrument,
            Self::Linear | Self::Inverse | Self::Option => derivative,
        }
    }
}

fn spot_instrument(symbol: &str) -> Option<Instrument> {
    let (base, quote) = symbols::split_joined(symbol)?;
    gather::spot_instrument(symbol, base, quote)
}

/// `ABCUSDT` and `ABCPERP` (in USDC) are linear, `ABCUSD` is inverse; `ABC-27MAR26`, `ABCUSDH26` and options are dated.
fn derivative(symbol: &str) -> Option<Instrument> {
    if let Some((pair, _)) = symbol.split_once('-') {
        let (base, quote) = pair.strip_suffix("USDT").map_or((pair, "USDC"), |base| (base, "USDT"));
        return gather::derivative(symbol, base, quote, InstrumentKind::Other);
    }
    if let Some(base) = symbol.strip_suffix("PERP") {
        return gather::derivative(symbol, base, "USDC", InstrumentKind::PerpetualLinear);
    }
    if let Some(pair) = without_delivery_month(symbol) {
        return gather::derivative(symbol, pair.strip_suffix("USD")?, "USD", InstrumentKind::Other);
    }
    // Not a matter for the list of quote assets, which would take `BNBUSD` for `BN` in `BUSD`.
    if let Some(base) = symbol.strip_suffix("USD") {
        return gather::derivative(symbol, base, "USD", InstrumentKind::PerpetualInverse);
    }
    let (base, quote) = symbols::split_joined(symbol)?;
    gather::derivative(symbol, base, quote, InstrumentKind::PerpetualLinear)
}

/// `ABCUSD` of `ABCUSDH26`: a month's letter and two digits of the year.
fn without_delivery_month(symbol: &str) -> Option<&str> {
    let pair = symbol.strip_suffix(|c: char| c.is_ascii_digit())?.strip_suffix(|c: char| c.is_ascii_digit())?;
    pair.strip_suffix(['F', 'G', 'H', 'J', 'K', 'M', 'N', 'Q', 'U', 'V', 'X', 'Z']).filter(|pair| pair.ends_with("USD"))
}

/// The instrument behind a symbol that stands alone: spot, unless it can only be a derivative's.
fn instrument(symbol: &str) -> Option<Instrument> {
    let derivative = derivative(symbol);
    let only_derivative = derivative.as_ref().is_none_or(|found| {
        found.kind != InstrumentKind::PerpetualLinear || symbol.ends_with("PERP") || found.multiplier != 1
    });
    if only_derivative { derivative } else { spot_instrument(symbol) }
}

impl Venue for Bybit {
    fn id(&self) -> VenueId {
        VenueId("bybit")
    }

    fn about(&self) -> About {
        About {
            title: "Bybit",
            documentation_url: "https://bybit-exchange.github.io/docs/v5/intro",
            terms_url: "https://www.bybit.com/en/help-center/article/Terms-Conditions-Bybit",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles, Feed::LongShortRatios, Feed::OpenInterest]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.bybit.com"
    }

    fn limits(&self) -> &'static [RateLimit] {
        const LIMITS: &[RateLimit] = &[RateLimit { scope: IP, limit: 600, window: Duration::from_secs(5) }];
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        let symbol = format!("{base}{quote}");
        match quote.as_str() {
            "USD" => gather::derivative(&symbol, &base, &quote, InstrumentKind::PerpetualInverse),
            _ => gather::spot_instrument(&symbol, &base, &quote),
        }
    }

    fn long_short_kinds(&self) -> &'static [LongShortKind] {
        &[LongShortKind::GlobalAccount]
    }

    fn long_short_rows_max(&self) -> u32 {
        RATIOS_MAX
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::OpenInterest if options.period.is_none() && options.start.is_none() => ticker_requests(feed, asked),
            Feed::Tickers => ticker_requests(feed, asked),
            Feed::Candles | Feed::LongShortRatios | Feed::OpenInterest => {
                asked.iter().map(|asked| request(history_path(feed, asked, options), vec![asked.clone()])).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        if response.status == 403 && response.body.windows(19).any(|text| text == b"access too frequent") {
            return Err(VenueError::RateLimited { retry_after: response.retry_after.or(Some(SHUT_OUT)) });
        }
        status::check(response)?;
        let envelope = Envelope::read(response)?;
        let mut gather = Gather::new(asked);
        let mut reader = Reader::new(envelope.list);
        match feed {
            Feed::Tickers => each_object(&mut reader, &mut gather, |reader, gather| {
                let row = Row::read(reader)?;
                if let Some(subject) = gather.subject(row.symbol, envelope.category.split()) {
                    let event_time = envelope.time.millis().at("time");
                    gather
                        .settle(&subject, event_time.and_then(|time| Ok((time, Payload::Ticker(row.ticker.full()?)))));
                }
                Ok(())
            })?,
            Feed::LongShortRatios => long_short_ratios(&mut reader, &mut gather, &envelope, &response.path)?,
            Feed::OpenInterest => open_interest(&mut reader, &mut gather, &envelope, &response.path)?,
            Feed::Candles => candles(&mut reader, &mut gather, &envelope, &response.path)?,
            _ => return Err(gather::no_such_feed()),
        }
        Ok(gather.finish())
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn request(path: String, asked: Vec<Instrument>) -> Request {
    Request { path, host: None, scope: IP, weight: 1, asked }
}

fn ticker_requests(feed: Feed, asked: &[Instrument]) -> Vec<Request> {
    let path = |category: Category| format!("/v5/market/tickers?category={}", category.as_str());
    if asked.is_empty() {
        let all = if feed == Feed::Tickers { Category::Spot } else { Category::Linear };
        return vec![request(path(all), Vec::new())];
    }
    let of_category = |category: Category| {
        let asked: Vec<Instrument> =
            asked.iter().filter(|asked| Category::of(asked, feed) == category).cloned().collect();
        match asked.as_slice() {
            [] => None,
            [only] => Some(request(format!("{}&symbol={}", path(category), gather::url_encoded(&only.symbol)), asked)),
            _ => Some(request(path(category), asked)),
        }
    };
    [Category::Spot, Category::Linear, Category::Inverse].into_iter().filter_map(of_category).collect()
}

fn history_path(feed: Feed, asked: &Instrument, options: &RequestOptions) -> String {
    let category = Category::of(asked, feed).as_str();
    let symbol = gather::url_encoded(&asked.symbol);
    let (start_key, end_key, rows_max, mut path) = if feed == Feed::Candles {
        let wanted = options.interval.unwrap_or(CandleInterval::OneDay);
        let interval = INTERVALS.iter().find(|(_, interval)| *interval == wanted).map_or("D", |(word, _)| *word);
        let path = format!("/v5/market/kline?category={category}&symbol={symbol}&interval={interval}");
        ("start", "end", CANDLES_MAX, path)
    } else if feed == Feed::OpenInterest {
        let wanted = options.period.unwrap_or(Period::FiveMinutes);
        let period = PERIODS.iter().find(|(_, period)| *period == wanted).map_or("5min", |(word, _)| *word);
        let path = format!("/v5/market/open-interest?category={category}&symbol={symbol}&intervalTime={period}");
        ("startTime", "endTime", OPEN_INTERESTS_MAX, path)
    } else {
        let wanted = options.period.unwrap_or(Period::FiveMinutes);
        let period = PERIODS.iter().find(|(_, period)| *period == wanted).map_or("5min", |(word, _)| *word);
        let path = format!("/v5/market/account-ratio?category={category}&symbol={symbol}&period={period}");
        ("startTime", "endTime", RATIOS_MAX, path)
    };
    if let Some(start) = options.start {
        path.push_str(&format!("&{start_key}={}", start.as_millis()));
    }
    if let Some(end) = options.end {
        path.push_str(&format!("&{end_key}={}", end.as_millis().saturating_sub(1)));
    }
    let newest = feed == Feed::LongShortRatios && options.start.is_none();
    if let Some(limit) = options.limit.or(newest.then_some(1)) {
        path.push_str(&format!("&limit={}", limit.clamp(1, rows_max)));
    }
    path
}

/// What stands around the rows.
struct Envelope<'a> {
    list: &'a [u8],
    symbol: Scalar<'a>,
    category: Category,
    time: Scalar<'a>,
}

impl<'a> Envelope<'a> {
    fn read(response: &'a Response) -> Result<Self, VenueError> {
        let mut reader = Reader::new(&response.body);
        let (mut code, mut time) = (Scalar::Missing, Scalar::Missing);
        let (mut category, mut symbol, mut list) = (Scalar::Missing, Scalar::Missing, None);
        reader.object(|reader, key| {
            match key {
                b"retCode" => code = reader.scalar()?,
                b"time" => time = reader.scalar()?,
                b"result" if reader.kind()? == Kind::Object => reader.object(|reader, key| {
                    match key {
                        b"category" => category = reader.scalar()?,
                        b"symbol" => symbol = reader.scalar()?,
                        b"list" => list = Some(reader.raw()?),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        check_code(code, response)?;
        let category = category.text().and_then(|text| Category::parse(&text));
        let category = category.or_else(|| query_value(&response.path, "category").and_then(Category::parse));
        Ok(Self {
            list: list.ok_or(gather::without("list"))?,
            symbol,
            category: category.unwrap_or(Category::Linear),
            time,
        })
    }
}

fn check_code(code: Scalar<'_>, response: &Response) -> Result<(), VenueError> {
    match code.bytes() {
        b"0" => Ok(()),
        b"" => Err(gather::without("retCode")),
        b"10006" | b"10018" => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        b"10000" | b"10016" | b"10429" => Err(gather::transient(code)),
        _ => Err(gather::rejected(code)),
    }
}

/// One object of `result.list` or of a frame:
/// `{"symbol":"ABCUSDT","lastPrice":"2.5","bid1Price":"2.4","ask1Price":"2.6","prevPrice24h":"2.0","highPrice24h":"2.7",
/// "lowPrice24h":"1.9","volume24h":"1000","turnover24h":"2250","openInterest":"10","openInterestValue":"25","markPrice":"2.5"}`.
#[derive(Default)]
struct Row<'a> {
    symbol: Scalar<'a>,
    ticker: TickerEntry<'a>,
    open_interest: Field<'a>,
    open_interest_value: Field<'a>,
    buy_share: Field<'a>,
    sell_share: Field<'a>,
    timestamp: Scalar<'a>,
    /// It has a field that only derivatives have.
    of_derivative: bool,
}

impl<'a> Row<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut row = Self::default();
        let (mut volume, mut turnover) = (Field::default(), Field::default());
        reader.object(|reader, key| {
            match key {
                b"symbol" => row.symbol = reader.scalar()?,
                b"lastPrice" => row.ticker.last.set("lastPrice", reader.scalar()?),
                b"bid1Price" => row.ticker.bid.set("bid1Price", reader.scalar()?),
                b"bidPrice" => row.ticker.bid.set("bidPrice", reader.scalar()?),
                b"ask1Price" => row.ticker.ask.set("ask1Price", reader.scalar()?),
                b"askPrice" => row.ticker.ask.set("askPrice", reader.scalar()?),
                b"highPrice24h" => row.ticker.high.set("highPrice24h", reader.scalar()?),
                b"lowPrice24h" => row.ticker.low.set("lowPrice24h", reader.scalar()?),
                b"volume24h" => volume.set("volume24h", reader.scalar()?),
                b"turnover24h" => turnover.set("turnover24h", reader.scalar()?),
                b"openInterest" => row.open_interest.set("openInterest", reader.scalar()?),
                b"openInterestValue" => row.open_interest_value.set("openInterestValue", reader.scalar()?),
                b"buyRatio" => row.buy_share.set("buyRatio", reader.scalar()?),
                b"sellRatio" => row.sell_share.set("sellRatio", reader.scalar()?),
                b"timestamp" => row.timestamp = reader.scalar()?,
                b"markPrice" | b"indexPrice" | b"tickDirection" | b"fundingRate" | b"nextFundingTime" => {
                    row.of_derivative = true;
                    reader.skip()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        row.of_derivative |= !row.open_interest.name.is_empty();
        // An inverse contract's volume counts dollars, which is its quote asset, and its turnover the coin.
        let inverse = derivative(&row.symbol.text().unwrap_or_default()).is_some_and(|found| found.quote == "USD");
        (row.ticker.base_volume, row.ticker.quote_volume) =
            if inverse { (turnover, volume) } else { (volume, turnover) };
        Ok(row)
    }

    fn long_short(&self, period: Option<Period>) -> Result<Statement, Failure> {
        let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
        let long = self.buy_share.price()?.ok_or(no_value("buyRatio"))?;
        let short = self.sell_share.price()?.ok_or(no_value("sellRatio"))?;
        let value = gather::long_short_of_shares(LongShortKind::GlobalAccount, period, long, short);
        Ok((self.timestamp.millis().at("timestamp")?, Payload::LongShort(value.ok_or(no_value("buyRatio"))?)))
    }

    fn open_interest(&self, category: Category, time: Scalar<'_>) -> Result<Statement, Failure> {
        let no_value = Failure { reason: UnresolvedReason::NoValue, field: "openInterest" };
        let amount = self.open_interest.quantity()?.ok_or(no_value)?;
        // An inverse contract is for one dollar.
        let (unit, usd) = match category {
            Category::Inverse => (OpenInterestUnit::Quote, Some(amount)),
            _ => (OpenInterestUnit::Base, self.open_interest_value.price()?),
        };
        let value = OpenInterest { open_interest: amount, unit, open_interest_usd: usd };
        Ok((time.millis().at("timestamp")?, Payload::OpenInterest(value)))
    }
}

fn long_short_ratios(
    reader: &mut Reader<'_>,
    gather: &mut Gather<'_>,
    envelope: &Envelope<'_>,
    path: &str,
) -> Result<(), JsonError> {
    let period = gather::period_in_path(path, "period", PERIODS);
    let split = if envelope.category == Category::Spot { derivative } else { envelope.category.split() };
    each_object(reader, gather, |reader, gather| {
        let row = Row::read(reader)?;
        if let Some(subject) = gather.subject(row.symbol, split) {
            gather.settle(&subject, row.long_short(period));
        }
        Ok(())
    })
}

/// Rows of `open-interest`, `{"openInterest":"10.5","timestamp":"1700000000000"}` under `result.symbol`, or of `tickers`.
fn open_interest(
    reader: &mut Reader<'_>,
    gather: &mut Gather<'_>,
    envelope: &Envelope<'_>,
    path: &str,
) -> Result<(), JsonError> {
    let enveloped = envelope.symbol.text();
    let named = enveloped.as_deref().or_else(|| binance_format::symbol_in_path(path, "symbol", derivative));
    each_object(reader, gather, |reader, gather| {
        let row = Row::read(reader)?;
        let subject = match row.symbol {
            Scalar::Missing => gather.subject_of_path(named, derivative),
            symbol => gather.subject(symbol, derivative),
        };
        let time = if row.timestamp.is_absent() { envelope.time } else { row.timestamp };
        if let Some(subject) = subject {
            gather.settle(&subject, row.open_interest(envelope.category, time));
        }
        Ok(())
    })
}

/// Rows of `kline`, newest first: `["1700006400000","2.0","2.6","1.9","2.5","1000.5","2250.0"]`.
fn candles(
    reader: &mut Reader<'_>,
    gather: &mut Gather<'_>,
    envelope: &Envelope<'_>,
    path: &str,
) -> Result<(), JsonError> {
    let mut rows = gather::candle_rows(reader)?;
    for row in &mut rows {
        let [time, ..] = row;
        *time = binance_format::whole_seconds(*time);
    }
    let (base_volume, quote_volume) = if envelope.category == Category::Inverse { (6, 5) } else { (5, 6) };
    let columns =
        CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume, quote_volume: Some(quote_volume) };
    let interval = gather::candle_interval(path, "interval", INTERVALS, columns.time, &rows);
    let split = envelope.category.split();
    let enveloped = envelope.symbol.text();
    let named = enveloped.as_deref().or_else(|| binance_format::symbol_in_path(path, "symbol", split));
    if let Some(subject) = gather.subject_of_path(named, split) {
        gather::settle_candles(gather, &subject, columns, interval, &rows);
    }
    Ok(())
}

impl StreamingVenue for Bybit {
    fn ws_url(&self) -> &'static str {
        "wss://stream.bybit.com"
    }

    fn path(&self) -> &'static str {
        "/v5/public/spot"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: r#"{"op":"ping"}"#, every: Duration::from_secs(20) },
            // The topics of one connection may have 21,000 characters.
            instruments_max: 500,
            messages_per_second_max: 10,
        }
    }

    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |chunk: &[Instrument]| {
            let topics: Vec<String> = chunk.iter().map(|asked| format!("tickers.{}", asked.symbol)).collect();
            serde_json::json!({"op": "subscribe", "args": topics}).to_string()
        };
        asked.chunks(TOPICS_PER_FRAME).map(frame).collect()
    }

    /// Reads `{"topic":"tickers.ABCUSDT","type":"snapshot","ts":1700000000123,"cs":1,"data":{…}}` and the answers to requests,
    /// `{"success":true,"ret_msg":"subscribe","op":"subscribe"}`.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let (mut op, mut success, mut message) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
        let (mut topic, mut kind, mut time, mut row) = (Scalar::Missing, Scalar::Missing, Scalar::Missing, None);
        reader.object(|reader, key| {
            match key {
                b"op" => op = reader.scalar()?,
                b"success" => success = reader.scalar()?,
                b"ret_msg" => message = reader.scalar()?,
                b"topic" => topic = reader.scalar()?,
                b"type" => kind = reader.scalar()?,
                b"ts" => time = reader.scalar()?,
                b"data" if reader.kind()? == Kind::Object => row = Some(Row::read(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        match (op.bytes(), row) {
            (b"ping" | b"pong", _) => Ok(Frame::Alive),
            (b"subscribe", _) if success == Scalar::Bool(false) => {
                Ok(Frame::Refused { symbol: Default::default(), reason: plain_code(message) })
            }
            (b"subscribe", _) => Ok(Frame::Subscribed),
            (_, Some(row)) if topic.bytes().starts_with(b"tickers.") => {
                // Spot sends snapshots only.
                let of_derivative = row.of_derivative || kind.bytes() == b"delta";
                Ok(Frame::Data(ticker_frame(&row, of_derivative, time)))
            }
            _ => Ok(Frame::Ignored),
        }
    }
}

fn ticker_frame(row: &Row<'_>, of_derivative: bool, time: Scalar<'_>) -> Parsed {
    let mut gather = Gather::new(&[]);
    let split = if of_derivative { derivative } else { instrument };
    if let Some(subject) = gather.subject(row.symbol, split) {
        let statement = time.millis().at("ts").and_then(|time| Ok((time, Payload::Ticker(row.ticker.partial()?))));
        // A delta of figures that are of no use here is no fault.
        let says_nothing = matches!(statement, Err(Failure { reason: UnresolvedReason::NoValue, .. }));
        if !(of_derivative && says_nothing) {
            gather.settle(&subject, statement);
        }
    }
    gather.finish()
}
