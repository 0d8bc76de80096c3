//! `watch`: a live table in a terminal; elsewhere a line for every new state.
//!
//! The client resumes a broken stream by its cursor; interruptions and gaps are shown.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::client::ClientArguments;
use super::error::CliError;
use super::message;
use super::numbers::{change, price, time};
use super::parse::{asset, parse_duration};
use crossmarket_api::v1::{
    ItemState, PriceSnapshot, StreamState, View, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse,
};
use crossmarket_client::{Watch, WatchEvent, describe};
use crossmarket_domain::AssetCode;

mod screen;

use screen::Screen;

/// The shortest time between two drawings of the table.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Watches assets: a live table in a terminal, one line per new state when piped. Ctrl-C ends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket watch BTC ETH SOL
  crossmarket watch --rank-max 20 --min-interval 1s
  crossmarket watch BTC --json | jq -r '.snapshots[].price'     one JSON object per frame")]
pub(super) struct WatchArguments {
    /// Assets, such as BTC; all when none is given.
    #[arg(value_name = "ASSETS", value_parser = asset)]
    assets: Vec<AssetCode>,
    /// Only assets of this category; can be repeated.
    #[arg(long, value_name = "CATEGORY")]
    category: Vec<String>,
    /// Only assets with at most this market-cap rank.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    rank_max: Option<i32>,
    /// The minimum time between two frames, such as 250ms or 1s; states in between are superseded.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    min_interval: Option<Duration>,
    /// Print one JSON object per frame.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Board {
    snapshots: BTreeMap<String, PriceSnapshot>,
    cursor: String,
    state: StreamState,
    conflated_count: i64,
    publish_time: Option<prost_types::Timestamp>,
    /// The latest problem of the connection or of an item; empty when there is none.
    notice: String,
}

impl Board {
    /// Applies a frame.
    fn apply(&mut self, frame: &WatchPriceSnapshotsResponse) {
        self.state = frame.state();
        if self.state == StreamState::Resync {
            // What is not sent again no longer exists.
            self.snapshots.clear();
        }
        for snapshot in &frame.snapshots {
            self.snapshots.insert(snapshot.asset.clone(), snapshot.clone());
        }
        if !frame.cursor.is_empty() {
            self.cursor.clone_from(&frame.cursor);
        }
        self.conflated_count = self.conflated_count.saturating_add(frame.conflated_count);
        self.publish_time = frame.publish_time.or(self.publish_time);
        let refused = frame.items.iter().filter(|item| item.state() != ItemState::Ok);
        let notices: Vec<String> = refused.map(|item| format!("{}: {}", item.item, item.message)).collect();
        self.notice = notices.join("; ");
    }

    /// The rows by rank, unranked ones last.
    fn rows(&self) -> Vec<&PriceSnapshot> {
        let mut rows: Vec<&PriceSnapshot> = self.snapshots.values().collect();
        rows.sort_by_key(|snapshot| (snapshot.market_cap_rank.unwrap_or(i32::MAX), &snapshot.asset));
        rows
    }
}

/// Where states are shown.
enum Output {
    Table(Screen),
    Lines,
    Json,
}

impl Output {
    fn frame(&mut self, frame: &WatchPriceSnapshotsResponse) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match self {
            Self::Table(_) => return Ok(()),
            Self::Json => writeln!(out, "{}", message::json("WatchPriceSnapshotsResponse", frame)?)?,
            Self::Lines => {
                for snapshot in &frame.snapshots {
                    writeln!(out, "{}", line(snapshot))?;
                }
                for item in frame.items.iter().filter(|item| item.state() != ItemState::Ok) {
                    let state = item.state().as_str_name().trim_start_matches("ITEM_STATE_");
                    eprintln!("{}: {state} {}", item.item, item.message);
                }
            }
        }
        Ok(out.flush()?)
    }

    /// Reports an event of the stream: in the table's status line, otherwise on standard error.
    fn notice(&self, board: &mut Board, text: String) {
        if !matches!(self, Self::Table(_)) || !io::stderr().is_terminal() {
            eprintln!("{text}");
        }
        board.notice = text;
    }

    fn draw(&mut self, board: &Board) -> io::Result<()> {
        if let Self::Table(screen) = self { screen.draw(board) } else { Ok(()) }
    }
}

pub(super) async fn run(arguments: WatchArguments) -> Result<(), CliError> {
    let mut board = Board::default();
    // Connect before taking over the screen, so that an unreachable service is a plain error.
    let mut watch = open(&arguments).await?;
    let mut output = match (arguments.json, io::stdout().is_terminal()) {
        (true, _) => Output::Json,
        (false, true) => Output::Table(Screen::enter(arguments.client.server())?),
        (false, false) => Output::Lines,
    };
    let follow = follow(&mut watch, &mut board, &mut output);
    let result = tokio::select! {
        result = follow => result,
        ended = stop_signal() => ended,
    };
    if let Output::Table(screen) = output {
        screen.leave(&board)?;
    }
    result
}

