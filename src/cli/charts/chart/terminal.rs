//! Charts in a terminal: points as characters, lines as Braille dots, two across and four down in each cell.

use console::{Style, measure_text_width};

use super::model::{Caption, Chart, Mark, Point, Tone};
use crate::cli::snapshot_view::SIMULATED_DATA;

/// Rows of the plot. With title, axis and legend it fits a screen of 24.
const PLOT_ROWS: usize = 18;

/// The dots of a Braille cell by column and row, as bits above U+2800.
const BRAILLE: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

pub(super) fn lines(chart: &Chart, width: usize) -> Vec<String> {
    let name_width = chart.y.ticks.iter().map(|(_, name)| measure_text_width(name)).max().unwrap_or(0);
    let end_width = end_label_width(chart);
    let columns = width.saturating_sub(name_width + 2 + end_width).max(16);
    let mut canvas = Canvas::new(columns, PLOT_ROWS);
    for mark in &chart.marks {
        draw(&mut canvas, chart, mark);
    }
    let mut names = vec![String::new(); PLOT_ROWS];
    for (value, name) in &chart.y.ticks {
        if let Some(row) = chart.y.place(*value).and_then(|place| canvas.row(place)) {
            names[row].clone_from(name);
        }
    }
    let ends = end_labels(chart, &canvas);
    let faint = Tone::Faint.style();
    let mut lines = heading(&chart.caption, width);
    lines.push(faint.apply_to(&chart.y.title).to_string());
    for (row, name) in names.iter().enumerate() {
        let padding = " ".repeat(name_width - measure_text_width(name));
        let axis = faint.apply_to(if name.is_empty() { "│" } else { "┤" });
        let end =
            ends[row].as_ref().map_or_else(String::new, |(tone, label)| format!(" {}", tone.style().apply_to(label)));
        lines.push(format!("{padding}{} {axis}{}{end}", faint.apply_to(name), canvas.text(row)).trim_end().to_owned());
    }
    let (axis, names) = x_axis(chart, columns);
    let indent = " ".repeat(name_width + 1);
    lines.push(format!("{indent}{}", faint.apply_to(axis)));
    lines.push(format!("{indent} {}", faint.apply_to(names)));
    if !chart.x.title.is_empty() {
        let indent = " ".repeat((name_width + 2 + columns / 2).saturating_sub(measure_text_width(&chart.x.title) / 2));
        lines.push(format!("{indent}{}", faint.apply_to(&chart.x.title)));
    }
    lines.extend(legend(&chart.legend, width, ' '));
    lines.extend(foot(&chart.caption));
    lines
}

/// Title and subtitle, wrapped to the width.
pub(super) fn heading(caption: &Caption, width: usize) -> Vec<String> {
    let mut lines: Vec<String> =
        wrapped(&caption.title, width).iter().map(|line| Style::new().bold().apply_to(line).to_string()).collect();
    lines.extend(wrapped(&caption.subtitle, width));
    lines.push(String::new());
    lines
}

/// The source of the data, and whether it is simulated.
pub(super) fn foot(caption: &Caption) -> Vec<String> {
    let mut lines = vec![Tone::Faint.style().apply_to(&caption.source).to_string()];
    if caption.simulated {
        lines.push(SIMULATED_DATA.to_owned());
    }
    lines
}

