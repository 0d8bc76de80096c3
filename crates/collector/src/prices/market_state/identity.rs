//! Which asset an instrument is of, and whether its price agrees.

use smol_str::SmolStr;

use crate::prices::mapping::agrees;
use crate::prices::market_state::{Asset, MarketState, par};
use crate::prices::universe::{Resolved, classify};
use crossmarket_analytics::aggregate::{ListingPrice, Quote};
use crossmarket_analytics::rates::RateTable;
use crossmarket_domain::state::MappingState;
use crossmarket_domain::{AssetId, Decimal, Instrument, Timestamp};

impl MarketState {
    /// The asset of an instrument that reports something other than a price; `None` if it is not tracked, or if what the
    /// venue means by the code contradicts the asset's price.
    pub(super) fn asset_of(&mut self, venue_index: u16, instrument: &Instrument) -> Option<AssetId> {
        let meaning = self.meanings.get(&(venue_index, instrument.base.clone())).cloned();
        let id = match meaning {
            Some(id) => id,
            None => self.universe.resolve(venue_index, &instrument.base, |_, _, _| false)?.asset,
        };
        let asset = self.assets.get(&id)?;
        let mut of_code = asset
            .quotes
            .iter()
            .zip(&asset.quote_venues)
            .zip(&asset.mappings)
            .filter(|((quote, venue), _)| **venue == venue_index && quote.instrument.base == instrument.base)
            .map(|(_, mapping)| mapping.contributes())
            .peekable();
        (of_code.peek().is_none() || of_code.any(|contributes| contributes)).then_some(id)
    }

    /// The price of one unit in US dollars, as far as it is known.
    pub(super) fn dollars(instrument: &Instrument, price: Option<Decimal>, rates: &RateTable) -> Option<f64> {
        let rate = rates.get(&instrument.quote).map(|rate| rate.usd).or_else(|| par(&instrument.quote))?;
        Some(price?.to_f64() * rate.to_f64() / f64::from(instrument.multiplier.max(1))).filter(|price| *price > 0.0)
    }

    /// The asset of an instrument with that price of one unit in US dollars.
    pub(super) fn resolve(&mut self, venue_index: u16, base: &str, dollars: Option<f64>) -> Option<Resolved> {
        let factor_of = |id: &AssetId| self.mapping_settings.factor_of(classify(id, &[]));
        self.universe.resolve(venue_index, base, |universe, id, units| {
            let listed = universe.rows(id).iter().find_map(|(_, listed)| listed.row.price);
            let ratio = listed.zip(dollars).map(|(listed, dollars)| dollars / f64::from(units) / listed.to_f64());
            ratio.is_some_and(|ratio| agrees(ratio, factor_of(id)))
        })
    }

    /// Compares the prices of an asset's instruments with the listing's or, without a fresh one, with confirmed venues.
    /// Logs the instruments whose mapping comes into conflict.
    pub(crate) fn check_mappings(
        &mut self,
        id: &AssetId,
        listing: Option<&ListingPrice>,
        rates: &RateTable,
        now: Timestamp,
    ) {
        let listing = listing.filter(|price| now <= price.event_time.min(price.receive_time) + price.budget);
        let listing = listing.map(|price| price.price.to_f64()).filter(|price| *price > 0.0);
        let factor = self.mapping_settings.factor_of(classify(id, &[]));
        let patience = self.mapping_settings.patience;
        let Some(asset) = self.assets.get_mut(id) else { return };
        let fresh = |quote: &Quote| now <= quote.known_time() + quote.budget;
        let prices: Vec<Option<f64>> = asset
            .quotes
            .iter()
            .map(|quote| Self::dollars(&quote.instrument, quote.observed_price(), rates).filter(|_| fresh(quote)))
            .collect();
        let confirmed: Vec<(u16, f64)> = (prices.iter().zip(&asset.quote_venues).zip(&asset.mappings))
            .filter(|(_, mapping)| mapping.state == MappingState::Confirmed)
            .filter_map(|((price, venue), _)| Some((*venue, (*price)?)))
            .collect();
        let mut in_conflict: Vec<u16> = Vec::new();
        for (((quote, venue), mapping), price) in
            asset.quotes.iter_mut().zip(&asset.quote_venues).zip(&mut asset.mappings).zip(prices)
        {
            let Some(price) = price else { continue };
            let of_others = || median_of(confirmed.iter().filter(|(other, _)| other != venue).map(|(_, price)| *price));
            let Some(evidence) = listing.or_else(|| of_others().map(|(median, _)| median)) else { continue };
            // A listing that goes astray must not take several confirmed venues out that agree with each other.
            let backed = |(median, count): (f64, usize)| count >= 2 && agrees(price / median, factor);
            let agreed = agrees(price / evidence, factor)
                || (mapping.state == MappingState::Confirmed && of_others().is_some_and(backed));
            let was = mapping.contributes();
            let changed = mapping.judge(price / evidence, agreed, patience, now);
            if changed && mapping.state == MappingState::Conflict {
                let (venue_id, symbol) = (&quote.venue, &quote.instrument.symbol);
                tracing::warn!(venue = %venue_id, %symbol, asset = %id, "an instrument's price is not its asset's: it does not count");
                in_conflict.push(*venue);
            }
            quote.contradicted = !mapping.contributes();
            self.instruments_changed |= changed || was != mapping.contributes();
        }
        for venue in in_conflict {
            let keys = self.long_short.remove_venue(id, venue);
            self.dropped.extend(keys);
        }
    }

    /// Counts the instruments that contribute to nothing because their prices contradict their assets'.
    pub(crate) fn conflict_count(&self) -> usize {
        let conflicts = |asset: &Asset| asset.mappings.iter().filter(|one| one.state == MappingState::Conflict).count();
        self.assets.values().map(conflicts).sum()
    }

    /// What venues with long/short ratios call an asset: venue and code. Where a venue has no price of it, its own codes
    /// and the asset's names tell.
    pub(crate) fn codes_of(&self, id: &AssetId) -> Vec<(u16, SmolStr)> {
        let Some(asset) = self.assets.get(id) else { return Vec::new() };
        let mut codes = Vec::new();
        let of_ratios = self.venues.iter().zip(0u16..).filter(|(venue, _)| !venue.long_short_kinds.is_empty());
        for (_, venue_index) in of_ratios {
            let known = asset.quotes.iter().zip(&asset.quote_venues).zip(&asset.mappings);
            let mut priced = known.filter(|((_, venue), _)| **venue == venue_index).peekable();
            if priced.peek().is_none() {
                codes.extend(self.universe.codes_at(venue_index, id).map(|code| (venue_index, code)));
                continue;
            }
            let of_venue = codes.len();
            for ((quote, _), _) in priced.filter(|(_, mapping)| mapping.contributes()) {
                let code = (venue_index, quote.instrument.base.clone());
                if !codes.get(of_venue..).is_some_and(|held| held.contains(&code)) {
                    codes.push(code);
                }
            }
        }
        codes
    }
}

/// The middle value, and the number of values.
fn median_of(values: impl Iterator<Item = f64>) -> Option<(f64, usize)> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).map(|median| (*median, sorted.len()))
}
