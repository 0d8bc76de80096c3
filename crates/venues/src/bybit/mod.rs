//! Bybit v5: spot, and perpetuals margined in a stablecoin (linear) or in the coin (inverse).
//!
//! Documentation: <https://bybit-exchange.github.io/docs/v5/intro>. The envelope is
//! `{"retCode":0,"retMsg":"OK","result":{…},"time":1700000000123}`.

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

/// Bybit's spot, linear and inverse markets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bybit;

const IP: &str = "ip";

/// How long Bybit blocks an address that exceeded the rate limit.
const SHUT_OUT: Duration = Duration::from_secs(600);

const CANDLES_MAX: u32 = 1_000;
const RATIOS_MAX: u32 = 500;
const OPEN_INTERESTS_MAX: u32 = 200;

/// Maximum number of topics in one spot subscription.
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

    /// The market to query for an instrument. Derivative figures requested for a spot instrument are those of its
    /// perpetual.
    fn of(asked: &Instrument, feed: Feed) -> Self {
        match asked.kind {
            InstrumentKind::PerpetualInverse => Self::Inverse,
            InstrumentKind::Spot if matches!(feed, Feed::Tickers | Feed::Candles) => Self::Spot,
            InstrumentKind::Other if without_delivery_month(&asked.symbol).is_some() => Self::Inverse,
            InstrumentKind::Other if !asked.symbol.contains('-') => Self::Spot,
            _ => Self::Linear,
        }
    }

    fn split(self) -> wire::binance::Split {
        match self {
            Self::Spot => spot_instrument,
            Self::Linear | Self::Inverse | Self::Option => derivative,
        }
    }
}

fn spot_instrument(symbol: &str) -> Option<Instrument> {
    let (base, quote) = wire::split_joined(symbol)?;
    wire::spot_instrument(symbol, base, quote)
}

/// `ABCUSDT` and `ABCPERP` (in USDC) are linear, `ABCUSD` is inverse; `ABC-27MAR26`, `ABCUSDH26` and options are dated.
fn derivative(symbol: &str) -> Option<Instrument> {
    if let Some((pair, _)) = symbol.split_once('-') {
        let (base, quote) = pair.strip_suffix("USDT").map_or((pair, "USDC"), |base| (base, "USDT"));
        return wire::derivative(symbol, base, quote, InstrumentKind::Other);
    }
    if let Some(base) = symbol.strip_suffix("PERP") {
        return wire::derivative(symbol, base, "USDC", InstrumentKind::PerpetualLinear);
    }
    if let Some(pair) = without_delivery_month(symbol) {
        return wire::derivative(symbol, pair.strip_suffix("USD")?, "USD", InstrumentKind::Other);
    }
    // The list of quote assets does not fit here: it would split `BNBUSD` into `BN` and `BUSD`.
    if let Some(base) = symbol.strip_suffix("USD") {
        return wire::derivative(symbol, base, "USD", InstrumentKind::PerpetualInverse);
    }
    let (base, quote) = wire::split_joined(symbol)?;
    wire::derivative(symbol, base, quote, InstrumentKind::PerpetualLinear)
}

/// The `ABCUSD` in `ABCUSDH26`, which ends in a month letter and two digits of the year.
fn without_delivery_month(symbol: &str) -> Option<&str> {
    let pair = symbol.strip_suffix(|c: char| c.is_ascii_digit())?.strip_suffix(|c: char| c.is_ascii_digit())?;
    pair.strip_suffix(['F', 'G', 'H', 'J', 'K', 'M', 'N', 'Q', 'U', 'V', 'X', 'Z']).filter(|pair| pair.ends_with("USD"))
}

/// The instrument behind a symbol without a category: spot, unless only a derivative can have that symbol.
fn instrument(symbol: &str) -> Option<Instrument> {
    let derivative = derivative(symbol);
    let only_derivative = derivative.as_ref().is_none_or(|found| {
        found.kind != InstrumentKind::PerpetualLinear || symbol.ends_with("PERP") || found.multiplier != 1
    });
    if only_derivative { derivative } else { spot_instrument(symbol) }
}

const PROFILE: Profile = Profile {
    id: VenueId("bybit"),
    title: "Bybit",
    documentation_url: "https://bybit-exchange.github.io/docs/v5/intro",
    terms_url: "https://www.bybit.com/en/help-center/article/Terms-Conditions-Bybit",
    rest_url: "https://api.bybit.com",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        FeedProfile::of(Feed::Candles).ranked(4),
        FeedProfile::of(Feed::LongShortRatios),
        FeedProfile::of(Feed::OpenInterest).with_history(),
    ],
    limits: &[RateLimit::of(IP, 600, 5)],
    long_short_kinds: &[LongShortKind::GlobalAccount],
    long_short_rows_max: RATIOS_MAX,
    stream: Some(StreamProfile {
        url: "wss://stream.bybit.com",
        path: "/v5/public/spot",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: r#"{"op":"ping"}"#, every: Duration::from_secs(20) },
            // The topics of one connection are limited to 21,000 characters.
            instruments_max: 500,
            messages_per_second_max: 10,
        },
    }),
    ..Profile::NONE
};

