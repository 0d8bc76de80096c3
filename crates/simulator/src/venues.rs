//! The simulated venues: one file each, one row each in [`REGISTRY`].

use super::exchange::SimulatedVenue;

mod binance;
mod binance_usdm;
mod bitget;
mod bybit;
mod coinbase;
mod coingecko;
mod coinpaprika;
mod fred;
mod gate;
mod htx;
mod kraken;
mod kucoin;
mod mexc;
mod okx;
mod stooq;
mod twelvedata;
mod yahoo;

/// Every simulated venue.
pub(super) static REGISTRY: &[SimulatedVenue] = &[
    binance::VENUE,
    binance_usdm::VENUE,
    bybit::VENUE,
    okx::VENUE,
    coinbase::VENUE,
    kraken::VENUE,
    bitget::VENUE,
    gate::VENUE,
    kucoin::VENUE,
    mexc::VENUE,
    htx::VENUE,
    coingecko::VENUE,
    coinpaprika::VENUE,
    yahoo::VENUE,
    twelvedata::VENUE,
    stooq::VENUE,
    fred::VENUE,
];

/// `BTCUSDT`.
fn joined(base: &str, quote: &str) -> String {
    format!("{base}{quote}")
}

/// `BTC-USDT`.
fn hyphened(base: &str, quote: &str) -> String {
    format!("{base}-{quote}")
}

/// One unit of the symbol is one unit of the asset.
fn single(_base: &str) -> Option<(u32, String)> {
    None
}
