//! Binance USD-M futures.
//!
//! Documentation: <https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info>.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{
    Ask, AskPart, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};
use super::wire::{self, At, Failure, Field, JsonError, Reader, ResponseBuilder, Scalar, Statement};
use crossmarket_domain::observation::{OpenInterest, OpenInterestUnit};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, LongShortKind, Payload, Period, VenueId};

/// Binance's futures margined in a dollar stablecoin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BinanceUsdm;

const WEIGHT: &str = "weight";
const FUTURES_DATA: &str = "futures-data";

const KLINES_MAX: u32 = 1_500;
const STATISTICS_ROWS_MAX: u32 = 500;

/// The trader statistics: each endpoint and the population that it counts.
const LONG_SHORT_ENDPOINTS: &[(&str, LongShortKind)] = &[
    ("globalLongShortAccountRatio", LongShortKind::GlobalAccount),
    ("topLongShortAccountRatio", LongShortKind::TopTraderAccount),
    ("topLongShortPositionRatio", LongShortKind::TopTraderPosition),
    ("takerlongshortRatio", LongShortKind::TakerVolume),
];

fn instrument(symbol: &str) -> Option<Instrument> {
    // A dated future ends in its date, `BTCUSDT_260327`; a coin-margined perpetual of the sister market ends in
    // `_PERP`.
    let (pair, kind) = match symbol.split_once('_') {
        None => (symbol, InstrumentKind::PerpetualLinear),
        Some((pair, "PERP")) => {
            let base = pair.strip_suffix("USD")?;
            return wire::derivative(symbol, base, "USD", InstrumentKind::PerpetualInverse);
        }
        Some((pair, _)) => (pair, InstrumentKind::Other),
    };
    let (base, quote) = wire::split_joined(pair)?;
    wire::derivative(symbol, base, quote, kind)
}

const PROFILE: Profile = Profile {
    id: VenueId("binance-usdm"),
    title: "Binance USD-M futures",
    documentation_url: "https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info",
    terms_url: "https://www.binance.com/en/terms",
    rest_url: "https://fapi.binance.com",
    feeds: &[
        FeedProfile::of(Feed::Tickers),
        FeedProfile::of(Feed::Candles),
        FeedProfile::of(Feed::LongShortRatios),
        FeedProfile::of(Feed::OpenInterest).with_history(),
    ],
    limits: &[RateLimit::of(WEIGHT, 2_400, 60), RateLimit::of(FUTURES_DATA, 1_000, 300)],
    long_short_kinds: &[
        LongShortKind::GlobalAccount,
        LongShortKind::TopTraderAccount,
        LongShortKind::TopTraderPosition,
        LongShortKind::TakerVolume,
    ],
    long_short_rows_max: STATISTICS_ROWS_MAX,
    stream: Some(StreamProfile {
        url: "wss://fstream.binance.com",
        path: "/market/ws",
        session: SessionPolicy {
            life_max: Some(Duration::from_secs(24 * 3_600)),
            // The server pings every 3 min.
            silence_max: Duration::from_secs(240),
            ping: Ping::Answer,
            instruments_max: 1_024,
            messages_per_second_max: 10,
        },
    }),
    ..Profile::NONE
};

