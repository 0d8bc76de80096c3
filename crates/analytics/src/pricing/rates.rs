//! US dollars per quote asset, aggregated like any price. USD is 1; assets with markets against it come first.
//!
//! The steps to find a rate, each using only fresh rates of the previous steps:
//!
//! 1. markets against USD (USDT/USD, EUR/USD, BTC/USD);
//! 2. for dollar stablecoins, markets against other fiat currencies (USDT/EUR);
//! 3. for USDT and USDC, if [`RateSettings::stablecoin_par`] allows it: the last market rate of at most 24 hours ago,
//!    else par;
//! 4. markets against anything already priced (BNB/USDT, DAI/USDT), twice, so that one more link is followed;
//! 5. for fiat currencies, the inverse of a dollar's or a stablecoin's markets against them (USDT/TRY);
//! 6. for the other dollar stablecoins, as step 3;
//! 7. the newest known rate, which is stale: it converts carried prices only.
//!
//! An asset that no step prices has no rate, and quotes in it are UNPRICED_QUOTE.

use std::time::Duration;

use smol_str::SmolStr;

use super::aggregate::{Aggregate, Aggregator, Settings};
use super::quote::Quote;
use super::rate_table::never;
pub use super::rate_table::{Rate, RateSource, RateTable, is_dollar_stablecoin, is_fiat};
use crossmarket_domain::state::AggregationMethod;
use crossmarket_domain::{Decimal, Instrument, InstrumentKind, Timestamp};

/// Maximum age at which a stablecoin's market rate is still a better estimate than par.
const CARRIED_RATE_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Significant digits of a rate that had to be divided.
const INVERSE_RATE_DIGITS: u32 = 12;

const ANCHORS: [&str; 2] = ["USDT", "USDC"];

/// Settings for finding rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// True to convert a dollar stablecoin without a fresh market rate at its last rate or at 1.
    pub stablecoin_par: bool,
    /// The aggregation settings for rates. One venue is enough.
    pub aggregate: Settings,
}

impl Default for RateSettings {
    /// Par allowed, default aggregation settings.
    fn default() -> Self {
        Self { stablecoin_par: true, aggregate: Settings::default() }
    }
}

/// The distinct quote assets of the quotes, sorted: the assets that need rates.
pub fn quote_assets<'a>(quotes: impl IntoIterator<Item = &'a Quote>) -> Vec<SmolStr> {
    let mut assets: Vec<SmolStr> = Vec::new();
    for quote in quotes {
        if let Err(position) = assets.binary_search(&quote.instrument.quote) {
            assets.insert(position, quote.instrument.quote.clone());
        }
    }
    assets
}

/// Computes the rates of the `wanted` assets from the newest known `quotes`; quotes of other instruments are ignored.
pub fn usd_rates(wanted: &[SmolStr], quotes: &[Quote], settings: &RateSettings, now: Timestamp) -> RateTable {
    let mut search = Search {
        table: RateTable::default(),
        aggregator: Aggregator::new(settings.aggregate.clone()),
        quotes: quotes.iter().filter(|quote| quote.instrument.kind == InstrumentKind::Spot).collect(),
        now,
    };
    search.by_markets(wanted, |_, quote| quote == "USD");
    search.by_markets(wanted, |asset, quote| is_dollar_stablecoin(asset) && is_fiat(quote));
    if settings.stablecoin_par {
        search.by_peg(wanted, |asset| ANCHORS.contains(&asset));
    }
    for _ in 0..2 {
        search.by_markets(wanted, |_, _| true);
    }
    search.by_inverse_markets(wanted);
    if settings.stablecoin_par {
        search.by_peg(wanted, is_dollar_stablecoin);
    }
    search.by_stale_markets(wanted);
    search.table
}

struct Search<'a> {
    table: RateTable,
    aggregator: Aggregator,
    quotes: Vec<&'a Quote>,
    now: Timestamp,
}

