//! The questions that recorded and invented answers answer, in words: `ABC-USDT-SWAP 15m top-trader-account`.

use crossmarket_domain::{CandleInterval, Feed, Instrument, InstrumentKind, LongShortKind, Period};
use crossmarket_venues::{Ask, Venue};

/// A question of a symbol, an interval or period, and a kind of ratio, in any order and each only where it is needed.
///
/// # Panics
///
/// When a word is none of them.
pub fn question(venue: &dyn Venue, feed: Feed, words: &str) -> Ask {
    let mut ask = Ask { reports_every_entry: true, ..Ask::all(feed) };
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let kind = LongShortKind::ALL.into_iter().find(|kind| kind.series_word() == word);
        let (interval, period) = (CandleInterval::parse(word), Period::parse(word));
        if kind.is_some() {
            ask.kind = kind;
        } else if interval.is_some() || period.is_some() {
            (ask.interval, ask.period) = (interval, period);
        } else {
            ask.instruments.push(instrument(venue, feed, word));
        }
    }
    ask
}

fn instrument(venue: &dyn Venue, feed: Feed, symbol: &str) -> Instrument {
    let mut found = venue.instrument(symbol).unwrap_or_else(|| panic!("{symbol} is no symbol of {}", venue.id()));
    // Some venues write their perpetuals like their spot markets.
    if matches!(feed, Feed::LongShortRatios | Feed::OpenInterest) && found.kind == InstrumentKind::Spot {
        found.kind = InstrumentKind::PerpetualLinear;
    }
    found
}

/// What the name of a recorded body says about its population.
const KINDS: &[(&str, LongShortKind)] = &[
    ("globalLongShortAccountRatio", LongShortKind::GlobalAccount),
    ("topLongShortAccountRatio", LongShortKind::TopTraderAccount),
    ("topLongShortPositionRatio", LongShortKind::TopTraderPosition),
    ("takerlongshortRatio", LongShortKind::TakerVolume),
    ("rubik_long_short_account_ratio", LongShortKind::GlobalAccount),
    ("rubik_taker_volume", LongShortKind::TakerVolume),
    ("elite_account", LongShortKind::TopTraderAccount),
    ("elite_position", LongShortKind::TopTraderPosition),
];

/// The question of a recorded body, from the words of its file's name: `futuresdata_takerlongshortRatio_BTCUSDT_5m.json`.
pub fn of_file(venue: &dyn Venue, feed: Feed, name: &str) -> Ask {
    let name = name.rsplit('/').next().unwrap_or(name);
    let words = || name.trim_end_matches(".json").split('_');
    let kind = KINDS.iter().find(|(part, _)| name.contains(part)).map(|(_, kind)| *kind);
    // Lists name their instruments; these do not always.
    let is_about_one = matches!(feed, Feed::Candles | Feed::LongShortRatios) || venue.id().as_str() == "coinbase";
    let is_symbol = |word: &&str| {
        word.len() >= 5 && *word == word.to_ascii_uppercase() && word.contains(|c: char| c.is_ascii_alphabetic())
    };
    let named = words().filter(is_symbol);
    let named = named.filter(|_| is_about_one).find_map(|word| venue.instrument(word));
    Ask {
        interval: words().find_map(CandleInterval::parse),
        period: words().find_map(Period::parse),
        kind,
        reports_every_entry: true,
        ..Ask::about(feed, named.into_iter().collect::<Vec<_>>())
    }
}
