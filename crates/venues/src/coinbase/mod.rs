//! Coinbase Exchange: spot, quoted mostly in US dollars.
//!
//! Documentation: <https://docs.cdp.coinbase.com/exchange/reference>. Values are strings; candle rows are numbers. The
//! single-product bodies do not name their product, so it comes from the ask.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use smol_str::SmolStr;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{Ask, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, Venue, VenueError};
use super::wire::{self, At, CandleColumns, Field, JsonError, Kind, Reader, ResponseBuilder, Scalar, TickerEntry};
use crossmarket_domain::{Feed, Instrument, Payload, Timestamp, VenueId};

/// Coinbase Exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coinbase;

const SCOPE: &str = "public";

/// Coinbase rejects requests for more rows.
const CANDLES_MAX: u32 = 300;

/// `[time, low, high, open, close, volume]`: the low comes before the high.
const CANDLE: CandleColumns =
    CandleColumns { time: 0, low: 1, high: 2, open: 3, close: 4, base_volume: 5, quote_volume: None };

/// Above this number of instruments, one call for all products is cheaper than one request each.
const SINGLE_REQUESTS_MAX: usize = 8;

const PROFILE: Profile = Profile {
    id: VenueId("coinbase"),
    title: "Coinbase Exchange",
    documentation_url: "https://docs.cdp.coinbase.com/exchange/reference",
    terms_url: "https://www.coinbase.com/legal/market_data",
    rest_url: "https://api.exchange.coinbase.com",
    feeds: &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles).ranked(2)],
    limits: &[RateLimit::of(SCOPE, 10, 1)],
    stream: Some(StreamProfile {
        url: "wss://ws-feed.exchange.coinbase.com",
        path: "",
        session: SessionPolicy {
            life_max: None,
            silence_max: Duration::from_secs(60),
            ping: Ping::Answer,
            instruments_max: 100,
            messages_per_second_max: 8,
        },
    }),
    codes: &[("CGLD", "CELO")],
    ..Profile::NONE
};

impl Venue for Coinbase {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let (base, quote) = wire::split_at(symbol, '-')?;
        wire::spot_instrument(symbol, base, quote)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        self.instrument(&format!("{}-{}", base.to_ascii_uppercase(), quote.to_ascii_uppercase()))
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            // `/products/stats` is undocumented but returns every product at once.
            Feed::Tickers if asked.is_empty() || asked.len() > SINGLE_REQUESTS_MAX => {
                vec![Request::of(Ask::about(feed, asked), SCOPE, "/products/stats")]
            }
            Feed::Tickers => {
                let request = |asked: &Instrument| {
                    let path = format!("/products/{}/ticker", wire::url_encoded(&asked.symbol));
                    Request::of(Ask::about(feed, [asked.clone()]), SCOPE, path)
                };
                asked.iter().map(request).collect()
            }
            Feed::Candles => {
                let request = |asked: &Instrument| {
                    let ask = Ask::candles(asked, options.interval_or_default());
                    Request::of(ask, SCOPE, candles_path(&asked.symbol, options))
                };
                asked.iter().map(request).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let mut builder = ResponseBuilder::new(ask);
        match ask.feed {
            Feed::Tickers => self.parse_tickers(&mut builder, ask, response)?,
            Feed::Candles => parse_candles(&mut builder, ask, response)?,
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

/// `/products/BTC-USD/candles?granularity=86400[&start&end]`. Both ends are inclusive. Coinbase rejects spans of more
/// than [`CANDLES_MAX`] rows, so the span is shortened to that.
fn candles_path(symbol: &str, options: &RequestOptions) -> String {
    let granularity = options.interval_or_default().duration();
    let mut path = format!("/products/{}/candles?granularity={}", wire::url_encoded(symbol), granularity.as_secs());
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

impl Coinbase {
    /// Reads any of the three ticker bodies:
    ///
    /// - `{"BTC-USD":{"stats_24hour":{"open":"1","high":"3","low":"1","last":"2","volume":"9"}},…}` of all products,
    /// - `{"ask":"2.1","bid":"2.0","price":"2","volume":"9","time":"2026-01-15T12:00:00Z"}` of one,
    /// - `{"open":"1","high":"3","low":"1","last":"2","volume":"9"}` of one.
    fn parse_tickers(
        &self,
        builder: &mut ResponseBuilder<'_>,
        ask: &Ask,
        response: &Response,
    ) -> Result<(), VenueError> {
        let mut reader = Reader::new(&response.body);
        let mut entry = TickerEntry::default();
        let mut time = Scalar::Missing;
        let mut message = Scalar::Missing;
        let mut products = 0;
        let mut figures = 0;
        reader.object(|reader, key| {
            if reader.kind()? != Kind::Scalar {
                products += 1;
                return self.read_product_stats(reader, key, builder);
            }
            let value = reader.scalar()?;
            if figure(&mut entry, key, value) {
                figures += 1;
                return Ok(());
            }
            match key {
                b"time" => time = value,
                b"message" => message = value,
                // In the body of all products, a product without figures.
                key if wire::split_at(&String::from_utf8_lossy(key), '-').is_some() => {
                    products += 1;
                    builder.broken(Scalar::Text(key));
                }
                _ => {}
            }
            Ok(())
        })?;
        reader.finish()?;
        if message != Scalar::Missing && figures == 0 {
            return Err(refusal(message));
        }
        // An empty object is an empty list of products.
        if figures == 0 && (products > 0 || ask.instruments.len() != 1) {
            return Ok(());
        }
        if let Some(about) = builder.only_instrument() {
            let statement = time.iso_time().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.full()?))));
            builder.record(&about, statement);
        }
        Ok(())
    }

