//! Which assets are tracked, and under which codes.
//!
//! A market-cap listing decides: the largest `size` assets, plus those in the configuration. Until a listing has
//! answered, every asset that the venues trade is tracked, so that prices are available at once.

use std::collections::{HashMap, HashSet};

use smol_str::{SmolStr, format_smolstr};

use crossmarket_domain::instrument::ASSET_CODE_LEN_MAX;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::state::AssetKind;
use crossmarket_domain::{AssetCode, Decimal, Timestamp};

/// Maximum number of assets tracked before a listing has answered.
pub(crate) const DISCOVERED_MAX: usize = 5_000;

/// Maximum number of categories per asset.
const CATEGORIES_MAX: usize = 32;

/// Maximum number of rows per listing.
const LISTING_ROWS_MAX: usize = 20_000;

/// An asset that holds a ticker keeps it until another with the same ticker is larger by this factor. This keeps two
/// assets of similar size from swapping names back and forth.
const INCUMBENT_FACTOR: f64 = 1.5;

/// One asset of a listing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// Ticker at the listing, upper case; not unique.
    pub ticker: SmolStr,
    pub row: MarketCap,
    /// Time of the row by the listing's clock.
    pub event_time: Timestamp,
    pub receive_time: Timestamp,
    /// Ids of the categories it belongs to, sorted.
    pub categories: Vec<SmolStr>,
}

/// One venue's listing.
struct Listing {
    venue: u16,
    /// By the listing's own id.
    rows: HashMap<SmolStr, Listed>,
    /// True once every page has been read.
    complete: bool,
}

/// The tracked assets.
pub(crate) struct Universe {
    size: usize,
    /// Always tracked: the configured assets, and quote assets whose prices convert the others.
    always: HashSet<AssetCode>,
    /// In order of preference.
    listings: Vec<Listing>,
    complete: bool,
    discovered: HashSet<AssetCode>,
    tracked: HashMap<AssetCode, Option<(u16, SmolStr)>>,
}

impl Universe {
    /// An empty universe. `listing_venues` are indexes in the collector's list, in order of preference.
    pub(crate) fn new(size: usize, always: HashSet<AssetCode>, listing_venues: &[u16]) -> Self {
        let listings = listing_venues
            .iter()
            .map(|venue| Listing { venue: *venue, rows: HashMap::new(), complete: false })
            .collect();
        let tracked = always.iter().map(|code| (code.clone(), None)).collect();
        Self { size, always, listings, complete: false, discovered: HashSet::new(), tracked }
    }

    /// Processes a listing's row. Keeps the known categories and adds that of the row.
    pub(crate) fn list(&mut self, venue_index: u16, mut listed: Listed) {
        let Some(listing) = self.listings.iter_mut().find(|listing| listing.venue == venue_index) else { return };
        if !listing.rows.contains_key(&listed.row.listing_id) && listing.rows.len() >= LISTING_ROWS_MAX {
            return;
        }
        let known = listing.rows.get_mut(&listed.row.listing_id);
        listed.categories = known.map(|held| std::mem::take(&mut held.categories)).unwrap_or_default();
        if let Some(category) = listed.row.category.clone()
            && let Err(position) = listed.categories.binary_search(&category)
            && listed.categories.len() < CATEGORIES_MAX
        {
            listed.categories.insert(position, category);
        }
        listing.rows.insert(listed.row.listing_id.clone(), listed);
    }

    /// Every page of a listing has been read: from now on the listings decide.
    pub(crate) fn listing_complete(&mut self, venue_index: u16) {
        if let Some(listing) = self.listings.iter_mut().find(|listing| listing.venue == venue_index) {
            listing.complete = true;
            self.complete = true;
        }
    }

    /// The listing that decides: the first complete one, otherwise the first with any row.
    fn deciding(&self) -> Option<&Listing> {
        let with_rows = || self.listings.iter().filter(|listing| !listing.rows.is_empty());
        with_rows().find(|listing| listing.complete).or_else(|| with_rows().next())
    }

    /// The asset for a venue's base ticker, or `None` if it is not tracked.
    pub(crate) fn resolve(&mut self, base: &str) -> Option<AssetCode> {
        if let Some((code, _)) = self.tracked.get_key_value(base) {
            return Some(code.clone());
        }
        let open = !self.complete;
        if !open && self.discovered.contains(base) {
            return None;
        }
        let code = AssetCode::parse(base)?;
        if self.tracked.contains_key(&code) {
            return Some(code);
        }
        if self.discovered.len() >= DISCOVERED_MAX {
            return None;
        }
        if !self.discovered.contains(&code) {
            self.discovered.insert(code.clone());
        }
        open.then(|| {
            self.tracked.insert(code.clone(), None);
            code
        })
    }

