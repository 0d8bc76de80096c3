//! A venue's listings and quotes: the market's prices with the venue's own small deviation, in the venue's quote
//! currency.

use std::collections::HashMap;
use std::time::Duration;

use crossmarket_domain::{CandleInterval, Timestamp};

use super::asset::Asset;
use super::assets::ASSETS;
use super::market::Market;
use super::noise::{mix, mix_text, uniform};

/// How a venue trades; its listings follow from this.
#[derive(Clone, Copy)]
pub struct ListingProfile {
    /// The venue's id, which seeds its random choices.
    pub venue: &'static str,
    /// The venue's share of the total market volume.
    pub volume_share: f64,
    /// On which side of the market it quotes: 1 above, -1 below, 0 neither.
    pub side: f64,
    /// The currency that it lists against: `USD` or an asset.
    pub quote: &'static str,
    /// Additional pairs, base and quote.
    pub further_pairs: &'static [(&'static str, &'static str)],
    /// The probability that it lists an asset of small market cap, 0 to 1.
    pub breadth: f64,
    /// Perpetual futures instead of spot.
    pub is_perpetual: bool,
    /// How it spells a pair.
    pub symbol: fn(base: &str, quote: &str) -> String,
    /// Units of the asset that one unit of the contract's price is for, with the contract's base.
    pub multiplier: fn(base: &str) -> Option<(u32, String)>,
}

/// A venue's listings.
#[derive(Default)]
pub struct SimulatedListings {
    pub listings: Vec<Listing>,
    by_symbol: HashMap<String, usize>,
}

/// One listed pair.
pub struct Listing {
    pub symbol: String,
    pub base: String,
    pub quote: &'static str,
    asset: usize,
    /// `None` for USD.
    quote_asset: Option<usize>,
    /// The price here relative to the model's price, including the multiplier.
    factor: f64,
    multiplier: f64,
    /// Share of the total market volume.
    volume_share: f64,
    pub decimals: usize,
    seed: u64,
}

/// A venue's ticker of a pair. Prices are in the quote currency and rounded to the pair's step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ticker {
    pub last: f64,
    pub bid: f64,
    pub ask: f64,
    pub bid_size: f64,
    pub ask_size: f64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub base_volume: f64,
    pub quote_volume: f64,
    pub trades: u64,
    pub today_open: f64,
    pub today_high: f64,
    pub today_low: f64,
    pub today_share: f64,
}

/// One candle of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    pub start: Timestamp,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub base_volume: f64,
    pub quote_volume: f64,
}

/// `BTCUSDT`.
pub fn joined(base: &str, quote: &str) -> String {
    format!("{base}{quote}")
}

/// `BTC-USDT`.
pub fn hyphened(base: &str, quote: &str) -> String {
    format!("{base}-{quote}")
}

/// One unit of the symbol is one unit of the asset.
pub fn single(_base: &str) -> Option<(u32, String)> {
    None
}

/// The asset that a venue quotes far off the market, and the factor.
const OUTLIERS: &[(&str, &str, f64)] = &[("htx", "ARB", 1.08), ("mexc", "ATOM", 0.93)];

/// Venues that list what the large ones do not.
const LONG_TAIL: [&str; 5] = ["gate", "mexc", "kucoin", "htx", "bitget"];

/// Large venues that do not list it, though its market cap is large.
const DELISTED: &[(&str, &[&str])] = &[
    ("XMR", &["binance", "coinbase", "okx", "bybit"]),
    ("DASH", &["coinbase", "kraken"]),
    ("HYPE", &["binance"]),
    ("M", &["binance", "coinbase", "kraken", "okx"]),
    ("PI", &["binance", "coinbase", "bybit"]),
    ("CC", &["binance", "coinbase", "htx"]),
];

/// The exchange behind an exchange token that is listed everywhere.
const COMMON_EXCHANGE_TOKENS: [&str; 2] = ["BNB", "CRO"];

impl ListingProfile {
    pub fn listings(&self, market: &Market) -> SimulatedListings {
        let mut pairs: Vec<(&str, &str)> = ASSETS
            .iter()
            .filter(|asset| asset.ticker != self.quote && self.lists(asset, market))
            .map(|asset| (asset.ticker, self.quote))
            .collect();
        pairs.extend(self.further_pairs);
        let listings: Vec<Listing> =
            pairs.into_iter().filter_map(|(base, quote)| self.listing(market, base, quote)).collect();
        let by_symbol =
            listings.iter().enumerate().map(|(position, listing)| (listing.symbol.clone(), position)).collect();
        SimulatedListings { listings, by_symbol }
    }