impl Venue for Bybit {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        let symbol = format!("{base}{quote}");
        match quote.as_str() {
            "USD" => wire::derivative(&symbol, &base, &quote, InstrumentKind::PerpetualInverse),
            _ => wire::spot_instrument(&symbol, &base, &quote),
        }
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::OpenInterest if options.period.is_none() && options.start.is_none() => ticker_requests(feed, asked),
            Feed::Tickers => ticker_requests(feed, asked),
            Feed::Candles | Feed::LongShortRatios | Feed::OpenInterest => {
                asked.iter().map(|asked| history_request(feed, asked, options)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        if response.status == 403 && response.body.windows(19).any(|text| text == b"access too frequent") {
            return Err(VenueError::RateLimited { retry_after: response.retry_after.or(Some(SHUT_OUT)) });
        }
        wire::check_status(response)?;
        let envelope = Envelope::read(ask, response)?;
        let mut builder = ResponseBuilder::new(ask);
        let mut reader = Reader::new(envelope.list);
        match ask.feed {
            Feed::Tickers => wire::each_object(&mut reader, &mut builder, |reader, builder| {
                let row = Row::read(reader)?;
                if let Some(about) = builder.resolve(row.symbol, envelope.category.split()) {
                    let event_time = envelope.time.millis().at("time");
                    builder.record(&about, event_time.and_then(|time| Ok((time, Payload::Ticker(row.ticker.full()?)))));
                }
                Ok(())
            })?,
            Feed::LongShortRatios => long_short_ratios(&mut reader, &mut builder, &envelope, ask)?,
            Feed::OpenInterest => open_interest(&mut reader, &mut builder, &envelope)?,
            Feed::Candles => candles(&mut reader, &mut builder, &envelope, ask)?,
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn ticker_requests(feed: Feed, asked: &[Instrument]) -> Vec<Request> {
    let path = |category: Category| format!("/v5/market/tickers?category={}", category.as_str());
    if asked.is_empty() {
        let all = if feed == Feed::Tickers { Category::Spot } else { Category::Linear };
        return vec![Request::of(Ask::all(feed), IP, path(all))];
    }
    let of_category = |category: Category| {
        let asked: Vec<Instrument> =
            asked.iter().filter(|asked| Category::of(asked, feed) == category).cloned().collect();
        let path = match asked.as_slice() {
            [] => return None,
            [only] => format!("{}&symbol={}", path(category), wire::url_encoded(&only.symbol)),
            _ => path(category),
        };
        Some(Request::of(Ask::about(feed, asked), IP, path))
    };
    [Category::Spot, Category::Linear, Category::Inverse].into_iter().filter_map(of_category).collect()
}

fn history_request(feed: Feed, asked: &Instrument, options: &RequestOptions) -> Request {
    let category = Category::of(asked, feed).as_str();
    let symbol = wire::url_encoded(&asked.symbol);
    let (interval, period) = (options.interval_or_default(), options.period_or_default());
    let (start_key, end_key, rows_max, mut path) = if feed == Feed::Candles {
        let interval = INTERVALS.iter().find(|(_, known)| *known == interval).map_or("D", |(word, _)| *word);
        let path = format!("/v5/market/kline?category={category}&symbol={symbol}&interval={interval}");
        ("start", "end", CANDLES_MAX, path)
    } else if feed == Feed::OpenInterest {
        let period = PERIODS.iter().find(|(_, known)| *known == period).map_or("5min", |(word, _)| *word);
        let path = format!("/v5/market/open-interest?category={category}&symbol={symbol}&intervalTime={period}");
        ("startTime", "endTime", OPEN_INTERESTS_MAX, path)
    } else {
        let period = PERIODS.iter().find(|(_, known)| *known == period).map_or("5min", |(word, _)| *word);
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
    let ask = match feed {
        Feed::Candles => Ask::candles(asked, interval),
        Feed::LongShortRatios => Ask::ratios(asked, period, Some(LongShortKind::GlobalAccount)),
        _ => Ask::about(feed, [asked.clone()]),
    };
    Request::of(ask, IP, path)
}

/// The fields around the rows.
struct Envelope<'a> {
    list: &'a [u8],
    symbol: Scalar<'a>,
    category: Category,
    time: Scalar<'a>,
}

impl<'a> Envelope<'a> {
    fn read(ask: &Ask, response: &'a Response) -> Result<Self, VenueError> {
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
        let category = category.or_else(|| ask.instruments.first().map(|asked| Category::of(asked, ask.feed)));
        Ok(Self {
            list: list.ok_or(wire::without("list"))?,
            symbol,
            category: category.unwrap_or(Category::Linear),
            time,
        })
    }
}

fn check_code(code: Scalar<'_>, response: &Response) -> Result<(), VenueError> {
    match code.bytes() {
        b"0" => Ok(()),
        b"" => Err(wire::without("retCode")),
        b"10006" | b"10018" => Err(VenueError::RateLimited { retry_after: response.retry_after }),
        b"10000" | b"10016" | b"10429" => Err(wire::transient(code)),
        _ => Err(wire::rejected(code)),
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
    /// True after a field that only derivatives have.
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
        // An inverse contract's volume is in dollars, its quote asset, and its turnover is in the coin.
        let inverse = derivative(&row.symbol.text().unwrap_or_default()).is_some_and(|found| found.quote == "USD");
        (row.ticker.base_volume, row.ticker.quote_volume) =
            if inverse { (turnover, volume) } else { (volume, turnover) };
        Ok(row)
    }

    fn long_short(&self, period: Option<Period>) -> Result<Statement, Failure> {
        let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
        let long = self.buy_share.price()?.ok_or(no_value("buyRatio"))?;
        let short = self.sell_share.price()?.ok_or(no_value("sellRatio"))?;
        let value = wire::long_short_of_shares(LongShortKind::GlobalAccount, period, long, short);
        Ok((self.timestamp.millis().at("timestamp")?, Payload::LongShort(value.ok_or(no_value("buyRatio"))?)))
    }

    fn open_interest(&self, category: Category, time: Scalar<'_>) -> Result<Statement, Failure> {
        let no_value = Failure { reason: UnresolvedReason::NoValue, field: "openInterest" };
        let amount = self.open_interest.quantity()?.ok_or(no_value)?;
        // An inverse contract is worth one dollar.
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
    builder: &mut ResponseBuilder<'_>,
    envelope: &Envelope<'_>,
    ask: &Ask,
) -> Result<(), JsonError> {
    let split = if envelope.category == Category::Spot { derivative } else { envelope.category.split() };
    wire::each_object(reader, builder, |reader, builder| {
        let row = Row::read(reader)?;
        if let Some(about) = builder.resolve(row.symbol, split) {
            builder.record(&about, row.long_short(ask.period));
        }
        Ok(())
    })
}

/// Rows of `open-interest`, `{"openInterest":"10.5","timestamp":"1700000000000"}` under `result.symbol`, or of `tickers`.
fn open_interest(
    reader: &mut Reader<'_>,
    builder: &mut ResponseBuilder<'_>,
    envelope: &Envelope<'_>,
) -> Result<(), JsonError> {
    wire::each_object(reader, builder, |reader, builder| {
        let row = Row::read(reader)?;
        let about = match (row.symbol, envelope.symbol) {
            (Scalar::Missing, Scalar::Missing) => builder.only_instrument(),
            (Scalar::Missing, symbol) | (symbol, _) => builder.resolve(symbol, derivative),
        };
        let time = if row.timestamp.is_absent() { envelope.time } else { row.timestamp };
        if let Some(about) = about {
            builder.record(&about, row.open_interest(envelope.category, time));
        }
        Ok(())
    })
}

/// Rows of `kline`, newest first: `["1700006400000","2.0","2.6","1.9","2.5","1000.5","2250.0"]`.
fn candles(
    reader: &mut Reader<'_>,
    builder: &mut ResponseBuilder<'_>,
    envelope: &Envelope<'_>,
    ask: &Ask,
) -> Result<(), VenueError> {
    let mut rows = wire::candle_rows(reader)?;
    for row in &mut rows {
        let [time, ..] = row;
        *time = wire::binance::whole_seconds(*time);
    }
    let (base_volume, quote_volume) = if envelope.category == Category::Inverse { (6, 5) } else { (5, 6) };
    let columns =
        CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume, quote_volume: Some(quote_volume) };
    let interval = ask.required_interval()?;
    let about = match envelope.symbol {
        Scalar::Missing => builder.only_instrument(),
        symbol => builder.resolve(symbol, envelope.category.split()),
    };
    if let Some(about) = about {
        wire::record_candles(builder, &about, columns, interval, &rows);
    }
    Ok(())
}

impl StreamingVenue for Bybit {
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
                Ok(Frame::Refused { symbol: Default::default(), reason: wire::plain_code(message) })
            }
            (b"subscribe", _) => Ok(Frame::Subscribed),
            (_, Some(row)) if topic.bytes().starts_with(b"tickers.") => {
                // Spot sends snapshots only.
                let of_derivative = row.of_derivative || kind.bytes() == b"delta";
                ticker_frame(&row, of_derivative, time).map(Frame::Data)
            }
            _ => Ok(Frame::Ignored),
        }
    }
}

fn ticker_frame(row: &Row<'_>, of_derivative: bool, time: Scalar<'_>) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::of_all();
    let split = if of_derivative { derivative } else { instrument };
    if let Some(about) = builder.resolve(row.symbol, split) {
        let statement = time.millis().at("ts").and_then(|time| Ok((time, Payload::Ticker(row.ticker.partial()?))));
        // A delta that contains only unused figures is not an error.
        let says_nothing = matches!(statement, Err(Failure { reason: UnresolvedReason::NoValue, .. }));
        if !(of_derivative && says_nothing) {
            builder.record(&about, statement);
        }
    }
    builder.finish()
}