impl Search<'_> {
    fn by_markets(&mut self, wanted: &[SmolStr], allowed: impl Fn(&str, &str) -> bool) {
        let mut found = Vec::new();
        for asset in self.missing(wanted) {
            if let Some(rate) =
                self.aggregate(asset, |quote| allowed(asset, quote)).and_then(|whole| fresh_rate(&whole))
            {
                found.push((asset.clone(), rate));
            }
        }
        for (asset, rate) in found {
            self.table.insert(asset, rate);
        }
    }

    fn by_peg(&mut self, wanted: &[SmolStr], pegged: impl Fn(&str) -> bool) {
        for asset in self.missing(wanted).into_iter().filter(|asset| pegged(asset)) {
            let last = self.aggregate(asset, is_fiat).and_then(|whole| {
                let recent = self.now.since(whole.as_of(self.now)) <= CARRIED_RATE_AGE_MAX;
                whole.price.filter(|_| recent)
            });
            let (usd, source) = match last {
                Some(usd) => (usd, RateSource::Carried),
                None => (Decimal::ONE, RateSource::Par),
            };
            self.table.insert(asset.clone(), Rate { usd, source, stale_since: never() });
        }
    }

    fn by_inverse_markets(&mut self, wanted: &[SmolStr]) {
        for asset in self.missing(wanted).into_iter().filter(|asset| is_fiat(asset)) {
            let against = |quote: &&&Quote| {
                quote.instrument.quote == *asset
                    && (is_dollar_stablecoin(&quote.instrument.base) || quote.instrument.base == "USD")
            };
            let inverted: Vec<Quote> = self.quotes.iter().filter(against).filter_map(|quote| invert(quote)).collect();
            let whole = self.aggregator.aggregate(&inverted, &self.table, None, self.now);
            if let Some(rate) = fresh_rate(&whole) {
                let usd = rate.usd.rounded_to_significant(INVERSE_RATE_DIGITS);
                self.table.insert(asset.clone(), Rate { usd, ..rate });
            }
        }
    }

    fn by_stale_markets(&mut self, wanted: &[SmolStr]) {
        for asset in self.missing(wanted) {
            let Some(whole) = self.aggregate(asset, |_| true) else { continue };
            if let (Some(usd), Some(observed)) = (whole.price, whole.observed) {
                // A price converted at a stale rate is itself stale, however new the market's price is.
                let by_conversion = whole.conversions.iter().map(|(_, rate)| rate.stale_since).min();
                let stale_since = by_conversion.map_or(observed.stale_since(), |time| time.min(observed.stale_since()));
                self.table.insert(asset.clone(), Rate { usd, source: RateSource::Market, stale_since });
            }
        }
    }

    /// The aggregate of an asset's markets against allowed quote assets that have a rate; `None` when it has none.
    fn aggregate(&mut self, asset: &str, allowed: impl Fn(&str) -> bool) -> Option<Aggregate> {
        let usable =
            |quote: &Instrument| quote.base == asset && allowed(&quote.quote) && self.table.get(&quote.quote).is_some();
        let markets: Vec<&Quote> = self.quotes.iter().copied().filter(|quote| usable(&quote.instrument)).collect();
        if markets.is_empty() {
            return None;
        }
        Some(self.aggregator.aggregate(&markets, &self.table, None, self.now))
    }

    fn missing<'w>(&self, wanted: &'w [SmolStr]) -> Vec<&'w SmolStr> {
        wanted.iter().filter(|asset| self.table.get(asset).is_none()).collect()
    }
}

fn fresh_rate(whole: &Aggregate) -> Option<Rate> {
    if whole.aggregation.method == AggregationMethod::LastKnown {
        return None;
    }
    let by_conversion = whole.conversions.iter().map(|(_, rate)| rate.stale_since).min().unwrap_or_else(never);
    let stale_since = whole.observed?.stale_since().min(by_conversion);
    Some(Rate { usd: whole.price?, source: RateSource::Market, stale_since })
}

