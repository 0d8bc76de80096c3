//! `get`: the snapshots of some assets.

use std::io::{self, Write};

use clap::Args;

use super::card::card;
use super::client::ClientArguments;
use super::error::CliError;
use super::json;
use super::serve::asset;
use crate::domain::AssetCode;
use crate::proto::v1::{BatchGetPriceSnapshotsRequest, GetPriceSnapshotRequest, PriceSnapshot, View};

/// Shows the current snapshot of each asset: price, changes, volatility, market cap, all-time high and how fresh it is.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket get BTC
  crossmarket get BTC ETH --full              with every venue's price, weight and status
  crossmarket get BTC --json | jq .price      one JSON object a line, decimals as strings")]
pub(super) struct GetArguments {
    /// Assets, such as BTC.
    #[arg(required = true, value_name = "ASSETS", value_parser = asset)]
    assets: Vec<AssetCode>,
    /// With each venue's part and how each figure was computed.
    #[arg(long)]
    full: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

pub(super) async fn run(arguments: GetArguments) -> Result<(), CliError> {
    let (snapshots, missing) = fetch(&arguments).await?;
    let mut out = io::stdout().lock();
    for (index, snapshot) in snapshots.iter().enumerate() {
        if arguments.json {
            writeln!(out, "{}", json::snapshot(snapshot))?;
        } else {
            write!(out, "{}{}", if index == 0 { "" } else { "\n" }, card(snapshot))?;
        }
    }
    out.flush()?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CliError::Failed(format!("unknown or without a price yet: {}", missing.join(", "))))
    }
}

async fn fetch(arguments: &GetArguments) -> Result<(Vec<PriceSnapshot>, Vec<String>), CliError> {
    let prices = arguments.client.client()?.prices();
    let view = if arguments.full { View::Full } else { View::Basic } as i32;
    // One asset is asked for alone: its error then says what is wrong with it.
    if let [asset] = arguments.assets.as_slice() {
        let request = GetPriceSnapshotRequest { asset: asset.to_string(), view };
        let response = prices.get_price_snapshot(request).await?;
        return Ok((response.snapshot.into_iter().collect(), Vec::new()));
    }
    let request = BatchGetPriceSnapshotsRequest {
        assets: arguments.assets.iter().map(AssetCode::to_string).collect(),
        view,
        allow_partial: true,
    };
    let response = prices.batch_get_price_snapshots(request).await?;
    Ok((response.snapshots, response.missing))
}
