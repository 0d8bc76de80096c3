use crate::prices::universe::*;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const GECKO: u16 = 7;
const PAPRIKA: u16 = 8;
const VENUE: u16 = 0;

fn listed(ticker: &str, id: &str, name: &str, market_cap: i64) -> Listed {
    let row = MarketCap {
        listing_id: id.into(),
        name: name.into(),
        market_cap: Some(Decimal::from(market_cap)),
        price: Some(Decimal::from(market_cap)),
        ..MarketCap::default()
    };
    let time = Timestamp::EPOCH;
    Listed { ticker: ticker.into(), row, event_time: time, receive_time: time, categories: Vec::new() }
}

fn universe(size: usize) -> Universe {
    Universe::new(size, vec![name("USDT")], HashMap::new(), &[(GECKO, "coingecko"), (PAPRIKA, "coinpaprika")])
}

fn name(text: &str) -> AssetName {
    AssetName::parse(text).expect("a name")
}

fn handles(universe: &Universe) -> Vec<String> {
    let mut handles: Vec<String> =
        universe.tracked().map(|id| format!("{}={id}", universe.handle(id).expect("tracked"))).collect();
    handles.sort();
    handles
}

fn resolve(universe: &mut Universe, venue: u16, base: &str) -> Option<String> {
    universe.resolve(venue, base, |_, _, _| false).map(|found| found.asset.to_string())
}

/// Resolves a code of an instrument with that price.
fn resolve_at(universe: &mut Universe, base: &str, price: f64) -> Option<(String, MappingRule)> {
    let agrees = |universe: &Universe, id: &AssetId, units: u32| {
        let listed = universe.rows(id).iter().find_map(|(_, listed)| listed.row.price);
        listed.is_some_and(|listed| (price / f64::from(units) / listed.to_f64() - 1.0).abs() < 0.3)
    };
    universe.resolve(VENUE, base, agrees).map(|found| (found.asset.to_string(), found.rule))
}

#[test]
fn two_assets_with_one_ticker_keep_their_ids_while_the_ticker_changes_hands() {
    let mut universe = universe(10);
    let (small, large) = ("small-qqq", "large-qqq");
    universe.list(GECKO, listed("QQQ", small, "Small", 10));
    universe.list(GECKO, listed("QQQ", large, "Large", 100));
    universe.listing_complete(GECKO);
    universe.retrack(|_| None);
    let expect = |universe: &Universe, bare: &str, other: &str| {
        let held = handles(universe);
        assert!(held.contains(&format!("QQQ={bare}")), "{held:?}");
        assert!(held.contains(&format!("QQQ-{}={other}", other.to_uppercase())), "{held:?}");
    };
    expect(&universe, large, small);
    universe.list(GECKO, listed("QQQ", small, "Small", 120));
    universe.retrack(|_| None);
    expect(&universe, large, small);
    for round in 0..100 {
        let (winner, loser) = if round % 2 == 0 { (small, large) } else { (large, small) };
        universe.list(GECKO, listed("QQQ", winner, winner, 1_000));
        universe.list(GECKO, listed("QQQ", loser, loser, 100));
        assert_eq!(universe.retrack(|_| None), Vec::<AssetId>::new(), "nobody leaves");
        expect(&universe, winner, loser);
        let id = |text| AssetId::parse(text).expect("an id");
        assert_eq!(universe.rows(&id(winner))[0].1.row.listing_id, winner);
        assert_eq!(universe.rows(&id(loser))[0].1.row.listing_id, loser);
    }
}

#[test]
fn the_price_tells_which_of_two_assets_a_venue_trades() {
    let mut universe = universe(10);
    universe.list(GECKO, listed("QQQ", "small-qqq", "Small", 10));
    universe.list(GECKO, listed("QQQ", "large-qqq", "Large", 100));
    universe.listing_complete(GECKO);
    universe.retrack(|_| None);
    let by_price = |asset: &str| Some((asset.to_owned(), MappingRule::Price));
    assert_eq!(resolve_at(&mut universe, "QQQ", 99.0), by_price("large-qqq"));
    assert_eq!(resolve_at(&mut universe, "QQQ", 11.0), by_price("small-qqq"));
    let neither = Some(("large-qqq".to_owned(), MappingRule::Ticker));
    assert_eq!(
        resolve_at(&mut universe, "QQQ", 5_000.0),
        neither,
        "the holder of the ticker, until the price is checked"
    );
}