    fn lists(&self, asset: &Asset, market: &Market) -> bool {
        if self.quote == "USD" && ["USDT", "USDC", "EUR"].contains(&asset.ticker) {
            return true;
        }
        if OUTLIERS.iter().any(|(venue, ticker, _)| *venue == self.venue && *ticker == asset.ticker) {
            return true;
        }
        let home = mix_text(mix(market.seed(), 0x686F_6D65), asset.ticker);
        let first_home = (home % 5) as usize;
        let second_home = (first_home + 1 + (home / 5 % 4) as usize) % 5;
        let is_home = [first_home, second_home].into_iter().any(|home| LONG_TAIL.get(home) == Some(&self.venue));
        let is_coin = !asset.is_fiat()
            && !["stablecoins", "wrapped-tokens", "liquid-staking-tokens", "tokenized-gold"]
                .into_iter()
                .any(|category| asset.has_category(category));
        if asset.is_fiat() || asset.ticker == "USDT" {
            return false;
        }
        if DELISTED.iter().any(|(ticker, venues)| *ticker == asset.ticker && venues.contains(&self.venue)) {
            return false;
        }
        let is_own_token =
            asset.has_category("exchange-based-tokens") && !COMMON_EXCHANGE_TOKENS.contains(&asset.ticker);
        let draw = uniform(mix_text(mix_text(market.seed(), self.venue), asset.ticker));
        if self.is_perpetual {
            let is_large = asset.market_cap_millions >= 2_000.0;
            let is_listed = asset.market_cap_millions >= 60.0 && draw < self.breadth;
            return is_coin && !is_own_token && (is_large || is_listed);
        }
        let chance = match asset.market_cap_millions {
            _ if asset.ticker == "USDC" => 1.0,
            _ if !is_coin || is_own_token => 0.0,
            cap if cap >= 2_000.0 => 1.0,
            cap if cap >= 300.0 => self.breadth.max(0.75),
            _ => self.breadth,
        };
        is_home || draw < chance
    }

    fn listing(&self, market: &Market, base: &str, quote: &'static str) -> Option<Listing> {
        let asset = market.position(base)?;
        let quote_asset = if quote == "USD" { None } else { Some(market.position(quote)?) };
        let row = ASSETS.get(asset)?;
        let quote_price = quote_asset.and_then(|quote| ASSETS.get(quote)).map_or(1.0, |quote| quote.price);
        let (multiplier, contract) = (self.multiplier)(base).unwrap_or((1, base.to_owned()));
        let seed = mix_text(mix_text(mix(market.seed(), 0x6C69_7374), self.venue), &format!("{base}/{quote}"));
        let outlier = OUTLIERS.iter().find(|(venue, ticker, _)| *venue == self.venue && *ticker == base);
        let deviation = 1.0 + self.side * (0.3 + 2.5 * uniform(seed)) * 1e-4;
        let price = row.price / quote_price * f64::from(multiplier);
        let further = self.further_pairs.contains(&(base, quote));
        Some(Listing {
            symbol: (self.symbol)(&contract, quote),
            base: contract,
            quote,
            asset,
            quote_asset,
            factor: f64::from(multiplier) * outlier.map_or(deviation, |(.., factor)| *factor),
            multiplier: f64::from(multiplier),
            volume_share: self.volume_share * (0.8 + 0.4 * uniform(mix(seed, 1))) * if further { 0.1 } else { 1.0 },
            decimals: (5 - price.log10().floor() as i32).clamp(2, 14) as usize,
            seed,
        })
    }
}

impl SimulatedListings {
    /// Finds the listing of a symbol in the venue's own spelling.
    pub fn find(&self, symbol: &str) -> Option<&Listing> {
        self.listings.get(*self.by_symbol.get(symbol)?)
    }

    /// Finds the listings named in a comma-separated list, or all. `Err` contains the first unknown name.
    pub fn select(&self, symbols: Option<&str>) -> Result<Vec<&Listing>, String> {
        match symbols {
            None => Ok(self.listings.iter().collect()),
            Some(symbols) => {
                symbols.split(',').map(|symbol| self.find(symbol).ok_or_else(|| symbol.to_owned())).collect()
            }
        }
    }
}

