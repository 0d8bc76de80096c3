//! Charts as SVG pictures: light background, quiet axes, the data on top, labels next to what they name.

use std::fmt::Write;

use super::model::{Axis, Caption, Chart, Mark, Point, Tone};

/// The picture's size. Vectors scale; text is set for this width.
pub(super) const WIDTH: f64 = 1_200.0;
const HEIGHT: f64 = 750.0;

pub(super) const MARGIN_LEFT: f64 = 48.0;
pub(super) const MARGIN_RIGHT: f64 = 48.0;

/// The left edge of the plot; tick labels are to its left.
const PLOT_LEFT: f64 = 104.0;
const PLOT_RIGHT: f64 = WIDTH - MARGIN_RIGHT;
const PLOT_BOTTOM: f64 = HEIGHT - 104.0;

/// Room for labels at the ends of lines.
const END_LABEL_WIDTH: f64 = 160.0;

const TITLE_SIZE: f64 = 28.0;
const SUBTITLE_SIZE: f64 = 16.0;
pub(super) const TEXT_SIZE: f64 = 14.0;
const LABEL_SIZE: f64 = 12.5;
const NOTE_SIZE: f64 = 12.5;

pub(super) const INK: &str = "#1c1c1c";
pub(super) const QUIET: &str = "#5f5f5f";
pub(super) const GRID: &str = "#e6e4df";
const BACKGROUND: &str = "#ffffff";

/// The font of a picture.
const FONTS: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif";

const POINT_RADIUS: f64 = 6.0;

/// An upper bound of the average character width, relative to the font size.
const CHARACTER_WIDTH: f64 = 0.56;

/// A chart of two axes as a picture.
pub(super) fn picture(chart: &Chart) -> String {
    let mut page = Page::new(&chart.caption, HEIGHT);
    let legend_bottom = legend(&mut page, &chart.legend);
    let labelled = chart.marks.iter().any(|mark| matches!(mark, Mark::Line { label, .. } if !label.is_empty()));
    let right = if labelled { PLOT_RIGHT - END_LABEL_WIDTH } else { PLOT_RIGHT };
    let plot = Plot { left: PLOT_LEFT, right, top: legend_bottom + 52.0, bottom: PLOT_BOTTOM, chart };
    axes(&mut page, &plot);
    let mut taken = Taken::default();
    for mark in &chart.marks {
        match mark {
            Mark::Level { y, span, tone, .. } => level(&mut page, &plot, *y, *span, *tone),
            Mark::Line { points, tone, heavy, .. } => line(&mut page, &plot, points, *tone, *heavy),
            Mark::Points(points) => dots(&mut page, &plot, points),
        }
    }
    for mark in &chart.marks {
        if let Mark::Level { y, span, tone, label } = mark {
            level_label(&mut page, &plot, &mut taken, *y, *span, *tone, label);
        }
    }
    end_labels(&mut page, &plot, &mut taken);
    for mark in &chart.marks {
        if let Mark::Points(points) = mark {
            names(&mut page, &plot, points, &mut taken);
        }
    }
    page.finish()
}

/// The page: background, texts above and below, and the drawing between them.
pub(super) struct Page {
    body: String,
    /// Below the title and subtitle.
    pub(super) content_top: f64,
}

