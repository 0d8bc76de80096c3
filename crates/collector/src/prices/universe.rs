//! Which assets there are, which of them are tracked, and which asset a venue's code means.
//!
//! An asset's id comes from the registry, from the store, or from the preferred listing, never from whoever answered
//! first: until the preferred listing is complete, only registered and stored assets are tracked. Afterwards the
//! largest `size` assets of the deciding listing are, plus those in the configuration, and assets that only venues know
//! fill the places that are left.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use smol_str::{SmolStr, format_smolstr};

use crossmarket_domain::instrument::ASSET_CODE_LEN_MAX;
use crossmarket_domain::observation::MarketCap;
use crossmarket_domain::registry::{FormerTicker, RegisteredAsset, Registry};
use crossmarket_domain::state::{AssetInfo, AssetKind, MappingRule};
use crossmarket_domain::{AssetCode, AssetId, AssetName, Decimal, Timestamp};

/// Maximum number of assets tracked before a listing is complete.
pub(crate) const DISCOVERED_MAX: usize = 5_000;

/// Maximum number of categories per asset.
const CATEGORIES_MAX: usize = 32;

/// Maximum number of rows per listing.
const LISTING_ROWS_MAX: usize = 20_000;

/// An asset that holds a ticker keeps it until another with the same ticker is larger by this factor. This keeps two
/// assets of similar size from swapping tickers back and forth.
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
    /// The venue's id.
    name: &'static str,
    /// By the listing's own id.
    rows: HashMap<SmolStr, Listed>,
    /// True once every page has been read.
    complete: bool,
}

/// What is known of an asset apart from the listings' rows.
#[derive(Default)]
struct Known {
    /// The ticker in the registry or in the store.
    ticker: SmolStr,
    name: SmolStr,
    /// Its id at each listing, by the listing's place.
    listed_as: HashMap<usize, SmolStr>,
}

/// What a venue's code means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VenueCode {
    pub rule: MappingRule,
    /// A ticker, an id (`id:bitcoin`) or a name; `None` for a code to be ignored.
    pub means: Option<SmolStr>,
}

/// The asset that a venue's code stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved {
    pub asset: AssetId,
    pub rule: MappingRule,
    /// Units of the asset in one unit of what the venue means by the code, where an old code outlived a redenomination.
    pub factor: u32,
}

/// The assets.
pub(crate) struct Universe {
    size: usize,
    /// Always tracked: the configured assets, and quote assets whose prices convert the others.
    always: Vec<AssetName>,
    /// What venues mean by codes of their own.
    codes: HashMap<(u16, SmolStr), VenueCode>,
    /// In order of preference. The first gives ids to the assets that have none.
    listings: Vec<Listing>,
    known: HashMap<AssetId, Known>,
    /// The asset of each listing's row, by the listing's place and id.
    by_listing: HashMap<(usize, SmolStr), AssetId>,
    by_ticker: HashMap<SmolStr, Vec<AssetId>>,
    /// Each tracked asset with its handle, which no other has.
    tracked: HashMap<AssetId, AssetCode>,
    handles: HashMap<AssetCode, AssetId>,
    /// Assets that a venue trades and that are not tracked.
    discovered: HashSet<AssetId>,
}