async fn open(arguments: &WatchArguments) -> Result<Watch<WatchPriceSnapshotsResponse>, CliError> {
    let request = WatchPriceSnapshotsRequest {
        assets: arguments.assets.iter().map(AssetCode::to_string).collect(),
        categories: arguments.category.clone(),
        market_cap_rank_max: arguments.rank_max,
        view: View::Basic as i32,
        min_interval: arguments.min_interval.and_then(|span| span.try_into().ok()),
        heartbeat_interval: None,
        resume_cursor: String::new(),
    };
    Ok(arguments.client.client()?.prices().watch(request).await?)
}

/// Shows frames until the stream fails.
async fn follow(
    watch: &mut Watch<WatchPriceSnapshotsResponse>,
    board: &mut Board,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut ticks = interval(DRAW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(event) => take(event?, board, output)?,
                None => return Ok(()),
            },
            _ = ticks.tick() => output.draw(board)?,
        }
    }
}

/// Handles an event of the stream.
fn take(
    event: WatchEvent<WatchPriceSnapshotsResponse>,
    board: &mut Board,
    output: &mut Output,
) -> Result<(), CliError> {
    match event {
        WatchEvent::Update(frame) => {
            board.apply(&frame);
            output.frame(&frame)?;
        }
        WatchEvent::Interrupted { cause, pause } => {
            let text =
                format!("{}; trying again in {:.1} s, from the last cursor", describe(&cause), pause.as_secs_f64());
            output.notice(board, text);
        }
        WatchEvent::Resumed { endpoint, after } => {
            let text = format!("resumed at {endpoint} after {:.1} s; nothing was missed", after.as_secs_f64());
            output.notice(board, text);
        }
        WatchEvent::Gap(reason) => {
            *board = Board::default();
            output.notice(board, reason.to_string());
        }
        _ => {}
    }
    Ok(())
}

/// One state as a line of words.
fn line(snapshot: &PriceSnapshot) -> String {
    let mark = if snapshot.simulated { " SIMULATED" } else { "" };
    let text = format!(
        "{} {} {} USD 24h {} revision {}{mark}",
        time(snapshot.event_time.as_ref()),
        snapshot.asset,
        price(snapshot.price.as_deref()),
        change(snapshot.change_24h_percent),
        snapshot.revision,
    );
    super::table::printable(&text)
}

/// Waits until the user (Ctrl-C) or the system ends the command.
async fn stop_signal() -> Result<(), CliError> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => Ok(pressed?),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    Ok(tokio::signal::ctrl_c().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::v1::ItemStatus;

    fn frame(state: StreamState, assets: &[(&str, i32)]) -> WatchPriceSnapshotsResponse {
        let snapshot = |(asset, rank): &(&str, i32)| PriceSnapshot {
            asset: (*asset).to_owned(),
            market_cap_rank: (*rank > 0).then_some(*rank),
            ..Default::default()
        };
        WatchPriceSnapshotsResponse {
            snapshots: assets.iter().map(snapshot).collect(),
            cursor: "c".to_owned(),
            state: state as i32,
            conflated_count: 2,
            ..Default::default()
        }
    }

    fn assets(board: &Board) -> Vec<&str> {
        board.rows().iter().map(|row| row.asset.as_str()).collect()
    }

    #[test]
    fn the_board_keeps_the_latest_states_by_rank() {
        let mut board = Board::default();
        board.apply(&frame(StreamState::Snapshot, &[("NEW", 0), ("ETH", 2)]));
        board.apply(&frame(StreamState::Live, &[("BTC", 1), ("ETH", 3)]));
        assert_eq!(assets(&board), ["BTC", "ETH", "NEW"]);
        assert_eq!((board.conflated_count, board.cursor.as_str()), (4, "c"));
        board.apply(&frame(StreamState::Resync, &[]));
        board.apply(&frame(StreamState::SnapshotComplete, &[("BTC", 1)]));
        assert_eq!(assets(&board), ["BTC"]);
    }

    #[test]
    fn an_unknown_item_is_told_and_costs_no_other() {
        let mut board = Board::default();
        let item =
            ItemStatus { item: "XYZ".to_owned(), state: ItemState::Unknown as i32, message: "unknown".to_owned() };
        let first = frame(StreamState::SnapshotComplete, &[("BTC", 1)]);
        board.apply(&WatchPriceSnapshotsResponse { items: vec![item], ..first });
        assert_eq!(board.notice, "XYZ: unknown");
        assert_eq!(assets(&board), ["BTC"]);
    }
}
