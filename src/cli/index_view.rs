//! Indices as text: one in detail and many as a table, for `get` and `list`.

use std::fmt::Write;

use super::numbers::{ABSENT, amount, change, day, price, share, time};
use super::snapshot_view::{SIMULATED, freshness_of, words};
use super::table::{Align, Table, printable};
use crossmarket_api::v1::{IndexSnapshot, MarketSession};

/// The number of constituents shown.
const CONSTITUENTS_SHOWN: usize = 20;

/// A title line, one line per figure, and the constituents and sources when the snapshot has them.
pub(super) fn card(snapshot: &IndexSnapshot) -> String {
    let mut text = format!("{}  {}", printable(&snapshot.index), printable(&snapshot.title));
    if snapshot.simulated {
        let _ = write!(text, "  {SIMULATED} (demonstration data, not a market)");
    }
    text.push('\n');
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<15} {value}");
    };
    line("kind", words(snapshot.kind().as_str_name(), "INDEX_KIND_"));
    line("level", level(snapshot));
    line("change", changes(snapshot));
    if let Some(high) = &snapshot.all_time_high {
        let new = if high.is_new { " · reached in this session" } else { "" };
        let closes = if high.closes_only { " · of closes" } else { "" };
        line(
            "all-time high",
            format!(
                "{} on {} · now {} from it{new}{closes} · history from {}",
                price(Some(&high.level)),
                day(high.time.as_ref()),
                change(high.drawdown_percent),
                day(high.history_start_time.as_ref())
            ),
        );
    }
    if snapshot.market_cap.is_some() {
        let estimated = if snapshot.market_cap_estimated { " · estimated" } else { "" };
        let gained = snapshot.market_cap_change_ytd.as_deref().map(|gained| format!(" · YTD {}", amount(Some(gained))));
        line(
            "market cap",
            format!("{} USD{}{estimated}", amount(snapshot.market_cap.as_deref()), gained.unwrap_or_default()),
        );
    }
    if let Some(reference) = &snapshot.market_cap_reference {
        line(
            "cap rests on",
            format!(
                "{} USD at level {} on {}, {}",
                amount(Some(&reference.market_cap)),
                price(Some(&reference.level)),
                day(reference.time.as_ref()),
                printable(&reference.source)
            ),
        );
    }
    line("market", session(snapshot));
    line(
        "freshness",
        format!("{} · event {}", freshness_of(snapshot.freshness.as_ref()), time(snapshot.event_time.as_ref())),
    );
    if let Some(methodology) = &snapshot.methodology {
        line("source", printable(&methodology.source));
        if !methodology.definition.is_empty() {
            line("definition", printable(&methodology.definition));
        }
    }
    for table in [constituents(snapshot), sources(snapshot)].into_iter().flatten() {
        text.push('\n');
        for row in table.lines(None) {
            let _ = writeln!(text, "  {row}");
        }
    }
    text
}

/// One row per index, in the given order.
pub(super) fn table<'a>(snapshots: impl IntoIterator<Item = &'a IndexSnapshot>) -> Table {
    let mut table = Table::new(&[
        ("INDEX", Align::Left),
        ("TITLE", Align::Left),
        ("LEVEL", Align::Right),
        ("UNIT", Align::Left),
        ("1D", Align::Right),
        ("7D", Align::Right),
        ("30D", Align::Right),
        ("YTD", Align::Right),
        ("FROM HIGH", Align::Right),
        ("MARKET CAP", Align::Right),
        ("MARKET", Align::Left),
        ("STATE", Align::Left),
    ]);
    for snapshot in snapshots {
        let mark = if snapshot.simulated { " (simulated)" } else { "" };
        table.row(vec![
            snapshot.index.clone(),
            snapshot.title.clone(),
            points(snapshot),
            snapshot.unit.clone(),
            change(snapshot.change_1d_percent),
            change(snapshot.change_7d_percent),
            change(snapshot.change_30d_percent),
            change(snapshot.change_ytd_percent),
            change(snapshot.all_time_high.as_ref().and_then(|high| high.drawdown_percent)),
            amount(snapshot.market_cap.as_deref()),
            session(snapshot),
            format!("{}{mark}", freshness_of(snapshot.freshness.as_ref())),
        ]);
    }
    table
}

fn level(snapshot: &IndexSnapshot) -> String {
    format!("{} {}", points(snapshot), printable(&snapshot.unit)).trim_end().to_owned()
}

