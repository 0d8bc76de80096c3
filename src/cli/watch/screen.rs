//! The terminal while `watch` shows a table: an alternate screen without cursor, restored on drop.

use std::io::{self, Write};
use std::time::Duration;

use console::Term;
use tokio::time::Instant;

use super::super::list::{simulated_line, table};
use super::super::numbers::time;
use super::super::table::{cut, printable};
use super::state::WatchState;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_TO_LINE_END: &str = "\x1b[K";
const CLEAR_TO_SCREEN_END: &str = "\x1b[J";

/// The table is redrawn at least this often, since the window's size may change.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// A terminal in alternate-screen mode.
pub(super) struct Screen {
    terminal: Term,
    server: String,
    drawn: Option<(Instant, Vec<String>, (u16, u16))>,
}

impl Screen {
    /// Takes over the terminal of standard output.
    pub(super) fn enter(server: &str) -> io::Result<Self> {
        let screen = Self { terminal: Term::stdout(), server: printable(server), drawn: None };
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(screen)
    }

    /// Draws what changed since the last time, cut to the window as it is now.
    pub(super) fn draw(&mut self, state: &WatchState) -> io::Result<()> {
        let size = self.terminal.size();
        // The last column stays free: a terminal about to wrap there would clear the last character.
        let window = (usize::from(size.0), usize::from(size.1).saturating_sub(1));
        let lines = lines(state, &self.server, Some(window));
        if let Some((at, drawn, drawn_size)) = &self.drawn
            && *drawn == lines
            && *drawn_size == size
            && at.elapsed() < REDRAW_INTERVAL
        {
            return Ok(());
        }
        let mut text = String::from(HOME);
        for (index, line) in lines.iter().enumerate() {
            text.extend([if index == 0 { "" } else { "\r\n" }, line, CLEAR_TO_LINE_END]);
        }
        text.push_str(CLEAR_TO_SCREEN_END);
        self.drawn = Some((Instant::now(), lines, size));
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Restores the terminal and leaves the last table on it.
    pub(super) fn leave(self, state: &WatchState) -> io::Result<()> {
        let server = self.server.clone();
        drop(self);
        let mut out = io::stdout().lock();
        for line in lines(state, &server, None) {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // The process ends next, so a terminal that is gone need not be reported.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

/// Status lines and table, cut to a window of rows and columns if given.
fn lines(state: &WatchState, server: &str, window: Option<(usize, usize)>) -> Vec<String> {
    let width = window.map(|(_, columns)| columns);
    let stream_state = state.state.as_str_name().trim_start_matches("STREAM_STATE_");
    let mut lines = vec![format!(
        "{server}  {stream_state}  {} assets  published {}  conflated {}  cursor {}",
        state.snapshots.len(),
        time(state.publish_time.as_ref()),
        state.conflated_count,
        if state.cursor.is_empty() { "none" } else { &state.cursor },
    )];
    lines.extend(simulated_line(state.snapshots.values()).map(str::to_owned));
    if !state.notice.is_empty() {
        lines.push(printable(&state.notice));
    }
    lines.push(String::new());
    let mut lines: Vec<String> = lines.iter().map(|line| cut(&printable(line), width)).collect();
    lines.extend(table(state.rows()).lines(width));
    if let Some((rows, _)) = window {
        let hidden = lines.len().saturating_sub(rows.max(2));
        if hidden > 0 {
            lines.truncate(rows.max(2) - 1);
            lines.push(cut(&format!("… {} more rows", hidden + 1), width));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::v1::PriceSnapshot;

    #[test]
    fn lines_fit_the_window() {
        let mut state = WatchState { cursor: "c".repeat(500), ..WatchState::default() };
        for index in 0..50 {
            let asset = format!("A{index}");
            state.snapshots.insert(asset.clone(), PriceSnapshot { asset, simulated: true, ..Default::default() });
        }
        let lines_in_window = lines(&state, "http://127.0.0.1:50051", Some((10, 40)));
        assert_eq!(lines_in_window.len(), 10);
        assert!(lines_in_window.iter().all(|line| line.chars().count() <= 40));
        assert!(lines_in_window[1].contains("SIMULATED"));
        assert!(lines_in_window[9].contains("more rows"));
        assert_eq!(lines(&state, "", None).len(), 3 + 1 + 50);
    }
}
