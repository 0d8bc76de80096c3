//! `ratios`: long/short ratios by market-cap rank, as a table, breadth by tier of ranks, and a chart coloured by RSI.

use std::fmt::Write;

use clap::{Args, ValueEnum};

use super::chart::{Axis, Caption, Chart, Mark, Point, Tone, ticks};
use super::output::{OutputArguments, instant_of, waiting};
use crate::cli::error::CliError;
use crate::cli::message::json;
use crate::cli::numbers::{ABSENT, amount, figure, share};
use crate::cli::parse::asset;
use crate::cli::snapshot_view::freshness_of;
use crate::cli::table::{Align, Table};
use crossmarket_api::v1::*;
use crossmarket_client::{Client, describe};
use crossmarket_domain::AssetName;

/// The tiers of rank of the breadth.
const TIERS: [(i32, i32); 5] = [(1, 10), (11, 50), (51, 100), (101, 200), (201, 500)];

/// How many of the largest assets, and of the highest and lowest ratios, the chart names.
const NAMED_LARGEST: usize = 10;
const NAMED_EXTREMES: usize = 8;

/// RSI limits between the colours of the chart.
const RSI_STEPS: [f64; 4] = [30.0, 45.0, 55.0, 70.0];

/// Shows who is long: the long/short ratio of each asset by market-cap rank, coloured by RSI.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket ratios                                        the 200 largest assets, aggregated over venues
  crossmarket ratios --rank-max 100 --svg ratios.svg        the same chart as a picture
  crossmarket ratios --kind top-trader-position --venue binance-usdm --period 4h
  crossmarket ratios BTC ETH SOL --json | jq '.ratios[].long_share'")]
pub(crate) struct RatiosArguments {
    /// Only these assets; by default all.
    #[arg(value_name = "ASSETS", value_parser = asset)]
    assets: Vec<AssetName>,
    /// What the ratio counts.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::GlobalAccount)]
    kind: Kind,
    /// One venue; by default the aggregate, which only global-account and taker-volume have.
    #[arg(long, value_name = "VENUE", default_value = "")]
    venue: String,
    /// The period that a reading covers.
    #[arg(long, value_enum, value_name = "PERIOD", default_value_t = Period::H1)]
    period: Period,
    /// The highest rank by market cap.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), default_value_t = 1)]
    rank_min: i32,
    /// The lowest rank by market cap.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), default_value_t = 200)]
    rank_max: i32,
    /// The order of the table: market_cap_rank, ratio, long_share, open_interest, rsi_14d or change_24h, then asc or desc.
    #[arg(long, value_name = "ORDER", default_value = "")]
    order_by: String,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// All accounts with a position.
    GlobalAccount,
    /// Accounts of the venue's top traders.
    TopTraderAccount,
    /// Positions of the venue's top traders.
    TopTraderPosition,
    /// Volume of taker orders, bought and sold.
    TakerVolume,
    /// All positions at the venue by size.
    GlobalPosition,
}

impl Kind {
    fn wire(self) -> LongShortKind {
        match self {
            Self::GlobalAccount => LongShortKind::GlobalAccount,
            Self::TopTraderAccount => LongShortKind::TopTraderAccount,
            Self::TopTraderPosition => LongShortKind::TopTraderPosition,
            Self::TakerVolume => LongShortKind::TakerVolume,
            Self::GlobalPosition => LongShortKind::GlobalPosition,
        }
    }

