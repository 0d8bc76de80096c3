//! Bitget: spot, and perpetuals with open interest and account shares.
//!
//! Documentation: <https://www.bitget.com/api-doc/>. The envelope is `{"code":"00000","data":…}`. Spot and futures use
//! the same symbols, so an entry's market follows from its `category` or from fields that only futures have.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{
    Ask, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};
use super::wire::{self, At, Failure, Field, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement, TickerEntry};
use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Decimal, Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, VenueId};

/// Bitget spot and USDT perpetuals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bitget;

const SPOT_TICKERS: &str = "spot-tickers";
const FUTURES_TICKERS: &str = "futures-tickers";
const ACCOUNT_LONG_SHORT: &str = "account-long-short";
const POSITION_LONG_SHORT: &str = "position-long-short";
const TAKER_BUY_SELL: &str = "taker-buy-sell";

/// The trader statistics: each endpoint, whose name is also its metered scope, and the population that it counts.
const STATISTICS: [(&str, LongShortKind); 3] = [
    (ACCOUNT_LONG_SHORT, LongShortKind::GlobalAccount),
    (POSITION_LONG_SHORT, LongShortKind::GlobalPosition),
    (TAKER_BUY_SELL, LongShortKind::TakerVolume),
];

/// Maximum number of topics in one subscription frame.
const TOPICS_PER_FRAME_MAX: usize = 50;

/// The market that a symbol belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Market {
    Spot,
    Futures,
}

impl Market {
    /// Parses a category or an instrument type of any API generation; `None` when it is unknown.
    fn of(category: Scalar<'_>) -> Option<Self> {
        match category.bytes() {
            b"SPOT" | b"sp" | b"SP" | b"MARGIN" => Some(Self::Spot),
            b"USDT-FUTURES" | b"COIN-FUTURES" | b"USDC-FUTURES" | b"mc" | b"MC" | b"UMCBL" | b"DMCBL" | b"CMCBL" => {
                Some(Self::Futures)
            }
            _ => None,
        }
    }
}

fn instrument(symbol: &str, market: Market) -> Option<Instrument> {
    // API v1 appends the product: `BTCUSDT_SPBL`, `BTCUSDT_UMCBL`.
    let name = symbol.split_once('_').map_or(symbol, |(name, _)| name);
    if market == Market::Spot {
        let (base, quote) = wire::split_joined(name)?;
        return wire::spot_instrument(symbol, base, quote);
    }
    if let Some(base) = name.strip_suffix("PERP") {
        return wire::derivative(symbol, base, "USDC", InstrumentKind::PerpetualLinear);
    }
    if let Some(pair) = without_delivery(name) {
        let (base, quote) = wire::split_joined(pair)?;
        return wire::derivative(symbol, base, quote, InstrumentKind::Other);
    }
    let (base, quote) = wire::split_joined(name)?;
    let kind = if quote == "USD" { InstrumentKind::PerpetualInverse } else { InstrumentKind::PerpetualLinear };
    wire::derivative(symbol, base, quote, kind)
}

/// The pair of a dated future, which ends in a month letter and two digits of the year: `BTCUSDH26`.
fn without_delivery(name: &str) -> Option<&str> {
    let pair = name.strip_suffix(|c: char| c.is_ascii_digit())?.strip_suffix(|c: char| c.is_ascii_digit())?;
    let pair = pair.strip_suffix(['F', 'G', 'H', 'J', 'K', 'M', 'N', 'Q', 'U', 'V', 'X', 'Z'])?;
    wire::split_joined(pair).map(|_| pair)
}

const PROFILE: Profile = Profile {
    id: VenueId("bitget"),
    title: "Bitget",
    documentation_url: "https://www.bitget.com/api-doc/",
    terms_url: "https://www.bitget.com/support/articles/360014944032",
    rest_url: "https://api.bitget.com",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        FeedProfile::of(Feed::LongShortRatios),
        FeedProfile::of(Feed::OpenInterest),
    ],
    limits: &[
        RateLimit::of(SPOT_TICKERS, 20, 1),
        RateLimit::of(FUTURES_TICKERS, 20, 1),
        RateLimit::of(ACCOUNT_LONG_SHORT, 1, 1),
        RateLimit::of(POSITION_LONG_SHORT, 1, 1),
        RateLimit::of(TAKER_BUY_SELL, 1, 1),
    ],
    long_short_kinds: &[LongShortKind::GlobalAccount, LongShortKind::GlobalPosition, LongShortKind::TakerVolume],
    stream: Some(StreamProfile {
        url: "wss://ws.bitget.com",
        path: "/v2/ws/public",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: "ping", every: Duration::from_secs(30) },
            instruments_max: 200,
            messages_per_second_max: 10,
        },
    }),
    codes: &[
        ("APX", "AstroPepeX"),
        ("DEGEN", "DegenReborn"),
        ("EVA", "Evadore"),
        ("JADE", "Jade Protocol"),
        ("TONCOIN", "TON"),
    ],
    ..Profile::NONE
};