    /// Re-evaluates which assets are tracked and under which codes, by the preferred listing that has rows. `volume_of`
    /// ranks the unlisted assets, which fill the places that the listing leaves free. Returns the codes that are no
    /// longer tracked.
    pub(crate) fn retrack(&mut self, volume_of: impl Fn(&AssetCode) -> f64) -> Vec<AssetCode> {
        let mut tracked: HashMap<AssetCode, Option<(u16, SmolStr)>> = HashMap::new();
        if let Some(Listing { venue, rows, .. }) = self.deciding() {
            let mut order: Vec<&Listed> = rows.values().collect();
            order.sort_by(|a, b| {
                self.weight(*venue, b).total_cmp(&self.weight(*venue, a)).then(a.row.listing_id.cmp(&b.row.listing_id))
            });
            for listed in order {
                let Some(code) = free_code(listed, &tracked) else { continue };
                if tracked.len() < self.size || self.always.contains(&code) {
                    tracked.insert(code, Some((*venue, listed.row.listing_id.clone())));
                }
            }
        }
        for code in &self.always {
            tracked.entry(code.clone()).or_insert(None);
        }
        let room = if self.complete { self.size.saturating_sub(tracked.len()) } else { DISCOVERED_MAX };
        let mut rest: Vec<&AssetCode> = self.discovered.iter().filter(|code| !tracked.contains_key(*code)).collect();
        rest.sort_by(|a, b| volume_of(b).total_cmp(&volume_of(a)).then(a.cmp(b)));
        let fill: Vec<AssetCode> = rest.into_iter().take(room).cloned().collect();
        tracked.extend(fill.into_iter().map(|code| (code, None)));
        let left: Vec<AssetCode> = self.tracked.keys().filter(|code| !tracked.contains_key(*code)).cloned().collect();
        self.tracked = tracked;
        left
    }

    fn weight(&self, venue: u16, listed: &Listed) -> f64 {
        let market_cap = listed.row.market_cap.map_or(0.0, Decimal::to_f64);
        let incumbent = self
            .tracked
            .get(listed.ticker.as_str())
            .is_some_and(|held| held.as_ref().is_some_and(|(by, id)| *by == venue && *id == listed.row.listing_id));
        // Only the order among equal tickers should change. A rank that is off by one at the edge does no harm.
        if incumbent { market_cap * INCUMBENT_FACTOR } else { market_cap }
    }

    pub(crate) fn codes(&self) -> impl Iterator<Item = &AssetCode> {
        self.tracked.keys()
    }

    /// The rows of all listings for an asset, preferred listing first. A row of another listing belongs to the same
    /// asset if it has the same name, or if it is the largest with that ticker there.
    pub(crate) fn rows(&self, code: &AssetCode) -> Vec<(u16, &Listed)> {
        let Some(held) = self.tracked.get(code) else { return Vec::new() };
        let mut found: Vec<(u16, &Listed)> = Vec::new();
        for Listing { venue, rows, .. } in &self.listings {
            let row = match held {
                Some((by, id)) if by == venue => rows.get(id),
                _ => {
                    let name = found.first().map(|(_, listed)| listed.row.name.to_lowercase());
                    best_match(rows, code, name.as_deref())
                }
            };
            found.extend(row.map(|listed| (*venue, listed)));
        }
        found
    }

    /// The code of a listing's row, if it is tracked.
    pub(crate) fn code_of(&self, venue_index: u16, listing_id: &str, ticker: &str) -> Option<AssetCode> {
        let bare = AssetCode::parse(ticker)?;
        let is_it = |code: &AssetCode| matches!(self.tracked.get(code), Some(Some((venue, id))) if *venue == venue_index && id == listing_id);
        if is_it(&bare) {
            return Some(bare);
        }
        suffixed(ticker, listing_id).filter(|code| is_it(code))
    }
}

