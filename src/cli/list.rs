//! `list`: a table of assets. The table itself is shared with `watch`.

use std::io::{self, Write};

use clap::Args;

use super::client::ClientArguments;
use super::error::CliError;
use super::index_view;
use super::message;
use super::numbers::{ABSENT, shown};
use super::snapshot_view::{SIMULATED_DATA, freshness_word};
use super::table::{Align, Table};
use crate::figures::FIGURES;
use crossmarket_api::v1::{ListIndicesRequest, ListPriceSnapshotsRequest, PriceSnapshot, View};

/// Page size of requests.
const PAGE_SIZE_MAX: usize = 1_000;

/// Lists assets as a table, the largest first, or indices.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket list --limit 20
  crossmarket list --category privacy --order-by 'change_7d_percent desc'
  crossmarket list --rank-max 100 --order-by drawdown_percent
  crossmarket list --indices --order-by 'change_ytd_percent desc'
  crossmarket list --json --limit 0 > all.jsonl")]
pub(super) struct ListArguments {
    /// Only assets of this category; repeatable.
    #[arg(long, value_name = "CATEGORY")]
    category: Vec<String>,
    /// Only assets with at most this market-cap rank.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    rank_max: Option<i32>,
    /// The order: a field such as market_cap, change_24h_percent or rsi_14d, then asc or desc; several separated by commas.
    #[arg(long, value_name = "ORDER", default_value = "")]
    order_by: String,
    /// The most rows to show; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// List indices instead of assets.
    #[arg(long, conflicts_with_all = ["category", "rank_max"])]
    indices: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

pub(super) async fn run(arguments: ListArguments) -> Result<(), CliError> {
    if arguments.indices {
        return indices(&arguments).await;
    }
    let prices = arguments.client.client()?.prices();
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut request = ListPriceSnapshotsRequest {
        categories: arguments.category,
        market_cap_rank_max: arguments.rank_max,
        order_by: arguments.order_by,
        view: View::Basic as i32,
        ..Default::default()
    };
    let mut snapshots: Vec<PriceSnapshot> = Vec::new();
    let total = loop {
        request.page_size = (limit - snapshots.len()).min(PAGE_SIZE_MAX) as i32;
        let response = prices.list_price_snapshots(request.clone()).await?;
        snapshots.extend(response.snapshots);
        snapshots.truncate(limit);
        if response.next_page_token.is_empty() || snapshots.len() >= limit {
            break response.total_size;
        }
        request.page_token = response.next_page_token;
    };

    let mut out = io::stdout().lock();
    if arguments.json {
        for snapshot in &snapshots {
            writeln!(out, "{}", message::json("PriceSnapshot", snapshot)?)?;
        }
        return Ok(out.flush()?);
    }
    if let Some(mark) = simulated_line(&snapshots) {
        writeln!(out, "{mark}")?;
    }
    write!(out, "{}", table(&snapshots).render(None))?;
    out.flush()?;
    if i64::from(total) > snapshots.len() as i64 {
        eprintln!("{} of {total} assets; --limit 0 for all", snapshots.len());
    }
    Ok(())
}

async fn indices(arguments: &ListArguments) -> Result<(), CliError> {
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let request =
        ListIndicesRequest { order_by: arguments.order_by.clone(), view: View::Basic as i32, ..Default::default() };
    let snapshots = arguments.client.client()?.indices().all_indices(request, limit).await?;
    let mut out = io::stdout().lock();
    if arguments.json {
        for snapshot in &snapshots {
            writeln!(out, "{}", message::json("IndexSnapshot", snapshot)?)?;
        }
        return Ok(out.flush()?);
    }
    if snapshots.iter().any(|snapshot| snapshot.simulated) {
        writeln!(out, "{SIMULATED_DATA}")?;
    }
    write!(out, "{}", index_view::table(&snapshots).render(None))?;
    Ok(out.flush()?)
}

/// The line above a table with simulated rows.
pub(super) fn simulated_line<'a>(snapshots: impl IntoIterator<Item = &'a PriceSnapshot>) -> Option<&'static str> {
    let simulated = snapshots.into_iter().any(|snapshot| snapshot.simulated);
    simulated.then_some(SIMULATED_DATA)
}

/// One row per asset, in the given order.
pub(super) fn table<'a>(snapshots: impl IntoIterator<Item = &'a PriceSnapshot>) -> Table {
    let columns = || FIGURES.iter().filter_map(|figure| Some((figure, figure.column?)));
    let mut titles = vec![("#", Align::Right), ("ASSET", Align::Left)];
    titles.extend(columns().map(|(_, title)| (title, Align::Right)));
    titles.extend([("VENUES", Align::Right), ("STATE", Align::Left)]);
    let mut table = Table::new(&titles);
    for snapshot in snapshots {
        let rank = snapshot.market_cap_rank.map_or_else(|| ABSENT.to_owned(), |rank| rank.to_string());
        let fields = message::dynamic("PriceSnapshot", snapshot);
        let figures = columns().map(|(figure, _)| fields.as_ref().and_then(|fields| shown(figure, fields)));
        let venue_count = snapshot.aggregation.as_ref().map_or(0, |aggregation| aggregation.venue_count);
        let mark = if snapshot.simulated { " (simulated)" } else { "" };
        let mut cells = vec![rank, snapshot.asset.clone()];
        cells.extend(figures.map(|text| text.unwrap_or_else(|| ABSENT.to_owned())));
        cells.extend([venue_count.to_string(), format!("{}{mark}", freshness_word(snapshot))]);
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::snapshot_view::SIMULATED;
    use super::*;

    #[test]
    fn simulated_rows_are_marked_in_the_row_and_above_the_table() {
        let real = PriceSnapshot { asset: "BTC".to_owned(), price: Some("95391".to_owned()), ..Default::default() };
        assert_eq!(simulated_line([&real]), None);
        assert!(!table([&real]).render(None).contains("simulated"));
        let made_up = PriceSnapshot { simulated: true, ..real };
        assert!(simulated_line([&made_up]).is_some_and(|line| line.contains(SIMULATED)));
        assert!(table([&made_up]).render(None).contains("(simulated)"));
    }
}
