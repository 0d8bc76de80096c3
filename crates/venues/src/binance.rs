//! Binance spot.
//!
//! Documentation: <https://developers.binance.com/docs/binance-spot-api-docs>. The key-less market-data hosts are the default.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use std::time::Duration;

use crossmarket_domain::{CandleInterval, Feed, Instrument, VenueId};

use super::binance_format;
use super::gather;
use super::{
    About, Frame, Parsed, Ping, RateLimit, Request, RequestOptions, Response, SessionPolicy, StreamingVenue, Venue,
    VenueError, symbols,
};

/// Binance's spot market.
#[derive(Clone, Copy, Debug)]
pub struct Binance;

const WEIGHT: &str = "weight";

const KLINE_WEIGHT: u32 = 2;

const KLINES_MAX: u32 = 1_000;

/// Symbols in one `symbols=[…]`; more are cheaper to ask for all together.
const SYMBOLS_MAX: usize = 100;

fn instrument(symbol: &str) -> Option<Instrument> {
    let (base, quote) = symbols::split_joined(symbol)?;
    gather::spot_instrument(symbol, base, quote)
}

/// What `ticker/24hr` costs for so many symbols, 0 standing for all.
fn ticker_weight(symbol_count: usize) -> u32 {
    match symbol_count {
        1..=20 => 2,
        21..=SYMBOLS_MAX => 40,
        _ => 80,
    }
}

fn ticker_request(asked: &[Instrument]) -> Request {
    let path = match asked {
        [only] => format!("/api/v3/ticker/24hr?symbol={}", gather::url_encoded(&only.symbol)),
        some if (1..=SYMBOLS_MAX).contains(&some.len()) => {
            let list: Vec<&str> = some.iter().map(|asked| asked.symbol.as_str()).collect();
            let list = gather::url_encoded(&serde_json::json!(list).to_string());
            format!("/api/v3/ticker/24hr?symbols={list}&symbolStatus=TRADING")
        }
        // Halted symbols would stay in the list with their last figures.
        _ => "/api/v3/ticker/24hr?symbolStatus=TRADING".to_owned(),
    };
    Request { path, host: None, scope: WEIGHT, weight: ticker_weight(asked.len()), asked: asked.to_vec() }
}

impl Venue for Binance {
    fn id(&self) -> VenueId {
        VenueId("binance")
    }

    fn about(&self) -> About {
        About {
            title: "Binance spot",
            documentation_url: "https://developers.binance.com/docs/binance-spot-api-docs",
            terms_url: "https://www.binance.com/en/terms",
            official: true,
        }
    }

    fn feeds(&self) -> &'static [Feed] {
        &[Feed::Tickers, Feed::Candles]
    }

    fn rest_url(&self) -> &'static str {
        "https://data-api.binance.vision"
    }

    fn limits(&self) -> &'static [RateLimit] {
        const LIMITS: &[RateLimit] = &[RateLimit { scope: WEIGHT, limit: 6_000, window: Duration::from_secs(60) }];
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
        match feed {
            Feed::Tickers => vec![ticker_request(asked)],
            Feed::Candles => {
                let interval = options.interval.unwrap_or(CandleInterval::OneDay).as_str();
                let request = |asked: &Instrument| Request {
                    path: format!(
                        "/api/v3/klines?{}",
                        binance_format::kline_query(asked, interval, options, KLINES_MAX)
                    ),
                    host: None,
                    scope: WEIGHT,
                    weight: KLINE_WEIGHT,
                    asked: vec![asked.clone()],
                };
                asked.iter().map(request).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, feed: Feed, asked: &[Instrument], response: &Response) -> Result<Parsed, VenueError> {
        binance_format::check(response)?;
        match feed {
            Feed::Tickers => binance_format::tickers(asked, &response.body, instrument),
            Feed::Candles => binance_format::klines(asked, response, instrument),
            _ => Err(gather::no_such_feed()),
        }
    }

    fn stream(&self) -> Option<&dyn StreamingVenue> {
        Some(self)
    }
}

impl StreamingVenue for Binance {
    fn ws_url(&self) -> &'static str {
        "wss://data-stream.binance.vision"
    }

    fn path(&self) -> &'static str {
        "/ws"
    }

    fn session(&self) -> SessionPolicy {
        SessionPolicy {
            life_max: Some(Duration::from_secs(24 * 3_600)),
            // The server pings every 20 s.
            silence_max: Duration::from_secs(60),
            ping: Ping::Answer,
            instruments_max: 1_024,
            messages_per_second_max: 5,
        }
    }

    fn subscribe(&self, asked: &[Instrument]) -> Vec<String> {
        binance_format::subscribe(asked)
    }

    fn parse_frame(&self, frame: &[u8]) -> Result<Frame, VenueError> {
        binance_format::frame(frame, instrument)
    }
}