impl Page {
    pub(super) fn new(caption: &Caption, height: f64) -> Self {
        let Caption { title, subtitle, source, simulated } = caption;
        let mut body = String::new();
        let _ = write!(
            body,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"title description\" font-family=\"{FONTS}\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{BACKGROUND}\"/>\n",
            escaped(title),
            escaped(&format!(
                "{}. {source}.{}",
                subtitle.trim_end_matches('.'),
                if *simulated { " Simulated demonstration data." } else { "" }
            )),
        );
        let mut page = Self { body, content_top: 0.0 };
        let mut y = 58.0;
        page.text(MARGIN_LEFT, y, title, &Type { size: TITLE_SIZE, bold: true, ..Type::default() });
        for words in wrapped(subtitle, WIDTH - MARGIN_LEFT - MARGIN_RIGHT, SUBTITLE_SIZE) {
            y += 27.0;
            page.text(MARGIN_LEFT, y, &words, &Type { size: SUBTITLE_SIZE, colour: QUIET, ..Type::default() });
        }
        page.content_top = y + 14.0;
        let foot = height - 26.0;
        page.rule(MARGIN_LEFT, WIDTH - MARGIN_RIGHT, foot - 22.0, GRID, 1.0);
        page.text(MARGIN_LEFT, foot, source, &Type { size: NOTE_SIZE, colour: QUIET, ..Type::default() });
        if *simulated {
            let mark = "SIMULATED · demonstration data, not a market";
            let right = Type { size: NOTE_SIZE, colour: "#a01c1c", bold: true, anchor: "end" };
            page.text(WIDTH - MARGIN_RIGHT, foot, mark, &right);
        }
        page
    }

    pub(super) fn text(&mut self, x: f64, y: f64, words: &str, set: &Type) {
        let weight = if set.bold { " font-weight=\"600\"" } else { "" };
        let anchor = if set.anchor.is_empty() { String::new() } else { format!(" text-anchor=\"{}\"", set.anchor) };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" fill=\"{}\"{weight}{anchor}>{}</text>",
            set.size,
            set.colour,
            escaped(words)
        );
    }

    /// Text with a halo, so that it is readable on top of the data.
    pub(super) fn haloed(&mut self, x: f64, y: f64, words: &str, set: &Type) {
        let weight = if set.bold { " font-weight=\"600\"" } else { "" };
        let anchor = if set.anchor.is_empty() { String::new() } else { format!(" text-anchor=\"{}\"", set.anchor) };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" fill=\"{}\"{weight}{anchor} stroke=\"{BACKGROUND}\" stroke-width=\"3.5\" \
             stroke-linejoin=\"round\" paint-order=\"stroke\">{}</text>",
            set.size,
            set.colour,
            escaped(words)
        );
    }

    pub(super) fn rule(&mut self, from: f64, to: f64, y: f64, colour: &str, width: f64) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
    }

    pub(super) fn raw(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    pub(super) fn finish(mut self) -> String {
        self.body.push_str("</svg>\n");
        self.body
    }
}

/// The style of a text.
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) colour: &'static str,
    pub(super) bold: bool,
    /// `end` or `middle`; empty for the start.
    pub(super) anchor: &'static str,
}

impl Default for Type {
    fn default() -> Self {
        Self { size: TEXT_SIZE, colour: INK, bold: false, anchor: "" }
    }
}

/// The approximate width of a text.
pub(super) fn width_of(words: &str, size: f64) -> f64 {
    words.chars().count() as f64 * size * CHARACTER_WIDTH
}

/// A text for an element or attribute: reserved characters are escaped, invalid ones omitted.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character if character.is_control() => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line, size) + width_of(word, size) + size < width / 0.92 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Draws the legend, and returns where it ends.
pub(super) fn legend(page: &mut Page, legend: &[(Tone, String)]) -> f64 {
    let top = page.content_top;
    if legend.is_empty() {
        return top - 8.0;
    }
    let y = top + 20.0;
    let mut x = MARGIN_LEFT + POINT_RADIUS;
    for (tone, words) in legend {
        page.raw(&dot(x, y - 4.5, *tone));
        page.text(x + 12.0, y, words, &Type { colour: QUIET, ..Type::default() });
        x += 12.0 + width_of(words, TEXT_SIZE) + 26.0;
    }
    y
}

struct Plot<'a> {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    chart: &'a Chart,
}

impl Plot<'_> {
    fn x(&self, value: f64) -> Option<f64> {
        Some(self.left + within(self.chart.x.place(value)?)? * (self.right - self.left))
    }

    /// The ends of a span, or of the whole width.
    fn span(&self, span: Option<(f64, f64)>) -> (f64, f64) {
        match span {
            Some((from, to)) => (self.x(from).unwrap_or(self.left), self.x(to).unwrap_or(self.right)),
            None => (self.left, self.right),
        }
    }

    fn y(&self, value: f64) -> Option<f64> {
        Some(self.bottom - within(self.chart.y.place(value)?)? * (self.bottom - self.top))
    }
}