/// The legend. `shape` is used for tones without a shape of their own; a space means a point.
pub(super) fn legend(legend: &[(Tone, String)], width: usize, shape: char) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for (tone, words) in legend {
        let glyph = if shape == ' ' { tone.glyph() } else { shape };
        let entry_width = 2 + measure_text_width(words);
        let entry = format!("{} {words}", tone.style().apply_to(glyph));
        match lines.last_mut() {
            Some(line) if used + 3 + entry_width <= width => {
                line.push_str("   ");
                line.push_str(&entry);
                used += 3 + entry_width;
            }
            _ => {
                lines.push(entry);
                used = entry_width;
            }
        }
    }
    lines
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn draw(canvas: &mut Canvas, chart: &Chart, mark: &Mark) {
    let place = |x: f64, y: f64| Some((chart.x.place(x)?, chart.y.place(y)?));
    match mark {
        Mark::Points(points) => {
            for point in points {
                if let Some((x, y)) = place(point.x, point.y) {
                    canvas.glyph(x, y, point.tone);
                }
            }
            names(canvas, chart, points);
        }
        Mark::Line { points, tone, .. } => {
            let mut before: Option<(f64, f64)> = None;
            for (x, y) in points {
                let here = y.and_then(|y| place(*x, y));
                if let (Some(from), Some(to)) = (before, here) {
                    canvas.line(from, to, *tone);
                }
                before = here;
            }
        }
        Mark::Level { y, span, tone, label } => {
            let Some(y) = chart.y.place(*y) else { return };
            let end = |value: f64| chart.x.place(value).unwrap_or(0.0);
            let (from, to) = span.map_or((0.0, 1.0), |(from, to)| (end(from), end(to)));
            canvas.rule(from, to, y, *tone, label);
        }
    }
}

/// Writes names beside points, where there is space.
fn names(canvas: &mut Canvas, chart: &Chart, points: &[Point]) {
    for point in points.iter().filter(|point| !point.label.is_empty()) {
        let place = chart.x.place(point.x).zip(chart.y.place(point.y));
        let Some((column, row)) = place.and_then(|(x, y)| Some((canvas.column(x)?, canvas.row(y)?))) else { continue };
        let length = measure_text_width(&point.label);
        let starts = [Some(column + 1), column.checked_sub(length)];
        if let Some(start) = starts.into_iter().flatten().find(|start| canvas.is_free(row, *start, length)) {
            canvas.write(row, start, &point.label, Tone::Faint);
        }
    }
}

/// The labels at the lines' ends by row, moved to a neighbouring row where two meet.
fn end_labels(chart: &Chart, canvas: &Canvas) -> Vec<Option<(Tone, String)>> {
    let mut rows: Vec<Option<(Tone, String)>> = vec![None; PLOT_ROWS];
    for mark in &chart.marks {
        let Mark::Line { points, tone, label, .. } = mark else { continue };
        let last = points.iter().rev().find_map(|(_, y)| *y);
        let row = last.and_then(|y| chart.y.place(y)).and_then(|place| canvas.row(place));
        let (Some(row), false) = (row, label.is_empty()) else { continue };
        let free = (0..PLOT_ROWS)
            .filter(|candidate| rows[*candidate].is_none())
            .min_by_key(|candidate| candidate.abs_diff(row));
        if let Some(free) = free {
            rows[free] = Some((*tone, label.clone()));
        }
    }
    rows
}

fn end_label_width(chart: &Chart) -> usize {
    let widths = chart.marks.iter().filter_map(|mark| match mark {
        Mark::Line { label, .. } if !label.is_empty() => Some(measure_text_width(label) + 1),
        _ => None,
    });
    widths.max().unwrap_or(0)
}

/// The axis with its ticks and labels.
fn x_axis(chart: &Chart, columns: usize) -> (String, String) {
    let mut axis: Vec<char> = std::iter::once('└').chain(std::iter::repeat_n('─', columns)).collect();
    let mut names = String::new();
    for (value, name) in &chart.x.ticks {
        let Some(place) = chart.x.place(*value).filter(|place| (0.0..=1.0).contains(place)) else { continue };
        let column = (place * (columns - 1) as f64).round() as usize;
        let start = column.saturating_sub(measure_text_width(name) / 2);
        let used = measure_text_width(&names);
        // Labels that would touch, or exceed the right edge, are omitted.
        if (used > 0 && start < used + 2) || start + measure_text_width(name) > columns + 8 {
            continue;
        }
        names.push_str(&" ".repeat(start - used));
        names.push_str(name);
        axis[column + 1] = '┬';
    }
    (axis.into_iter().collect(), names)
}