fn best_match<'a>(rows: &'a HashMap<SmolStr, Listed>, code: &AssetCode, name: Option<&str>) -> Option<&'a Listed> {
    let ticker = code.as_str();
    let market_cap = |listed: &&Listed| listed.row.market_cap.unwrap_or(Decimal::ZERO);
    let same_ticker = || rows.values().filter(|listed| listed.ticker == ticker);
    let named = name.and_then(|name| same_ticker().find(|listed| listed.row.name.to_lowercase() == name));
    named.or_else(|| same_ticker().max_by_key(market_cap))
}

/// The bare ticker or, if a larger asset holds it, the ticker followed by the listing's id.
fn free_code(listed: &Listed, taken: &HashMap<AssetCode, Option<(u16, SmolStr)>>) -> Option<AssetCode> {
    let bare = AssetCode::parse(&listed.ticker)?;
    if !taken.contains_key(&bare) {
        return Some(bare);
    }
    suffixed(&listed.ticker, &listed.row.listing_id).filter(|code| !taken.contains_key(code))
}

fn suffixed(ticker: &str, listing_id: &str) -> Option<AssetCode> {
    let whole = format_smolstr!("{ticker}-{listing_id}");
    let mut end = whole.len().min(ASSET_CODE_LEN_MAX);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    AssetCode::parse(whole.get(..end)?)
}

/// Fiat currencies that occur as bases and quotes.
const FIATS: &[&str] = &[
    "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "TRY", "BRL", "KRW", "PLN", "ZAR", "UAH", "MXN", "ARS",
    "CZK", "RON", "COP", "IDR", "NGN", "SGD", "HKD", "INR", "SEK", "NOK", "DKK",
];

/// Kind of a ticker until a listing's categories provide it: the largest of each kind, since categories arrive minutes
/// after the start.
const KNOWN_KINDS: &[(AssetKind, &[&str])] = &[
    (
        AssetKind::Stablecoin,
        &[
            "USDT", "USDC", "DAI", "USDE", "FDUSD", "TUSD", "USDD", "PYUSD", "USDS", "USD1", "RLUSD", "BUSD", "USDP",
            "GUSD", "FRAX", "LUSD", "EURC", "EURI", "EURS", "USDF", "USDG", "BFUSD", "USDY", "SUSDE", "SUSDS",
        ],
    ),
    (
        AssetKind::Wrapped,
        &["WBTC", "WETH", "CBBTC", "WBNB", "BTCB", "TBTC", "FBTC", "SOLVBTC", "LBTC", "WEETH", "KBTC", "CLBTC"],
    ),
    (
        AssetKind::Staked,
        &["STETH", "WSTETH", "RETH", "CBETH", "EZETH", "RSETH", "METH", "BNSOL", "JITOSOL", "MSOL", "JUPSOL", "BETH"],
    ),
    (AssetKind::AssetBacked, &["PAXG", "XAUT", "KAU", "KAG", "BUIDL", "OUSG", "USYC", "USTB"]),
];