impl Venue for Bitget {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol, Market::Spot).or_else(|| instrument(symbol, Market::Futures))
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let symbol = format!("{base}{quote}").to_ascii_uppercase();
        wire::spot_instrument(&symbol, base, quote)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let (path, separator, scope) = match feed {
            Feed::Tickers => ("/api/v2/spot/market/tickers", '?', SPOT_TICKERS),
            Feed::OpenInterest => ("/api/v3/market/tickers?category=USDT-FUTURES", '&', FUTURES_TICKERS),
            Feed::LongShortRatios => {
                return asked.iter().flat_map(|asked| ratio_requests(asked, options.period_or_default())).collect();
            }
            _ => return Vec::new(),
        };
        let path = match asked {
            [only] => format!("{path}{separator}symbol={}", wire::url_encoded(&only.symbol)),
            _ => path.to_owned(),
        };
        vec![Request::of(Ask::about(feed, asked), scope, path)]
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let mut builder = ResponseBuilder::new(ask);
        let data = data_of(&response.body)?;
        let mut reader = Reader::new(data);
        match ask.feed {
            Feed::Tickers => {
                wire::each_object(&mut reader, &mut builder, |reader, builder| {
                    Entry::read(reader)?.record(builder, None, Entry::ticker);
                    Ok(())
                })?;
            }
            Feed::OpenInterest => {
                wire::each_object(&mut reader, &mut builder, |reader, builder| {
                    Entry::read(reader)?.record(builder, Some(Market::Futures), Entry::open_interest);
                    Ok(())
                })?;
            }
            Feed::LongShortRatios => {
                wire::each_object(&mut reader, &mut builder, |reader, builder| {
                    read_shares(reader, builder, ask.period)
                })?;
            }
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// One request per statistic.
fn ratio_requests(asked: &Instrument, period: Period) -> [Request; 3] {
    STATISTICS.map(|(endpoint, kind)| {
        let symbol = wire::url_encoded(&asked.symbol);
        let path = format!("/api/v2/mix/market/{endpoint}?symbol={symbol}&period={}", period.as_str());
        Request::of(Ask::ratios(asked, period, Some(kind)), endpoint, path)
    })
}

/// The list in `{"code":"00000","msg":"success","requestTime":1700000000000,"data":[…]}`, which may also be nested as
/// `data.list`.
fn data_of(body: &[u8]) -> Result<&[u8], VenueError> {
    let mut reader = Reader::new(body);
    let mut code = Scalar::Missing;
    let mut data: Option<&[u8]> = None;
    reader.object(|reader, key| {
        match (key, reader.kind()?) {
            (b"code", _) => code = reader.scalar()?,
            (b"data", Kind::Array) => data = Some(reader.raw()?),
            (b"data", Kind::Object) => reader.object(|reader, key| {
                if key == b"list" && reader.kind()? == Kind::Array {
                    data = Some(reader.raw()?);
                    return Ok(());
                }
                reader.skip()
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    match code.bytes() {
        b"00000" | b"0" => data.ok_or(wire::without("data")),
        b"" => Err(wire::without("code")),
        b"429" | b"30007" | b"1001" => Err(VenueError::RateLimited { retry_after: None }),
        // Internal error, and busy.
        b"40010" | b"40015" | b"40200" | b"40725" | b"45001" => Err(wire::transient(code)),
        _ => Err(wire::rejected(code)),
    }
}

/// A ticker entry of any API generation:
///
/// - v2 spot `{"symbol":"BTCUSDT","lastPr":"2.05","open":"2","high24h":"2.3","low24h":"1.8","bidPr":"2.0","askPr":"2.1",
///   "baseVolume":"9","quoteVolume":"18","ts":"1700000000000"}`, v2 futures with `open24h` and `holdingAmount`,
/// - v3 `{"category":"USDT-FUTURES","symbol":"BTCUSDT","lastPrice":"2.05","openPrice24h":"2",…,"openInterest":"77"}`,
/// - the first stream's `{"instId":"BTCUSDT","last":"2.05","bestBid":"2.0","bestAsk":"2.1",…}`.
#[derive(Default)]
struct Entry<'a> {
    symbol: Field<'a>,
    time: Scalar<'a>,
    category: Scalar<'a>,
    delivery: Field<'a>,
    open_interest: Field<'a>,
    /// True after a field that only futures have.
    is_derivative: bool,
    figures: TickerEntry<'a>,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut entry = Self::default();
        reader.object(|reader, key| {
            let value = reader.scalar()?;
            entry.take(key, value);
            Ok(())
        })?;
        Ok(entry)
    }

    fn take(&mut self, key: &[u8], value: Scalar<'a>) {
        let figures = &mut self.figures;
        match key {
            b"symbol" => self.symbol.set("symbol", value),
            b"instId" => self.symbol.set("instId", value),
            b"ts" => self.time = value,
            b"category" => self.category = value,
            b"deliveryTime" => self.delivery.set("deliveryTime", value),
            b"holdingAmount" => self.open_interest.set("holdingAmount", value),
            b"openInterest" => self.open_interest.set("openInterest", value),
            b"fundingRate" | b"indexPrice" | b"markPrice" => self.is_derivative |= !value.is_absent(),
            b"lastPr" => figures.last.set("lastPr", value),
            b"lastPrice" => figures.last.set("lastPrice", value),
            b"last" => figures.last.set("last", value),
            b"bidPr" => figures.bid.set("bidPr", value),
            b"bid1Price" => figures.bid.set("bid1Price", value),
            b"bestBid" => figures.bid.set("bestBid", value),
            b"askPr" => figures.ask.set("askPr", value),
            b"ask1Price" => figures.ask.set("ask1Price", value),
            b"bestAsk" => figures.ask.set("bestAsk", value),
            b"high24h" => figures.high.set("high24h", value),
            b"highPrice24h" => figures.high.set("highPrice24h", value),
            b"low24h" => figures.low.set("low24h", value),
            b"lowPrice24h" => figures.low.set("lowPrice24h", value),
            b"baseVolume" => figures.base_volume.set("baseVolume", value),
            b"volume24h" => figures.base_volume.set("volume24h", value),
            b"quoteVolume" => figures.quote_volume.set("quoteVolume", value),
            b"turnover24h" => figures.quote_volume.set("turnover24h", value),
            _ => {}
        }
    }

    fn record(
        &self,
        builder: &mut ResponseBuilder<'_>,
        market: Option<Market>,
        statement: impl Fn(&Self) -> Result<Statement, Failure>,
    ) {
        let is_derivative = self.is_derivative || !self.open_interest.value.is_absent();
        let otherwise = if is_derivative { Market::Futures } else { Market::Spot };
        let market = Market::of(self.category).or(market).unwrap_or(otherwise);
        // `"0"`, empty and null mean that the contract has no delivery date.
        let is_dated = self.delivery.value.integer().is_ok_and(|time| time.is_some_and(|time| time != 0));
        let split = |symbol: &str| {
            let mut found = instrument(symbol, market)?;
            if is_dated {
                found.kind = InstrumentKind::Other;
            }
            Some(found)
        };
        if let Some(about) = builder.resolve(self.symbol.value, split) {
            builder.record(&about, statement(self));
        }
    }

    fn ticker(&self) -> Result<Statement, Failure> {
        Ok((self.time.millis().at("ts")?, Payload::Ticker(self.figures.full()?)))
    }

    fn stream_ticker(&self) -> Result<Statement, Failure> {
        Ok((self.time.millis().at("ts")?, Payload::Ticker(self.figures.partial()?)))
    }

    /// Open interest is in units of the base asset in every generation.
    fn open_interest(&self) -> Result<Statement, Failure> {
        let missing = Failure { reason: UnresolvedReason::NoValue, field: "openInterest" };
        let open_interest = self.open_interest.quantity()?.ok_or(missing)?;
        let payload = OpenInterest { open_interest, unit: OpenInterestUnit::Base, open_interest_usd: None };
        Ok((self.time.millis().at("ts")?, Payload::OpenInterest(payload)))
    }
}

/// Reads a row of shares: `{"longAccountRatio":"0.6","shortAccountRatio":"0.4","longShortAccountRatio":"0.015","ts":"1700000100000"}`,
/// the same with `Position` for `Account`, or of taker volumes `{"buyVolume":"30","sellVolume":"20","ts":"1700000100000"}`. The third
/// figure of shares has been wrong by a factor of 100, so the ratio is taken of the two sides.
///
/// `position-long-short` counts all positions, not a top trader's. The rows of the margin statistics (`longRatio`)
/// count loans, which no [`LongShortKind`] means, so they are reported as without a value.
fn read_shares(
    reader: &mut Reader<'_>,
    builder: &mut ResponseBuilder<'_>,
    period: Option<Period>,
) -> Result<(), JsonError> {
    let mut kind = None;
    let (mut long, mut short) = (Field::default(), Field::default());
    let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
    reader.object(|reader, key| {
        let value = reader.scalar()?;
        let (side, name, of) = match key {
            b"longAccountRatio" => (&mut long, "longAccountRatio", LongShortKind::GlobalAccount),
            b"shortAccountRatio" => (&mut short, "shortAccountRatio", LongShortKind::GlobalAccount),
            b"longPositionRatio" => (&mut long, "longPositionRatio", LongShortKind::GlobalPosition),
            b"shortPositionRatio" => (&mut short, "shortPositionRatio", LongShortKind::GlobalPosition),
            b"buyVolume" => (&mut long, "buyVolume", LongShortKind::TakerVolume),
            b"sellVolume" => (&mut short, "sellVolume", LongShortKind::TakerVolume),
            b"symbol" => {
                symbol = value;
                return Ok(());
            }
            b"ts" => {
                time = value;
                return Ok(());
            }
            _ => return Ok(()),
        };
        side.set(name, value);
        kind = Some(of);
        Ok(())
    })?;
    let split = |symbol: &str| instrument(symbol, Market::Futures);
    let about = match symbol {
        Scalar::Missing => builder.only_instrument(),
        symbol => builder.resolve(symbol, split),
    };
    if let Some(about) = about {
        let no_kind = Failure { reason: UnresolvedReason::NoValue, field: "longRatio" };
        let statement = kind.ok_or(no_kind).and_then(|kind| both_sides(kind, long, short, time, period));
        builder.record(&about, statement);
    }
    Ok(())
}

fn both_sides(
    kind: LongShortKind,
    long: Field<'_>,
    short: Field<'_>,
    time: Scalar<'_>,
    period: Option<Period>,
) -> Result<Statement, Failure> {
    let (long_name, short_name) = match kind {
        LongShortKind::GlobalPosition => ("longPositionRatio", "shortPositionRatio"),
        LongShortKind::TakerVolume => ("buyVolume", "sellVolume"),
        _ => ("longAccountRatio", "shortAccountRatio"),
    };
    let no_value = |field| Failure { reason: UnresolvedReason::NoValue, field };
    let long = long.quantity()?.ok_or(no_value(long_name))?;
    let short = short.quantity()?.ok_or(no_value(short_name))?;
    // Two shares rounded to four places may miss 1 by a little; more means that they are not shares.
    let excess = long.checked_add(short).and_then(|sum| sum.checked_sub(Decimal::ONE));
    let are_shares = excess.is_some_and(|excess| excess.to_f64().abs() <= 0.01);
    if kind != LongShortKind::TakerVolume && !are_shares {
        return Err(Failure { reason: UnresolvedReason::Implausible, field: long_name });
    }
    let shares = wire::long_short_of_shares(kind, period, long, short);
    let time = time.millis().at("ts")?.ok_or(no_value("ts"))?;
    Ok((Some(time), Payload::LongShort(shares.ok_or(no_value(short_name))?)))
}

impl StreamingVenue for Bitget {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let topic = |asked: &Instrument| {
            let market = if asked.kind == InstrumentKind::Spot { "SPOT" } else { "USDT-FUTURES" };
            serde_json::json!({"instType": market, "channel": "ticker", "instId": asked.symbol.as_str()})
        };
        let frame = |asked: &[Instrument]| {
            let topics: Vec<_> = asked.iter().map(topic).collect();
            serde_json::json!({"op": "subscribe", "args": topics}).to_string()
        };
        asked.chunks(TOPICS_PER_FRAME_MAX).map(frame).collect()
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        if frame.trim_ascii() == b"pong" {
            return Ok(Frame::Alive);
        }
        let mut reader = Reader::new(frame);
        let (mut event, mut code) = (Scalar::Missing, Scalar::Missing);
        let (mut market, mut channel, mut topic) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
        let mut data: Option<&[u8]> = None;
        reader.object(|reader, key| {
            match (key, reader.kind()?) {
                (b"event", _) => event = reader.scalar()?,
                (b"code", _) => code = reader.scalar()?,
                (b"data", Kind::Array) => data = Some(reader.raw()?),
                (b"arg", Kind::Object) => reader.object(|reader, key| {
                    let value = reader.scalar()?;
                    match key {
                        b"instType" => market = value,
                        b"channel" => channel = value,
                        b"instId" => topic = value,
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        match event.bytes() {
            b"subscribe" => return Ok(Frame::Subscribed),
            b"error" => return Ok(Frame::Refused { symbol: topic.label(), reason: wire::plain_code(code) }),
            _ => {}
        }
        let (b"ticker", Some(data)) = (channel.bytes(), data) else { return Ok(Frame::Ignored) };
        let mut builder = ResponseBuilder::of_all();
        wire::each_object(&mut Reader::new(data), &mut builder, |reader, builder| {
            let mut entry = Entry::read(reader)?;
            entry.symbol.set("instId", topic);
            entry.record(builder, Market::of(market), Entry::stream_ticker);
            Ok(())
        })?;
        builder.finish().map(Frame::Data)
    }
}
