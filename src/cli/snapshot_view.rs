//! One asset's snapshot as text.

use std::fmt::Write;

use super::message;
use super::numbers::{ABSENT, change, price, shown, time};
use super::table::{Align, Table, printable};
use crate::figures::FIGURES;
use crossmarket_api::v1::{AllTimeHigh, Freshness, FreshnessState, PriceAggregation, PriceSnapshot};

/// The mark that all output shows on data from simulated venues.
pub(super) const SIMULATED: &str = "SIMULATED";

/// The line above tables with data from simulated venues.
pub(super) const SIMULATED_DATA: &str = "SIMULATED: demonstration data, not a market";

/// A title line, the figures in lines, and the venues if the snapshot has them.
pub(super) fn card(snapshot: &PriceSnapshot) -> String {
    let mut text = printable(&snapshot.asset);
    if let Some(name) = &snapshot.name {
        let _ = write!(text, "  {}", printable(name));
    }
    if snapshot.simulated {
        let _ = write!(text, "  {SIMULATED} (demonstration data, not a market)");
    }
    text.push('\n');
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<15} {value}");
    };
    let fields = message::dynamic("PriceSnapshot", snapshot);
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for (figure, (name, around)) in FIGURES.iter().filter_map(|figure| Some((figure, figure.line?))) {
        let value = fields.as_ref().and_then(|fields| shown(figure, fields));
        let part = value.map(|value| around.replace("{}", &value));
        match lines.last_mut() {
            Some((last, parts)) if *last == name => parts.extend(part),
            _ => lines.push((name, part.into_iter().collect())),
        }
    }
    for (name, parts) in lines {
        line(name, if parts.is_empty() { ABSENT.to_owned() } else { parts.join(" · ") });
    }
    line("all-time high", all_time_high(snapshot.all_time_high.as_ref()));
    if !snapshot.categories.is_empty() {
        line("categories", printable(&snapshot.categories.join(", ")));
    }
    line("freshness", freshness(snapshot));
    if let Some(aggregation) = &snapshot.aggregation {
        line("made of", aggregation_line(aggregation));
        if !aggregation.contributions.is_empty() {
            text.push('\n');
            for row in contributions(aggregation).lines(None) {
                let _ = writeln!(text, "  {row}");
            }
        }
    }
    text
}

fn all_time_high(high: Option<&AllTimeHigh>) -> String {
    let Some(high) = high else { return ABSENT.to_owned() };
    let day = high.time.as_ref().map(|at| format!(" on {}", time(Some(at)).chars().take(10).collect::<String>()));
    format!(
        "{}{} · now {} from it · known from {}",
        price(Some(&high.price)),
        day.unwrap_or_default(),
        change(high.drawdown_percent),
        printable(&high.source)
    )
}

fn freshness(snapshot: &PriceSnapshot) -> String {
    let event =
        format!("event {} · received {}", time(snapshot.event_time.as_ref()), time(snapshot.receive_time.as_ref()));
    match &snapshot.freshness {
        Some(freshness) if freshness.state() == FreshnessState::Stale => {
            format!("STALE since {} · {event}", time(freshness.stale_since_time.as_ref()))
        }
        _ => format!("{} · {event}", freshness_word(snapshot)),
    }
}

/// `FRESH`, `STALE` or `CLOSED`.
pub(super) fn freshness_word(snapshot: &PriceSnapshot) -> &'static str {
    freshness_of(snapshot.freshness.as_ref())
}

/// `FRESH`, `STALE` or `CLOSED`.
pub(super) fn freshness_of(freshness: Option<&Freshness>) -> &'static str {
    match freshness.map(|freshness| freshness.state()) {
        Some(FreshnessState::Fresh) => "FRESH",
        Some(FreshnessState::Stale) => "STALE",
        Some(FreshnessState::Closed) => "CLOSED",
        Some(FreshnessState::Unspecified) | None => ABSENT,
    }
}

fn aggregation_line(aggregation: &PriceAggregation) -> String {
    let method = words(aggregation.method().as_str_name(), "AGGREGATION_METHOD_");
    let mut line =
        format!("{method} · {} of {} instruments used", aggregation.venue_count, aggregation.candidate_count);
    if let Some(dispersion) = aggregation.dispersion_percent {
        let _ = write!(line, " · dispersion {dispersion:.3} %");
    }
    if let Some(limit) = aggregation.outlier_limit_percent {
        let _ = write!(line, " · outliers beyond {limit:.2} %");
    }
    line
}

fn contributions(aggregation: &PriceAggregation) -> Table {
    let mut table = Table::new(&[
        ("VENUE", Align::Left),
        ("INSTRUMENT", Align::Left),
        ("PRICE USD", Align::Right),
        ("WEIGHT", Align::Right),
        ("DEVIATION", Align::Right),
        ("STATUS", Align::Left),
        ("EVENT TIME", Align::Left),
        ("", Align::Left),
    ]);
    for part in &aggregation.contributions {
        let deviation = part.deviation_percent.map(|percent| format!("{percent:+.3} %"));
        let simulated = if part.simulated { SIMULATED } else { "" };
        table.row(vec![
            part.venue.clone(),
            part.instrument.clone(),
            price(part.price.as_deref()),
            format!("{:.1} %", part.weight * 100.0),
            deviation.unwrap_or_else(|| ABSENT.to_owned()),
            part.status().as_str_name().trim_start_matches("CONTRIBUTION_STATUS_").to_owned(),
            time(part.event_time.as_ref()),
            simulated.to_owned(),
        ]);
    }
    table
}

/// An enum's name in words: `volume weighted median`.
pub(super) fn words(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::v1::{AggregationMethod, ContributionStatus, PriceContribution};

    fn snapshot() -> PriceSnapshot {
        PriceSnapshot {
            asset: "BTC".to_owned(),
            name: Some("Bitcoin".to_owned()),
            quote_currency: "USD".to_owned(),
            price: Some("95391".to_owned()),
            change_24h_percent: Some(-1.3),
            market_cap: Some("1900000000000".to_owned()),
            market_cap_rank: Some(1),
            freshness: Some(Freshness { state: FreshnessState::Fresh as i32, ..Default::default() }),
            aggregation: Some(PriceAggregation {
                method: AggregationMethod::VolumeWeightedMedian as i32,
                venue_count: 1,
                candidate_count: 2,
                contributions: vec![PriceContribution {
                    venue: "kraken".to_owned(),
                    instrument: "BTC/USD".to_owned(),
                    price: Some("95391.5".to_owned()),
                    weight: 1.0,
                    status: ContributionStatus::Used as i32,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn the_card_has_the_figures_and_their_sources() {
        let text = card(&snapshot());
        let expected =
            ["BTC  Bitcoin\n", "95,391.00 USD", "24h -1.30 %", "1.90 T · rank 1", "FRESH", "kraken", "100.0 %"];
        for part in expected {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(text.contains("volume weighted median · 1 of 2 instruments used"), "{text}");
        assert!(!text.contains(SIMULATED));
    }

    #[test]
    fn simulated_data_says_so() {
        let text = card(&PriceSnapshot { simulated: true, ..snapshot() });
        assert!(text.lines().next().is_some_and(|title| title.contains(SIMULATED)), "{text}");
    }
}
