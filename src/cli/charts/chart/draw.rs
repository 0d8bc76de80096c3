//! Drawing a chart of two axes.

use console::Term;

use super::model::{Chart, Picture, TERMINAL_WIDTH_MAX, TERMINAL_WIDTH_MIN};
use super::{svg, terminal};

impl Picture for Chart {
    fn svg(&self) -> String {
        svg::picture(self)
    }

    fn lines(&self, width: usize) -> Vec<String> {
        terminal::lines(self, width.clamp(TERMINAL_WIDTH_MIN, TERMINAL_WIDTH_MAX))
    }
}

/// The width of the terminal, or `None` when standard output is not one.
pub(crate) fn terminal_width() -> Option<usize> {
    let terminal = Term::stdout();
    // The last column stays free: some terminals wrap once it is written.
    terminal.is_term().then(|| usize::from(terminal.size().1).saturating_sub(1))
}