/// The level; with a unit of size where it is a sum of market caps.
fn points(snapshot: &IndexSnapshot) -> String {
    let large =
        snapshot.level.as_deref().is_some_and(|level| level.split('.').next().is_some_and(|whole| whole.len() > 9));
    if large { amount(snapshot.level.as_deref()) } else { price(snapshot.level.as_deref()) }
}

fn changes(snapshot: &IndexSnapshot) -> String {
    let spans = [
        ("1d", snapshot.change_1d_percent),
        ("7d", snapshot.change_7d_percent),
        ("30d", snapshot.change_30d_percent),
        ("YTD", snapshot.change_ytd_percent),
    ];
    spans.map(|(span, value)| format!("{span} {}", change(value))).join(" · ")
}

fn session(snapshot: &IndexSnapshot) -> String {
    match snapshot.market_session() {
        MarketSession::Unspecified => ABSENT.to_owned(),
        MarketSession::Continuous => "always open".to_owned(),
        other => words(other.as_str_name(), "MARKET_SESSION_"),
    }
}

fn constituents(snapshot: &IndexSnapshot) -> Option<Table> {
    if snapshot.constituents.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("ASSET", Align::Left),
        ("WEIGHT", Align::Right),
        ("MARKET CAP", Align::Right),
        ("PRICE USD", Align::Right),
        ("PART OF 1D", Align::Right),
        ("", Align::Left),
    ]);
    for part in snapshot.constituents.iter().take(CONSTITUENTS_SHOWN) {
        table.row(vec![
            part.asset.clone(),
            share(Some(part.weight)),
            amount(part.market_cap.as_deref()),
            price(part.price.as_deref()),
            change(part.contribution_1d_percent),
            if part.stale { "STALE" } else { "" }.to_owned(),
        ]);
    }
    let more = snapshot.constituents.len().saturating_sub(CONSTITUENTS_SHOWN);
    if more > 0 {
        let rest: f64 = snapshot.constituents.iter().skip(CONSTITUENTS_SHOWN).map(|part| part.weight).sum();
        let absent = || String::new();
        table.row(vec![format!("{more} more"), share(Some(rest)), absent(), absent(), absent(), absent()]);
    }
    Some(table)
}

fn sources(snapshot: &IndexSnapshot) -> Option<Table> {
    if snapshot.sources.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("SOURCE", Align::Left),
        ("SYMBOL", Align::Left),
        ("LEVEL", Align::Right),
        ("DEVIATION", Align::Right),
        ("STATUS", Align::Left),
        ("EVENT TIME", Align::Left),
    ]);
    for source in &snapshot.sources {
        table.row(vec![
            source.venue.clone(),
            source.venue_symbol.clone(),
            price(source.level.as_deref()),
            change(source.deviation_percent),
            source.status().as_str_name().trim_start_matches("CONTRIBUTION_STATUS_").to_owned(),
            time(source.event_time.as_ref()),
        ]);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::v1::{IndexAllTimeHigh, IndexConstituent, IndexKind};

    fn snapshot() -> IndexSnapshot {
        IndexSnapshot {
            index: "RUT".to_owned(),
            title: "Russell 2000".to_owned(),
            kind: IndexKind::Equity.into(),
            level: Some("2650.71".to_owned()),
            unit: "points".to_owned(),
            change_ytd_percent: Some(7.0),
            all_time_high: Some(IndexAllTimeHigh { level: "2650.71".to_owned(), is_new: true, ..Default::default() }),
            market_session: MarketSession::Closed.into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_card_has_level_changes_and_high() {
        let text = card(&snapshot());
        for part in ["RUT  Russell 2000\n", "2,650.71 points", "YTD +7.00 %", "reached in this session", "closed"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains(SIMULATED) && !text.contains("market cap"), "{text}");
    }

    #[test]
    fn constituents_beyond_the_shown_are_summed() {
        let part = |index: usize| IndexConstituent { asset: format!("A{index}"), weight: 0.04, ..Default::default() };
        let total = IndexSnapshot {
            index: "TOTAL".to_owned(),
            level: Some("3210000000000".to_owned()),
            constituents: (0..25).map(part).collect(),
            simulated: true,
            ..Default::default()
        };
        let text = card(&total);
        assert!(text.contains("3.21 T") && text.contains("5 more") && text.contains("20.0 %"), "{text}");
        assert!(text.lines().next().is_some_and(|title| title.contains(SIMULATED)));
        assert!(table([&total]).render(None).contains("(simulated)"));
    }
}
