//! Categories and baskets: chain-linked indices that hold units of assets.
//!
//! The holdings live in the index's own state: units and divisor are published, and a process that takes over continues
//! with them. Weights are reset when a period has ended. The divisor is adjusted at the same time, so the level does
//! not move.

use std::collections::{BTreeMap, HashMap};

use smol_str::{SmolStr, format_smolstr};
use tokio::time::{Duration, Instant};

use crate::indices::assets::{Asset, Assets};
use crate::indices::figures::{HERE, decimal, fill_continuous};
use crate::indices::pending::{BUDGET, PendingSnapshot};
use crate::indices::sums::is_counted;
use crossmarket_analytics::basket::{
    self, Composition, Constituent, Position, RebalanceRule, Schedule, Weighting, capped_weights, period_end,
};
use crossmarket_analytics::daily::Day;
use crossmarket_domain::index::{
    IndexCalendar, IndexCode, IndexConstituent, IndexMethodology, IndexSnapshot, IndexWeighting, MarketSession, Subject,
};
use crossmarket_domain::state::{AssetKind, Body, Key};
use crossmarket_domain::{AssetCode, AssetId, AssetName, Candle, Decimal, Timestamp};
use crossmarket_image::Image;
use crossmarket_image::histories::{Histories, History};

/// A category needs at least this many assets to become an index.
const CATEGORY_LEN_MIN: usize = 3;

/// Maximum number of categories that become indices.
const CATEGORIES_MAX: usize = 60;

/// First level of a category's index.
const BASE_LEVEL: f64 = 1_000.0;

/// How far back a new index is computed, in days.
const PAST_DAYS_MAX: i32 = 365;

/// How long a new index waits for most of its assets to have histories before it starts without them.
const PATIENCE: Duration = Duration::from_secs(90);

/// Share of an index's assets that should have a history before it starts.
const WITH_HISTORY_SHARE: f64 = 0.9;

/// An asset in an index: its id and its ticker.
type Member = (AssetId, AssetCode);

/// Which assets a basket holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Members {
    Assets(Vec<AssetName>),
    /// The members of a category at the time weights are set; the category's id.
    Category(SmolStr),
}

/// How a basket is built.
#[derive(Clone, Debug, PartialEq)]
pub struct BasketDefinition {
    pub index: IndexCode,
    pub members: Members,
    pub weighting: Weighting,
    pub schedule: Schedule,
    /// First level.
    pub base_level: f64,
}

pub(super) struct Baskets {
    configured: Vec<BasketDefinition>,
    held: BTreeMap<IndexCode, Held>,
    waiting_since: HashMap<IndexCode, Instant>,
    past: Vec<(IndexCode, Vec<Candle>)>,
    restored: bool,
}

/// Current holdings of one index.
struct Held {
    assets: Vec<Member>,
    composition: Composition,
    base: (Option<Decimal>, Option<Timestamp>),
    /// Last known price of each asset, by position.
    prices: Vec<f64>,
    /// True once the holdings have been compared with the assets in the configuration.
    is_checked: bool,
}

impl Baskets {
    pub(super) fn new(configured: Vec<BasketDefinition>) -> Self {
        Self { configured, held: BTreeMap::new(), waiting_since: HashMap::new(), past: Vec::new(), restored: false }
    }

    /// Restores the holdings from the published states, once.
    pub(super) fn restore(&mut self, image: &Image, assets: &Assets) {
        if std::mem::replace(&mut self.restored, true) {
            return;
        }
        for definition in self.definitions(assets) {
            let Some(item) = image.get(&Key::Index(definition.index.clone())) else { continue };
            if let Body::Index(snapshot) = &item.state.body
                && let Some(held) = Held::of(snapshot)
            {
                self.held.insert(definition.index, held);
            }
        }
    }

    /// Daily levels of indices that have just started.
    pub(super) fn take_past(&mut self) -> Vec<(IndexCode, Vec<Candle>)> {
        std::mem::take(&mut self.past)
    }

    pub(super) fn snapshots(&mut self, assets: &Assets, histories: &Histories, now: Timestamp) -> Vec<PendingSnapshot> {
        let mut made = Vec::new();
        for definition in self.definitions(assets) {
            let candidates = candidates(&definition, assets);
            if !self.held.contains_key(&definition.index) {
                let Some(held) = self.begin(&definition, &candidates, histories, now) else { continue };
                self.held.insert(definition.index.clone(), held);
            }
            let Some(held) = self.held.get_mut(&definition.index) else { continue };
            held.follow(assets);
            held.rebalance(&definition, &candidates, now);
            made.extend(held.snapshot(&definition, assets, histories, now));
        }
        made
    }

