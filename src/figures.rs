//! The figures of a price snapshot: how each is named, read and shown. Lists are ordered by them, and the command line prints them.
//!
//! The order of the table is the order in which people see the figures.

use crossmarket_domain::Decimal;
use crossmarket_domain::state::{Body, State};

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Absent,
    Text(&'a str),
    Whole(i64),
    Exact(Decimal),
    Double(f64),
}

/// How a figure is written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// US dollars for one unit, with the digits that matter.
    Price,
    /// A large amount, shortened: `1.90 T`.
    Amount,
    /// Per cent, always with a sign.
    Change,
    /// Per cent, without a sign.
    Percent,
    /// A plain number with one decimal.
    Score,
    /// A whole number.
    Rank,
}

/// One figure of a price snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Its field in the message `PriceSnapshot`; a field of a submessage has dots.
    pub field: &'static str,
    pub unit: Unit,
    /// Absent in states that are not price snapshots.
    pub value: for<'a> fn(&'a State) -> Value<'a>,
    /// Whether `order_by` accepts it, by the last part of its field's name.
    pub orders: bool,
    /// The title of its column in lists; `None` if lists do not show it.
    pub column: Option<&'static str>,
    /// The line in the view of one snapshot, and the text around the value, which is `{}`. Figures of one line follow each other.
    pub line: Option<(&'static str, &'static str)>,
}

impl Figure {
    const fn new(field: &'static str, unit: Unit, value: for<'a> fn(&'a State) -> Value<'a>) -> Self {
        Self { field, unit, value, orders: false, column: None, line: None }
    }

    const fn orders(self) -> Self {
        Self { orders: true, ..self }
    }

    const fn column(self, title: &'static str) -> Self {
        Self { column: Some(title), ..self }
    }

    const fn line(self, line: &'static str, text: &'static str) -> Self {
        Self { line: Some((line, text)), ..self }
    }

    /// The name in `order_by`.
    pub(crate) fn name(&self) -> &'static str {
        self.field.rsplit('.').next().unwrap_or(self.field)
    }
}

macro_rules! of {
    (|$price:ident| $value:expr) => {
        |state| match &state.body {
            Body::Price($price) => Value::from($value),
            _ => Value::Absent,
        }
    };
}

/// Every figure. A new one is a row here, besides its field in the API and in the state, its calculation and its conversion.
#[rustfmt::skip]
pub(crate) static FIGURES: &[Figure] = &[
    Figure::new("price", Unit::Price, of!(|price| price.price)).orders().column("PRICE USD").line("price", "{} USD"),
    Figure::new("change_1h_percent", Unit::Change, of!(|price| price.change_1h_percent)).orders().column("1H").line("change", "1h {}"),
    Figure::new("change_24h_percent", Unit::Change, of!(|price| price.change_24h_percent)).orders().column("24H").line("change", "24h {}"),
    Figure::new("change_7d_percent", Unit::Change, of!(|price| price.change_7d_percent)).orders().column("7D").line("change", "7d {}"),
    Figure::new("change_30d_percent", Unit::Change, of!(|price| price.change_30d_percent)).orders().line("change", "30d {}"),
    Figure::new("change_ytd_percent", Unit::Change, of!(|price| price.change_ytd_percent)).orders().line("change", "YTD {}"),
    Figure::new("low_24h", Unit::Price, of!(|price| price.low_24h)).line("range 24h", "low {}"),
    Figure::new("high_24h", Unit::Price, of!(|price| price.high_24h)).line("range 24h", "high {}"),
    Figure::new("range_24h_percent", Unit::Percent, of!(|price| price.range_24h_percent)).line("range 24h", "width {}"),
    Figure::new("low_7d", Unit::Price, of!(|price| price.low_7d)).line("range 7d", "low {}"),
    Figure::new("high_7d", Unit::Price, of!(|price| price.high_7d)).line("range 7d", "high {}"),
    Figure::new("volatility_24h_percent", Unit::Percent, of!(|price| price.volatility_24h_percent)).orders().column("VOLATILITY 24H").line("volatility", "24h {}"),
    Figure::new("volatility_30d_annualized_percent", Unit::Percent, of!(|price| price.volatility_30d_annualized_percent)).line("volatility", "30d annualized {}"),
    Figure::new("market_cap", Unit::Amount, of!(|price| price.market_cap)).orders().column("MARKET CAP").line("market cap", "{}"),
    Figure::new("market_cap_rank", Unit::Rank, of!(|price| price.market_cap_rank)).orders().line("market cap", "rank {}"),
    Figure::new("volume_24h", Unit::Amount, of!(|price| price.volume_24h)).orders().column("VOLUME 24H").line("volume 24h", "{}"),
    Figure::new("circulating_supply", Unit::Amount, of!(|price| price.circulating_supply)).line("supply", "{}"),
    Figure::new("all_time_high.drawdown_percent", Unit::Change, of!(|price| price.all_time_high.as_ref().and_then(|high| high.drawdown_percent))).orders().column("FROM HIGH"),
    Figure::new("rsi_14d", Unit::Score, of!(|price| price.rsi_14d)).orders().column("RSI").line("RSI 14d", "{}"),
];

impl From<Option<f64>> for Value<'_> {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Absent, Self::Double)
    }
}

impl From<Option<Decimal>> for Value<'_> {
    fn from(value: Option<Decimal>) -> Self {
        value.map_or(Self::Absent, Self::Exact)
    }
}

impl From<Option<u32>> for Value<'_> {
    fn from(value: Option<u32>) -> Self {
        value.map_or(Self::Absent, |value| Self::Whole(i64::from(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_api::FILE_DESCRIPTOR_SET;

    #[test]
    fn every_figure_is_a_field_of_the_api() {
        let api = prost_reflect::DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("compiled in");
        for figure in FIGURES {
            let mut message = api.get_message_by_name("crossmarket.v1.PriceSnapshot");
            for part in figure.field.split('.') {
                let field = message.and_then(|message| message.get_field_by_name(part));
                let field = field.unwrap_or_else(|| panic!("{} is no field", figure.field));
                message = field.kind().as_message().cloned();
            }
        }
    }

    #[test]
    fn figures_of_one_line_follow_each_other() {
        let mut lines: Vec<&str> = FIGURES.iter().filter_map(|figure| Some(figure.line?.0)).collect();
        lines.dedup();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), count);
    }
}
