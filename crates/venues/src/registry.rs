//! The registry of venues.

use super::venue::Venue;
use super::{
    binance, binance_usdm, bitget, bybit, coinbase, coingecko, coinpaprika, fred, gate, htx, kraken, kucoin, mexc, okx,
    stooq, twelvedata, yahoo,
};
use crossmarket_domain::{Feed, VenueId};

/// Declares the venues: each row is a module and the type in it.
macro_rules! registry {
    ($($module:ident::$venue:ident,)*) => {
        /// Every venue, in the order of the documentation.
        pub static REGISTRY: &[&dyn Venue] = &[$(&$module::$venue),*];

        /// The simulated side of every venue.
        #[cfg(feature = "simulator")]
        pub static SIMULATED: &[crossmarket_simulator::exchange::SimulatedVenue] = &[$($module::simulated::VENUE),*];
    };
}

// To add a venue, add one folder and one row.
registry! {
    binance::Binance,
    binance_usdm::BinanceUsdm,
    coinbase::Coinbase,
    kraken::Kraken,
    okx::Okx,
    bybit::Bybit,
    bitget::Bitget,
    gate::Gate,
    kucoin::Kucoin,
    mexc::Mexc,
    htx::Htx,
    coingecko::CoinGecko,
    coinpaprika::CoinPaprika,
    yahoo::Yahoo,
    twelvedata::TwelveData,
    stooq::Stooq,
    fred::Fred,
}

pub fn find(id: &str) -> Option<&'static dyn Venue> {
    REGISTRY.iter().copied().find(|venue| venue.id().as_str() == id)
}

/// The ranked venues of a feed, most preferred first.
pub fn preference(feed: Feed) -> Vec<VenueId> {
    let mut ranked: Vec<_> =
        REGISTRY.iter().filter_map(|venue| Some((venue.profile().feed(feed)?.rank?, venue.id()))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, venue)| venue).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_ranks_are_unique() {
        let ids: BTreeSet<&str> = REGISTRY.iter().map(|venue| venue.id().as_str()).collect();
        assert_eq!(ids.len(), REGISTRY.len());
        for feed in Feed::ALL {
            let ranks: Vec<u8> = REGISTRY.iter().filter_map(|venue| venue.profile().feed(feed)?.rank).collect();
            assert_eq!(ranks.iter().collect::<BTreeSet<_>>().len(), ranks.len(), "{feed}: {ranks:?}");
        }
    }

    #[test]
    fn preferred_venues_come_in_the_order_of_their_ranks() {
        let ids = |feed| preference(feed).iter().map(|venue| venue.as_str()).collect::<Vec<_>>();
        assert_eq!(ids(Feed::Candles), ["binance", "coinbase", "kraken", "bybit", "okx"]);
        assert_eq!(ids(Feed::MarketCaps), ["coingecko", "coinpaprika"]);
        assert_eq!(ids(Feed::IndexLevels), ["yahoo", "twelvedata", "stooq", "fred"]);
    }

    #[test]
    fn every_feed_of_a_profile_occurs_once() {
        for venue in REGISTRY {
            let feeds: Vec<Feed> = venue.profile().feed_ids().collect();
            assert_eq!(feeds.iter().collect::<BTreeSet<_>>().len(), feeds.len(), "{}", venue.id());
            assert_eq!(venue.profile().stream.is_some(), venue.stream().is_some(), "{}", venue.id());
        }
    }
}