    fn definitions(&self, assets: &Assets) -> Vec<BasketDefinition> {
        let mut sizes: BTreeMap<&SmolStr, usize> = BTreeMap::new();
        for asset in assets.iter().filter(|asset| asset.cap().is_some() && is_counted(asset.kind)) {
            for category in &asset.categories {
                *sizes.entry(category).or_default() += 1;
            }
        }
        let categories = sizes.into_iter().filter(|(_, size)| *size >= CATEGORY_LEN_MIN).take(CATEGORIES_MAX);
        let of_category = |category: &SmolStr| {
            Some(BasketDefinition {
                index: IndexCode::category(category)?,
                members: Members::Category(category.clone()),
                weighting: Weighting::MarketCap,
                schedule: Schedule::Monthly,
                base_level: BASE_LEVEL,
            })
        };
        let categories = categories.filter_map(|(category, _)| of_category(category));
        self.configured.iter().cloned().chain(categories).collect()
    }

    /// Computes an index without a state from the histories, and starts it.
    fn begin(
        &mut self,
        definition: &BasketDefinition,
        candidates: &[&Asset],
        histories: &Histories,
        now: Timestamp,
    ) -> Option<Held> {
        let waiting = self.waiting_since.entry(definition.index.clone()).or_insert_with(Instant::now).elapsed();
        let pasts: Vec<_> = candidates
            .iter()
            .map(|asset| histories.get(&Subject::Asset(asset.id.clone())).unwrap_or_default())
            .collect();
        let until = Day::last_ended(now);
        let needs_caps = definition.weighting != Weighting::Equal;
        let has_past = |past: &&std::sync::Arc<History>| {
            past.closes.get(until).is_some() && (!needs_caps || past.market_caps.get(until).is_some())
        };
        let with_history = pasts.iter().filter(has_past).count();
        if (with_history as f64) < WITH_HISTORY_SHARE * candidates.len() as f64 && waiting < PATIENCE {
            return None;
        }
        let members: Vec<Constituent<'_>> = pasts
            .iter()
            .map(|past| {
                let past: &History = past;
                Constituent { closes: &past.closes, market_caps: &past.market_caps }
            })
            .collect();
        let rule = RebalanceRule {
            weighting: definition.weighting,
            schedule: definition.schedule,
            base_day: until.plus(-PAST_DAYS_MAX),
            base_level: definition.base_level,
            constituent_count_max: None,
        };
        let past = basket::history(&members, &rule, until);
        let members = names(candidates);
        let price = |asset: &&Asset| asset.price();
        if let (Some(composition), Some(first)) = (past.composition.clone(), past.levels.first_day()) {
            let prices: Option<Vec<f64>> =
                composition.holdings.iter().map(|holding| candidates.get(holding.member).and_then(price)).collect();
            if prices.is_some() {
                let candles = past
                    .levels
                    .iter()
                    .filter_map(|(day, level)| crate::indices::records::flat(day.start(), decimal(level)?));
                self.past.push((definition.index.clone(), candles.collect()));
                let prices = candidates.iter().map(|asset| asset.price().unwrap_or(f64::NAN)).collect();
                let base = (decimal(definition.base_level), Some(first.end()));
                return Some(Held { assets: members, composition, base, prices, is_checked: true });
            }
        }
        // Without a history it starts now.
        let (composition, members, prices) =
            compose(definition, candidates, definition.base_level, Day::last_ended(now))?;
        Some(Held {
            assets: members,
            composition,
            base: (decimal(definition.base_level), Some(now)),
            prices,
            is_checked: true,
        })
    }
}

/// The assets that would make up the index now: those with a price, and with a market cap if the weighting needs it.
fn candidates<'a>(definition: &BasketDefinition, assets: &'a Assets) -> Vec<&'a Asset> {
    let is_usable =
        |asset: &&Asset| asset.price().is_some() && (definition.weighting == Weighting::Equal || asset.cap().is_some());
    match &definition.members {
        Members::Assets(names) => names.iter().filter_map(|name| assets.named(name)).filter(is_usable).collect(),
        Members::Category(category) => assets
            .iter()
            .filter(|asset| {
                is_counted(asset.kind) && asset.kind != AssetKind::Fiat && asset.categories.contains(category)
            })
            .filter(is_usable)
            .collect(),
    }
}

