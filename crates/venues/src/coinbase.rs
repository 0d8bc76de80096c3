//! Coinbase Exchange: spot, quoted mostly in US dollars.
//!
//! Documentation: <https://docs.cdp.coinbase.com/exchange/reference>. Values are strings, candle rows are numbers. None of the
//! single-product bodies says its product, so it is the one asked for, or the one that the path names.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use crossmarket_domain::{CandleInterval, Feed, Instrument, Payload, Timestamp, VenueId};

use super::gather::{
    self, At, CandleColumns, Field, Gather, TickerEntry, each_object, path_words, rejected, spot_instrument,
    url_encoded,
};
use super::json::{JsonError, Kind, Reader, Scalar};
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue, Venue,
    VenueError, status, symbols,
};

/// Coinbase Exchange.
#[derive(Clone, Copy, Debug)]
pub struct Coinbase;

const SCOPE: &str = "public";

/// More rows than this are refused.
const CANDLES_MAX: u32 = 300;

/// `[time, low, high, open, close, volume]`: the low comes before the high.
const CANDLE: CandleColumns =
    CandleColumns { time: 0, low: 1, high: 2, open: 3, close: 4, base_volume: 5, quote_volume: None };

const GRANULARITIES: &[(&str, CandleInterval)] =
    &[("300", CandleInterval::FiveMinutes), ("3600", CandleInterval::OneHour), ("86400", CandleInterval::OneDay)];

/// From so many instruments on, the one call for all products costs less than a request for each.
const SINGLE_REQUESTS_MAX: usize = 8;

const LIMITS: &[RateLimit] = &[RateLimit { scope: SCOPE, limit: 10, window: Duration::from_secs(1) }];

impl Venue for Coinbase {
    fn id(&self) -> VenueId {
        VenueId("coinbase")
    }

    fn about(&self) -> About {
        About {
            title: "Coinbase Exchange",
            documentation_url: "https://docs.cdp.coinbase.com/exchange/reference",
            terms_url: "https://www.coinbase.com/legal/market_data",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles]
    }