impl Venue for BinanceUsdm {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        wire::derivative(&format!("{base}{quote}"), &base, &quote, InstrumentKind::PerpetualLinear)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => vec![ticker_request(asked)],
            Feed::Candles => asked.iter().map(|asked| kline_request(asked, options)).collect(),
            Feed::LongShortRatios => asked
                .iter()
                .flat_map(|asked| {
                    LONG_SHORT_ENDPOINTS.iter().map(move |(endpoint, kind)| {
                        let ask = Ask::ratios(asked, options.period_or_default(), Some(*kind));
                        statistics_request(endpoint, ask, asked, options)
                    })
                })
                .collect(),
            Feed::OpenInterest => asked.iter().map(|asked| open_interest_request(asked, options)).collect(),
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::binance::check(response)?;
        match ask.feed {
            Feed::Tickers => wire::binance::tickers(ask, &response.body, instrument),
            Feed::Candles => wire::binance::klines(ask, response),
            Feed::LongShortRatios => long_short_ratios(ask, response),
            Feed::OpenInterest => open_interest(ask, response),
            _ => Err(wire::no_such_feed()),
        }
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

fn ticker_request(asked: &[Instrument]) -> Request {
    let (path, weight) = match asked {
        [only] => (format!("/fapi/v1/ticker/24hr?symbol={}", wire::url_encoded(&only.symbol)), 1),
        _ => ("/fapi/v1/ticker/24hr".to_owned(), 40),
    };
    Request { weight, ..Request::of(Ask::about(Feed::Tickers, asked), WEIGHT, path) }
}

fn kline_request(asked: &Instrument, options: &RequestOptions) -> Request {
    let interval = options.interval_or_default();
    let path = format!("/fapi/v1/klines?{}", wire::binance::kline_query(asked, interval.as_str(), options, KLINES_MAX));
    // Without a limit, Binance returns 500 rows.
    let weight = match options.limit.unwrap_or(500) {
        0..100 => 1,
        100..500 => 2,
        500..=1_000 => 5,
        _ => 10,
    };
    Request { weight, ..Request::of(Ask::candles(asked, interval), WEIGHT, path) }
}

/// The current open interest, or its history if a period is given. The history counts against the scope of the other
/// statistics.
fn open_interest_request(asked: &Instrument, options: &RequestOptions) -> Request {
    let ask = Ask::about(Feed::OpenInterest, [asked.clone()]);
    if options.period.is_some() || options.start.is_some() {
        return statistics_request("openInterestHist", ask, asked, options);
    }
    let path = format!("/fapi/v1/openInterest?symbol={}", wire::url_encoded(&asked.symbol));
    Request::of(ask, WEIGHT, path)
}

fn statistics_request(endpoint: &str, ask: Ask, asked: &Instrument, options: &RequestOptions) -> Request {
    let period = options.period_or_default().as_str();
    let symbol = wire::url_encoded(&asked.symbol);
    let mut path = format!("/futures/data/{endpoint}?symbol={symbol}&period={period}");
    // Without a start and a limit, request only the newest row.
    let newest = options.limit.is_none() && options.start.is_none();
    let options = RequestOptions { limit: if newest { Some(1) } else { options.limit }, ..options.clone() };
    wire::binance::push_span(&mut path, &options, STATISTICS_ROWS_MAX);
    Request::of(ask, FUTURES_DATA, path)
}

/// Reads the rows of a long/short endpoint, oldest first:
/// `[{"symbol":"ABCUSDT","longAccount":"0.6000","longShortRatio":"1.5000","shortAccount":"0.4000","timestamp":1700000100000}]`, or
/// without a symbol `[{"buySellRatio":"1.5000","buyVol":"30.0","sellVol":"20.0","timestamp":1700000100000}]`.
fn long_short_ratios(ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::new(ask);
    wire::binance::each_entry(&response.body, &mut builder, |reader, builder| {
        let row = LongShortRow::read(reader)?;
        let about = match row.symbol {
            Scalar::Missing => builder.only_instrument(),
            symbol => builder.resolve(symbol, instrument),
        };
        // Volume rows are taker volumes, whatever the ask says.
        let kind = if row.is_volume { Some(LongShortKind::TakerVolume) } else { ask.kind };
        match (about, kind) {
            (Some(about), Some(kind)) => builder.record(&about, row.statement(kind, ask.period)),
            (Some(_), None) => builder.lacks(AskPart::Kind),
            (None, _) => {}
        }
        Ok(())
    })?;
    builder.finish()
}

#[derive(Default)]
struct LongShortRow<'a> {
    symbol: Scalar<'a>,
    long: Field<'a>,
    short: Field<'a>,
    ratio: Field<'a>,
    is_volume: bool,
    timestamp: Scalar<'a>,
}