/// Kind of an asset, by its ticker and its categories.
///
/// Categories decide if they name one of the kinds; a yield-bearing dollar token counts as a stablecoin.
pub(crate) fn classify(code: &AssetCode, categories: &[SmolStr]) -> AssetKind {
    let ticker = code.as_str();
    if FIATS.contains(&ticker) {
        return AssetKind::Fiat;
    }
    let has = |parts: &[&str]| categories.iter().any(|category| parts.iter().any(|part| category.contains(part)));
    if has(&["stablecoin"]) {
        AssetKind::Stablecoin
    } else if has(&["wrapped", "bridged"]) {
        AssetKind::Wrapped
    } else if has(&["liquid-staking", "liquid-staked", "restaking-tokens", "liquid-restaked"]) {
        AssetKind::Staked
    } else if has(&["tokenized", "asset-backed", "gold"]) {
        AssetKind::AssetBacked
    } else {
        let known = KNOWN_KINDS.iter().find(|(_, tickers)| tickers.contains(&ticker));
        known.map_or(AssetKind::Coin, |(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(ticker: &str, id: &str, name: &str, market_cap: i64) -> Listed {
        let row = MarketCap {
            listing_id: id.into(),
            name: name.into(),
            market_cap: Some(Decimal::from(market_cap)),
            ..MarketCap::default()
        };
        let time = Timestamp::EPOCH;
        Listed { ticker: ticker.into(), row, event_time: time, receive_time: time, categories: Vec::new() }
    }

    fn universe(size: usize) -> Universe {
        let always = [AssetCode::parse("USDT").expect("valid")].into();
        Universe::new(size, always, &[7, 8])
    }

    fn codes(universe: &Universe) -> Vec<String> {
        let mut codes: Vec<_> = universe.codes().map(AssetCode::to_string).collect();
        codes.sort();
        codes
    }

    fn no_volume(_: &AssetCode) -> f64 {
        0.0
    }

    #[test]
    fn the_larger_asset_keeps_the_bare_ticker() {
        let mut universe = universe(10);
        universe.list(7, listed("ABC", "small-abc", "Small", 10));
        universe.list(7, listed("ABC", "large-abc", "Large", 100));
        universe.listing_complete(7);
        universe.retrack(no_volume);
        assert_eq!(codes(&universe), ["ABC", "ABC-SMALL-ABC", "USDT"]);
        let abc = universe.resolve("ABC").expect("tracked");
        assert_eq!(universe.rows(&abc)[0].1.row.name, "Large");
        universe.list(7, listed("ABC", "small-abc", "Small", 120));
        universe.retrack(no_volume);
        assert_eq!(universe.rows(&abc)[0].1.row.name, "Large", "not larger by enough");
        universe.list(7, listed("ABC", "small-abc", "Small", 200));
        universe.retrack(no_volume);
        assert_eq!(universe.rows(&abc)[0].1.row.name, "Small");
        assert_eq!(
            universe.code_of(7, "large-abc", "ABC").map(|code| code.to_string()).as_deref(),
            Some("ABC-LARGE-ABC")
        );
    }

    #[test]
    fn discovers_until_a_listing_decides() {
        let mut universe = universe(3);
        for base in ["BTC", "ETH", "DOGE", "JUNK", "no code"] {
            assert_eq!(universe.resolve(base).is_some(), base != "no code", "{base}");
        }
        universe.list(7, listed("BTC", "bitcoin", "Bitcoin", 100));
        universe.listing_complete(7);
        let left = universe.retrack(|code| if code.as_str() == "ETH" { 5.0 } else { 1.0 });
        assert_eq!(codes(&universe), ["BTC", "ETH", "USDT"], "the listing, what is always tracked, then by volume");
        assert_eq!(left.len(), 2);
        assert_eq!(universe.resolve("JUNK"), None);
        assert_eq!(universe.resolve("NEW"), None);
    }

    #[test]
    fn what_is_discovered_is_bounded() {
        let mut universe = universe(1);
        universe.list(7, listed("BTC", "bitcoin", "Bitcoin", 100));
        for number in 0..DISCOVERED_MAX + 100 {
            universe.resolve(&format!("A{number}"));
        }
        assert!(universe.retrack(no_volume).is_empty());
        assert_eq!(universe.codes().count(), DISCOVERED_MAX + 2);
    }

    #[test]
    fn a_second_listing_adds_to_the_same_asset() {
        let mut universe = universe(10);
        universe.list(8, listed("BTC", "btc-bitcoin", "Bitcoin", 99));
        universe.list(8, listed("BTC", "btc-batcat", "Batcat", 1));
        universe.list(7, listed("BTC", "bitcoin", "Bitcoin", 100));
        universe.retrack(no_volume);
        let code = AssetCode::parse("BTC").expect("valid");
        let ids: Vec<_> =
            universe.rows(&code).iter().map(|(venue, listed)| (*venue, listed.row.listing_id.to_string())).collect();
        assert_eq!(ids, [(7, "bitcoin".to_owned()), (8, "btc-bitcoin".to_owned())]);
    }

    #[test]
    fn kinds_by_category_then_by_ticker() {
        for (ticker, categories, expected) in [
            ("BTC", &["layer-1"][..], AssetKind::Coin),
            ("XYZ", &["stablecoins"], AssetKind::Stablecoin),
            ("XYZ", &["wrapped-tokens"], AssetKind::Wrapped),
            ("XYZ", &["liquid-staking-tokens"], AssetKind::Staked),
            ("XYZ", &["tokenized-gold"], AssetKind::AssetBacked),
            ("USDT", &[], AssetKind::Stablecoin),
            ("WBTC", &[], AssetKind::Wrapped),
            ("STETH", &[], AssetKind::Staked),
            ("PAXG", &[], AssetKind::AssetBacked),
            ("EUR", &[], AssetKind::Fiat),
        ] {
            let categories: Vec<SmolStr> = categories.iter().copied().map(SmolStr::from).collect();
            assert_eq!(classify(&AssetCode::parse(ticker).expect("valid"), &categories), expected, "{ticker}");
        }
    }
}
