//! Effect of a change of constituents on levels: none for chain-linked indices; a sum moves by what was added or
//! removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::indices::assets::Assets;
use crate::indices::baskets::Baskets;
use crate::indices::news::{EquityLevel, UsedLevel};
use crate::indices::owner::*;
use crate::indices::{BasketDefinition, Members, PublishedMarketCap};
use crossmarket_analytics::basket::{Schedule, Weighting};
use crossmarket_analytics::daily::{Daily, Day};
use crossmarket_domain::index::{IndexConstituent, asset_subject};
use crossmarket_domain::state::PriceSnapshot;
use crossmarket_domain::{AssetName, Decimal};
use crossmarket_image::histories::History;
use crossmarket_image::testing::{TextEncoder, id, priced, snapshot, state};
use crossmarket_image::{Change, ImageSettings, Position};

const ASSET_COUNT: usize = 9;

const CATEGORY: &str = "meme";

/// Levels are rounded to 12 digits.
const ROUNDING: f64 = 2e-11;

/// An event between two rounds.
#[derive(Clone, Debug)]
enum Event {
    /// A price moves, and the market cap with it.
    Moved(usize, f64),
    /// The supply is restated: another market cap at the same price.
    Restated(usize, f64),
    /// Two assets change places in the ranking.
    Swapped(usize, usize),
    /// An asset enters or leaves the category.
    Reclassified(usize),
    /// An asset is delisted, or listed again.
    Listed(usize),
    /// Days pass, so weights may be due.
    Waited(i64),
    /// Another process takes over, configured with other assets.
    TakenOver(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let place = || 0..ASSET_COUNT;
    prop_oneof![
        (place(), 0.2f64..5.0).prop_map(|(at, factor)| Event::Moved(at, factor)),
        (place(), 0.05f64..20.0).prop_map(|(at, factor)| Event::Restated(at, factor)),
        (place(), place()).prop_map(|(one, other)| Event::Swapped(one, other)),
        place().prop_map(Event::Reclassified),
        place().prop_map(Event::Listed),
        (1i64..100).prop_map(Event::Waited),
        (1usize..1 << ASSET_COUNT).prop_map(Event::TakenOver),
    ]
}

/// One asset as the listings report it.
#[derive(Clone)]
struct Listing {
    price: f64,
    market_cap: f64,
    in_category: bool,
    is_listed: bool,
}

/// A market and the owner of its indices.
struct World {
    listings: Vec<Listing>,
    now: Timestamp,
    histories: Histories,
    baskets: Baskets,
    /// The last published state.
    published: BTreeMap<IndexCode, IndexSnapshot>,
}

fn name(at: usize) -> String {
    format!("A{at}")
}

fn exact(value: f64) -> Decimal {
    Decimal::from_f64(value).expect("finite")
}

fn priced_at(asset: &str, price: f64, market_cap: f64, categories: &[&str]) -> PriceSnapshot {
    PriceSnapshot {
        price: Some(exact(price)),
        market_cap: Some(exact(market_cap)),
        categories: categories.iter().map(|category| (*category).into()).collect(),
        ..snapshot(asset, 1, "1")
    }
}

/// Baskets of the assets whose bit is set, one of each kind.
fn configured(set: usize) -> Vec<BasketDefinition> {
    let chosen = (0..ASSET_COUNT).filter(|at| set & (1 << at) != 0);
    let assets: Vec<AssetName> = chosen.map(|at| AssetName::Id(id(&name(at)))).collect();
    let basket = |name: &str, weighting, schedule| BasketDefinition {
        index: IndexCode::parse(&format!("basket:{name}")).expect("a name"),
        members: Members::Assets(assets.clone()),
        weighting,
        schedule,
        base_level: 100.0,
    };
    vec![
        basket("equal", Weighting::Equal, Schedule::Weekly),
        basket("capped", Weighting::CappedMarketCap { weight_max: 0.3 }, Schedule::Monthly),
        basket("lasting", Weighting::MarketCap, Schedule::Never),
        BasketDefinition {
            members: Members::Category(CATEGORY.into()),
            ..basket("followed", Weighting::MarketCap, Schedule::Quarterly)
        },
    ]
}

fn image_of(changes: Vec<Change>, now: Timestamp) -> Image {
    let image = Image::new(TextEncoder, ImageSettings::default());
    let revision = changes.len() as u64;
    image.bootstrap(0, Position { epoch: 1, revision }, changes, now);
    image
}

impl World {
    fn new(sizes: &[(f64, f64)]) -> Self {
        let now = Timestamp::parse("2026-01-15T12:00:00Z").expect("an instant");
        let yesterday = Day::last_ended(now);
        let histories = Histories::default();
        histories.put(sizes.iter().enumerate().map(|(at, (price, market_cap))| {
            let column = |value: f64| Daily::new([(yesterday, value)]);
            let history = History { closes: column(*price), market_caps: column(*market_cap), ..History::default() };
            (asset_subject(&id(&name(at))), Arc::new(history))
        }));
        let listing = |(at, (price, market_cap)): (usize, &(f64, f64))| Listing {
            price: *price,
            market_cap: *market_cap,
            in_category: at % 2 == 0,
            is_listed: true,
        };
        let listings = sizes.iter().enumerate().map(listing).collect();
        let baskets = Baskets::new(configured((1 << ASSET_COUNT) - 1));
        Self { listings, now, histories, baskets, published: BTreeMap::new() }
    }

