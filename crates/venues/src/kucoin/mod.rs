//! KuCoin: spot.
//!
//! Documentation: <https://www.kucoin.com/docs-new>. The envelope is `{"code":"200000","data":…}`, and any figure may
//! be null.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, Venue, VenueError};
use super::wire::{self, At, CandleColumns, JsonError, Kind, Reader, ResponseBuilder, Scalar, TickerEntry};
use crossmarket_domain::{CandleInterval, Feed, Instrument, Payload, VenueId};

/// KuCoin spot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kucoin;

const SCOPE: &str = "public";

/// `["time","open","close","high","low","volume","turnover"]`: the close comes before the high.
const CANDLE: CandleColumns =
    CandleColumns { time: 0, open: 1, close: 2, high: 3, low: 4, base_volume: 5, quote_volume: Some(6) };

const INTERVALS: &[(&str, CandleInterval)] =
    &[("5min", CandleInterval::FiveMinutes), ("1hour", CandleInterval::OneHour), ("1day", CandleInterval::OneDay)];

const PROFILE: Profile = Profile {
    id: VenueId("kucoin"),
    title: "KuCoin",
    documentation_url: "https://www.kucoin.com/docs-new",
    terms_url: "https://www.kucoin.com/legal/terms-of-use",
    rest_url: "https://api.kucoin.com",
    feeds: &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles)],
    limits: &[RateLimit::of(SCOPE, 2_000, 30)],
    codes: &[("BIFI", "BIFIF"), ("FUD", "FTX Users' Debt"), ("VAI", "VAIOT"), ("WAX", "WAXP")],
    ..Profile::NONE
};

impl Venue for Kucoin {
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
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/api/v1/market/stats?symbol={}", wire::url_encoded(&only.symbol));
                vec![Request { weight: 15, ..Request::of(Ask::about(feed, asked), SCOPE, path) }]
            }
            (Feed::Tickers, _) => {
                let request = Request::of(Ask::about(feed, asked), SCOPE, "/api/v1/market/allTickers");
                vec![Request { weight: 15, ..request }]
            }
            (Feed::Candles, _) => asked.iter().map(|asked| candles_request(asked, options)).collect(),
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::check_status(response)?;
        let data = data_of(&response.body)?;
        let mut builder = ResponseBuilder::new(ask);
        match ask.feed {
            Feed::Tickers => self.parse_tickers(&mut builder, data)?,
            Feed::Candles => {
                let rows = wire::candle_rows(&mut Reader::new(data))?;
                let interval = ask.required_interval()?;
                if let Some(about) = builder.only_instrument() {
                    wire::record_candles(&mut builder, &about, CANDLE, interval, &rows);
                }
            }
            _ => return Err(wire::no_such_feed()),
        }
        builder.finish()
    }
}

fn candles_request(asked: &Instrument, options: &RequestOptions) -> Request {
    let interval = options.interval_or_default();
    let word = INTERVALS.iter().find(|(_, known)| *known == interval).map_or("1day", |(word, _)| word);
    let mut path = format!("/api/v1/market/candles?type={word}&symbol={}", wire::url_encoded(&asked.symbol));
    if let Some(start) = options.start {
        path.push_str(&format!("&startAt={}", start.as_seconds()));
    }
    if let Some(end) = options.end {
        path.push_str(&format!("&endAt={}", end.as_seconds()));
    }
    Request { weight: 3, ..Request::of(Ask::candles(asked, interval), SCOPE, path) }
}

/// The `data` of `{"code":"200000","data":…}`; any other code is an error.
fn data_of(body: &[u8]) -> Result<&[u8], VenueError> {
    let mut reader = Reader::new(body);
    let mut code = Scalar::Missing;
    let mut data: Option<&[u8]> = None;
    reader.object(|reader, key| {
        match key {
            b"code" => code = reader.scalar()?,
            b"data" if reader.kind()? != Kind::Scalar => data = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    match code.bytes() {
        b"200000" => data.ok_or(wire::without("data")),
        b"" => Err(wire::without("code")),
        b"429000" | b"200002" => Err(VenueError::RateLimited { retry_after: None }),
        // Internal server errors.
        other if other.starts_with(b"5") => Err(wire::transient(code)),
        _ => Err(wire::rejected(code)),
    }
}

impl Kucoin {
    /// `{"time":1700000000000,"ticker":[{"symbol":"BTC-USDT","buy":"2.0","sell":"2.1","high":"2.3","low":"1.8","vol":"9",
    /// "volValue":"18","last":"2.05"}]}`, or one such entry with its own `time`.
    fn parse_tickers(&self, builder: &mut ResponseBuilder<'_>, data: &[u8]) -> Result<(), VenueError> {
        let mut time = Scalar::Missing;
        let mut tickers: Option<&[u8]> = None;
        let mut symbol = Scalar::Missing;
        Reader::new(data).object(|reader, key| {
            if key == b"ticker" && reader.kind()? == Kind::Array {
                tickers = Some(reader.raw()?);
                return Ok(());
            }
            let value = reader.scalar()?;
            match key {
                b"time" => time = value,
                b"symbol" => symbol = value,
                _ => {}
            }
            Ok(())
        })?;
        let Some(tickers) = tickers else {
            if symbol == Scalar::Missing {
                return Err(wire::without("ticker"));
            }
            return Ok(self.read_ticker(&mut Reader::new(data), builder, time)?);
        };
        Ok(wire::each_object(&mut Reader::new(tickers), builder, |reader, builder| {
            self.read_ticker(reader, builder, time)
        })?)
    }

    fn read_ticker(
        &self,
        reader: &mut Reader<'_>,
        builder: &mut ResponseBuilder<'_>,
        time: Scalar<'_>,
    ) -> Result<(), JsonError> {
        let mut entry = TickerEntry::default();
        let (mut symbol, mut name) = (Scalar::Missing, Scalar::Missing);
        reader.object(|reader, key| {
            let value = reader.scalar()?;
            match key {
                b"symbol" => symbol = value,
                b"symbolName" => name = value,
                key => figure(&mut entry, key, value),
            }
            Ok(())
        })?;
        // After a rename the symbol stays and the name changes: `BCHSV-USDT` is named `BSV-USDT`.
        let renamed = name.text().filter(|name| !name.is_empty());
        let instrument = |symbol: &str| match &renamed {
            Some(name) => self.instrument(name).map(|instrument| Instrument { symbol: symbol.into(), ..instrument }),
            None => self.instrument(symbol),
        };
        if let Some(about) = builder.resolve(symbol, instrument) {
            let statement = time.millis().at("time").and_then(|time| Ok((time, Payload::Ticker(entry.full()?))));
            builder.record(&about, statement);
        }
        Ok(())
    }
}

/// Stores a figure under any of its names in bodies and frames.
fn figure<'a>(entry: &mut TickerEntry<'a>, key: &[u8], value: Scalar<'a>) {
    match key {
        b"last" => entry.last.set("last", value),
        b"price" => entry.last.set("price", value),
        b"lastTradedPrice" => entry.last.set("lastTradedPrice", value),
        b"buy" => entry.bid.set("buy", value),
        b"bestBid" => entry.bid.set("bestBid", value),
        b"sell" => entry.ask.set("sell", value),
        b"bestAsk" => entry.ask.set("bestAsk", value),
        b"high" => entry.high.set("high", value),
        b"low" => entry.low.set("low", value),
        b"vol" => entry.base_volume.set("vol", value),
        b"volValue" => entry.quote_volume.set("volValue", value),
        _ => {}
    }
}
