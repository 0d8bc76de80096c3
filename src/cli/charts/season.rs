//! `season`: the altcoin season score with every constituent, or its history.

use std::fmt::Write;

use clap::Args;

use super::chart::bars::{Bar, BarChart};
use super::chart::{Axis, Caption, Chart, Mark, Tone, ticks};
use super::output::{OutputArguments, instant_of, waiting, wire};
use crate::cli::error::CliError;
use crate::cli::message::json;
use crate::cli::numbers::{ABSENT, change, day, price};
use crate::cli::parse::date;
use crate::cli::snapshot_view::words;
use crate::cli::table::{Align, Table, printable};
use crossmarket_api::v1::*;
use crossmarket_client::Client;
use crossmarket_domain::Timestamp;

/// The thresholds (inclusive) of altcoin season and bitcoin season in the chart of the history.
const THRESHOLDS: (f64, f64) = (75.0, 25.0);

/// Shows whether it is altcoin season: the share of the largest altcoins that did better than Bitcoin.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket season                                      now, the 50 largest altcoins over 90 days
  crossmarket season --size 100 --days 30 --as-of 2021-05-01
  crossmarket season --history --from 2024-01-01 --svg season.svg
  crossmarket season --json | jq '.score, .excluded[].asset'")]
pub(crate) struct SeasonArguments {
    /// How many altcoins to compare, from 1 to 500; by default 50.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=500))]
    size: Option<i32>,
    /// The length of the window in days, from 1 to 3,650; by default 90.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=3_650))]
    days: Option<i32>,
    /// The end of the window; by default now.
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with_all = ["history", "from", "to"])]
    as_of: Option<Timestamp>,
    /// Show the score of past days.
    #[arg(long)]
    history: bool,
    /// The first day of the history.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "history")]
    from: Option<Timestamp>,
    /// The end of the history.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "history")]
    to: Option<Timestamp>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) async fn run(arguments: SeasonArguments) -> Result<(), CliError> {
    let client = arguments.output.client()?;
    if arguments.history {
        return history(&client, &arguments).await;
    }
    let request = GetAltcoinSeasonRequest {
        universe_size: arguments.size,
        window_days: arguments.days,
        as_of: arguments.as_of.map(wire),
    };
    let response = waiting("comparing altcoins with Bitcoin", client.indices().get_altcoin_season(request)).await?;
    let season = response.season.unwrap_or_default();
    arguments.output.print(season.simulated, || json("AltcoinSeason", &season), || as_text(&season))?;
    if season.constituents.is_empty() { Ok(()) } else { arguments.output.draw(|| chart(&season)) }
}

fn as_text(season: &AltcoinSeason) -> String {
    let mut text = format!("{}\n{}\n{}", headline(season), window(season), table(season).render(None));
    for line in exclusions(&season.excluded) {
        let _ = writeln!(text, "{line}");
    }
    if !season.ranked_at_end_time {
        text.push_str(
            "ranked by today's market caps, since those of that day are unknown: the result favours survivors\n",
        );
    }
    text
}

/// `Altcoin season score 42 of 100: neutral`.
fn headline(season: &AltcoinSeason) -> String {
    let Some(score) = season.score else { return "No altcoin season score: too little history".to_owned() };
    let label = match season.label() {
        AltcoinSeasonLabel::AltcoinSeason => ": altcoin season",
        AltcoinSeasonLabel::BitcoinSeason => ": bitcoin season",
        AltcoinSeasonLabel::Neutral => ": neither altcoin nor bitcoin season",
        AltcoinSeasonLabel::Unspecified => "",
    };
    format!("Altcoin season score {} of 100{label}", ticks::plain(score, 1))
}

fn window(season: &AltcoinSeason) -> String {
    format!(
        "{} of {} altcoins did better than Bitcoin ({}) over {} days, {} to {}; {} and more is altcoin season, {} and less bitcoin season",
        season.beat_btc_count,
        season.observation_count,
        change(season.btc_return_percent),
        season.window_days,
        day(season.start_time.as_ref()),
        day(season.end_time.as_ref()),
        ticks::plain(season.altcoin_season_threshold, 1),
        ticks::plain(season.bitcoin_season_threshold, 1),
    )
}