impl<'a> LongShortRow<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut row = Self::default();
        reader.object(|reader, key| {
            match key {
                b"symbol" | b"pair" => row.symbol = reader.scalar()?,
                b"longAccount" => row.long.set("longAccount", reader.scalar()?),
                b"longPosition" => row.long.set("longPosition", reader.scalar()?),
                b"shortAccount" => row.short.set("shortAccount", reader.scalar()?),
                b"shortPosition" => row.short.set("shortPosition", reader.scalar()?),
                b"longShortRatio" => row.ratio.set("longShortRatio", reader.scalar()?),
                b"buySellRatio" => row.ratio.set("buySellRatio", reader.scalar()?),
                b"buyVol" => {
                    row.is_volume = true;
                    row.long.set("buyVol", reader.scalar()?);
                }
                b"sellVol" => {
                    row.is_volume = true;
                    row.short.set("sellVol", reader.scalar()?);
                }
                b"timestamp" => row.timestamp = reader.scalar()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(row)
    }

    fn statement(&self, kind: LongShortKind, period: Option<Period>) -> Result<Statement, Failure> {
        let event_time = self.timestamp.millis().at("timestamp")?;
        let value = match (self.long.quantity()?, self.short.quantity()?) {
            (Some(long), Some(short)) => wire::long_short_of_shares(kind, period, long, short),
            // One share without the other is incomplete. With neither, the ratio is used.
            (None, None) => self.ratio.quantity()?.and_then(|ratio| wire::long_short_of_ratio(kind, period, ratio)),
            _ => None,
        };
        let no_value = Failure { reason: UnresolvedReason::NoValue, field: self.field_at_fault() };
        Ok((event_time, Payload::LongShort(value.ok_or(no_value)?)))
    }

    fn field_at_fault(&self) -> &'static str {
        let absent_or_zero = |field: &Field<'_>| !matches!(field.price(), Ok(Some(_)));
        let named = |field: &Field<'_>| (!field.name.is_empty()).then_some(field.name);
        let at_fault = [&self.long, &self.short, &self.ratio].into_iter().filter(|field| absent_or_zero(field));
        at_fault.filter_map(named).next().unwrap_or("longShortRatio")
    }
}

/// Reads `openInterest`, `{"openInterest":"10.5","symbol":"ABCUSDT","time":1700000000000}`, or rows of `openInterestHist`,
/// `[{"symbol":"ABCUSDT","sumOpenInterest":"10.5","sumOpenInterestValue":"26.25","timestamp":1700000000000}]`: units of the base asset.
fn open_interest(ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
    let mut builder = ResponseBuilder::new(ask);
    wire::binance::each_entry(&response.body, &mut builder, |reader, builder| {
        let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
        let (mut amount, mut value) = (Field::default(), Field::default());
        reader.object(|reader, key| {
            match key {
                b"symbol" => symbol = reader.scalar()?,
                b"openInterest" => amount.set("openInterest", reader.scalar()?),
                b"sumOpenInterest" => amount.set("sumOpenInterest", reader.scalar()?),
                b"sumOpenInterestValue" => value.set("sumOpenInterestValue", reader.scalar()?),
                b"time" | b"timestamp" => time = reader.scalar()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        // For a pair quoted in a coin, the value is in that coin.
        if symbol.bytes().ends_with(b"BTC") {
            value = Field::default();
        }
        if let Some(about) = builder.resolve(symbol, instrument) {
            builder.record(&about, open_interest_statement(amount, value, time));
        }
        Ok(())
    })?;
    builder.finish()
}

fn open_interest_statement(amount: Field<'_>, value: Field<'_>, time: Scalar<'_>) -> Result<Statement, Failure> {
    let no_value = Failure { reason: UnresolvedReason::NoValue, field: "openInterest" };
    let open_interest = OpenInterest {
        open_interest: amount.quantity()?.ok_or(no_value)?,
        unit: OpenInterestUnit::Base,
        // A value of 0 next to an amount means unknown.
        open_interest_usd: value.price()?,
    };
    Ok((time.millis().at("timestamp")?, Payload::OpenInterest(open_interest)))
}

impl StreamingVenue for BinanceUsdm {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        wire::binance::subscribe(asked)
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        wire::binance::frame(frame, instrument)
    }
}