    /// The title of the vertical axis.
    fn measure(self) -> &'static str {
        match self {
            Self::GlobalAccount => "Accounts long for each account short",
            Self::TopTraderAccount => "Top traders' accounts long for each one short",
            Self::TopTraderPosition => "Top traders' positions, long over short",
            Self::TakerVolume => "Taker volume bought over sold",
            Self::GlobalPosition => "Positions, long over short",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Period {
    #[value(name = "5m")]
    M5,
    #[value(name = "15m")]
    M15,
    #[value(name = "30m")]
    M30,
    #[value(name = "1h")]
    H1,
    #[value(name = "4h")]
    H4,
    #[value(name = "1d")]
    D1,
}

impl Period {
    fn wire(self) -> (LongShortPeriod, &'static str) {
        match self {
            Self::M5 => (LongShortPeriod::LongShortPeriod5m, "5 minutes"),
            Self::M15 => (LongShortPeriod::LongShortPeriod15m, "15 minutes"),
            Self::M30 => (LongShortPeriod::LongShortPeriod30m, "30 minutes"),
            Self::H1 => (LongShortPeriod::LongShortPeriod1h, "1 hour"),
            Self::H4 => (LongShortPeriod::LongShortPeriod4h, "4 hours"),
            Self::D1 => (LongShortPeriod::LongShortPeriod1d, "1 day"),
        }
    }
}

pub(super) async fn run(arguments: RatiosArguments) -> Result<(), CliError> {
    if arguments.rank_min > arguments.rank_max {
        return Err(CliError::Usage("--rank-min is above --rank-max".to_owned()));
    }
    let client = arguments.output.client()?;
    let ratios =
        waiting("asking for ratios", client.long_short().all_long_short_ratios(request(&arguments), usize::MAX))
            .await?;
    let breadth = breadth(&client, &arguments).await;
    let is_simulated = ratios.iter().any(|ratio| ratio.simulated);
    let (as_json, as_text) = (|| as_json(&ratios, breadth.as_ref()), || as_text(&ratios, breadth.as_ref()));
    arguments.output.print(is_simulated, as_json, as_text)?;
    if ratios.is_empty() {
        if !arguments.output.json {
            eprintln!("no asset has a ratio of this kind");
        }
        return Ok(());
    }
    arguments.output.draw(|| chart(&arguments, &ratios, breadth.as_ref()))
}

fn request(arguments: &RatiosArguments) -> ListLongShortRatiosRequest {
    let ranked = arguments.assets.is_empty();
    ListLongShortRatiosRequest {
        assets: arguments.assets.iter().map(AssetName::to_string).collect(),
        kind: arguments.kind.wire().into(),
        venue: arguments.venue.clone(),
        period: arguments.period.wire().0.into(),
        market_cap_rank_min: ranked.then_some(arguments.rank_min),
        market_cap_rank_max: ranked.then_some(arguments.rank_max),
        order_by: arguments.order_by.clone(),
        view: View::Basic.into(),
        ..Default::default()
    }
}

/// The breadth over the same ranks; `None`, with a note on standard error, when there is none.
async fn breadth(client: &Client, arguments: &RatiosArguments) -> Option<LongShortBreadth> {
    if !arguments.assets.is_empty() {
        return None;
    }
    let tiers = TIERS.iter().filter_map(|(low, high)| {
        let (low, high) = ((*low).max(arguments.rank_min), (*high).min(arguments.rank_max));
        (low <= high).then_some(RankTier { market_cap_rank_min: low, market_cap_rank_max: high })
    });
    let request = GetLongShortBreadthRequest {
        kind: arguments.kind.wire().into(),
        period: arguments.period.wire().0.into(),
        tiers: tiers.collect(),
        venue: arguments.venue.clone(),
    };
    match client.long_short().get_long_short_breadth(request).await {
        Ok(response) => response.breadth,
        Err(error) => {
            let why = error.status().map_or_else(|| error.to_string(), describe);
            eprintln!("no breadth: {why}");
            None
        }
    }
}

fn as_json(ratios: &[LongShortRatio], breadth: Option<&LongShortBreadth>) -> Result<String, CliError> {
    let ratios = ratios.iter().map(|ratio| json("LongShortRatio", ratio)).collect::<Result<Vec<_>, _>>()?;
    let breadth = breadth.map(|breadth| json("LongShortBreadth", breadth)).transpose()?;
    let breadth = breadth.map_or_else(String::new, |breadth| format!(",\"breadth\":{breadth}"));
    Ok(format!("{{\"ratios\":[{}]{breadth}}}", ratios.join(",")))
}

fn as_text(ratios: &[LongShortRatio], breadth: Option<&LongShortBreadth>) -> String {
    let mut text = table(ratios).render(None);
    if let Some(breadth) = breadth {
        let _ = writeln!(text, "\n{}{}", breadth_table(breadth).render(None), rank_correlation(breadth));
    }
    text
}

fn table(ratios: &[LongShortRatio]) -> Table {
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("ASSET", Align::Left),
        ("RATIO", Align::Right),
        ("LONG", Align::Right),
        ("SHORT", Align::Right),
        ("CHANGE 24H", Align::Right),
        ("OPEN INTEREST", Align::Right),
        ("RSI", Align::Right),
        ("VENUES", Align::Right),
        ("STATE", Align::Left),
    ]);
    for ratio in ratios {
        let mark = if ratio.simulated { " (simulated)" } else { "" };
        table.row(vec![
            ratio.market_cap_rank.map_or_else(|| ABSENT.to_owned(), |rank| rank.to_string()),
            ratio.asset.clone(),
            two(ratio.ratio),
            share(ratio.long_share),
            share(ratio.short_share),
            ratio.change_24h.map_or_else(|| ABSENT.to_owned(), |change| format!("{change:+.2}")),
            amount(ratio.open_interest.as_deref()),
            figure(ratio.rsi_14d),
            ratio.aggregation.as_ref().map_or_else(|| ABSENT.to_owned(), |part| part.venue_count.to_string()),
            format!("{}{mark}", freshness_of(ratio.freshness.as_ref())),
        ]);
    }
    table
}