fn table(season: &AltcoinSeason) -> Table {
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("ASSET", Align::Left),
        ("RETURN", Align::Right),
        ("BEAT BTC", Align::Left),
        ("FROM USD", Align::Right),
        ("TO USD", Align::Right),
    ]);
    for constituent in &season.constituents {
        let rank = constituent.market_cap_rank;
        table.row(vec![
            if rank > 0 { rank.to_string() } else { ABSENT.to_owned() },
            constituent.asset.clone(),
            change(Some(constituent.return_percent)),
            if constituent.beat_btc { "yes" } else { "no" }.to_owned(),
            price(Some(&constituent.start_price)),
            price(Some(&constituent.end_price)),
        ]);
    }
    table
}

/// `excluded as stablecoin: USDT, USDC`.
fn exclusions(excluded: &[Exclusion]) -> Vec<String> {
    let mut reasons: Vec<ExclusionReason> = excluded.iter().map(Exclusion::reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let line = |reason: ExclusionReason| {
        let assets: Vec<String> =
            excluded.iter().filter(|one| one.reason() == reason).map(|one| printable(&one.asset)).collect();
        format!("left out, {}: {}", words(reason.as_str_name(), "EXCLUSION_REASON_"), assets.join(", "))
    };
    reasons.into_iter().map(line).collect()
}

fn chart(season: &AltcoinSeason) -> BarChart {
    let mut constituents: Vec<&AltcoinSeasonConstituent> = season.constituents.iter().collect();
    constituents.sort_by(|a, b| b.return_percent.total_cmp(&a.return_percent));
    let rows = constituents.iter().map(|constituent| Bar {
        label: constituent.asset.clone(),
        value: constituent.return_percent,
        text: ticks::signed_percent(constituent.return_percent),
        tone: if constituent.beat_btc { Tone::Series(0) } else { Tone::Faint },
    });
    let end = instant_of(season.end_time.as_ref()).map(|time| format!(", {}", ticks::long_date(time)));
    let date_of = |time: Option<&prost_types::Timestamp>| instant_of(time).map(ticks::long_date).unwrap_or_default();
    BarChart {
        caption: Caption {
            title: headline(season),
            subtitle: format!(
                "Returns of the {} largest altcoins over {} days, {} to {}. {} of {} did better than Bitcoin; from {} on it is \
                 altcoin season, up to {} bitcoin season.",
                season.universe_size,
                season.window_days,
                date_of(season.start_time.as_ref()),
                date_of(season.end_time.as_ref()),
                season.beat_btc_count,
                season.observation_count,
                ticks::plain(season.altcoin_season_threshold, 1),
                ticks::plain(season.bitcoin_season_threshold, 1)
            ),
            source: format!("Source: crossmarket, definition after blockchaincenter.net{}", end.unwrap_or_default()),
            simulated: season.simulated,
        },
        rows: rows.collect(),
        marker: season.btc_return_percent.map(|btc| (btc, format!("Bitcoin {}", ticks::signed_percent(btc)))),
        legend: vec![(Tone::Series(0), "did better than Bitcoin".to_owned()), (Tone::Faint, "did not".to_owned())],
    }
}

async fn history(client: &Client, arguments: &SeasonArguments) -> Result<(), CliError> {
    let mut request = ListAltcoinSeasonHistoryRequest {
        universe_size: arguments.size,
        window_days: arguments.days,
        start_time: arguments.from.map(wire),
        end_time: arguments.to.map(wire),
        ..Default::default()
    };
    let mut points: Vec<AltcoinSeasonPoint> = Vec::new();
    let mut simulated = false;
    loop {
        let doing = format!("computing past scores ({} days so far)", points.len());
        let page = waiting(&doing, client.indices().list_altcoin_season_history(request.clone())).await?;
        points.extend(page.points);
        simulated |= page.simulated;
        if page.next_page_token.is_empty() || page.next_page_token == request.page_token {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let as_json = || {
        let lines = points.iter().map(|point| json("AltcoinSeasonPoint", point)).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.join("\n"))
    };
    arguments.output.print(simulated, as_json, || history_table(&points).render(None))?;
    if points.is_empty() {
        eprintln!("no score can be computed for this period");
        return Ok(());
    }
    arguments.output.draw(|| history_chart(&points, simulated, arguments))
}

fn history_table(points: &[AltcoinSeasonPoint]) -> Table {
    let mut table = Table::new(&[
        ("DAY", Align::Left),
        ("SCORE", Align::Right),
        ("SEASON", Align::Left),
        ("ALTCOINS", Align::Right),
        ("BITCOIN", Align::Right),
    ]);
    for point in points {
        table.row(vec![
            day(point.time.as_ref()),
            ticks::plain(point.score, 1),
            words(point.label().as_str_name(), "ALTCOIN_SEASON_LABEL_"),
            point.observation_count.to_string(),
            change(Some(point.btc_return_percent)),
        ]);
    }
    table
}

fn history_chart(points: &[AltcoinSeasonPoint], simulated: bool, arguments: &SeasonArguments) -> Chart {
    let placed: Vec<(f64, Option<f64>)> =
        points.iter().filter_map(|point| Some((instant_of(point.time.as_ref())?, Some(point.score)))).collect();
    let first = placed.first().map_or(0.0, |(time, _)| *time);
    let times = (first, placed.last().map_or(first, |(time, _)| *time).max(first + 1.0));
    let last = points.last().map_or(0.0, |point| point.score);
    let level = |y: f64, label: &str| Mark::Level { y, span: None, tone: Tone::Faint, label: label.to_owned() };
    Chart {
        caption: Caption {
            title: "Altcoin season score".to_owned(),
            subtitle: format!(
                "Share of the {} largest altcoins that did better than Bitcoin over {} days, in per cent, {} to {}.",
                arguments.size.unwrap_or(50),
                arguments.days.unwrap_or(90),
                ticks::long_date(times.0),
                ticks::long_date(times.1)
            ),
            source: "Source: crossmarket, definition after blockchaincenter.net".to_owned(),
            simulated,
        },
        x: Axis { title: String::new(), range: times, logarithmic: false, ticks: ticks::dates(times) },
        y: Axis {
            title: "Score".to_owned(),
            range: (0.0, 100.0),
            logarithmic: false,
            ticks: [0.0, 25.0, 50.0, 75.0, 100.0].map(|value| (value, ticks::plain(value, 0))).to_vec(),
        },
        marks: vec![
            level(THRESHOLDS.0, "altcoin season"),
            level(THRESHOLDS.1, "bitcoin season"),
            Mark::Line {
                points: placed,
                tone: Tone::Series(0),
                heavy: false,
                label: format!("score {}", ticks::plain(last, 0)),
            },
        ],
        legend: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_says_what_the_score_means() {
        let season =
            |score, label: AltcoinSeasonLabel| AltcoinSeason { score, label: label.into(), ..Default::default() };
        let check = |score, label, expected: &str| assert_eq!(headline(&season(score, label)), expected);
        check(Some(75.0), AltcoinSeasonLabel::AltcoinSeason, "Altcoin season score 75 of 100: altcoin season");
        check(Some(24.5), AltcoinSeasonLabel::BitcoinSeason, "Altcoin season score 24.5 of 100: bitcoin season");
        check(None, AltcoinSeasonLabel::Unspecified, "No altcoin season score: too little history");
    }

    #[test]
    fn exclusions_are_told_by_reason() {
        let one = |asset: &str, reason: ExclusionReason| Exclusion {
            asset: asset.to_owned(),
            reason: reason.into(),
            ..Default::default()
        };
        let told = exclusions(&[
            one("USDT", ExclusionReason::Stablecoin),
            one("WBTC", ExclusionReason::Wrapped),
            one("USDC", ExclusionReason::Stablecoin),
        ]);
        assert_eq!(told, ["left out, stablecoin: USDT, USDC", "left out, wrapped: WBTC"]);
    }
}