/// Holdings according to the definition at current prices, scaled to yield `level`.
fn compose(
    definition: &BasketDefinition,
    candidates: &[&Asset],
    level: f64,
    set_day: Day,
) -> Option<(Composition, Vec<Member>, Vec<f64>)> {
    let caps: Vec<f64> = candidates.iter().map(|asset| asset.cap().unwrap_or(0.0)).collect();
    let (weights, notional) = match definition.weighting {
        Weighting::Equal => (vec![1.0; caps.len()], 1e6),
        Weighting::MarketCap => (capped_weights(&caps, 1.0), caps.iter().sum()),
        Weighting::CappedMarketCap { weight_max } => (capped_weights(&caps, weight_max), caps.iter().sum()),
    };
    let prices: Vec<f64> = candidates.iter().filter_map(|asset| asset.price()).collect();
    let entries: Vec<(usize, f64, f64)> =
        weights.iter().zip(&prices).enumerate().map(|(place, (weight, price))| (place, *weight, *price)).collect();
    let composition = Composition::new(&entries, level, notional, set_day)?;
    Some((composition, names(candidates), prices))
}

fn names(candidates: &[&Asset]) -> Vec<Member> {
    candidates.iter().map(|asset| (asset.id.clone(), asset.ticker.clone())).collect()
}

impl Held {
    /// Restores the holdings from a state; `None` if the state is incomplete.
    fn of(snapshot: &IndexSnapshot) -> Option<Self> {
        let mut assets = Vec::new();
        let mut holdings = Vec::new();
        let mut prices = Vec::new();
        for (member, constituent) in snapshot.constituents.iter().enumerate() {
            holdings.push(Position { member, units: constituent.units?.to_f64() });
            assets.push((constituent.asset_id.clone(), constituent.asset.clone()));
            prices.push(constituent.price?.to_f64());
        }
        let methodology = &snapshot.methodology;
        let divisor = methodology.divisor?.to_f64();
        let set_day = Day::last_ended(methodology.last_rebalance?);
        if holdings.is_empty() || divisor <= 0.0 || !divisor.is_finite() {
            return None;
        }
        let composition = Composition { holdings, divisor, set_day };
        let base = (methodology.base_level, methodology.base_time);
        Some(Self { assets, composition, base, prices, is_checked: false })
    }

    /// Updates the prices. An asset without a price keeps its last one.
    fn follow(&mut self, assets: &Assets) {
        for (code, price) in self.assets.iter().zip(&mut self.prices) {
            if let Some(newer) = assets.get(&code.0).and_then(Asset::price) {
                *price = newer;
            }
        }
    }

    fn level(&self) -> Option<f64> {
        let level = self.composition.level(|member| self.prices.get(member).copied())?;
        (level.is_finite() && level > 0.0).then_some(level)
    }

    fn next_rebalance(&self, definition: &BasketDefinition) -> Option<Day> {
        period_end(definition.schedule, self.composition.set_day.plus(1))
    }

    /// Resets the weights when that is due. The level stays.
    fn rebalance(&mut self, definition: &BasketDefinition, candidates: &[&Asset], now: Timestamp) {
        let is_checked = std::mem::replace(&mut self.is_checked, true);
        let is_other = !is_checked && self.is_other(definition, candidates);
        let is_due = self.next_rebalance(definition).is_some_and(|day| Day::of(now) > day);
        if !is_due && !is_other {
            return;
        }
        let Some(level) = self.level() else { return };
        if let Some((composition, assets, prices)) = compose(definition, candidates, level, Day::last_ended(now)) {
            tracing::info!(index = %definition.index, level, constituents = assets.len(), "weights reset");
            (self.composition, self.assets, self.prices) = (composition, assets, prices);
        }
    }

    /// True when the configured assets differ from the held ones.
    fn is_other(&self, definition: &BasketDefinition, candidates: &[&Asset]) -> bool {
        let Members::Assets(named) = &definition.members else { return false };
        let held: Vec<&Member> =
            self.composition.holdings.iter().filter_map(|held| self.assets.get(held.member)).collect();
        let is_named = |(id, ticker): &Member| {
            named.iter().any(|name| match name {
                AssetName::Id(named) => named == id,
                AssetName::Ticker(named) => named == ticker,
            })
        };
        held.iter().any(|one| !is_named(one)) || candidates.iter().any(|asset| held.iter().all(|one| one.0 != asset.id))
    }