impl Listing {
    /// The ticker of the asset behind it, without a contract's multiplier.
    pub fn asset_ticker(&self) -> &'static str {
        ASSETS[self.asset].ticker
    }

    /// The asset's index in the table.
    pub(crate) fn asset_index(&self) -> usize {
        self.asset
    }

    /// The ticker at a time.
    pub fn ticker(&self, market: &Market, now: Timestamp) -> Ticker {
        let day = market.day(self.asset, now);
        let quote = self.quote_asset.map(|quote| market.day(quote, now));
        let (quote_now, quote_open) = quote.map_or((1.0, 1.0), |quote| (quote.last, quote.open));
        let quote_today = quote.map_or(1.0, |quote| quote.today_open);
        let price = |usd: f64, quote: f64| self.round(usd * self.factor / quote);
        let last = price(day.last, quote_now);
        let open = price(day.open, quote_open);
        let today_open = price(day.today_open, quote_today);
        let step = 0.1_f64.powi(self.decimals as i32);
        let half_spread = step.max(last * 2e-5);
        let size = |tag: u64| {
            let second = mix(mix(self.seed, tag), now.as_seconds() as u64);
            self.round_size((200.0 + 60_000.0 * uniform(second)) / (last * quote_now))
        };
        let quote_volume = day.volume * self.volume_share / quote_now;
        Ticker {
            last,
            bid: self.round(last - half_spread),
            ask: self.round(last + half_spread),
            bid_size: size(2),
            ask_size: size(3),
            open,
            high: price(day.high, quote_now).max(last).max(open),
            low: price(day.low, quote_now).min(last).min(open),
            base_volume: self.round_size(day.volume * self.volume_share / (day.last * self.multiplier)),
            quote_volume: (quote_volume * 100.0).round() / 100.0,
            trades: (day.volume * self.volume_share / 700.0) as u64 + 1,
            today_open,
            today_high: price(day.today_high, quote_now).max(last).max(today_open),
            today_low: price(day.today_low, quote_now).min(last).min(today_open),
            today_share: day.today_share,
        }
    }

    /// True once it trades.
    pub fn trades(&self, market: &Market, now: Timestamp) -> bool {
        market.trades(self.asset, now)
    }

    /// The newest `limit` candles that start in `from..to`, oldest first, including the current one.
    pub fn bars(&self, market: &Market, span: &Span, now: Timestamp) -> Vec<Bar> {
        let length = span.interval.duration();
        let newest = now.floor_to(length) + length;
        let to = span.to.map_or(newest, |to| to.min(newest));
        let reach = length * span.limit;
        // Rounding can lose up to one interval, so request one more and truncate.
        let from = match (span.from, span.oldest_first) {
            (Some(from), true) => from,
            (from, _) => from.unwrap_or(Timestamp::EPOCH).max(to - reach - length),
        };
        let to = if span.oldest_first && span.from.is_some() { to.min(from + reach + length) } else { to };
        let base = market.candles_of(self.asset, span.interval, from, to, now);
        let quote = self.quote_asset.map(|quote| market.candles_of(quote, span.interval, from, to, now));
        let mut bars: Vec<Bar> = Vec::with_capacity(base.len());
        for candle in base {
            let divisor = match &quote {
                None => None,
                Some(quote) => match quote.binary_search_by_key(&candle.start, |quote| quote.start) {
                    Ok(position) => quote.get(position),
                    Err(_) => continue,
                },
            };
            let (at_open, at_close) = divisor.map_or((1.0, 1.0), |quote| (quote.open, quote.close));
            let middle = divisor.map_or(1.0, |quote| (quote.high + quote.low) / 2.0);
            let price = |usd: f64, quote: f64| self.round(usd * self.factor / quote);
            let (open, close) = (price(candle.open, at_open), price(candle.close, at_close));
            let volume = candle.volume * self.volume_share;
            bars.push(Bar {
                start: candle.start,
                open,
                high: price(candle.high, middle).max(open).max(close),
                low: price(candle.low, middle).min(open).min(close),
                close,
                base_volume: self.round_size(volume / (candle.close * self.multiplier)),
                quote_volume: (volume / at_close * 100.0).round() / 100.0,
            });
        }
        let limit = span.limit as usize;
        if span.oldest_first && span.from.is_some() {
            bars.truncate(limit);
        } else if bars.len() > limit {
            bars.drain(..bars.len() - limit);
        }
        bars
    }

    /// A price as the venue writes it, with all of its places.
    pub fn text(&self, price: f64) -> String {
        format!("{price:.*}", self.decimals)
    }

    fn round(&self, price: f64) -> f64 {
        self.text(price).parse().unwrap_or(price)
    }

    /// Formats a size with at least five significant digits.
    fn round_size(&self, size: f64) -> f64 {
        let scale = if size >= 1_000.0 { 100.0 } else { 1e6 };
        (size * scale).round() / scale
    }
}

/// The range of candles requested.
pub struct Span {
    pub interval: CandleInterval,
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
    pub limit: u32,
    /// With a start: whether the limit keeps the oldest candles (Binance) or the newest.
    pub oldest_first: bool,
}

impl Span {
    /// The newest candles.
    pub fn newest(interval: CandleInterval, limit: u32) -> Self {
        Self { interval, from: None, to: None, limit, oldest_first: false }
    }

    /// With bounds in milliseconds; the upper one is inclusive, as at most venues.
    pub fn between_millis(mut self, from: Option<i64>, to: Option<i64>) -> Self {
        self.from = from.map(Timestamp::from_millis);
        self.to = to.map(|to| Timestamp::from_millis(to) + Duration::from_millis(1));
        self
    }
}
