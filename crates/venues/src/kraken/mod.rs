//! Kraken: spot, quoted mostly in fiat.
//!
//! Documentation: <https://docs.kraken.com/api/>. An instrument has several names: `XXBTZUSD` is the key in REST
//! answers, `XBTUSD` the name in requests and `BTC/USD` the name on the stream (WebSocket v2). So answers are matched
//! by base and quote.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{
    Ask, AskPart, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, UnresolvedReason, Venue, VenueError,
};
use super::wire::{
    self, At, CandleColumns, Failure, JsonError, Kind, Reader, ResponseBuilder, Scalar, Statement, TickerEntry,
};
use crossmarket_domain::{Feed, Instrument, InstrumentKind, Payload, Timestamp, VenueId};

/// Kraken spot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kraken;

const SCOPE: &str = "public";

/// `[time, open, high, low, close, vwap, volume, count]`.
const CANDLE: CandleColumns =
    CandleColumns { time: 0, open: 1, high: 2, low: 3, close: 4, base_volume: 6, quote_volume: None };

/// Kraken's oldest assets have a class prefix: `X` for coins, `Z` for currencies. Newer ones have none, and some of
/// those begin with X too (`XTZ`), so only these names are translated.
const LEGACY_ASSETS: &[(&str, &str)] = &[
    ("XXBT", "BTC"),
    ("XETH", "ETH"),
    ("XETC", "ETC"),
    ("XLTC", "LTC"),
    ("XMLN", "MLN"),
    ("XREP", "REP"),
    ("XXDG", "DOGE"),
    ("XXLM", "XLM"),
    ("XXMR", "XMR"),
    ("XXRP", "XRP"),
    ("XZEC", "ZEC"),
    ("XICN", "ICN"),
    ("XNMC", "NMC"),
    ("XDAO", "DAO"),
    ("ZUSD", "USD"),
    ("ZEUR", "EUR"),
    ("ZGBP", "GBP"),
    ("ZCAD", "CAD"),
    ("ZJPY", "JPY"),
    ("ZAUD", "AUD"),
    ("ZKRW", "KRW"),
    ("XBT", "BTC"),
    ("XDG", "DOGE"),
];

/// Quote assets of pairs without a separator.
const QUOTES: &[&str] = &[
    "USDT", "USDC", "EURC", "USD", "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "AED", "DAI", "XBT", "BTC", "ETH", "DOT",
    "SOL",
];

/// Quote assets that other pairs also end in (`PEARLUSD` is not quoted in `RLUSD`), and the assets known to trade
/// against them.
const RARE_QUOTES: &[&str] = &["PYUSD", "RLUSD", "USDQ", "USDR", "USDG", "USDS"];
const RARE_QUOTE_BASES: &[&str] = &["XBT", "BTC", "ETH", "XRP", "SOL", "USDT", "USDC"];

fn common_name(asset: &str) -> &str {
    LEGACY_ASSETS.iter().find(|(legacy, _)| *legacy == asset).map_or(asset, |(_, common)| common)
}

/// The name of a pair in requests.
fn asking_name(asset: &str) -> &str {
    match asset {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}

/// Splits any of Kraken's names of a pair into Kraken's names of the two assets.
fn split(symbol: &str) -> Option<(&str, &str)> {
    if symbol.contains('/') {
        return wire::split_at(symbol, '/');
    }
    // `XXBTZUSD`: both assets in the old form. `USDTZUSD` mixes the forms. Any other name with a Z in the middle is
    // plain: `XTZUSD`.
    if let Some((base, quote)) = symbol.split_at_checked(4)
        && quote.len() == 4
        && is_legacy(quote)
        && (is_legacy(base) || base == "USDT")
    {
        return Some((base, quote));
    }
    let rare = RARE_QUOTES.iter().filter_map(|quote| Some((symbol.strip_suffix(quote)?, *quote)));
    if let Some(pair) = rare.into_iter().find(|(base, _)| RARE_QUOTE_BASES.contains(base)) {
        return Some(pair);
    }
    let plain = QUOTES.iter().filter_map(|quote| Some((symbol.strip_suffix(quote)?, *quote)));
    plain.filter(|(base, _)| !base.is_empty()).max_by_key(|(_, quote)| quote.len())
}

fn is_legacy(asset: &str) -> bool {
    asset.len() == 4 && LEGACY_ASSETS.iter().any(|(legacy, _)| *legacy == asset)
}

const PROFILE: Profile = Profile {
    id: VenueId("kraken"),
    title: "Kraken",
    documentation_url: "https://docs.kraken.com/api/",
    terms_url: "https://www.kraken.com/legal",
    rest_url: "https://api.kraken.com",
    feeds: &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles).ranked(3)],
    limits: &[RateLimit::of(SCOPE, 1, 1)],
    stream: Some(StreamProfile {
        url: "wss://ws.kraken.com",
        path: "/v2",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(30),
            ping: Ping::Answer,
            instruments_max: 200,
            messages_per_second_max: 10,
        },
    }),
    codes: &[("FEE", "KFEE"), ("LUNA", "LUNC"), ("LUNA2", "LUNA"), ("REP", "REPV1"), ("UST", "USTC")],
    ..Profile::NONE
};

