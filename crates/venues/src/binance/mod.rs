//! Binance spot.
//!
//! Documentation: <https://developers.binance.com/docs/binance-spot-api-docs>. The default hosts are the market-data
//! hosts that need no key.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use super::profile::{FeedProfile, Ping, Profile, RateLimit, SessionPolicy, StreamProfile};
use super::venue::{Ask, Frame, Parsed, Request, RequestOptions, Response, StreamingVenue, Venue, VenueError};
use super::wire::{self};
use crossmarket_domain::{Feed, Instrument, VenueId};

/// Binance's spot market.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binance;

const WEIGHT: &str = "weight";

const KLINE_WEIGHT: u32 = 2;

const KLINES_MAX: u32 = 1_000;

/// Maximum number of symbols in one `symbols=[…]`; for more, requesting all symbols is cheaper.
const SYMBOLS_MAX: usize = 100;

fn instrument(symbol: &str) -> Option<Instrument> {
    let (base, quote) = wire::split_joined(symbol)?;
    wire::spot_instrument(symbol, base, quote)
}

/// The weight of `ticker/24hr` for this number of symbols; 0 means all.
fn ticker_weight(symbol_count: usize) -> u32 {
    match symbol_count {
        1..=20 => 2,
        21..=SYMBOLS_MAX => 40,
        _ => 80,
    }
}

fn ticker_request(asked: &[Instrument]) -> Request {
    let path = match asked {
        [only] => format!("/api/v3/ticker/24hr?symbol={}", wire::url_encoded(&only.symbol)),
        some if (1..=SYMBOLS_MAX).contains(&some.len()) => {
            let list: Vec<&str> = some.iter().map(|asked| asked.symbol.as_str()).collect();
            let list = wire::url_encoded(&serde_json::json!(list).to_string());
            format!("/api/v3/ticker/24hr?symbols={list}&symbolStatus=TRADING")
        }
        // Without the filter, halted symbols stay in the list with their last figures.
        _ => "/api/v3/ticker/24hr?symbolStatus=TRADING".to_owned(),
    };
    Request { weight: ticker_weight(asked.len()), ..Request::of(Ask::about(Feed::Tickers, asked), WEIGHT, path) }
}

const PROFILE: Profile = Profile {
    id: VenueId("binance"),
    title: "Binance spot",
    documentation_url: "https://developers.binance.com/docs/binance-spot-api-docs",
    terms_url: "https://www.binance.com/en/terms",
    rest_url: "https://data-api.binance.vision",
    feeds: &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles).ranked(1)],
    limits: &[RateLimit::of(WEIGHT, 6_000, 60)],
    stream: Some(StreamProfile {
        url: "wss://data-stream.binance.vision",
        path: "/ws",
        session: SessionPolicy {
            life_max: Some(Duration::from_secs(24 * 3_600)),
            // The server pings every 20 s.
            silence_max: Duration::from_secs(60),
            ping: Ping::Answer,
            instruments_max: 1_024,
            messages_per_second_max: 5,
        },
    }),
    codes: &[("YOYO", "YOYOW")],
    ..Profile::NONE
};

impl Venue for Binance {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        instrument(symbol)
    }

    fn listing(&self, base: &str, quote: &str) -> Option<Instrument> {
        let (base, quote) = (base.to_ascii_uppercase(), quote.to_ascii_uppercase());
        wire::spot_instrument(&format!("{base}{quote}"), &base, &quote)
    }

    fn requests(&self, feed: Feed, asked: &[Instrument], options: &RequestOptions) -> Vec<Request> {
        match feed {
            Feed::Tickers => vec![ticker_request(asked)],
            Feed::Candles => {
                let interval = options.interval_or_default();
                let request = |asked: &Instrument| {
                    let query = wire::binance::kline_query(asked, interval.as_str(), options, KLINES_MAX);
                    let request = Request::of(Ask::candles(asked, interval), WEIGHT, format!("/api/v3/klines?{query}"));
                    Request { weight: KLINE_WEIGHT, ..request }
                };
                asked.iter().map(request).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        wire::binance::check(response)?;
        match ask.feed {
            Feed::Tickers => wire::binance::tickers(ask, &response.body, instrument),
            Feed::Candles => wire::binance::klines(ask, response),
            _ => Err(wire::no_such_feed()),
        }
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

impl StreamingVenue for Binance {
    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        wire::binance::subscribe(asked)
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        wire::binance::frame(frame, instrument)
    }
}