    fn image(&self) -> Image {
        let listed = self.listings.iter().enumerate().filter(|(_, listing)| listing.is_listed);
        let price = |(at, listing): (usize, &Listing)| {
            let categories: &[&str] = if listing.in_category { &[CATEGORY] } else { &[] };
            priced_at(&name(at), listing.price, listing.market_cap, categories)
        };
        let changes = (1..).zip(listed.map(price)).map(|(revision, price)| priced(revision, price, self.now)).collect();
        let image = image_of(changes, self.now);
        let states = (1..).zip(self.published.values()).map(|(revision, snapshot)| Change {
            key: Key::Index(snapshot.index.clone()),
            revision,
            state: Some(state(Body::Index(Box::new(snapshot.clone())), self.now)),
        });
        let position = Position { epoch: 1, revision: self.published.len() as u64 };
        image.bootstrap(image.shards().cross_asset(), position, states.collect(), self.now);
        image
    }

    /// Runs one round of the owner. Returns the levels.
    fn round(&mut self) -> BTreeMap<IndexCode, f64> {
        let image = self.image();
        let assets = Assets::of(&image);
        self.baskets.restore(&image, &assets);
        let made = self.baskets.snapshots(&assets, &self.histories, self.now);
        self.published = made.into_iter().map(|one| (one.snapshot.index.clone(), one.snapshot)).collect();
        let level = |(index, snapshot): (&IndexCode, &IndexSnapshot)| {
            (index.clone(), snapshot.level.expect("a level").to_f64())
        };
        self.published.iter().map(level).collect()
    }

