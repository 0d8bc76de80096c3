//! Charts of horizontal bars, one a row, with a label at the left and the value at the bar's end.

use console::measure_text_width;

use super::model::{Caption, Picture, TERMINAL_WIDTH_MAX, TERMINAL_WIDTH_MIN, Tone};
use super::svg::{INK, MARGIN_LEFT, MARGIN_RIGHT, Page, QUIET, TEXT_SIZE, Type, WIDTH, legend, width_of};

const ROW_HEIGHT: f64 = 19.0;
const BAR_HEIGHT: f64 = 13.0;
const ROW_TEXT_SIZE: f64 = 13.0;

/// How much wider capitals (tickers) are than the average letter.
const CAPITALS: f64 = 1.25;

/// Bars beside each other, in the order given.
#[derive(Clone, Debug)]
pub(crate) struct BarChart {
    pub caption: Caption,
    pub rows: Vec<Bar>,
    /// A value marked across all rows, with its label.
    pub marker: Option<(f64, String)>,
    /// What the tones mean.
    pub legend: Vec<(Tone, String)>,
}

/// One bar, from 0 to its value.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// What it is.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// The value in words.
    pub text: String,
    pub tone: Tone,
}

impl BarChart {
    fn range(&self) -> (f64, f64) {
        let marker = self.marker.as_ref().map(|(value, _)| *value);
        let values = self.rows.iter().map(|row| row.value).chain(marker).filter(|value| value.is_finite());
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        if high > low { (low, high) } else { (low, low + 1.0) }
    }
}

impl Picture for BarChart {
    fn svg(&self) -> String {
        let label_width =
            self.rows.iter().map(|row| width_of(&row.label, ROW_TEXT_SIZE) * CAPITALS).fold(40.0, f64::max).min(260.0);
        let probe = Page::new(&self.caption, 0.0).content_top;
        let height = probe + 24.0 + 50.0 + self.rows.len() as f64 * ROW_HEIGHT + 80.0;
        let mut page = Page::new(&self.caption, height);
        let top = legend(&mut page, &self.legend) + 44.0;
        let text_width = self.rows.iter().map(|row| width_of(&row.text, ROW_TEXT_SIZE)).fold(0.0, f64::max) + 10.0;
        let (low, high) = self.range();
        // Values are written beyond the bars' ends on both sides.
        let left = MARGIN_LEFT + label_width + 14.0 + if low < 0.0 { text_width } else { 0.0 };
        let right = WIDTH - MARGIN_RIGHT - if high > 0.0 { text_width } else { 0.0 };
        let place = |value: f64| left + (value - low) / (high - low) * (right - left);
        let bottom = top + self.rows.len() as f64 * ROW_HEIGHT;
        let zero = place(0.0);
        page.raw(&vertical(zero, top - 4.0, bottom, "#b9b6ae", ""));
        let middle = |index: usize| top + (index as f64 + 0.5) * ROW_HEIGHT;
        for (index, row) in self.rows.iter().enumerate() {
            let end = place(row.value);
            page.raw(&format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" rx=\"1.5\" fill=\"{}\"/>",
                zero.min(end),
                middle(index) - BAR_HEIGHT / 2.0,
                (end - zero).abs().max(0.8),
                row.tone.hex()
            ));
        }
        if let Some((value, words)) = &self.marker {
            let x = place(*value);
            page.raw(&vertical(x, top - 8.0, bottom, INK, " stroke-dasharray=\"5 4\""));
            let anchor = if x > WIDTH * 0.7 { "end" } else { "" };
            page.text(x, top - 14.0, words, &Type { size: TEXT_SIZE, bold: true, anchor, ..Type::default() });
        }
        for (index, row) in self.rows.iter().enumerate() {
            let set = |anchor, colour| Type { size: ROW_TEXT_SIZE, anchor, colour, ..Type::default() };
            page.text(MARGIN_LEFT + label_width, middle(index) + 4.5, &row.label, &set("end", INK));
            let end = place(row.value);
            let (x, anchor) = if row.value < 0.0 { (end - 6.0, "end") } else { (end + 6.0, "") };
            page.haloed(x, middle(index) + 4.5, &row.text, &set(anchor, QUIET));
        }
        page.finish()
    }

    fn lines(&self, width: usize) -> Vec<String> {
        let width = width.clamp(TERMINAL_WIDTH_MIN, TERMINAL_WIDTH_MAX);
        let widest =
            |text: fn(&Bar) -> &str| self.rows.iter().map(|row| measure_text_width(text(row))).max().unwrap_or(0);
        let (label_width, text_width) = (widest(|row| &row.label), widest(|row| &row.text));
        let (low, high) = self.range();
        let room = width.saturating_sub(label_width + text_width + 3).max(10);
        let zero = ((0.0 - low) / (high - low) * room as f64).round() as usize;
        let mut lines = super::terminal::heading(&self.caption, width);
        if let Some((value, words)) = &self.marker {
            let column = ((value - low) / (high - low) * room as f64).round() as usize;
            lines.push(format!("{}▼ {words}", " ".repeat(label_width + 1 + column)));
        }
        for row in &self.rows {
            let end = ((row.value - low) / (high - low) * room as f64).round().clamp(0.0, room as f64) as usize;
            let (from, to) = (zero.min(end), zero.max(end));
            let bar = if from == to { "▏".to_owned() } else { "█".repeat(to - from) };
            let rest = room.saturating_sub(from + measure_text_width(&bar));
            let padding = " ".repeat(label_width - measure_text_width(&row.label));
            lines.push(format!(
                "{padding}{} {}{}{} {}",
                row.label,
                " ".repeat(from),
                row.tone.style().apply_to(bar),
                " ".repeat(rest),
                row.text
            ));
        }
        lines.extend(super::terminal::legend(&self.legend, width, '█'));
        lines.extend(super::terminal::foot(&self.caption));
        lines
    }
}

fn vertical(x: f64, top: f64, bottom: f64, colour: &str, more: &str) -> String {
    format!(
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke=\"{colour}\" stroke-width=\"1.4\"{more}/>"
    )
}