    fn read_product_stats<'b>(
        &self,
        reader: &mut Reader<'b>,
        product: &'b [u8],
        builder: &mut ResponseBuilder<'_>,
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
        if let Some(about) = builder.resolve(Scalar::Text(product), |symbol| self.instrument(symbol)) {
            builder.record(&about, entry.full().map(|ticker| (None, Payload::Ticker(ticker))));
        }
        Ok(())
    }
}

fn parse_candles(builder: &mut ResponseBuilder<'_>, ask: &Ask, response: &Response) -> Result<(), VenueError> {
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
    let rows = wire::candle_rows(&mut reader)?;
    reader.finish()?;
    let interval = ask.required_interval()?;
    if let Some(about) = builder.only_instrument() {
        wire::record_candles(builder, &about, CANDLE, interval, &rows);
    }
    Ok(())
}

/// Stores a figure under any of its names in bodies and frames; returns false when the key is none of them.
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
        wire::without("figures")
    } else {
        wire::rejected(message)
    }
}

impl StreamingVenue for Coinbase {
    /// One frame per product, because Coinbase rejects the whole frame when it names one unknown product.
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
                let mut builder = ResponseBuilder::of_all();
                if let Some(about) = builder.resolve(product, |symbol| self.instrument(symbol)) {
                    let statement =
                        time.iso_time().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.partial()?))));
                    builder.record(&about, statement);
                }
                builder.finish().map(Frame::Data)
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
    let symbol = text.split(' ').next().filter(|word| wire::split_at(word, '-').is_some() && word.len() <= 64);
    Frame::Refused {
        symbol: SmolStr::new(symbol.unwrap_or_default()),
        reason: SmolStr::new_static("subscription refused"),
    }
}

impl Coinbase {
    fn read_events(&self, events: &[u8], timestamp: Scalar<'_>) -> Result<Parsed, VenueError> {
        let mut builder = ResponseBuilder::of_all();
        if events.is_empty() {
            return Err(wire::without("events"));
        }
        wire::each_object(&mut Reader::new(events), &mut builder, |reader, builder| {
            reader.object(|reader, key| {
                if key != b"tickers" || reader.kind()? != Kind::Array {
                    return reader.skip();
                }
                wire::each_object(reader, builder, |reader, builder| {
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
                    if let Some(about) = builder.resolve(product, |symbol| self.instrument(symbol)) {
                        let statement = timestamp
                            .iso_time()
                            .at("timestamp")
                            .and_then(|time| Ok((time, Payload::Ticker(entry.partial()?))));
                        builder.record(&about, statement);
                    }
                    Ok(())
                })
            })
        })?;
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_domain::CandleInterval;

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
}