fn breadth_table(breadth: &LongShortBreadth) -> Table {
    let mut table = Table::new(&[
        ("RANKS", Align::Left),
        ("ASSETS", Align::Right),
        ("ABOVE 1", Align::Right),
        ("MEDIAN RATIO", Align::Right),
        ("MEAN LONG", Align::Right),
        ("MEDIAN RSI", Align::Right),
    ]);
    let rows = breadth.tiers.iter().map(|tier| (tier, false)).chain(breadth.overall.iter().map(|tier| (tier, true)));
    for (tier, overall) in rows {
        let ranks = tier
            .tier
            .map_or_else(String::new, |tier| format!("{}–{}", tier.market_cap_rank_min, tier.market_cap_rank_max));
        table.row(vec![
            if overall { "all".to_owned() } else { ranks },
            tier.count.to_string(),
            tier.above_one_count.to_string(),
            two(tier.median_ratio),
            share(tier.mean_long_share),
            figure(tier.median_rsi_14d),
        ]);
    }
    table
}

/// Whether ratios rise with rank, in words.
fn rank_correlation(breadth: &LongShortBreadth) -> String {
    match breadth.rank_correlation {
        Some(rho) => {
            format!("Spearman's rho between rank and ratio {rho:+.2} over {} assets", breadth.rank_correlation_count)
        }
        None => "too few assets for a correlation between rank and ratio".to_owned(),
    }
}

fn two(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), |value| format!("{value:.2}"))
}

fn chart(arguments: &RatiosArguments, ratios: &[LongShortRatio], breadth: Option<&LongShortBreadth>) -> Chart {
    let placed: Vec<(f64, f64, &LongShortRatio)> = ratios
        .iter()
        .filter_map(|ratio| Some((f64::from(ratio.market_cap_rank?), ratio.ratio.filter(|ratio| *ratio > 0.0)?, ratio)))
        .collect();
    let named = named(&placed);
    let point = |(x, y, ratio): &(f64, f64, &LongShortRatio)| Point {
        x: *x,
        y: *y,
        tone: rsi_tone(ratio.rsi_14d),
        label: if named.contains(&ratio.asset.as_str()) { ratio.asset.clone() } else { String::new() },
    };
    let extent = |values: &mut dyn Iterator<Item = f64>, from: (f64, f64)| {
        values.fold(from, |(low, high), value| (low.min(value), high.max(value)))
    };
    let (y_range, y_ticks) =
        ticks::logarithmic(extent(&mut placed.iter().map(|(_, y, _)| *y), (0.95, 1.05)), |value| {
            ticks::plain(value, 2)
        });
    let ranks = extent(&mut placed.iter().map(|(x, ..)| *x), (f64::MAX, f64::MIN));
    let (ranks_low, ranks_high) = if placed.is_empty() { (1.0, 2.0) } else { ranks };
    let margin = ((ranks_high - ranks_low) * 0.015).max(0.5);
    let x_range = (ranks_low - margin, ranks_high + margin);
    let (_, x_ticks) = ticks::linear((ranks_low, ranks_high), |value| ticks::plain(value, 0));
    let mut x_ticks: Vec<(f64, String)> =
        x_ticks.into_iter().filter(|(rank, _)| *rank >= 1.0 && rank.fract() == 0.0).collect();
    if ranks_low <= 1.0 {
        x_ticks.insert(0, (1.0, "1".to_owned()));
    }
    let mut marks = vec![
        Mark::Level { y: 1.0, span: None, tone: Tone::Ink, label: "as many long as short".to_owned() },
        Mark::Points(placed.iter().map(point).collect()),
    ];
    for tier in breadth.map(|breadth| breadth.tiers.as_slice()).unwrap_or_default() {
        let (Some(median), Some(ranks)) = (tier.median_ratio, tier.tier) else { continue };
        let span =
            (f64::from(ranks.market_cap_rank_min).max(x_range.0), f64::from(ranks.market_cap_rank_max).min(x_range.1));
        // A tier of few ranks has no room for the label.
        let word = if (span.1 - span.0) / (x_range.1 - x_range.0) > 0.12 { "median " } else { "" };
        marks.push(Mark::Level { y: median, span: Some(span), tone: Tone::Ink, label: format!("{word}{median:.2}") });
    }
    Chart {
        caption: caption(arguments, ratios, breadth),
        x: Axis { title: "Market-cap rank".to_owned(), range: x_range, logarithmic: false, ticks: x_ticks },
        y: Axis { title: arguments.kind.measure().to_owned(), range: y_range, logarithmic: true, ticks: y_ticks },
        marks,
        legend: legend(&placed),
    }
}

