//! `instruments`: which asset each instrument of a venue counts as, and why.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use super::client::ClientArguments;
use super::error::CliError;
use super::message;
use super::numbers::ABSENT;
use super::parse::asset;
use super::snapshot_view::SIMULATED_DATA;
use super::table::{Align, Table};
use crossmarket_api::v1::{Instrument, ListInstrumentsRequest, MappingRule, MappingState};
use crossmarket_domain::AssetName;

/// Lists the venues' instruments with the asset that each counts as, the rule that told, and whether the price agrees.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket instruments BTC LUNC
  crossmarket instruments --venue kraken
  crossmarket instruments --state conflict    instruments that contribute to nothing
  crossmarket instruments --json --limit 0 > mapping.jsonl")]
pub(super) struct InstrumentsArguments {
    /// Only those of these assets: BTC or id:bitcoin.
    #[arg(value_name = "ASSETS", value_parser = asset)]
    assets: Vec<AssetName>,
    /// Only those of this venue; repeatable.
    #[arg(long, value_name = "VENUE")]
    venue: Vec<String>,
    /// Only those in this state; repeatable.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<State>,
    /// The most rows to show; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

/// How certain a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Nothing to compare the price with yet, or never close.
    Provisional,
    /// The price agrees with a listing or with confirmed venues.
    Confirmed,
    /// The price has contradicted them for too long.
    Conflict,
}

pub(super) async fn run(arguments: InstrumentsArguments) -> Result<(), CliError> {
    let state = |state: &State| match state {
        State::Provisional => MappingState::Provisional,
        State::Confirmed => MappingState::Confirmed,
        State::Conflict => MappingState::Conflict,
    };
    let request = ListInstrumentsRequest {
        assets: arguments.assets.iter().map(AssetName::to_string).collect(),
        venues: arguments.venue.clone(),
        states: arguments.state.iter().map(|one| state(one).into()).collect(),
        ..Default::default()
    };
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let instruments = arguments.client.client()?.catalog().all_instruments(request, limit).await?;
    let mut out = io::stdout().lock();
    if arguments.json {
        for instrument in &instruments {
            writeln!(out, "{}", message::json("Instrument", instrument)?)?;
        }
        return Ok(out.flush()?);
    }
    if instruments.iter().any(|instrument| instrument.simulated) {
        writeln!(out, "{SIMULATED_DATA}")?;
    }
    write!(out, "{}", table(&instruments).render(None))?;
    Ok(out.flush()?)
}

fn table(instruments: &[Instrument]) -> Table {
    let mut table = Table::new(&[
        ("ASSET", Align::Left),
        ("VENUE", Align::Left),
        ("SYMBOL", Align::Left),
        ("INSTRUMENT", Align::Left),
        ("UNITS", Align::Right),
        ("RULE", Align::Left),
        ("STATE", Align::Left),
        ("PRICE RATIO", Align::Right),
    ]);
    for one in instruments {
        table.row(vec![
            one.asset_id.clone(),
            one.venue.clone(),
            one.venue_symbol.clone(),
            one.instrument.clone(),
            one.price_multiplier.clone(),
            rule(one.rule()).to_owned(),
            word(one.state()).to_owned(),
            one.price_ratio.map_or_else(|| ABSENT.to_owned(), |ratio| format!("{ratio:.6}")),
        ]);
    }
    table
}

fn rule(rule: MappingRule) -> &'static str {
    match rule {
        MappingRule::Ticker => "ticker",
        MappingRule::Registry => "registry",
        MappingRule::Configuration => "configuration",
        MappingRule::FormerTicker => "former ticker",
        MappingRule::Price => "price",
        MappingRule::Unspecified => ABSENT,
    }
}

fn word(state: MappingState) -> &'static str {
    match state {
        MappingState::Provisional => "PROVISIONAL",
        MappingState::Confirmed => "CONFIRMED",
        MappingState::Conflict => "CONFLICT",
        MappingState::Unspecified => ABSENT,
    }
}