    fn rest_url(&self) -> &'static str {
        "https://api.exchange.coinbase.com"
    }

    fn limits(&self) -> &'static [RateLimit] {
        LIMITS
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (base, quote) = symbols::split_at(symbol, '-')?;
        spot_instrument(symbol, base, quote)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        let request = |path, asked| Request { path, host: None, scope: SCOPE, weight: 1, asked };
        let single = |instrument: &Instrument, path| request(path, vec![instrument.clone()]);
        match feed {
            // `/products/stats` is undocumented but answers for every product at once.
            Feed::Tickers if asked.is_empty() || asked.len() > SINGLE_REQUESTS_MAX => {
                vec![request("/products/stats".to_owned(), asked.to_vec())]
            }
            Feed::Tickers => {
                let path = |instrument: &Instrument| format!("/products/{}/ticker", url_encoded(&instrument.symbol));
                asked.iter().map(|instrument| single(instrument, path(instrument))).collect()
            }
            Feed::Candles => {
                asked.iter().map(|instrument| single(instrument, candles_path(&instrument.symbol, options))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        status::check(response)?;
        let mut gather = Gather::new(asked);
        match feed {
            Feed::Tickers => self.parse_tickers(&mut gather, response)?,
            Feed::Candles => self.parse_candles(&mut gather, response)?,
            _ => return Err(gather::no_such_feed()),
        }
        Ok(gather.finish())
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// `/products/BTC-USD/candles?granularity=86400[&start&end]`. Both ends are inclusive and more than [`CANDLES_MAX`] rows
/// between them are refused, so the span is cut to what is allowed.
fn candles_path(symbol: &str, options: &RequestOptions) -> String {
    let granularity = options.interval.unwrap_or(CandleInterval::OneDay).duration();
    let mut path = format!("/products/{}/candles?granularity={}", url_encoded(symbol), granularity.as_secs());
    let span = granularity * options.limit.unwrap_or(CANDLES_MAX).clamp(1, CANDLES_MAX);
    let (start, end) = match (options.start, options.end) {
        (None, None) => return path,
        (Some(start), end) => (start, end.map_or(start + span, |end| end.min(start + span))),
        (None, Some(end)) => (end - span, end),
    };
    let last = end - Duration::from_secs(1);
    path.push_str(&format!("&start={}&end={}", whole_second(start), whole_second(last)));
    path
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_seconds(time.as_seconds())
}

/// The product that a path or a recorded body's file name tells: a word such as `BTC-USD`.
fn product_in_path(path: &str) -> Option<&str> {
    let is_product = |word: &&str| {
        symbols::split_at(word, '-').is_some_and(|(base, quote)| {
            quote.len() >= 3 && quote.bytes().all(|byte| byte.is_ascii_uppercase()) && base == base.to_ascii_uppercase()
        })
    };
    path_words(path).find(is_product)
}

impl Coinbase {
    /// Reads any of the three ticker bodies:
    ///
    /// - `{"BTC-USD":{"stats_24hour":{"open":"1","high":"3","low":"1","last":"2","volume":"9"}},…}` of all products,
    /// - `{"ask":"2.1","bid":"2.0","price":"2","volume":"9","time":"2026-01-15T12:00:00Z"}` of one,
    /// - `{"open":"1","high":"3","low":"1","last":"2","volume":"9"}` of one.
    fn parse_tickers(&self, gather: &mut Gather<'_>, response: &Response) -> Result<(), VenueError> {
        let mut reader = Reader::new(&response.body);
        let mut entry = TickerEntry::default();
        let mut time = Scalar::Missing;
        let mut message = Scalar::Missing;
        let mut products = 0;
        let mut figures = 0;
        reader.object(|reader, key| {
            if reader.kind()? != Kind::Scalar {
                products += 1;
                return self.read_product_stats(reader, key, gather);
            }
            let value = reader.scalar()?;
            if figure(&mut entry, key, value) {
                figures += 1;
                return Ok(());
            }
            match key {
                b"time" => time = value,
                b"message" => message = value,
                // A product without figures in the body of all products.
                key if symbols::split_at(&String::from_utf8_lossy(key), '-').is_some() => {
                    products += 1;
                    gather.broken(Scalar::Text(key));
                }
                _ => {}
            }
            Ok(())
        })?;
        reader.finish()?;
        if message != Scalar::Missing && figures == 0 {
            return Err(refusal(message));
        }
        // An empty object is the list of no products.
        let is_stats_of_all = products > 0 || response.path.starts_with("/products/stats");
        if is_stats_of_all && figures == 0 {
            return Ok(());
        }
        if let Some(subject) = gather.only_subject(product_in_path(&response.path), |symbol| self.instrument(symbol)) {
            let statement = time.iso_time().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.full()?))));
            gather.settle(&subject, statement);
        }
        Ok(())
    }

    fn read_product_stats<'b>(
        &self,
        reader: &mut Reader<'b>,
        product: &'b [u8],
        gather: &mut Gather<'_>,
    ) -> Result<(), JsonError> {
        let mut entry = TickerEntry::default();
        if reader.kind()? == Kind::Object {
            reader.object(|reader, key| {
                if key != b"stats_24hour" || reader.kind()? != Kind::Object {
                    return reader.skip();
                }
                reader.object(|reader, key| {
                    let value = reader.scalar()?;
                    figure(&mut entry, key, value);
                    Ok(())
                })
            })?;
        } else {
            reader.skip()?;
        }
        if let Some(subject) = gather.subject(Scalar::Text(product), |symbol| self.instrument(symbol)) {
            gather.settle(&subject, entry.full().map(|ticker| (None, Payload::Ticker(ticker))));
        }
        Ok(())
    }

    fn parse_candles(&self, gather: &mut Gather<'_>, response: &Response) -> Result<(), VenueError> {
        let mut reader = Reader::new(&response.body);
        if reader.kind()? == Kind::Object {
            let mut message = Scalar::Missing;
            reader.object(|reader, key| {
                let value = reader.scalar()?;
                if key == b"message" {
                    message = value;
                }
                Ok(())
            })?;
            return Err(refusal(message));
        }
        let rows = gather::candle_rows(&mut reader)?;
        reader.finish()?;
        let interval = gather::candle_interval(&response.path, "granularity", GRANULARITIES, CANDLE.time, &rows);
        if let Some(subject) = gather.only_subject(product_in_path(&response.path), |symbol| self.instrument(symbol)) {
            gather::settle_candles(gather, &subject, CANDLE, interval, &rows);
        }
        Ok(())
    }
}