impl Venue for Kraken {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (base, quote) = split(symbol)?;
        let mut instrument = wire::spot_instrument(symbol, common_name(base), common_name(quote))?;
        // `AAPLx` is a tokenized share.
        if base.ends_with('x') {
            instrument.kind = InstrumentKind::Other;
        }
        Some(instrument)
    }

    /// The WebSocket v2 name, which uses the common tickers.
    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}/{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let pair = |instrument: &Instrument| {
            wire::url_encoded(&format!("{}{}", asking_name(&instrument.base), asking_name(&instrument.quote)))
        };
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/0/public/Ticker?pair={}", pair(only));
                vec![Request::of(Ask::about(feed, asked), SCOPE, path)]
            }
            // One unknown pair makes Kraken reject the whole list, so for several pairs request all and filter the
            // answer.
            (Feed::Tickers, _) => vec![Request::of(Ask::about(feed, asked), SCOPE, "/0/public/Ticker")],
            (Feed::Candles, _) => {
                let interval = options.interval_or_default();
                let minutes = interval.duration().as_secs() / 60;
                // `since` is exclusive.
                let since = options.start.map(|start| format!("&since={}", start.as_seconds().saturating_sub(1)));
                let since = since.unwrap_or_default();
                let request = |asked: &Instrument| {
                    let path = format!("/0/public/OHLC?pair={}&interval={minutes}{since}", pair(asked));
                    Request::of(Ask::candles(asked, interval), SCOPE, path)
                };
                asked.iter().map(request).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let mut builder = ResponseBuilder::by_pair(ask);
        let mut reader = Reader::new(result_of(&response.body)?);
        match ask.feed {
            Feed::Tickers => reader.object(|reader, pair| {
                let entry = ticker_entry(reader)?;
                if let Some(about) = builder.resolve(Scalar::Text(pair), |symbol| self.instrument(symbol)) {
                    builder.record(&about, entry.and_then(|entry| Ok((None, Payload::Ticker(entry.full()?)))));
                }
                Ok(())
            })?,
            Feed::Candles => reader.object(|reader, pair| {
                if pair == b"last" {
                    return reader.skip();
                }
                let rows = match reader.kind()? {
                    Kind::Array => wire::candle_rows(reader)?,
                    _ => {
                        reader.skip()?;
                        vec![[Scalar::Compound; 8]]
                    }
                };
                let Some(interval) = ask.interval else {
                    builder.lacks(AskPart::Interval);
                    return Ok(());
                };
                if let Some(about) = builder.resolve(Scalar::Text(pair), |symbol| self.instrument(symbol)) {
                    wire::record_candles(&mut builder, &about, CANDLE, interval, &rows);
                }
                Ok(())
            })?,
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// The `result` of `{"error":[],"result":{…}}`. The documentation describes the error as a list, but it may be a plain
/// string.
fn result_of(body: &[u8]) -> Result<&[u8], VenueError> {
    let mut reader = Reader::new(body);
    let mut failure = Scalar::Missing;
    let mut result: Option<&[u8]> = None;
    reader.object(|reader, key| {
        let kind = reader.kind()?;
        match key {
            b"error" if kind == Kind::Array => reader.array(|reader| {
                let error = reader.scalar()?;
                // Warnings begin with W and accompany a result.
                if failure.is_absent() && !error.bytes().starts_with(b"W") {
                    failure = error;
                }
                Ok(())
            }),
            b"error" => {
                failure = reader.scalar()?;
                Ok(())
            }
            b"result" if kind == Kind::Object => {
                result = Some(reader.raw()?);
                Ok(())
            }
            _ => reader.skip(),
        }
    })?;
    reader.finish()?;
    if !failure.is_absent() {
        return Err(refusal(failure));
    }
    result.ok_or(wire::without("result"))
}

fn refusal(error: Scalar<'_>) -> VenueError {
    let text = error.text().unwrap_or_default().to_ascii_lowercase();
    if text.contains("rate limit") || text.contains("too many requests") || text.contains("temporary lockout") {
        VenueError::RateLimited { retry_after: None }
    } else if text.starts_with("eservice") || text.contains("internal error") || text.contains("timeout") {
        wire::transient(error)
    } else {
        wire::rejected(error)
    }
}

/// Reads one pair of the ticker:
///
/// `{"a":["2.1","1","1.0"],"b":["2.0","1","1.0"],"c":["2.05","0.1"],"v":["3","9"],"p":…,"t":…,"l":["1.9","1.8"],"h":["2.2","2.3"],"o":"2.0"}`
///
/// Of two figures, the first is today's and the second covers the last 24 hours. `o` is today's open, so it is not
/// used.
fn ticker_entry<'a>(reader: &mut Reader<'a>) -> Result<Result<TickerEntry<'a>, Failure>, JsonError> {
    let mut entry = TickerEntry::default();
    if reader.kind()? != Kind::Object {
        reader.skip()?;
        return Ok(Err(Failure { reason: UnresolvedReason::Malformed, field: "" }));
    }
    reader.object(|reader, key| {
        match key {
            b"a" => entry.ask.set("a", element(reader, 0)?),
            b"b" => entry.bid.set("b", element(reader, 0)?),
            b"c" => entry.last.set("c", element(reader, 0)?),
            b"v" => entry.base_volume.set("v", element(reader, 1)?),
            b"h" => entry.high.set("h", element(reader, 1)?),
            b"l" => entry.low.set("l", element(reader, 1)?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(Ok(entry))
}

/// An element of an array. If the value is not an array, returns it when it is null or empty, else a compound.
fn element<'a>(reader: &mut Reader<'a>, index: usize) -> Result<Scalar<'a>, JsonError> {
    if reader.kind()? == Kind::Array {
        return Ok(reader.row::<2>()?.get(index).copied().unwrap_or_default());
    }
    let value = reader.scalar()?;
    Ok(if value.is_absent() { value } else { Scalar::Compound })
}

impl StreamingVenue for Kraken {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        if asked.is_empty() {
            return Vec::new();
        }
        let symbols: Vec<String> = asked.iter().map(|asked| format!("{}/{}", asked.base, asked.quote)).collect();
        let parameters =
            serde_json::json!({"channel": "ticker", "symbol": symbols, "event_trigger": "bbo", "snapshot": true});
        vec![serde_json::json!({"method": "subscribe", "params": parameters}).to_string()]
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let (mut channel, mut method) = (Scalar::Missing, Scalar::Missing);
        let (mut success, mut error) = (Scalar::Missing, Scalar::Missing);
        let mut symbol = Scalar::Missing;
        let mut data: Option<&[u8]> = None;
        reader.object(|reader, key| {
            if key == b"data" && reader.kind()? == Kind::Array {
                data = Some(reader.raw()?);
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"channel" => channel = value,
                b"method" => method = value,
                b"success" => success = value,
                b"symbol" => symbol = value,
                b"error" => error = value,
                _ => {}
            }
            Ok(())
        })?;
        reader.finish()?;
        let refused = || Frame::Refused { symbol: symbol.label(), reason: wire::plain_code(error) };
        Ok(match (channel.bytes(), method.bytes()) {
            (b"ticker", _) => Frame::Data(self.read_tickers(data.ok_or(wire::without("data"))?)?),
            (b"heartbeat", _) | (_, b"pong") => Frame::Alive,
            (_, b"subscribe") if success == Scalar::Bool(true) => Frame::Subscribed,
            (_, b"subscribe") => refused(),
            _ if !error.is_absent() => refused(),
            _ => Frame::Ignored,
        })
    }
}

impl Kraken {
    /// `[{"symbol":"BTC/USD","bid":2.0,"ask":2.1,"last":2.05,"volume":9,"low":1.8,"high":2.3,"timestamp":"…"}]`. An
    /// update may contain only the quote.
    fn read_tickers(&self, data: &[u8]) -> Result<Parsed, VenueError> {
        let mut builder = ResponseBuilder::of_all();
        wire::each_object(&mut Reader::new(data), &mut builder, |reader, builder| {
            let mut entry = TickerEntry::default();
            let (mut symbol, mut time) = (Scalar::Missing, Scalar::Missing);
            reader.object(|reader, key| {
                let value = reader.scalar()?;
                match key {
                    b"symbol" => symbol = value,
                    b"timestamp" => time = value,
                    b"last" => entry.last.set("last", value),
                    b"bid" => entry.bid.set("bid", value),
                    b"ask" => entry.ask.set("ask", value),
                    b"high" => entry.high.set("high", value),
                    b"low" => entry.low.set("low", value),
                    b"volume" => entry.base_volume.set("volume", value),
                    _ => {}
                }
                Ok(())
            })?;
            if let Some(about) = builder.resolve(symbol, |symbol| self.instrument(symbol)) {
                builder.record(&about, ticker_v2(&entry, time));
            }
            Ok(())
        })?;
        builder.finish()
    }
}

/// Tokenized shares have zero quotes and a time of 1970, which counts as absent.
fn ticker_v2(entry: &TickerEntry<'_>, time: Scalar<'_>) -> Result<Statement, Failure> {
    let time = time.iso_time().at("timestamp")?.filter(|time| *time > Timestamp::EPOCH);
    Ok((time, Payload::Ticker(entry.partial()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_pair() {
        for (symbol, base, quote) in [
            ("XXBTZUSD", "BTC", "USD"),
            ("XETHZEUR", "ETH", "EUR"),
            ("XETHXXBT", "ETH", "BTC"),
            ("XXDGXXBT", "DOGE", "BTC"),
            ("XZECZUSD", "ZEC", "USD"),
            ("XBTUSDT", "BTC", "USDT"),
            ("XDGUSD", "DOGE", "USD"),
            ("XTZUSD", "XTZ", "USD"),
            ("XTZEUR", "XTZ", "EUR"),
            ("USDTZUSD", "USDT", "USD"),
            ("ZEURZUSD", "EUR", "USD"),
            ("EURUSDT", "EUR", "USDT"),
            ("DOTUSD", "DOT", "USD"),
            ("BNBUSD", "BNB", "USD"),
            ("ADAXBT", "ADA", "BTC"),
            ("AVAXXBT", "AVAX", "BTC"),
            ("AVAXETH", "AVAX", "ETH"),
            ("XBTPYUSD", "BTC", "PYUSD"),
            ("PEARLUSD", "PEARL", "USD"),
            ("1INCHUSD", "1INCH", "USD"),
            ("BTC/USD", "BTC", "USD"),
            ("XBT/USD", "BTC", "USD"),
            ("XDG/EUR", "DOGE", "EUR"),
        ] {
            let instrument = Kraken.instrument(symbol).unwrap_or_else(|| panic!("{symbol} is not split"));
            assert_eq!((instrument.base.as_str(), instrument.quote.as_str()), (base, quote), "{symbol}");
            assert_eq!((instrument.kind, instrument.symbol.as_str()), (InstrumentKind::Spot, symbol));
        }
        for symbol in ["", "USD", "XBT", "ETHUSD.d", "/USD", "A/B/C", "FOO", "币"] {
            assert_eq!(Kraken.instrument(symbol), None, "{symbol}");
        }
        assert_eq!(Kraken.instrument("AAPLx/USD").map(|share| share.kind), Some(InstrumentKind::Other));
    }

    #[test]
    fn asks_by_the_venues_names() {
        let asked = [Kraken.listing("btc", "usd").expect("a pair"), Kraken.listing("DOGE", "EUR").expect("a pair")];
        let options = RequestOptions { start: Some(Timestamp::from_seconds(86_400)), ..RequestOptions::default() };
        assert_eq!(Kraken.requests(Feed::Tickers, &asked[..1], &options)[0].path, "/0/public/Ticker?pair=XBTUSD");
        assert_eq!(Kraken.requests(Feed::Tickers, &asked, &options)[0].path, "/0/public/Ticker");
        let candles = Kraken.requests(Feed::Candles, &asked, &options);
        assert_eq!(candles[1].path, "/0/public/OHLC?pair=XDGEUR&interval=1440&since=86399");
        assert!(Kraken.subscribe(&asked)[0].contains(r#"["BTC/USD","DOGE/EUR"]"#));
    }
}