#[test]
fn without_a_listing_registered_and_stored_assets_are_tracked_and_no_others() {
    let mut universe = universe(10);
    universe.seed(&AssetInfo {
        asset_id: AssetId::parse("stored-coin").expect("an id"),
        asset: AssetCode::parse("STORED").expect("a ticker"),
        name: Some("Stored Coin".into()),
        kind: AssetKind::Coin,
        market_cap_rank: None,
        categories: Vec::new(),
        listing_ids: vec![("coinpaprika".into(), "stored-stored-coin".into())],
        instruments: Vec::new(),
        history_start: None,
        history_day_count: 0,
        aliases: Vec::new(),
    });
    universe.retrack(|_| None);
    assert_eq!(resolve(&mut universe, VENUE, "BTC").as_deref(), Some("bitcoin"));
    assert_eq!(resolve(&mut universe, VENUE, "STORED").as_deref(), Some("stored-coin"));
    assert_eq!(resolve(&mut universe, VENUE, "NOBODYKNOWS"), None);
    universe.listing_complete(GECKO);
    universe.retrack(|_| None);
    assert_eq!(resolve(&mut universe, VENUE, "NOBODYKNOWS"), None, "discovered, and tracked if there is room");
    universe.retrack(|_| None);
    assert_eq!(resolve(&mut universe, VENUE, "NOBODYKNOWS").as_deref(), Some("unlisted-nobodyknows"));
    for never in ["USD", "no code", ""] {
        assert_eq!(resolve(&mut universe, VENUE, never), None, "{never:?}");
    }
}

#[test]
fn codes_former_tickers_and_redenominations_lead_to_the_asset() {
    let code = |rule, means: Option<&str>| VenueCode { rule, means: means.map(SmolStr::from) };
    let codes = HashMap::from([
        ((1, "LUNA".into()), code(MappingRule::Registry, Some("LUNC"))),
        ((1, "LUNA2".into()), code(MappingRule::Registry, Some("LUNA"))),
        ((1, "FUD".into()), code(MappingRule::Registry, Some("FTX Users' Debt"))),
        ((1, "BTC".into()), code(MappingRule::Configuration, None)),
        ((1, "BAR".into()), code(MappingRule::Configuration, Some("id:bitcoin"))),
    ]);
    let mut universe = Universe::new(10, Vec::new(), codes, &[]);
    for (venue, base, expected) in [
        (1, "LUNA", Some("terra-luna")),
        (1, "LUNA2", Some("terra-luna-2")),
        (0, "LUNA", Some("terra-luna-2")),
        (0, "LUNC", Some("terra-luna")),
        (1, "FUD", Some("ftx-users-debt")),
        (1, "BTC", None),
        (1, "BAR", Some("bitcoin")),
        (0, "MATIC", Some("polygon-ecosystem-token")),
        (0, "POL", Some("polygon-ecosystem-token")),
        (0, "MKR", Some("maker")),
        (0, "SKY", Some("sky")),
        (0, "USD", None),
    ] {
        assert_eq!(resolve(&mut universe, venue, base).as_deref(), expected, "{base} at {venue}");
    }
    let old = universe.resolve(0, "OM", |_, _, _| false).expect("registered");
    assert_eq!((old.asset.as_str(), old.rule, old.factor), ("mantra-dao", MappingRule::FormerTicker, 4));
    let new = universe.resolve(0, "MANTRA", |_, _, _| false).expect("registered");
    assert_eq!((new.asset.as_str(), new.factor), ("mantra-dao", 1));
    let id = |text| AssetId::parse(text).expect("an id");
    let codes_at = |venue, asset| universe.codes_at(venue, &id(asset)).map(|code| code.to_string()).collect::<Vec<_>>();
    assert_eq!(codes_at(1, "terra-luna"), ["LUNA", "LUNC"]);
    assert_eq!(codes_at(1, "terra-luna-2"), ["LUNA2"], "LUNA means another asset there");
    assert_eq!(codes_at(0, "mantra-dao"), ["MANTRA", "OM"]);
    assert_eq!(universe.aliases(&id("mantra-dao")), ["OM"]);
}