#[derive(Clone, Copy)]
enum Cell {
    Empty,
    Dots(u32, Tone),
    Character(char, Tone),
}

struct Canvas {
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows: vec![vec![Cell::Empty; columns]; rows] }
    }

    fn column(&self, place: f64) -> Option<usize> {
        (0.0..=1.0).contains(&place).then(|| (place * (self.columns - 1) as f64).round() as usize)
    }

    fn row(&self, place: f64) -> Option<usize> {
        let last = self.rows.len() - 1;
        (0.0..=1.0).contains(&place).then(|| last - (place * last as f64).round() as usize)
    }

    fn glyph(&mut self, x: f64, y: f64, tone: Tone) {
        if let (Some(column), Some(row)) = (self.column(x), self.row(y)) {
            self.rows[row][column] = Cell::Character(tone.glyph(), tone);
        }
    }

    fn rule(&mut self, from: f64, to: f64, y: f64, tone: Tone, label: &str) {
        let columns = self.column(from.clamp(0.0, 1.0)).zip(self.column(to.clamp(0.0, 1.0)));
        let (Some((from, to)), Some(row)) = (columns, self.row(y)) else { return };
        for column in from..=to {
            self.rows[row][column] = Cell::Character('╌', tone);
        }
        let length = measure_text_width(label);
        if length > 0 && length + 2 <= to + 1 - from {
            self.write(row, to - length, label, tone);
        }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), tone: Tone) {
        let dots = |(x, y): (f64, f64)| {
            let across = x * (self.columns * 2 - 1) as f64;
            let down = (1.0 - y) * (self.rows.len() * 4 - 1) as f64;
            (across, down)
        };
        let ((x, y), (to_x, to_y)) = (dots(from), dots(to));
        let steps = (to_x - x).abs().max((to_y - y).abs()).ceil().clamp(1.0, 10_000.0) as usize;
        for step in 0..=steps {
            let part = step as f64 / steps as f64;
            self.dot(x + (to_x - x) * part, y + (to_y - y) * part, tone);
        }
    }

    fn dot(&mut self, across: f64, down: f64, tone: Tone) {
        if across < -0.5 || down < -0.5 {
            return;
        }
        let (across, down) = (across.round() as usize, down.round() as usize);
        let Some(cell) = self.rows.get_mut(down / 4).and_then(|row| row.get_mut(across / 2)) else { return };
        let bit = BRAILLE[across % 2][down % 4];
        *cell = match *cell {
            Cell::Dots(bits, _) => Cell::Dots(bits | bit, tone),
            _ => Cell::Dots(bit, tone),
        };
    }

    fn is_free(&self, row: usize, start: usize, length: usize) -> bool {
        start + length <= self.columns
            && self.rows[row][start..start + length].iter().all(|cell| matches!(cell, Cell::Empty))
    }

    fn write(&mut self, row: usize, start: usize, text: &str, tone: Tone) {
        for (cell, character) in self.rows[row].iter_mut().skip(start).zip(text.chars()) {
            *cell = Cell::Character(character, tone);
        }
    }

    /// A row as text, each run of one tone styled once.
    fn text(&self, row: usize) -> String {
        let mut text = String::new();
        let mut run = String::new();
        let mut run_tone: Option<Tone> = None;
        let mut close = |run: &mut String, tone: Option<Tone>| match tone {
            Some(tone) if !run.is_empty() => text.push_str(&tone.style().apply_to(std::mem::take(run)).to_string()),
            _ => text.push_str(&std::mem::take(run)),
        };
        for cell in &self.rows[row] {
            let (character, tone) = match *cell {
                Cell::Empty => (' ', None),
                Cell::Dots(bits, tone) => (char::from_u32(0x2800 + bits).unwrap_or(' '), Some(tone)),
                Cell::Character(character, tone) => (character, Some(tone)),
            };
            if tone != run_tone {
                close(&mut run, run_tone);
                run_tone = tone;
            }
            run.push(character);
        }
        close(&mut run, run_tone);
        text
    }
}
