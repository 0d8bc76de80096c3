//! `get`: the snapshots of some assets and indices.

use std::collections::HashMap;
use std::io::{self, Write};

use clap::Args;
use tonic::Code;

use super::client::ClientArguments;
use super::error::CliError;
use super::index_view;
use super::message;
use super::parse::index_code;
use super::snapshot_view::card;
use crossmarket_api::v1::*;
use crossmarket_client::{Client, Error};

/// Shows the current snapshot of each asset or index: price or level, changes, all-time high, and how fresh it is.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket get BTC
  crossmarket get BTC ETH --full              with every venue's price, weight and status
  crossmarket get RUT OTHERS/BTC              indices and quotients
  crossmarket get BTC --json | jq .price      one JSON object per line, decimals as strings")]
pub(super) struct GetArguments {
    /// Assets such as BTC, indices such as RUT, quotients such as OTHERS/BTC.
    #[arg(required = true, value_name = "CODES", value_parser = index_code)]
    codes: Vec<String>,
    /// Include each venue's contribution and how each figure was computed.
    #[arg(long)]
    full: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

enum Found {
    Asset(PriceSnapshot),
    Index(IndexSnapshot),
}

pub(super) async fn run(arguments: GetArguments) -> Result<(), CliError> {
    let client = arguments.client.client()?;
    let view = if arguments.full { View::Full } else { View::Basic };
    let (found, missing) = match arguments.codes.as_slice() {
        // A single code is requested alone, so that its error says what is wrong with it.
        [code] => (vec![one(&client, code, view).await?], Vec::new()),
        codes => several(&client, codes, view).await?,
    };
    let mut out = io::stdout().lock();
    for (position, found) in found.iter().enumerate() {
        let gap = if position == 0 || arguments.json { "" } else { "\n" };
        match (found, arguments.json) {
            (Found::Asset(snapshot), true) => writeln!(out, "{}", message::json("PriceSnapshot", snapshot)?)?,
            (Found::Index(snapshot), true) => writeln!(out, "{}", message::json("IndexSnapshot", snapshot)?)?,
            (Found::Asset(snapshot), false) => write!(out, "{gap}{}", card(snapshot))?,
            (Found::Index(snapshot), false) => write!(out, "{gap}{}", index_view::card(snapshot))?,
        }
    }
    out.flush()?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CliError::Failed(format!("unknown or without a value yet: {}", missing.join(", "))))
    }
}

/// True for a code that can only be an index: assets are plain tickers or `id:` and an id.
fn is_index(code: &str) -> bool {
    let is_id = code.split_once(':').is_some_and(|(prefix, id)| prefix.eq_ignore_ascii_case("id") && !id.contains('/'));
    code.contains(['/', ':', '.']) && !is_id
}

async fn one(client: &Client, code: &str, view: View) -> Result<Found, CliError> {
    let unknown_asset = if is_index(code) {
        None
    } else {
        let request = GetPriceSnapshotRequest { asset: code.to_owned(), view: view.into() };
        match client.prices().get_price_snapshot(request).await {
            Ok(response) => return response.snapshot.map(Found::Asset).ok_or_else(|| empty(code)),
            Err(error) if error.code() == Code::NotFound => Some(error),
            Err(error) => return Err(error.into()),
        }
    };
    let request = GetIndexSnapshotRequest { index: code.to_owned(), view: view.into() };
    match (client.indices().get_index_snapshot(request).await, unknown_asset) {
        (Ok(response), _) => response.snapshot.map(Found::Index).ok_or_else(|| empty(code)),
        // It is neither; the error for an asset is the clearer one.
        (Err(error), Some(unknown)) if is_no_index(&error) => Err(unknown.into()),
        (Err(error), _) => Err(error.into()),
    }
}

/// Tries prices first, and unknown codes as indices.
async fn several(client: &Client, codes: &[String], view: View) -> Result<(Vec<Found>, Vec<String>), CliError> {
    let assets: Vec<String> = codes.iter().filter(|code| !is_index(code)).cloned().collect();
    // By the name that was asked for: the answer has the ticker of today.
    let mut prices: HashMap<String, PriceSnapshot> = HashMap::new();
    if !assets.is_empty() {
        let request = BatchGetPriceSnapshotsRequest { assets: assets.clone(), view: view.into(), allow_partial: true };
        let response = client.prices().batch_get_price_snapshots(request).await?;
        let priced = assets.into_iter().filter(|name| !response.missing.contains(name));
        prices = priced.zip(response.snapshots).collect();
    }
    let rest: Vec<String> = codes.iter().filter(|code| !prices.contains_key(*code)).cloned().collect();
    let mut indices = Vec::new();
    if !rest.is_empty() {
        let request = BatchGetIndexSnapshotsRequest { indices: rest, view: view.into(), allow_partial: true };
        match client.indices().batch_get_index_snapshots(request).await {
            Ok(response) => indices = response.snapshots,
            Err(error) if is_no_index(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for code in codes {
        if let Some(snapshot) = prices.get(code) {
            found.push(Found::Asset(snapshot.clone()));
        } else if let Some(snapshot) = indices.iter().find(|snapshot| snapshot.index == *code) {
            found.push(Found::Index(snapshot.clone()));
        } else {
            missing.push(code.clone());
        }
    }
    Ok((found, missing))
}

/// The service knows no such index, or offers no indices.
fn is_no_index(error: &Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::InvalidArgument | Code::Unimplemented)
}

fn empty(code: &str) -> CliError {
    CliError::Failed(format!("the answer for {code} has no snapshot"))
}