impl Universe {
    /// The registry's assets, none of them tracked but `always`. `listing_venues` are indexes in the collector's list
    /// with the venues' ids, in order of preference.
    pub(crate) fn new(
        size: usize,
        always: Vec<AssetName>,
        codes: HashMap<(u16, SmolStr), VenueCode>,
        listing_venues: &[(u16, &'static str)],
    ) -> Self {
        let listings = listing_venues
            .iter()
            .map(|(venue, name)| Listing { venue: *venue, name, rows: HashMap::new(), complete: false })
            .collect();
        let mut universe = Self {
            size,
            always,
            codes,
            listings,
            known: HashMap::new(),
            by_listing: HashMap::new(),
            by_ticker: HashMap::new(),
            tracked: HashMap::new(),
            handles: HashMap::new(),
            discovered: HashSet::new(),
        };
        for asset in Registry::shipped().assets() {
            let RegisteredAsset { id, ticker, name, kind, .. } = asset;
            let listed = (*kind != AssetKind::Fiat).then_some(("coingecko", id.as_str()));
            universe.know(id, ticker.as_str(), name, listed.into_iter());
        }
        universe.retrack(|_| None);
        universe
    }

    /// Adds an asset that the store knows from an earlier run, under the id that it has there.
    pub(crate) fn seed(&mut self, info: &AssetInfo) {
        let listed = info.listing_ids.iter().map(|(venue, id)| (venue.as_str(), id.as_str()));
        let ticker = bare(&info.asset, &info.asset_id);
        self.know(&info.asset_id, ticker, info.name.as_deref().unwrap_or_default(), listed);
    }

    fn know<'a>(&mut self, id: &AssetId, ticker: &str, name: &str, listed: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut listed_as = HashMap::new();
        for (venue, listing_id) in listed {
            if let Some(place) = self.listings.iter().position(|listing| listing.name == venue) {
                listed_as.insert(place, SmolStr::new(listing_id));
                self.by_listing.entry((place, listing_id.into())).or_insert_with(|| id.clone());
            }
        }
        self.call(id, ticker);
        let known = self.known.entry(id.clone()).or_default();
        (known.ticker, known.name) = (ticker.into(), name.into());
        known.listed_as.extend(listed_as);
    }

    /// Notes that an asset has a ticker. It keeps the ones it had: a venue may be slower to rename.
    fn call(&mut self, id: &AssetId, ticker: &str) {
        let assets = self.by_ticker.entry(ticker.into()).or_default();
        if !assets.contains(id) {
            assets.push(id.clone());
        }
    }

    /// Processes a listing's row. Keeps the known categories and adds that of the row.
    pub(crate) fn list(&mut self, venue_index: u16, mut listed: Listed) {
        let Some(place) = self.listings.iter().position(|listing| listing.venue == venue_index) else { return };
        let Some(listing) = self.listings.get_mut(place) else { return };
        let listing_id = listed.row.listing_id.clone();
        if !listing.rows.contains_key(&listing_id) && listing.rows.len() >= LISTING_ROWS_MAX {
            return;
        }
        let known = listing.rows.get_mut(&listing_id);
        listed.categories = known.map(|held| std::mem::take(&mut held.categories)).unwrap_or_default();
        if let Some(category) = listed.row.category.clone()
            && let Err(position) = listed.categories.binary_search(&category)
            && listed.categories.len() < CATEGORIES_MAX
        {
            listed.categories.insert(position, category);
        }
        let ticker = listed.ticker.clone();
        listing.rows.insert(listing_id.clone(), listed);
        if let Some(id) = self.identify(place, &listing_id) {
            self.call(&id, &ticker);
        }
    }

    /// The asset of a listing's row: one with that id at the listing, otherwise one with the same ticker and name. The
    /// preferred listing gives an id to an asset that has none.
    fn identify(&mut self, place: usize, listing_id: &SmolStr) -> Option<AssetId> {
        if let Some(id) = self.by_listing.get(&(place, listing_id.clone())) {
            return Some(id.clone());
        }
        let Listing { name: listing, rows, .. } = self.listings.get(place)?;
        let row = rows.get(listing_id)?;
        let name = row.row.name.to_lowercase();
        let is_free = |id: &&AssetId| self.known.get(*id).is_some_and(|known| !known.listed_as.contains_key(&place));
        let same = |id: &&AssetId| self.name_of(id).is_some_and(|known| known.to_lowercase() == name);
        let named = || self.by_ticker.get(&row.ticker)?.iter().filter(is_free).find(same).cloned();
        // An id that already means another asset, or looks as if no listing had given it, is not given again.
        let given = || AssetId::parse(listing_id).filter(|id| !id.is_unlisted() && !self.known.contains_key(id));
        // The registry has CoinGecko's ids, so a name tells nothing more of its rows.
        let id = match (place, *listing) {
            (0, "coingecko") => given(),
            (0, _) => named().or_else(given),
            _ => named(),
        }?;
        let known = self.known.entry(id.clone()).or_default();
        known.listed_as.insert(place, listing_id.clone());
        if known.ticker.is_empty() {
            (known.ticker, known.name) = (row.ticker.clone(), row.row.name.clone());
        }
        self.by_listing.insert((place, listing_id.clone()), id.clone());
        Some(id)
    }

    fn name_of(&self, id: &AssetId) -> Option<&SmolStr> {
        let row = self.rows(id).first().map(|(_, listed)| &listed.row.name);
        row.or_else(|| self.known.get(id).map(|known| &known.name)).filter(|name| !name.is_empty())
    }

    /// Every page of a listing has been read: from now on the listings decide.
    pub(crate) fn listing_complete(&mut self, venue_index: u16) {
        if let Some(listing) = self.listings.iter_mut().find(|listing| listing.venue == venue_index) {
            listing.complete = true;
        }
    }

    /// True once a listing decides which assets are tracked.
    fn is_decided(&self) -> bool {
        self.listings.iter().any(|listing| listing.complete)
    }

    /// True once it is certain which assets no listing knows: the preferred listing is complete, or there is none.
    fn is_settled(&self) -> bool {
        self.listings.first().is_none_or(|listing| listing.complete)
    }

    /// True while a listing may still say what an asset costs.
    pub(crate) fn awaits_listing(&self) -> bool {
        !self.listings.is_empty() && !self.is_decided()
    }

    /// The place of the listing that decides: the first complete one, otherwise the first with any row.
    fn deciding(&self) -> Option<usize> {
        let of = |wanted: fn(&Listing) -> bool| self.listings.iter().position(wanted);
        of(|listing| listing.complete && !listing.rows.is_empty()).or_else(|| of(|listing| !listing.rows.is_empty()))
    }

    /// The tracked asset that a venue means by a code, or `None`. Where several assets have the ticker, `agrees` says
    /// whether an asset has about the price of the code.
    pub(crate) fn resolve(
        &mut self,
        venue_index: u16,
        base: &str,
        agrees: impl Fn(&Self, &AssetId, u32) -> bool,
    ) -> Option<Resolved> {
        let resolved = match self.codes.get(&(venue_index, SmolStr::new(base))) {
            Some(VenueCode { rule, means }) => {
                let asset = self.find(means.as_deref()?)?;
                Resolved { asset, rule: *rule, factor: 1 }
            }
            None => self.by_code(base, agrees)?,
        };
        if self.tracked.contains_key(&resolved.asset) {
            return Some(resolved);
        }
        if self.discovered.len() < DISCOVERED_MAX {
            self.discovered.insert(resolved.asset);
        }
        None
    }

    fn by_code(&mut self, base: &str, agrees: impl Fn(&Self, &AssetId, u32) -> bool) -> Option<Resolved> {
        let former = Registry::shipped().by_former_ticker(base).and_then(|(asset, former)| {
            // While the listings have the old ticker, its units are those of their price.
            let factor = whole(former).filter(|_| self.ticker_of(&asset.id).as_deref() != Some(base))?;
            Some(Resolved { asset: asset.id.clone(), rule: MappingRule::FormerTicker, factor })
        });
        let holders = self.by_ticker.get(base).map(Vec::as_slice).unwrap_or_default();
        let is_former = |id: &AssetId| former.as_ref().is_some_and(|former| former.asset == *id);
        let current: Vec<&AssetId> = holders.iter().filter(|id| !is_former(id)).collect();
        let resolved = match (current.as_slice(), former) {
            ([], Some(former)) => former,
            ([], None) => return self.unlisted(base),
            ([only], None) => by(only, MappingRule::Ticker),
            (several, former) => {
                let by_price = several.iter().find(|id| agrees(self, id, 1)).map(|id| by(id, MappingRule::Price));
                let by_price = by_price.or_else(|| former.filter(|old| agrees(self, &old.asset, old.factor)));
                by_price.unwrap_or_else(|| by(self.holder(base, several), MappingRule::Ticker))
            }
        };
        Some(resolved)
    }

    /// Of the assets with one ticker, the one that the bare ticker means.
    fn holder<'a>(&self, ticker: &str, assets: &[&'a AssetId]) -> &'a AssetId {
        let holds = |id: &&&AssetId| self.handles.get(ticker) == Some(**id);
        assets.iter().find(holds).or_else(|| assets.first()).copied().expect("the caller has at least one")
    }

    /// An asset that no listing knows, once that is certain.
    fn unlisted(&mut self, base: &str) -> Option<Resolved> {
        // The unit of all prices is not an asset.
        if base == "USD" || !self.is_settled() || self.known.len() >= LISTING_ROWS_MAX {
            return None;
        }
        let (ticker, id) = (AssetCode::parse(base)?, AssetId::unlisted(base)?);
        self.know(&id, ticker.as_str(), "", std::iter::empty());
        if !self.is_decided() && self.tracked.len() < DISCOVERED_MAX {
            self.track(id.clone(), ticker);
        }
        Some(by(&id, MappingRule::Ticker))
    }

    /// The asset of that ticker, id or name.
    fn find(&self, text: &str) -> Option<AssetId> {
        let named = AssetName::parse(text).and_then(|name| self.named(&name));
        named.or_else(|| Registry::shipped().by_name(text).map(|asset| asset.id.clone()))
    }

    fn named(&self, name: &AssetName) -> Option<AssetId> {
        match name {
            AssetName::Id(id) => Some(id.clone()),
            AssetName::Ticker(ticker) => {
                let holders: Vec<&AssetId> = self.by_ticker.get(ticker.as_str()).into_iter().flatten().collect();
                (!holders.is_empty()).then(|| self.holder(ticker.as_str(), &holders).clone())
            }
        }
    }

    fn track(&mut self, id: AssetId, handle: AssetCode) {
        self.handles.insert(handle.clone(), id.clone());
        self.tracked.insert(id, handle);
    }

    /// Re-evaluates which assets are tracked and under which handles, by the deciding listing. `volume_of` ranks the
    /// assets without a row, which fill the places that the listing leaves free; `None` means that nobody trades it.
    /// Returns the assets that are no longer tracked.
    pub(crate) fn retrack(&mut self, volume_of: impl Fn(&AssetId) -> Option<f64>) -> Vec<AssetId> {
        let mut order: Vec<AssetId> = Vec::new();
        if let Some(place) = self.deciding() {
            let ids: Vec<SmolStr> =
                self.listings.get(place).into_iter().flat_map(|one| one.rows.keys().cloned()).collect();
            let listed: Vec<AssetId> = ids.iter().filter_map(|listing_id| self.identify(place, listing_id)).collect();
            let mut ranked: Vec<(f64, AssetId)> = listed.into_iter().map(|id| (self.market_cap(&id), id)).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            order = ranked.into_iter().map(|(_, id)| id).collect();
        }
        order.truncate(self.size);
        let mut tracked = order;
        let mut held: HashSet<AssetId> = tracked.iter().cloned().collect();
        let always = self.always.iter().filter_map(|name| self.named(name));
        tracked.extend(always.filter(|id| held.insert(id.clone())));
        let is_decided = self.is_decided();
        let room = if is_decided { self.size.saturating_sub(tracked.len()) } else { DISCOVERED_MAX };
        // Once a listing has decided, an asset that nobody trades needs no place.
        let mut rest: Vec<(f64, &AssetId)> = Vec::new();
        for id in self.known.keys().filter(|id| !held.contains(*id)) {
            match volume_of(id) {
                Some(volume) => rest.push((volume, id)),
                None if !is_decided || self.discovered.contains(id) => rest.push((0.0, id)),
                None => {}
            }
        }
        rest.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        tracked.extend(rest.into_iter().take(room).map(|(_, id)| id.clone()));
        self.assign_handles(tracked)
    }

    /// Gives each asset its ticker, or a longer handle where a larger asset has the ticker. Returns the assets that
    /// are no longer tracked.
    fn assign_handles(&mut self, assets: Vec<AssetId>) -> Vec<AssetId> {
        let mut claims: Vec<(bool, f64, AssetId, SmolStr)> = assets
            .into_iter()
            .filter_map(|id| {
                let ticker = self.ticker_of(&id)?;
                let registered = Registry::shipped().by_ticker(&ticker).is_some_and(|asset| asset.id == id);
                let incumbent = self.handles.get(ticker.as_str()) == Some(&id);
                let weight = self.market_cap(&id) * if incumbent { INCUMBENT_FACTOR } else { 1.0 };
                Some((registered, weight, id, ticker))
            })
            .collect();
        claims.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
        let before = std::mem::take(&mut self.tracked);
        self.handles.clear();
        for (_, _, id, ticker) in claims {
            let bare = AssetCode::parse(&ticker).filter(|bare| !self.handles.contains_key(bare));
            let handle = bare.or_else(|| suffixed(&ticker, &id).filter(|long| !self.handles.contains_key(long)));
            if let Some(handle) = handle {
                self.track(id, handle);
            }
        }
        self.discovered.retain(|id| !self.tracked.contains_key(id));
        before.into_keys().filter(|id| !self.tracked.contains_key(id)).collect()
    }

    /// The asset's ticker: the listings' word is newer than the registry's.
    fn ticker_of(&self, id: &AssetId) -> Option<SmolStr> {
        let row = self.rows(id).first().map(|(_, listed)| listed.ticker.clone());
        row.or_else(|| self.known.get(id).map(|known| known.ticker.clone()))
    }

    fn market_cap(&self, id: &AssetId) -> f64 {
        let caps = self.rows(id).into_iter().find_map(|(_, listed)| listed.row.market_cap);
        caps.map_or(0.0, Decimal::to_f64)
    }

    pub(crate) fn tracked(&self) -> impl Iterator<Item = &AssetId> {
        self.tracked.keys()
    }

    /// The tracked asset with a handle.
    pub(crate) fn by_handle(&self, handle: &str) -> Option<&AssetId> {
        self.handles.get(handle)
    }

    /// The handle of a tracked asset: its ticker, or a longer one where a larger asset has the ticker.
    pub(crate) fn handle(&self, id: &AssetId) -> Option<&AssetCode> {
        self.tracked.get(id)
    }

    /// What a venue may call an asset: the codes that it uses for it, otherwise the asset's ticker and former tickers,
    /// unless the venue means something else by them.
    pub(crate) fn codes_at<'a>(&'a self, venue_index: u16, id: &'a AssetId) -> impl Iterator<Item = SmolStr> + 'a {
        let own = self.codes.iter().filter(move |((venue, _), code)| {
            *venue == venue_index && code.means.as_deref().and_then(|means| self.find(means)).as_ref() == Some(id)
        });
        let former = Registry::shipped().by_id(id.as_str()).into_iter().flat_map(|asset| &asset.former);
        let names = self.tracked.get(id).into_iter().chain(former.map(|former| &former.ticker));
        let names = names.map(|ticker| SmolStr::new(ticker.as_str()));
        let is_free = move |name: &SmolStr| !self.codes.contains_key(&(venue_index, name.clone()));
        let is_its = move |name: &SmolStr| self.handles.get(name.as_str()).is_none_or(|holder| holder == id);
        own.map(|((_, code), _)| code.clone()).chain(names.filter(is_free).filter(is_its))
    }

    /// Other names of an asset: its former tickers, and the registry's where a listing has a newer one.
    pub(crate) fn aliases(&self, id: &AssetId) -> Vec<SmolStr> {
        let registered = Registry::shipped().by_id(id.as_str());
        let former = registered.into_iter().flat_map(|asset| asset.former.iter().map(|former| &former.ticker));
        let names = former.chain(registered.map(|asset| &asset.ticker)).map(|ticker| SmolStr::new(ticker.as_str()));
        let mut aliases: Vec<SmolStr> = names.filter(|name| !self.handles.contains_key(name.as_str())).collect();
        aliases.sort();
        aliases.dedup();
        aliases
    }

    /// The asset's name: the listings' word is newer than the registry's.
    pub(crate) fn display_name(&self, id: &AssetId) -> Option<SmolStr> {
        self.name_of(id).cloned()
    }

    /// The rows of all listings for an asset, preferred listing first.
    pub(crate) fn rows(&self, id: &AssetId) -> Vec<(u16, &Listed)> {
        let Some(known) = self.known.get(id) else { return Vec::new() };
        let mut found = Vec::with_capacity(self.listings.len());
        for (place, Listing { venue, rows, .. }) in self.listings.iter().enumerate() {
            let row = known.listed_as.get(&place).and_then(|listing_id| rows.get(listing_id));
            found.extend(row.map(|listed| (*venue, listed)));
        }
        found
    }

    /// The tracked asset of a listing's row.
    pub(crate) fn asset_of_row(&self, venue_index: u16, listing_id: &SmolStr) -> Option<AssetId> {
        let place = self.listings.iter().position(|listing| listing.venue == venue_index)?;
        let id = self.by_listing.get(&(place, listing_id.clone()))?;
        self.tracked.contains_key(id).then(|| id.clone())
    }
}

