//! `watch`: a live table in a terminal; elsewhere a line for every new state.
//!
//! The client resumes a broken stream by its cursor and reports it; the reports are shown here.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::client::ClientArguments;
use super::error::CliError;
use super::message;
use super::numbers::{change, price, time};
use super::parse::{asset, parse_duration};
use crossmarket_api::v1::{ItemState, PriceSnapshot, View, WatchPriceSnapshotsRequest, WatchPriceSnapshotsResponse};
use crossmarket_client::{Watch, WatchEvent, describe};
use crossmarket_domain::AssetName;

mod screen;
mod state;

use screen::Screen;
use state::WatchState;

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
    /// Assets, such as BTC; by default all.
    #[arg(value_name = "ASSETS", value_parser = asset)]
    assets: Vec<AssetName>,
    /// Only assets of this category; repeatable.
    #[arg(long, value_name = "CATEGORY")]
    category: Vec<String>,
    /// Only assets with at most this market-cap rank.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    rank_max: Option<i32>,
    /// The least time between two frames, such as 250ms or 1s; states in between are skipped.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    min_interval: Option<Duration>,
    /// Print one JSON object per frame.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
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
    fn notice(&self, state: &mut WatchState, text: String) {
        if !matches!(self, Self::Table(_)) || !io::stderr().is_terminal() {
            eprintln!("{text}");
        }
        state.notice = text;
    }

    fn draw(&mut self, state: &WatchState) -> io::Result<()> {
        if let Self::Table(screen) = self { screen.draw(state) } else { Ok(()) }
    }
}

pub(super) async fn run(arguments: WatchArguments) -> Result<(), CliError> {
    let mut state = WatchState::default();
    // Connect before taking over the screen, so that an error stays readable.
    let mut watch = open(&arguments).await?;
    let mut output = match (arguments.json, io::stdout().is_terminal()) {
        (true, _) => Output::Json,
        (false, true) => Output::Table(Screen::enter(arguments.client.server())?),
        (false, false) => Output::Lines,
    };
    let follow = follow(&mut watch, &mut state, &mut output);
    let result = tokio::select! {
        result = follow => result,
        ended = stop_signal() => ended,
    };
    if let Output::Table(screen) = output {
        screen.leave(&state)?;
    }
    result
}

async fn open(arguments: &WatchArguments) -> Result<Watch<WatchPriceSnapshotsResponse>, CliError> {
    let request = WatchPriceSnapshotsRequest {
        assets: arguments.assets.iter().map(AssetName::to_string).collect(),
        categories: arguments.category.clone(),
        market_cap_rank_max: arguments.rank_max,
        view: View::Basic as i32,
        min_interval: arguments.min_interval.and_then(|span| span.try_into().ok()),
        heartbeat_interval: None,
        resume_cursor: String::new(),
    };
    Ok(arguments.client.client()?.prices().watch(request).await?)
}

/// Shows frames until the stream ends.
async fn follow(
    watch: &mut Watch<WatchPriceSnapshotsResponse>,
    state: &mut WatchState,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut ticks = interval(DRAW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(event) => take(event?, state, output)?,
                None => return Ok(()),
            },
            _ = ticks.tick() => output.draw(state)?,
        }
    }
}

/// Handles an event of the stream.
fn take(
    event: WatchEvent<WatchPriceSnapshotsResponse>,
    state: &mut WatchState,
    output: &mut Output,
) -> Result<(), CliError> {
    match event {
        WatchEvent::Update(frame) => {
            state.apply(&frame);
            output.frame(&frame)?;
        }
        WatchEvent::Interrupted { cause, pause } => {
            let text =
                format!("{}; trying again in {:.1} s, from the last cursor", describe(&cause), pause.as_secs_f64());
            output.notice(state, text);
        }
        WatchEvent::Resumed { endpoint, after } => {
            let text = format!("resumed at {endpoint} after {:.1} s; nothing was missed", after.as_secs_f64());
            output.notice(state, text);
        }
        WatchEvent::Gap(reason) => {
            *state = WatchState::default();
            output.notice(state, reason.to_string());
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
