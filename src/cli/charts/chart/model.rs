//! The parts of a chart, in the units of the data.

use console::Style;

/// What both kinds of chart can do.
pub(crate) trait Picture {
    fn svg(&self) -> String;

    /// For a terminal of this many columns.
    fn lines(&self, width: usize) -> Vec<String>;
}

/// Maximum width of a chart in a terminal, in columns: longer lines are hard to follow.
pub(super) const TERMINAL_WIDTH_MAX: usize = 140;

/// Minimum width of a terminal for a readable chart, in columns.
pub(super) const TERMINAL_WIDTH_MIN: usize = 40;

/// The texts of every picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caption {
    /// The finding or the question, in a few words.
    pub title: String,
    /// What is measured, over which window, and in what unit.
    pub subtitle: String,
    /// The source of the data and its time.
    pub source: String,
    /// Whether any of the data is simulated. The picture is then marked.
    pub simulated: bool,
}

/// A chart of two axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub caption: Caption,
    pub x: Axis,
    pub y: Axis,
    /// What is drawn, the first below the others.
    pub marks: Vec<Mark>,
    /// What the tones mean.
    pub legend: Vec<(Tone, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it measures, with the unit.
    pub title: String,
    /// The values at both ends, the smaller first.
    pub range: (f64, f64),
    /// Whether the axis is logarithmic; its range is then above 0.
    pub logarithmic: bool,
    /// The labelled values, with their labels.
    pub ticks: Vec<(f64, String)>,
}

/// Something drawn.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// Points.
    Points(Vec<Point>),
    /// A line through points, by x. A point without y is a gap.
    Line {
        points: Vec<(f64, Option<f64>)>,
        tone: Tone,
        /// Whether it stands out from the others.
        heavy: bool,
        /// What is written at its end; empty for nothing.
        label: String,
    },
    /// A horizontal line over a part of the width or all of it.
    Level {
        /// Its height.
        y: f64,
        /// From and to; all of the width when absent.
        span: Option<(f64, f64)>,
        tone: Tone,
        /// What is written on it; empty for nothing.
        label: String,
    },
}

/// One point of a scatter.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Its colour and shape.
    pub tone: Tone,
    /// Its name, written where there is room; empty for nothing.
    pub label: String,
}

/// A colour with a meaning. Neighbouring tones differ in lightness as well, and the tones of a scale have shapes of their own for terminals
/// without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The benchmark.
    Ink,
    /// Context, drawn quietly.
    Faint,
    /// One of several series, counted from 0.
    Series(usize),
    /// A step on a scale from low (0) to high (4); 2 is neutral.
    Scale(usize),
    /// No value on that scale.
    Unknown,
}

/// The colours of series: distinguishable with any colour vision and readable on white (after Okabe and Ito).
const SERIES: [(&str, u8); 7] = [
    ("#0072b2", 32),
    ("#d55e00", 166),
    ("#00805f", 35),
    ("#a3337f", 133),
    ("#3d8ec4", 74),
    ("#a87b00", 136),
    ("#5b4bb5", 62),
];

/// The colours of the scale: blue, grey, red, distinguishable with any colour vision (after ColorBrewer's RdBu).
const SCALE: [(&str, u8, char); 5] =
    [("#2166ac", 26, '○'), ("#7fb2d8", 110, '◔'), ("#a8a8a8", 246, '◑'), ("#ef8a62", 209, '◕'), ("#b2182b", 160, '●')];

impl Tone {
    /// The colour in a picture.
    pub(super) fn hex(self) -> &'static str {
        match self {
            Self::Ink => "#1c1c1c",
            Self::Faint => "#8f8f8f",
            Self::Series(index) => SERIES[index % SERIES.len()].0,
            Self::Scale(step) => SCALE[step.min(SCALE.len() - 1)].0,
            Self::Unknown => "#ffffff",
        }
    }

    /// The style in a terminal; `console` decides whether colours are used.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Ink => Style::new().bold(),
            Self::Faint | Self::Unknown => Style::new().color256(245),
            Self::Series(index) => Style::new().color256(SERIES[index % SERIES.len()].1),
            Self::Scale(step) => Style::new().color256(SCALE[step.min(SCALE.len() - 1)].1),
        }
    }

    /// The shape of a point in a terminal.
    pub(super) fn glyph(self) -> char {
        match self {
            Self::Scale(step) => SCALE[step.min(SCALE.len() - 1)].2,
            Self::Unknown => '·',
            _ => '●',
        }
    }
}

impl Axis {
    /// The position of a value, from 0 at the lower end to 1 at the upper; values outside the range are below 0 or above 1. `None` when undefined.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let (low, high) = self.range;
        let place = if self.logarithmic {
            (value.ln() - low.ln()) / (high.ln() - low.ln())
        } else {
            (value - low) / (high - low)
        };
        place.is_finite().then_some(place)
    }
}