fn by(asset: &AssetId, rule: MappingRule) -> Resolved {
    Resolved { asset: asset.clone(), rule, factor: 1 }
}

/// The factor of a redenomination, if it is a whole number: a venue's price is divided by it.
fn whole(former: &FormerTicker) -> Option<u32> {
    let factor = former.factor.to_f64();
    (factor >= 1.0 && factor.fract() == 0.0 && factor <= f64::from(u32::MAX)).then_some(factor as u32)
}

/// The ticker in a handle, which for the smaller of two assets with one ticker has the id behind it.
fn bare<'a>(handle: &'a AssetCode, id: &AssetId) -> &'a str {
    let text = handle.as_str();
    let is_suffixed = |(ticker, _): &(&str, &str)| suffixed(ticker, id).as_ref() == Some(handle);
    text.split_once('-').filter(is_suffixed).map_or(text, |(ticker, _)| ticker)
}

fn suffixed(ticker: &str, id: &AssetId) -> Option<AssetCode> {
    let whole = format_smolstr!("{ticker}-{id}");
    let mut end = whole.len().min(ASSET_CODE_LEN_MAX);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    AssetCode::parse(whole.get(..end)?)
}

/// Kind of an asset, by the registry and its categories. A yield-bearing dollar token counts as a stablecoin.
pub(crate) fn classify(id: &AssetId, categories: &[SmolStr]) -> AssetKind {
    if let Some(asset) = Registry::shipped().by_id(id.as_str()).filter(|asset| asset.kind != AssetKind::Coin) {
        return asset.kind;
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
        AssetKind::Coin
    }
}
