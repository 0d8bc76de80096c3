//! Charts: one description, drawn in a terminal or written as an SVG picture.
//!
//! A chart is described in the units of the data; drawing decides where it goes on the screen or the page.

pub(super) mod bars;
mod draw;
mod model;
mod svg;
mod terminal;
pub(super) mod ticks;

pub(super) use draw::terminal_width;
pub(super) use model::{Axis, Caption, Chart, Mark, Picture, Point, Tone};
