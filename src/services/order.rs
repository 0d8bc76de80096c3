//! The order of lists: `order_by` as clients write it, and the comparison that it means.

use std::cmp::Ordering;

use super::error::ServiceError;
use crossmarket_domain::Decimal;

/// Most fields in one `order_by`.
const FIELDS_MAX: usize = 16;

/// What an item has in a field; items that have nothing come last in either direction.
#[derive(Clone, Debug, PartialEq)]
pub enum SortValue<'a> {
    /// The item has no such figure.
    Absent,
    /// A text.
    Text(&'a str),
    /// A whole number.
    Whole(i64),
    /// A decimal.
    Exact(Decimal),
    /// A statistic.
    Double(f64),
}

/// One field and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderField {
    /// The field's name, one of those allowed.
    pub name: &'static str,
    /// Largest first.
    pub descending: bool,
}

/// Reads `order_by`: fields of `allowed`, separated by commas, each with ` asc` or ` desc` or neither. Empty means `default`.
pub fn parse(
    order_by: &str,
    allowed: &'static [&'static str],
    default: &'static str,
) -> Result<Vec<OrderField>, ServiceError> {
    if order_by.trim().is_empty() {
        return Ok(vec![OrderField { name: default, descending: false }]);
    }
    let refused = || {
        let fields = allowed.join(", ");
        let allowed = format!("must be fields separated by commas, each optionally with asc or desc; fields: {fields}");
        ServiceError::invalid("order_by", order_by, allowed)
    };
    let parts: Vec<&str> = order_by.split(',').take(FIELDS_MAX + 1).collect();
    if parts.len() > FIELDS_MAX {
        return Err(refused());
    }
    let field = |part: &str| {
        let mut words = part.split_whitespace();
        let word = words.next()?;
        let name = allowed.iter().copied().find(|name| *name == word)?;
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(OrderField { name, descending })
    };
    parts.into_iter().map(|part| field(part).ok_or_else(refused)).collect()
}

/// Compares two items by the fields in turn.
pub fn compare<'a, T: ?Sized>(
    fields: &[OrderField],
    left: &'a T,
    right: &'a T,
    value: impl Fn(&'a T, &str) -> SortValue<'a>,
) -> Ordering {
    let by_field = |field: &OrderField| {
        let (left, right) = (value(left, field.name), value(right, field.name));
        match (&left, &right) {
            (SortValue::Absent, SortValue::Absent) => Ordering::Equal,
            (SortValue::Absent, _) => Ordering::Greater,
            (_, SortValue::Absent) => Ordering::Less,
            _ if field.descending => right.order(&left),
            _ => left.order(&right),
        }
    };
    fields.iter().map(by_field).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

impl SortValue<'_> {
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Whole(left), Self::Whole(right)) => left.cmp(right),
            (Self::Exact(left), Self::Exact(right)) => left.cmp(right),
            (Self::Double(left), Self::Double(right)) => left.total_cmp(right),
            // One field has one kind of value.
            _ => Ordering::Equal,
        }
    }
}

impl From<Option<f64>> for SortValue<'_> {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Absent, Self::Double)
    }
}

impl From<Option<Decimal>> for SortValue<'_> {
    fn from(value: Option<Decimal>) -> Self {
        value.map_or(Self::Absent, Self::Exact)
    }
}

impl From<Option<u32>> for SortValue<'_> {
    fn from(value: Option<u32>) -> Self {
        value.map_or(Self::Absent, |value| Self::Whole(i64::from(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["asset", "price"];

    #[test]
    fn reads_fields_and_directions() {
        let field = |name, descending| OrderField { name, descending };
        let check = |text, expected: Option<Vec<OrderField>>| {
            assert_eq!(parse(text, FIELDS, "asset").ok(), expected, "{text:?}");
        };
        check("", Some(vec![field("asset", false)]));
        check("price desc, asset", Some(vec![field("price", true), field("asset", false)]));
        check(" price  asc ", Some(vec![field("price", false)]));
        for bad in ["volume", "price down", "price,", ",", "price desc asset", "PRICE"] {
            check(bad, None);
        }
        check(&"price,".repeat(100), None);
    }

    #[test]
    fn what_is_absent_comes_last_in_both_directions() {
        for descending in [false, true] {
            let mut values = [None, Some(2.0), Some(1.0)];
            let fields = [OrderField { name: "price", descending }];
            values.sort_by(|left, right| compare(&fields, left, right, |value, _| SortValue::from(*value)));
            assert_eq!(values[2], None, "descending: {descending}");
        }
    }
}
