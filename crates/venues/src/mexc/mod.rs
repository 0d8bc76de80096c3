//! MEXC: spot.
//!
//! Documentation: <https://www.mexc.com/api-docs/spot-v3/introduction>. The spot API resembles Binance's, but its
//! `priceChangePercent` is a fraction. The stream is protobuf and is not read here.

#[cfg(feature = "simulator")]
pub(crate) mod simulated;

use super::profile::{FeedProfile, Profile, RateLimit};
use super::venue::{Ask, Parsed, Request, RequestOptions, Response, Venue, VenueError};
use super::wire::{self};
use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, VenueId};

/// MEXC's spot market.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mexc;

const TICKERS: &str = "tickers";
const CANDLES: &str = "candles";
const CANDLES_MAX: u32 = 1_000;

fn instrument(symbol: &str) -> Option<Instrument> {
    // Futures symbols have an underscore between the assets: `BTC_USDT`.
    if symbol.contains('_') {
        let (base, quote) = wire::split_at(symbol, '_')?;
        let kind = if quote == "USD" { InstrumentKind::PerpetualInverse } else { InstrumentKind::PerpetualLinear };
        return wire::derivative(symbol, base, quote, kind);
    }
    let (base, quote) = wire::split_joined(symbol)?;
    wire::spot_instrument(symbol, base, quote)
}

const PROFILE: Profile = Profile {
    id: VenueId("mexc"),
    title: "MEXC",
    documentation_url: "https://www.mexc.com/api-docs/spot-v3/introduction",
    terms_url: "https://www.mexc.com/terms",
    rest_url: "https://api.mexc.com",
    feeds: &[FeedProfile::of(Feed::Tickers), FeedProfile::of(Feed::Candles)],
    limits: &[RateLimit::of(TICKERS, 20, 1), RateLimit::of(CANDLES, 20, 1)],
    codes: &[
        ("BEYONDPROTOCOL", "BEYOND"),
        ("BIFI", "BIFIF"),
        ("BYN", "BEYONDFI"),
        ("COFI", "COFIX"),
        ("DFI", "DFISTARTER"),
        ("DFT", "DFUTURE"),
        ("EGC", "EGORASCREDIT"),
        ("FLUX", "FLUX1"),
        ("FLUX1", "FLUX"),
        ("FREE", "FREEROSSDAO"),
        ("GMT", "GMTTOKEN"),
        ("HERO", "STEPHERO"),
        ("MIMO", "MIMOSA"),
        ("PROS", "PROSFINANCE"),
        ("SIN", "SINCITYTOKEN"),
        ("SOUL", "SOULSWAP"),
        ("STEPN", "GMT"),
    ],
    ..Profile::NONE
};

impl Venue for Mexc {
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
        match (feed, asked) {
            (Feed::Tickers, [only]) => {
                let path = format!("/api/v3/ticker/24hr?symbol={}", wire::url_encoded(&only.symbol));
                vec![Request::of(Ask::about(feed, asked), TICKERS, path)]
            }
            (Feed::Tickers, _) => vec![Request::of(Ask::about(feed, asked), TICKERS, "/api/v3/ticker/24hr")],
            (Feed::Candles, _) => {
                let interval = options.interval_or_default();
                let word = match interval {
                    CandleInterval::FiveMinutes => "5m",
                    CandleInterval::OneHour => "60m",
                    CandleInterval::OneDay => "1d",
                };
                let request = |asked: &Instrument| {
                    let query = wire::binance::kline_query(asked, word, options, CANDLES_MAX);
                    Request::of(Ask::candles(asked, interval), CANDLES, format!("/api/v3/klines?{query}"))
                };
                asked.iter().map(request).collect()
            }
            _ => Vec::new(),
        }
    }

    fn parse(&self, ask: &Ask, response: &Response) -> Result<Parsed, VenueError> {
        // MEXC's own rate-limit status.
        if response.status == 510 {
            return Err(VenueError::RateLimited { retry_after: response.retry_after });
        }
        wire::binance::check(response)?;
        match ask.feed {
            Feed::Tickers => wire::binance::tickers(ask, &response.body, instrument),
            Feed::Candles => wire::binance::klines(ask, response),
            _ => Err(wire::no_such_feed()),
        }
    }
}
