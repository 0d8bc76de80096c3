//! MEXC: spot by HTTP, and recorded frames of its futures stream.
//!
//! Documentation: <https://www.mexc.com/api-docs/spot-v3/introduction>. The spot API looks like Binance's, but its
//! `priceChangePercent` is a fraction. The spot stream is protobuf, which is not read here.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, Payload, VenueId};

use super::gather::{self, At, Field, Gather, TickerEntry, each_object, plain_code};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue, Venue,
    VenueError, binance_format, symbols,
};

/// MEXC's spot market.
#[derive(Clone, Copy, Debug)]
pub struct Mexc;

const TICKERS: &str = "tickers";
const CANDLES: &str = "candles";
const CANDLES_MAX: u32 = 1_000;

fn instrument(symbol: &str) -> Option<Instrument> {
    // Futures put a line between the assets: `BTC_USDT`.
    if symbol.contains('_') {
        let (base, quote) = symbols::split_at(symbol, '_')?;
        let kind = if quote == "USD" { InstrumentKind::PerpetualInverse } else { InstrumentKind::PerpetualLinear };
        return gather::derivative(symbol, base, quote, kind);
    }
    let (base, quote) = symbols::split_joined(symbol)?;
    gather::spot_instrument(symbol, base, quote)
}

impl Venue for Mexc {
    fn id(&self) -> VenueId {
        VenueId("mexc")
    }

    fn about(&self) -> About {
        About {
            title: "MEXC",
            documentation_url: "https://www.mexc.com/api-docs/spot-v3/introduction",
            terms_url: "https://www.mexc.com/terms",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.mexc.com"
    }

    fn limits(&self) -> &'static [RateLimit] {
        const LIMITS: &[RateLimit] = &[
            RateLimit { scope: TICKERS, limit: 20, window: Duration::from_secs(1) },
            RateLimit { scope: CANDLES, limit: 20, window: Duration::from_secs(1) },
        ];
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        gather::spot_instrument(&format!("{base}{quote}"), &base, &quote)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let request = |path, scope, asked| Request { path, host: None, scope, weight: 1, asked };
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/api/v3/ticker/24hr?symbol={}", gather::url_encoded(&only.symbol));
                vec![request(path, TICKERS, asked.to_vec())]
            }
            (Feed::Tickers, _) => vec![request("/api/v3/ticker/24hr".to_owned(), TICKERS, asked.to_vec())],
            (Feed::Candles, _) => {
                let interval = match options.interval.unwrap_or(CandleInterval::OneDay) {
                    CandleInterval::FiveMinutes => "5m",
                    CandleInterval::OneHour => "60m",
                    CandleInterval::OneDay => "1d",
                };
                let path = |asked| {
                    format!("/api/v3/klines?{}", binance_format::kline_query(asked, interval, options, CANDLES_MAX))
                };
                asked.iter().map(|asked| request(path(asked), CANDLES, vec![asked.clone()])).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        // MEXC's own status for too many requests.
        if response.status == 510 {
            return Err(VenueError::RateLimited { retry_after: response.retry_after });
        }
        binance_format::check(response)?;
        match feed {
            Feed::Tickers => match futures_data(&response.body) {
                Some(data) => futures_tickers(asked, data),
                None => binance_format::tickers(asked, &response.body, instrument),
            },
            Feed::Candles => binance_format::klines(asked, response, instrument),
            _ => Err(gather::no_such_feed()),
        }
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// The data of a body of the futures API, `{"success":true,"code":0,"data":[…]}`; `None` for any other body.
fn futures_data(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let (mut success, mut data) = (Scalar::Missing, None);
    let read = reader.object(|reader, key| {
        match key {
            b"success" => success = reader.scalar()?,
            b"data" => data = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok(())
    });
    data.filter(|_| read.is_ok() && success == Scalar::Bool(true))
}

fn futures_tickers(asked: &[Instrument], data: &[u8]) -> Result<Parsed, VenueError> {
    let mut gather = Gather::new(asked);
    let mut reader = Reader::new(data);
    match reader.kind()? {
        Kind::Object => futures_ticker(&mut reader, &mut gather)?,
        _ => each_object(&mut reader, &mut gather, futures_ticker)?,
    }
    Ok(gather.finish())
}

/// Reads `{"symbol":"ABC_USDT","lastPrice":2.5,"bid1":2.4,"ask1":2.6,"high24Price":2.7,"lower24Price":1.9,"volume24":9000,
/// "amount24":2250.5,"timestamp":1700000000123}`. `volume24` counts contracts; `amount24` is in the settlement asset.
fn futures_ticker(reader: &mut Reader<'_>, gather: &mut Gather<'_>) -> Result<(), JsonError> {
    let mut entry = TickerEntry::default();
    let (mut symbol, mut time, mut amount) = (Scalar::Missing, Scalar::Missing, Field::default());
    reader.object(|reader, key| {
        match key {
            b"symbol" => symbol = reader.scalar()?,
            b"lastPrice" => entry.last.set("lastPrice", reader.scalar()?),
            b"bid1" => entry.bid.set("bid1", reader.scalar()?),
            b"ask1" => entry.ask.set("ask1", reader.scalar()?),
            b"high24Price" => entry.high.set("high24Price", reader.scalar()?),
            b"lower24Price" => entry.low.set("lower24Price", reader.scalar()?),
            b"amount24" => amount.set("amount24", reader.scalar()?),
            b"timestamp" => time = reader.scalar()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    if symbol.bytes().ends_with(b"_USD") {
        entry.base_volume = amount;
    } else {
        entry.quote_volume = amount;
    }
    if let Some(subject) = gather.subject(symbol, instrument) {
        let event_time = time.millis().at("timestamp");
        gather.settle(&subject, event_time.and_then(|time| Ok((time, Payload::Ticker(entry.full()?)))));
    }
    Ok(())
}

impl StreamingVenue for Mexc {
    fn ws_url(&self) -> &'static str {
        "wss://contract.mexc.com"
    }

    fn connects(&self) -> bool {
        false
    }

    fn path(&self) -> &'static str {
        "/edge"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Text { text: r#"{"method":"ping"}"#, every: Duration::from_secs(20) },
            instruments_max: 100,
            messages_per_second_max: 5,
        }
    }

    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |asked: &Instrument| {
            serde_json::json!({"method": "sub.ticker", "param": {"symbol": asked.symbol.as_str()}}).to_string()
        };
        asked.iter().map(frame).collect()
    }

    /// Reads `{"channel":"push.ticker","symbol":"ABC_USDT","ts":1700000000123,"data":{…}}`, where `push.tickers` has a list.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let (mut channel, mut data): (_, &[u8]) = (Scalar::Missing, b"");
        reader.object(|reader, key| {
            match key {
                b"channel" => channel = reader.scalar()?,
                b"data" => data = reader.raw()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(match channel.bytes() {
            b"push.ticker" | b"push.tickers" => Frame::Data(futures_tickers(&[], data)?),
            b"pong" => Frame::Alive,
            b"rs.error" => Frame::Refused { symbol: SmolStr::default(), reason: plain_code(Scalar::Text(data)) },
            answer if answer.starts_with(b"rs.sub.") => Frame::Subscribed,
            _ => Frame::Ignored,
        })
    }
}