/// The same market seen from the quote asset: the price of one unit of it in the base asset.
fn invert(quote: &Quote) -> Option<Quote> {
    let price = Decimal::ONE.checked_div(quote.observed_price()?)?;
    let instrument = Instrument {
        symbol: quote.instrument.symbol.clone(),
        base: quote.instrument.quote.clone(),
        quote: quote.instrument.base.clone(),
        kind: InstrumentKind::Spot,
        multiplier: 1,
    };
    Some(Quote {
        instrument,
        last_price: Some(price),
        bid_price: None,
        ask_price: None,
        base_volume_24h: quote.quote_volume_24h,
        quote_volume_24h: quote.base_volume_24h,
        high_24h: None,
        low_24h: None,
        ..quote.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_768_478_400;

    fn quote(venue: &str, pair: &str, price: &str, age_seconds: i64) -> Quote {
        let (base, quote_asset) = pair.split_once('/').expect("a pair");
        let time = Timestamp::from_seconds(NOW - age_seconds);
        Quote {
            venue: venue.into(),
            instrument: Instrument::spot(pair.replace('/', ""), base, quote_asset),
            last_price: Some(Decimal::parse(price).expect(price)),
            bid_price: None,
            ask_price: None,
            base_volume_24h: Some(Decimal::from(1_000)),
            quote_volume_24h: None,
            high_24h: None,
            low_24h: None,
            event_time: time,
            receive_time: time,
            budget: Duration::from_secs(60),
            contradicted: false,
            simulated: false,
        }
    }

    fn check(par: bool, asset: &str, quotes: &[Quote], expected: Option<(&str, RateSource, bool)>) {
        let settings = RateSettings { stablecoin_par: par, ..RateSettings::default() };
        let now = Timestamp::from_seconds(NOW);
        let wanted: Vec<SmolStr> =
            ["BNB", "BTC", "DAI", "EUR", "JPY", "TRY", "USD", "USDC", "USDT"].map(SmolStr::from).to_vec();
        let found = usd_rates(&wanted, quotes, &settings, now).get(asset);
        let seen = found.map(|rate| (rate.usd, rate.source, now <= rate.stale_since));
        assert_eq!(seen, expected.map(|(text, source, fresh)| (Decimal::parse(text).expect(text), source, fresh)));
    }

    #[test]
    fn markets_against_the_dollar_come_first() {
        let quotes = [
            quote("kraken", "USDT/USD", "0.9991", 1),
            quote("bitstamp", "USDT/EUR", "0.85", 1),
            quote("kraken", "EUR/USD", "1.16", 1),
        ];
        check(true, "USDT", &quotes, Some(("0.9991", RateSource::Market, true)));
        check(true, "USDT", &quotes[1..], Some(("0.986", RateSource::Market, true)));
        check(true, "EUR", &quotes, Some(("1.16", RateSource::Market, true)));
        check(true, "USD", &[], Some(("1", RateSource::Dollar, true)));
    }

    #[test]
    fn stablecoins_fall_back_to_the_last_rate_and_then_to_par_only_when_allowed() {
        check(true, "USDT", &[], Some(("1", RateSource::Par, true)));
        check(false, "USDT", &[], None);
        let hour_old = [quote("kraken", "USDT/USD", "0.9991", 3_600)];
        check(true, "USDT", &hour_old, Some(("0.9991", RateSource::Carried, true)));
        check(false, "USDT", &hour_old, Some(("0.9991", RateSource::Market, false)));
        let days_old = [quote("kraken", "USDT/USD", "0.9991", 200_000)];
        check(true, "USDT", &days_old, Some(("1", RateSource::Par, true)));
    }

    #[test]
    fn other_assets_follow_the_chain() {
        let quotes = [
            quote("kraken", "USDT/USD", "0.999", 1),
            quote("binance", "BNB/USDT", "900", 1),
            quote("binance", "DAI/USDT", "1.001", 1),
            quote("binance", "USDT/TRY", "40", 1),
            quote("binance", "BTC/JPY", "15000000", 1),
        ];
        check(true, "BNB", &quotes, Some(("899.1", RateSource::Market, true)));
        check(true, "DAI", &quotes, Some(("0.999999", RateSource::Market, true)));
        check(true, "TRY", &quotes, Some(("0.024975", RateSource::Market, true)));
        check(true, "JPY", &quotes, None);
        check(true, "BTC", &quotes, None);
    }

    #[test]
    fn stale_rates_are_known_and_stale() {
        check(true, "BTC", &[quote("kraken", "BTC/USD", "95000", 61)], Some(("95000", RateSource::Market, false)));
        check(true, "BTC", &[quote("kraken", "BTC/USD", "95000", 60)], Some(("95000", RateSource::Market, true)));
    }

    #[test]
    fn quote_assets_are_distinct_and_sorted() {
        let quotes = [quote("a", "X/USDT", "1", 0), quote("b", "X/EUR", "1", 0), quote("c", "Y/USDT", "1", 0)];
        assert_eq!(quote_assets(&quotes), ["EUR", "USDT"]);
    }
}