#[test]
fn an_old_ticker_that_the_listing_still_has_is_in_its_units() {
    let mut universe = universe(10);
    universe.list(GECKO, listed("OM", "mantra-dao", "MANTRA", 10));
    universe.listing_complete(GECKO);
    universe.retrack(|_| None);
    let found = universe.resolve(VENUE, "OM", |_, _, _| false).expect("listed");
    assert_eq!((found.asset.as_str(), found.rule, found.factor), ("mantra-dao", MappingRule::Ticker, 1));
}

/// Fifty starts on one store, in which the sources answer in any order or not at all.
#[test]
fn an_asset_has_one_id_whoever_answers_first() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut stored: Vec<AssetInfo> = Vec::new();
    for start in 0..50 {
        let mut universe = universe(20);
        stored.iter().for_each(|info| universe.seed(info));
        let mut steps: Vec<u8> = vec![0, 1, 2, 2];
        steps.shuffle(&mut random);
        for step in steps {
            if random.random_bool(0.3) {
                continue;
            }
            match step {
                0 => {
                    universe.list(GECKO, listed("BTC", "bitcoin", "Bitcoin", 100));
                    universe.list(GECKO, listed("NEWC", "new-coin", "New Coin", 50));
                    universe.listing_complete(GECKO);
                }
                1 => {
                    universe.list(PAPRIKA, listed("BTC", "btc-bitcoin", "Bitcoin", 100));
                    universe.list(PAPRIKA, listed("NEWC", "newc-new-coin", "New Coin", 51));
                    universe.list(PAPRIKA, listed("PAPR", "papr-paprika-only", "Paprika Only", 9));
                    universe.listing_complete(PAPRIKA);
                }
                _ => ["BTC", "NEWC", "VENUEONLY"].iter().for_each(|base| {
                    resolve(&mut universe, VENUE, base);
                }),
            }
            universe.retrack(|_| None);
            for ticker in ["BTC", "NEWC", "VENUEONLY"] {
                let Some(id) = resolve(&mut universe, VENUE, ticker) else { continue };
                let first = ids.entry(ticker.to_owned()).or_insert_with(|| id.clone());
                assert_eq!(*first, id, "{ticker} in start {start}");
            }
        }
        let known: Vec<AssetId> = universe.tracked().cloned().collect();
        for id in known.iter().filter(|id| Registry::shipped().by_id(id.as_str()).is_none()) {
            if stored.iter().any(|info| info.asset_id == *id) {
                continue;
            }
            let rows = universe.rows(id);
            stored.push(AssetInfo {
                asset_id: id.clone(),
                asset: universe.handle(id).expect("tracked").clone(),
                name: universe.display_name(id),
                kind: AssetKind::Coin,
                market_cap_rank: None,
                categories: Vec::new(),
                listing_ids: rows
                    .iter()
                    .map(|(venue, row)| {
                        let venue = if *venue == GECKO { "coingecko" } else { "coinpaprika" };
                        (venue.into(), row.row.listing_id.clone())
                    })
                    .collect(),
                instruments: Vec::new(),
                history_start: None,
                history_day_count: 0,
                aliases: Vec::new(),
            });
        }
    }
    assert_eq!(ids["BTC"], "bitcoin");
    assert_eq!(ids["NEWC"], "new-coin");
    assert_eq!(ids["VENUEONLY"], "unlisted-venueonly");
}

#[test]
fn kinds_by_registry_then_by_category() {
    for (id, categories, expected) in [
        ("bitcoin", &["layer-1"][..], AssetKind::Coin),
        ("new", &["stablecoins"], AssetKind::Stablecoin),
        ("new", &["wrapped-tokens"], AssetKind::Wrapped),
        ("new", &["liquid-staking-tokens"], AssetKind::Staked),
        ("new", &["tokenized-gold"], AssetKind::AssetBacked),
        ("tether", &[], AssetKind::Stablecoin),
        ("wrapped-bitcoin", &[], AssetKind::Wrapped),
        ("staked-ether", &[], AssetKind::Staked),
        ("pax-gold", &[], AssetKind::AssetBacked),
        ("frax-share", &[], AssetKind::Coin),
        ("fiat-eur", &[], AssetKind::Fiat),
    ] {
        let categories: Vec<SmolStr> = categories.iter().copied().map(SmolStr::from).collect();
        assert_eq!(classify(&AssetId::parse(id).expect("an id"), &categories), expected, "{id}");
    }
}