/// The largest assets, and those with the highest and lowest ratios.
fn named<'a>(placed: &[(f64, f64, &'a LongShortRatio)]) -> Vec<&'a str> {
    let mut by_rank: Vec<_> = placed.iter().collect();
    by_rank.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut by_ratio = by_rank.clone();
    by_ratio.sort_by(|a, b| a.1.total_cmp(&b.1));
    let largest = by_rank.iter().take(NAMED_LARGEST);
    let lowest = by_ratio.iter().take(NAMED_EXTREMES / 2);
    let highest = by_ratio.iter().rev().take(NAMED_EXTREMES);
    largest.chain(highest).chain(lowest).map(|(.., ratio)| ratio.asset.as_str()).collect()
}

fn rsi_tone(rsi: Option<f64>) -> Tone {
    rsi.map_or(Tone::Unknown, |rsi| Tone::Scale(RSI_STEPS.iter().filter(|step| rsi >= **step).count()))
}

fn legend(placed: &[(f64, f64, &LongShortRatio)]) -> Vec<(Tone, String)> {
    let names = ["RSI below 30", "30 to 45", "45 to 55", "55 to 70", "70 and above"];
    let mut legend: Vec<(Tone, String)> =
        names.iter().enumerate().map(|(step, name)| (Tone::Scale(step), (*name).to_owned())).collect();
    if placed.iter().any(|(.., ratio)| ratio.rsi_14d.is_none()) {
        legend.push((Tone::Unknown, "RSI not known".to_owned()));
    }
    legend
}

fn caption(arguments: &RatiosArguments, ratios: &[LongShortRatio], breadth: Option<&LongShortBreadth>) -> Caption {
    let rho = breadth.and_then(|breadth| breadth.rank_correlation);
    let title = match rho {
        Some(rho) if rho >= 0.2 => "The further down the ranking, the more are long",
        Some(rho) if rho <= -0.2 => "The further down the ranking, the fewer are long",
        _ => "Who is long, by market-cap rank",
    };
    let above = ratios.iter().filter(|ratio| ratio.ratio.is_some_and(|ratio| ratio > 1.0)).count();
    let counted = ratios.iter().filter(|ratio| ratio.ratio.is_some()).count();
    let (_, period) = arguments.period.wire();
    let venue = match arguments.venue.as_str() {
        "" => "mean long share weighted by open interest over the venues".to_owned(),
        venue => format!("at {venue}"),
    };
    let rho =
        rho.map(|rho| format!(" Spearman's rho of rank and ratio is {}.", format!("{rho:+.2}").replace('-', "−")));
    let subtitle = format!(
        "Long/short ratio over {period}, {venue}, coloured by the 14-day RSI. {above} of {counted} assets are above 1.{}",
        rho.unwrap_or_default()
    );
    let newest = ratios.iter().filter_map(|ratio| instant_of(ratio.event_time.as_ref())).fold(f64::MIN, f64::max);
    let time = if newest > f64::MIN { format!(" · {}", ticks::long_time(newest)) } else { String::new() };
    let origin =
        if arguments.venue.is_empty() { "derivatives venues, aggregated".to_owned() } else { arguments.venue.clone() };
    Caption {
        title: title.to_owned(),
        subtitle,
        source: format!("Source: crossmarket, {origin}{time}"),
        simulated: ratios.iter().any(|ratio| ratio.simulated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_at_the_steps_of_the_rsi() {
        let check = |rsi: f64, step: usize| assert_eq!(rsi_tone(Some(rsi)), Tone::Scale(step), "{rsi}");
        check(12.0, 0);
        check(30.0, 1);
        check(50.0, 2);
        check(69.9, 3);
        check(70.0, 4);
        assert_eq!(rsi_tone(None), Tone::Unknown);
    }

    #[test]
    fn the_largest_and_the_extremes_are_named() {
        let ratio = |rank: i32, ratio: f64| LongShortRatio {
            asset: format!("A{rank}"),
            market_cap_rank: Some(rank),
            ratio: Some(ratio),
            ..Default::default()
        };
        let ratios: Vec<LongShortRatio> =
            (1..=100).map(|rank| ratio(rank, 1.0 + f64::from((rank * 37) % 101))).collect();
        let placed: Vec<_> = ratios
            .iter()
            .map(|ratio| (f64::from(ratio.market_cap_rank.expect("ranked")), ratio.ratio.expect("there"), ratio))
            .collect();
        let named = named(&placed);
        let highest = placed.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("some").2.asset.as_str();
        assert!(named.contains(&"A1") && named.contains(&"A10") && named.contains(&highest), "{named:?}");
        assert!(named.len() <= NAMED_LARGEST + NAMED_EXTREMES * 2);
    }
}