    /// Expected growth factor of an index in the next round.
    fn growth(&self, index: &IndexCode, event: &Event) -> f64 {
        let Event::Moved(at, factor) = event else { return 1.0 };
        if !self.listings[*at].is_listed {
            // The move is not seen: the last price counts.
            return 1.0;
        }
        let moved = id(&name(*at));
        let held = self.published[index].constituents.iter().find(|constituent| constituent.asset_id == moved);
        1.0 + held.map_or(0.0, |held| held.weight * (factor - 1.0))
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Moved(at, factor) => {
                self.listings[*at].price *= factor;
                self.listings[*at].market_cap *= factor;
            }
            Event::Restated(at, factor) => self.listings[*at].market_cap *= factor,
            Event::Swapped(one, other) => {
                let cap = self.listings[*one].market_cap;
                self.listings[*one].market_cap = std::mem::replace(&mut self.listings[*other].market_cap, cap);
            }
            Event::Reclassified(at) => self.listings[*at].in_category ^= true,
            Event::Listed(at) => self.listings[*at].is_listed ^= true,
            Event::Waited(days) => self.now = self.now + Duration::from_secs(*days as u64 * 86_400),
            Event::TakenOver(set) => self.baskets = Baskets::new(configured(*set)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_prices_move_the_level_of_a_basket(
        sizes in prop::collection::vec((1e-3f64..1e5, 1e6f64..1e12), ASSET_COUNT),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut world = World::new(&sizes);
        let mut before = world.round();
        prop_assert_eq!(before.len(), 5, "the baskets and the category");
        for event in &events {
            // A price that returns with its asset is a move of its own, not a change of constituents.
            if matches!(event, Event::Moved(at, _) if !world.listings[*at].is_listed) {
                continue;
            }
            let growth: BTreeMap<IndexCode, f64> =
                before.keys().map(|index| (index.clone(), world.growth(index, event))).collect();
            world.happen(event);
            let after = world.round();
            for (index, level) in &after {
                // A category that was too small for a while starts again.
                let Some(old) = before.get(index) else { continue };
                let expected = old * growth[index];
                prop_assert!(
                    (level / expected - 1.0).abs() < 1e-9,
                    "{index} is at {level} and not at {expected} after {event:?}"
                );
            }
            for index in ["basket:equal", "basket:capped", "basket:lasting"] {
                let index = IndexCode::parse(index).expect("a name");
                let is_listed = |constituent: &IndexConstituent| {
                    let place = constituent.asset.as_str()[1..].parse::<usize>().expect("a place");
                    world.listings[place].is_listed
                };
                let snapshot = world.published.get(&index);
                // Without any listed constituent there is no time to date the snapshot.
                prop_assert!(
                    snapshot.is_none_or(|snapshot| snapshot.constituents.iter().any(is_listed)
                        && (snapshot.constituents.iter().map(|one| one.weight).sum::<f64>() - 1.0).abs() < 1e-9)
                );
            }
            before = after;
        }
    }
}

#[test]
fn a_market_cap_rests_on_a_close_of_its_date_and_not_on_an_older_one() {
    let day = |month, day| Day::from_date(2025, month, day).expect("a date");
    let now = Timestamp::parse("2025-12-31T20:00:00Z").expect("an instant");
    let code = IndexCode::parse("RUT").expect("an index");
    let histories = Histories::default();
    let closes = Daily::new([(day(6, 20), 2_100.0), (day(12, 30), 2_500.0)]);
    histories.put([("RUT".into(), Arc::new(History { closes, ..History::default() }))]);
    let used = UsedLevel {
        venue: "yahoo",
        level: exact(2_600.0),
        previous_close: None,
        event_time: now,
        receive_time: now,
        budget: Duration::from_secs(60),
    };
    let estimate = |date: Day| {
        let published = PublishedMarketCap {
            index: code.clone(),
            market_cap: exact(3e12),
            date: date.start(),
            source: "somebody".to_owned(),
        };
        let mut equities = Equities::new(vec![published]);
        let level = EquityLevel { index: code.clone(), used: Some(used.clone()), sources: Vec::new() };
        equities.ingest(IndexNews::Level { level: Box::new(level), trace: None });
        let made = equities.snapshots(&histories, now).pop().expect("a snapshot");
        made.snapshot.market_cap.map(Decimal::to_f64)
    };
    // A Saturday has the close of the Friday before.
    assert_eq!(
        estimate(day(6, 21)),
        Some(3e12 / 2_100.0 * 2_600.0).map(|cap: f64| exact(cap).rounded_to_significant(12).to_f64())
    );
    assert_eq!(estimate(day(9, 30)), None, "the close known before that is of June");
}

/// The sums at these market caps.
fn sums_of(caps: &BTreeMap<usize, f64>) -> BTreeMap<&'static str, f64> {
    let now = Timestamp::parse("2026-01-15T12:00:00Z").expect("an instant");
    let ticker = |at: usize| match at {
        0 => "BTC".to_owned(),
        1 => "ETH".to_owned(),
        _ => name(at),
    };
    let prices = caps.iter().map(|(at, cap)| priced_at(&ticker(*at), 1.0, *cap, &[]));
    let changes = (1..).zip(prices).map(|(revision, price)| priced(revision, price, now)).collect();
    let made = sums::snapshots(&Assets::of(&image_of(changes, now)), &Histories::default(), now);
    let level = |index: &'static str| {
        let of_index = made.iter().find(|one| one.snapshot.index.as_str() == index)?;
        Some((index, of_index.snapshot.level?.to_f64()))
    };
    ["TOTAL", "TOTAL2", "TOTAL3", "OTHERS"].into_iter().filter_map(level).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A sum has no divisor, so an added or removed constituent moves it by its value, less that of the asset that
    /// gives up or takes its place. An asset that passes another one, or the edge of the ranking, must not move the sum
    /// by more than its own market cap has changed.
    #[test]
    fn a_sum_moves_by_no_more_than_the_market_cap_that_changed(
        sizes in prop::collection::vec(1e6f64..1e12, 118..140),
        changed in 0usize..140,
        market_cap in prop::option::of(1e6f64..1e12),
    ) {
        // Bitcoin and Ether are far above the edge of the ranking: TOTAL3 leaves them out, so one of them that took the
        // place of another asset would move it by that asset's whole value.
        let above = |at: usize, cap: f64| if at < 2 { cap + 1e12 } else { cap };
        let market_cap = market_cap.map(|cap| above(changed, cap));
        let caps: BTreeMap<usize, f64> = sizes.iter().enumerate().map(|(at, cap)| (at, above(at, *cap))).collect();
        let mut other = caps.clone();
        let old = match market_cap {
            Some(market_cap) => other.insert(changed, market_cap),
            None => other.remove(&changed),
        };
        let moved = (market_cap.unwrap_or(0.0) - old.unwrap_or(0.0)).abs();
        let (before, after) = (sums_of(&caps), sums_of(&other));
        prop_assert_eq!(before.len(), 4);
        for (index, level) in &after {
            let step = (level - before[index]).abs();
            prop_assert!(step <= moved + ROUNDING * (level + before[index]), "{index} moved by {step} where a market cap did by {moved}");
        }
        // An asset other than Bitcoin that stays within the ranking moves TOTAL by exactly its own change.
        if sizes.len() < 125 && changed < sizes.len() && market_cap.is_some() {
            prop_assert!(((after["TOTAL"] - before["TOTAL"]).abs() - moved).abs() <= ROUNDING * (after["TOTAL"] + before["TOTAL"]));
        }
    }
}