/// Keeps a figure under any of the names that the bodies and frames give it; false when the key is none of them.
fn figure<'a>(entry: &mut TickerEntry<'a>, key: &[u8], value: Scalar<'a>) -> bool {
    let (slot, name): (&mut Field<'a>, _) = match key {
        b"price" => (&mut entry.last, "price"),
        b"last" => (&mut entry.last, "last"),
        b"bid" => (&mut entry.bid, "bid"),
        b"best_bid" => (&mut entry.bid, "best_bid"),
        b"ask" => (&mut entry.ask, "ask"),
        b"best_ask" => (&mut entry.ask, "best_ask"),
        b"high" => (&mut entry.high, "high"),
        b"high_24h" => (&mut entry.high, "high_24h"),
        b"high_24_h" => (&mut entry.high, "high_24_h"),
        b"low" => (&mut entry.low, "low"),
        b"low_24h" => (&mut entry.low, "low_24h"),
        b"low_24_h" => (&mut entry.low, "low_24_h"),
        b"volume" => (&mut entry.base_volume, "volume"),
        b"volume_24h" => (&mut entry.base_volume, "volume_24h"),
        b"volume_24_h" => (&mut entry.base_volume, "volume_24_h"),
        _ => return false,
    };
    slot.set(name, value);
    true
}

fn refusal(message: Scalar<'_>) -> VenueError {
    let text = message.text().unwrap_or_default().to_ascii_lowercase();
    if text.contains("rate limit") || text.contains("too many requests") {
        VenueError::RateLimited { retry_after: None }
    } else if message == Scalar::Missing {
        gather::without("figures")
    } else {
        rejected(message)
    }
}

impl StreamingVenue for Coinbase {
    fn ws_url(&self) -> &'static str {
        "wss://ws-feed.exchange.coinbase.com"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Answer,
            instruments_max: 100,
            messages_per_second_max: 8,
        }
    }

    /// One frame for each product, because one unknown product refuses the whole frame that names it.
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        let frame = |instrument: &Instrument| {
            serde_json::json!({"type": "subscribe", "product_ids": [instrument.symbol.as_str()], "channels": ["ticker", "heartbeat"]})
                .to_string()
        };
        asked.iter().map(frame).collect()
    }

    /// Reads a frame of the Exchange feed, or of Advanced Trade, which nests its tickers in `events`.
    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        let mut reader = Reader::new(frame);
        let mut entry = TickerEntry::default();
        let (mut kind, mut channel, mut product) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
        let (mut time, mut timestamp, mut reason) = (Scalar::Missing, Scalar::Missing, Scalar::Missing);
        let mut events: &[u8] = b"";
        reader.object(|reader, key| {
            if key == b"events" && reader.kind()? == Kind::Array {
                events = reader.raw()?;
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"type" => kind = value,
                b"channel" => channel = value,
                b"product_id" => product = value,
                b"time" => time = value,
                b"timestamp" => timestamp = value,
                b"reason" => reason = value,
                _ => drop(figure(&mut entry, key, value)),
            }
            Ok(())
        })?;
        reader.finish()?;
        match (kind.bytes(), channel.bytes()) {
            (b"ticker", _) => {
                let mut gather = Gather::new(&[]);
                if let Some(subject) = gather.subject(product, |symbol| self.instrument(symbol)) {
                    let statement =
                        time.iso_time().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.partial()?))));
                    gather.settle(&subject, statement);
                }
                Ok(Frame::Data(gather.finish()))
            }
            (_, b"ticker" | b"ticker_batch") => self.read_events(events, timestamp).map(Frame::Data),
            (b"subscriptions", _) | (_, b"subscriptions") => Ok(Frame::Subscribed),
            (b"heartbeat", _) | (_, b"heartbeats") => Ok(Frame::Alive),
            (b"error", _) => Ok(refused(reason)),
            _ => Ok(Frame::Ignored),
        }
    }
}