/// A position on an axis, `None` outside its range.
fn within(place: f64) -> Option<f64> {
    (-1e-6..=1.0 + 1e-6).contains(&place).then_some(place)
}

fn axes(page: &mut Page, plot: &Plot<'_>) {
    let quiet = |anchor| Type { colour: QUIET, anchor, ..Type::default() };
    for (value, name) in &plot.chart.y.ticks {
        let Some(y) = plot.y(*value) else { continue };
        page.rule(plot.left, plot.right, y, GRID, 1.0);
        page.text(plot.left - 12.0, y + 4.8, name, &quiet("end"));
    }
    page.rule(plot.left, plot.right, plot.bottom, "#b9b6ae", 1.2);
    for (value, name) in &plot.chart.x.ticks {
        let Some(x) = plot.x(*value) else { continue };
        page.raw(&format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#b9b6ae\" stroke-width=\"1.2\"/>",
            plot.bottom,
            plot.bottom + 6.0
        ));
        page.text(x, plot.bottom + 23.0, name, &quiet("middle"));
    }
    let Axis { title, .. } = &plot.chart.x;
    page.text((plot.left + plot.right) / 2.0, plot.bottom + 46.0, title, &quiet("middle"));
    page.text(MARGIN_LEFT, plot.top - 20.0, &plot.chart.y.title, &Type { colour: QUIET, ..Type::default() });
}

fn level(page: &mut Page, plot: &Plot<'_>, y: f64, span: Option<(f64, f64)>, tone: Tone) {
    let Some(y) = plot.y(y) else { return };
    let (from, to) = plot.span(span);
    let dashes = if span.is_none() { " stroke-dasharray=\"6 5\"" } else { "" };
    let width = if span.is_none() { 1.4 } else { 2.6 };
    page.raw(&format!(
        "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{}\" stroke-width=\"{width}\"{dashes}/>",
        tone.hex()
    ));
}

/// Writes the label of a level, above everything that crosses it.
fn level_label(
    page: &mut Page,
    plot: &Plot<'_>,
    taken: &mut Taken,
    y: f64,
    span: Option<(f64, f64)>,
    tone: Tone,
    label: &str,
) {
    let Some(y) = plot.y(y) else { return };
    let (from, to) = plot.span(span);
    if label.is_empty() {
        return;
    }
    let set = Type { size: LABEL_SIZE, colour: tone.hex(), bold: true, ..Type::default() };
    let box_width = width_of(label, LABEL_SIZE);
    let (x, anchor) = if span.is_none() { (to - 4.0, "end") } else { ((from + to) / 2.0, "middle") };
    let left = if anchor == "end" { x - box_width } else { x - box_width / 2.0 };
    page.haloed(x, y - 7.0, label, &Type { anchor, ..set });
    taken.take(Area { left, right: left + box_width, top: y - 20.0, bottom: y + 2.0 });
}

fn line(page: &mut Page, plot: &Plot<'_>, points: &[(f64, Option<f64>)], tone: Tone, heavy: bool) {
    let mut path = String::new();
    let mut pen_down = false;
    for (x, y) in points {
        let place = y.and_then(|y| Some((plot.x(*x)?, plot.y(y)?)));
        let Some((x, y)) = place else {
            pen_down = false;
            continue;
        };
        let _ = write!(path, "{}{x:.1} {y:.1}", if pen_down { "L" } else { "M" });
        pen_down = true;
    }
    if path.is_empty() {
        return;
    }
    let width = if heavy { 3.2 } else { 2.0 };
    page.raw(&format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
        tone.hex()
    ));
}

fn dots(page: &mut Page, plot: &Plot<'_>, points: &[Point]) {
    for point in points {
        if let (Some(x), Some(y)) = (plot.x(point.x), plot.y(point.y)) {
            page.raw(&dot(x, y, point.tone));
        }
    }
}