    fn snapshot(
        &self,
        definition: &BasketDefinition,
        assets: &Assets,
        histories: &Histories,
        now: Timestamp,
    ) -> Option<PendingSnapshot> {
        let level = self.level()?;
        let of = |member: usize| self.assets.get(member).and_then(|(id, _)| assets.get(id));
        let price = |member: usize| self.prices.get(member).copied();
        let day_ago = |member: usize| Some(price(member)? / of(member)?.growth_24h()?);
        let before = self.composition.level(day_ago);
        let moved = self.composition.contributions_percent(day_ago, price);
        let weights = self.composition.weights(price)?;
        let mut constituents: Vec<IndexConstituent> = Vec::with_capacity(weights.len());
        let mut times: Option<(Timestamp, Timestamp)> = None;
        for (place, (holding, weight)) in self.composition.holdings.iter().zip(&weights).enumerate() {
            let asset = of(holding.member);
            if let Some(asset) = asset {
                let newest = times.unwrap_or((asset.event_time, asset.receive_time));
                times = Some((newest.0.max(asset.event_time), newest.1.max(asset.receive_time)));
            }
            let (asset_id, ticker) = self.assets.get(holding.member)?.clone();
            constituents.push(IndexConstituent {
                asset_id,
                asset: ticker,
                weight: *weight,
                market_cap: asset.and_then(|asset| asset.market_cap),
                price: Decimal::from_f64(price(holding.member)?),
                // Full precision: a process that takes over continues with these values.
                units: Decimal::from_f64(holding.units),
                contribution_1d_percent: moved.as_ref().and_then(|moved| moved.get(place).copied()),
                stale: asset.is_none_or(|asset| asset.is_stale),
            });
        }
        constituents.sort_by(|left, right| right.weight.total_cmp(&left.weight));
        let (event_time, receive_time) = times?;
        let mut snapshot = IndexSnapshot::empty(
            definition.index.clone(),
            self.methodology(definition, constituents.len()),
            MarketSession::Continuous,
        );
        let history = histories.get(&Subject::Index(definition.index.clone())).unwrap_or_default();
        fill_continuous(&mut snapshot, level, before, &history.closes, now);
        let caps: Option<Decimal> =
            constituents.iter().try_fold(Decimal::ZERO, |sum, constituent| sum.checked_add(constituent.market_cap?));
        snapshot.market_cap = caps;
        snapshot.constituents = constituents;
        Some(PendingSnapshot { snapshot, event_time, receive_time, budget: BUDGET })
    }

    fn methodology(&self, definition: &BasketDefinition, count: usize) -> IndexMethodology {
        let members = match &definition.members {
            Members::Assets(_) => "the assets of the configuration".to_owned(),
            Members::Category(category) => format!(
                "the assets that the listings have in the category {category} when weights are set, without wrapped and staked forms; \
                 levels of days before the index was begun are of the assets of that time and favour survivors"
            ),
        };
        let (weighting, cap, how) = match definition.weighting {
            Weighting::Equal => (IndexWeighting::Equal, None, "equally weighted".to_owned()),
            Weighting::MarketCap => (IndexWeighting::MarketCap, None, "weighted by market cap".to_owned()),
            Weighting::CappedMarketCap { weight_max } => {
                let cap = 100.0 * weight_max;
                (
                    IndexWeighting::CappedMarketCap,
                    Some(cap),
                    format!("weighted by market cap with at most {cap} % for each"),
                )
            }
        };
        let when = match definition.schedule {
            Schedule::Never => "at the start only",
            Schedule::Weekly => "at the end of each week",
            Schedule::Monthly => "at the end of each month",
            Schedule::Quarterly => "at the end of each quarter",
        };
        let definition_text = format_smolstr!(
            "Level = sum of units × price / divisor over {members}, {how}. Weights are set {when}; the divisor is set with them so that the level \
             does not move."
        );
        IndexMethodology {
            weighting: Some(weighting),
            constituent_count: u32::try_from(count).ok(),
            weight_cap_percent: cap,
            divisor: Decimal::from_f64(self.composition.divisor),
            base_level: self.base.0,
            base_time: self.base.1,
            last_rebalance: Some(self.composition.set_day.end()),
            next_rebalance: self.next_rebalance(definition).map(Day::end),
            ..IndexMethodology::observed(definition_text, HERE, IndexCalendar::UtcDays)
        }
    }
}