/// `"reason":"ABC-USD is not a valid product"` begins with the product.
fn refused(reason: Scalar<'_>) -> Frame {
    let text = reason.text().unwrap_or_default();
    let symbol = text.split(' ').next().filter(|word| symbols::split_at(word, '-').is_some() && word.len() <= 64);
    Frame::Refused {
        symbol: SmolStr::new(symbol.unwrap_or_default()),
        reason: SmolStr::new_static("subscription refused"),
    }
}

impl Coinbase {
    fn read_events(&self, events: &[u8], timestamp: Scalar<'_>) -> Result<Parsed, VenueError> {
        let mut gather = Gather::new(&[]);
        if events.is_empty() {
            return Err(gather::without("events"));
        }
        each_object(&mut Reader::new(events), &mut gather, |reader, gather| {
            reader.object(|reader, key| {
                if key != b"tickers" || reader.kind()? != Kind::Array {
                    return reader.skip();
                }
                each_object(reader, gather, |reader, gather| {
                    let mut entry = TickerEntry::default();
                    let mut product = Scalar::Missing;
                    reader.object(|reader, key| {
                        let value = reader.scalar()?;
                        if key == b"product_id" {
                            product = value;
                        } else {
                            figure(&mut entry, key, value);
                        }
                        Ok(())
                    })?;
                    if let Some(subject) = gather.subject(product, |symbol| self.instrument(symbol)) {
                        let statement = timestamp
                            .iso_time()
                            .at("timestamp")
                            .and_then(|time| Ok((time, Payload::Ticker(entry.partial()?))));
                        gather.settle(&subject, statement);
                    }
                    Ok(())
                })
            })
        })?;
        Ok(gather.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_all_at_once_or_for_each() {
        let btc = Coinbase.listing("btc", "usd").expect("a product");
        assert_eq!(btc.symbol, "BTC-USD");
        let options = RequestOptions::default();
        assert_eq!(Coinbase.requests(Feed::Tickers, &[], &options)[0].path, "/products/stats");
        let one = std::slice::from_ref(&btc);
        assert_eq!(Coinbase.requests(Feed::Tickers, one, &options)[0].path, "/products/BTC-USD/ticker");
        assert_eq!(Coinbase.requests(Feed::Tickers, &vec![btc.clone(); 9], &options).len(), 1);
        assert!(Coinbase.requests(Feed::Candles, &[], &options).is_empty());
    }

    #[test]
    fn cuts_the_candles_asked_for_to_what_is_allowed() {
        let start = Timestamp::from_date(2024, 1, 1);
        let options = RequestOptions { start, end: Timestamp::from_date(2025, 1, 1), ..RequestOptions::default() };
        let path = "/products/BTC-USD/candles?granularity=86400&start=2024-01-01T00:00:00Z&end=2024-10-26T23:59:59Z";
        assert_eq!(candles_path("BTC-USD", &options), path);
        let options = RequestOptions { interval: Some(CandleInterval::OneHour), ..RequestOptions::default() };
        assert_eq!(candles_path("A/B", &options), "/products/A%2FB/candles?granularity=3600");
    }

    #[test]
    fn finds_the_product_in_a_path() {
        for (path, product) in [
            ("/products/BTC-USD/ticker", Some("BTC-USD")),
            ("rest/product_ticker_1INCH-USDT_2024-03-13.json", Some("1INCH-USDT")),
            ("rest/product_ticker_2024-03-13.json", None),
            ("no-product.json", None),
        ] {
            assert_eq!(product_in_path(path), product, "{path}");
        }
    }
}