fn dot(x: f64, y: f64, tone: Tone) -> String {
    let (stroke, width) = if tone == Tone::Unknown { ("#8f8f8f", 1.4) } else { (BACKGROUND, 1.0) };
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{POINT_RADIUS}\" fill=\"{}\" stroke=\"{stroke}\" stroke-width=\"{width}\"/>",
        tone.hex()
    )
}

/// Writes the labels of lines at their right ends, moved apart where they would overlap.
fn end_labels(page: &mut Page, plot: &Plot<'_>, taken: &mut Taken) {
    let mut ends: Vec<(f64, f64, &str, Tone)> = Vec::new();
    for mark in &plot.chart.marks {
        let Mark::Line { points, tone, label, .. } = mark else { continue };
        let last = points.iter().rev().find_map(|(x, y)| Some((plot.x(*x)?, plot.y((*y)?)?)));
        if let (Some((x, y)), false) = (last, label.is_empty()) {
            ends.push((x, y, label, *tone));
        }
    }
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let spacing = TEXT_SIZE + 4.0;
    let mut places: Vec<f64> = Vec::new();
    for (_, y, ..) in &ends {
        let lowest = places.last().map_or(f64::MIN, |above| above + spacing);
        places.push(y.max(lowest));
    }
    // Labels below the plot are moved up again.
    let mut ceiling = plot.bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - spacing;
    }
    for ((x, y, label, tone), place) in ends.into_iter().zip(places) {
        page.raw(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{}\"/>", tone.hex()));
        let set = Type { colour: tone.hex(), bold: true, ..Type::default() };
        page.haloed(x + 11.0, place + 4.8, label, &set);
        let width = width_of(label, TEXT_SIZE);
        taken.take(Area { left: x + 11.0, right: x + 11.0 + width, top: place - 9.0, bottom: place + 9.0 });
    }
}

/// Writes the names of points where they overlap neither points nor each other.
fn names(page: &mut Page, plot: &Plot<'_>, points: &[Point], taken: &mut Taken) {
    let places: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((plot.x(point.x)?, plot.y(point.y)?))).collect();
    for (x, y) in &places {
        taken.take(Area::around(*x, *y, POINT_RADIUS));
    }
    for point in points.iter().filter(|point| !point.label.is_empty()) {
        let (Some(x), Some(y)) = (plot.x(point.x), plot.y(point.y)) else { continue };
        let width = width_of(&point.label, LABEL_SIZE);
        let gap = POINT_RADIUS + 4.0;
        // Right, left, above, below, and the corners; a point that stands out gets its name above it.
        let above = (x - width / 2.0, y - gap);
        let tries = [
            if point.tone == Tone::Ink { above } else { (x + gap, y + 4.4) },
            (x + gap, y + 4.4),
            (x - gap - width, y + 4.4),
            above,
            (x - width / 2.0, y + gap + 9.0),
            (x + 5.0, y - gap),
            (x + 5.0, y + gap + 9.0),
        ];
        let area = |(left, base): (f64, f64)| Area { left, right: left + width, top: base - 10.0, bottom: base + 2.0 };
        let free = tries.into_iter().find(|place| {
            let area = area(*place);
            area.left > plot.left && area.right < plot.right && area.top > plot.top && !taken.covers(&area)
        });
        if let Some(place) = free {
            taken.take(area(place));
            page.haloed(place.0, place.1, &point.label, &Type { size: LABEL_SIZE, ..Type::default() });
        }
    }
}

/// The area that is occupied.
#[derive(Default)]
struct Taken(Vec<Area>);

#[derive(Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn around(x: f64, y: f64, radius: f64) -> Self {
        Self { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius }
    }
}

impl Taken {
    fn take(&mut self, area: Area) {
        self.0.push(area);
    }

    fn covers(&self, area: &Area) -> bool {
        let apart = |other: &Area| {
            other.right <= area.left || other.left >= area.right || other.bottom <= area.top || other.top >= area.bottom
        };
        !self.0.iter().all(apart)
    }
}
