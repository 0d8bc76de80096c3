//! The order of lists: `order_by` as clients write it, and the comparison that it means.

use std::cmp::Ordering;

use super::error::ServiceError;
use crate::figures::Value;

/// Most fields in one `order_by`.
const FIELDS_MAX: usize = 16;

/// A field that lists can be ordered by.
#[derive(Debug)]
pub(super) struct Column<T> {
    pub(super) name: &'static str,
    pub(super) value: for<'a> fn(&'a T) -> Value<'a>,
}

impl<T> Column<T> {
    pub(super) const fn new(name: &'static str, value: for<'a> fn(&'a T) -> Value<'a>) -> Self {
        Self { name, value }
    }
}

/// One field and its direction.
#[derive(Debug)]
pub(super) struct OrderField<T: 'static> {
    column: &'static Column<T>,
    is_descending: bool,
}

/// Reads `order_by`: names of columns, separated by commas, each with ` asc` or ` desc` or neither. Empty means `default`, ascending.
pub(super) fn parse<T>(
    order_by: &str,
    columns: &'static [Column<T>],
    default: &[&str],
) -> Result<Vec<OrderField<T>>, ServiceError> {
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    if order_by.trim().is_empty() {
        let columns = default.iter().filter_map(|name| find(name));
        return Ok(columns.map(|column| OrderField { column, is_descending: false }).collect());
    }
    let refused = || {
        let fields = columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let allowed = format!("must be fields separated by commas, each optionally with asc or desc; fields: {fields}");
        ServiceError::invalid("order_by", order_by, allowed)
    };
    let parts: Vec<&str> = order_by.split(',').take(FIELDS_MAX + 1).collect();
    if parts.len() > FIELDS_MAX {
        return Err(refused());
    }
    let field = |part: &str| {
        let mut words = part.split_whitespace();
        let column = find(words.next()?)?;
        let is_descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(OrderField { column, is_descending })
    };
    parts.into_iter().map(|part| field(part).ok_or_else(refused)).collect()
}

/// Compares two items by the fields in turn. Items without a value come last in either direction.
pub(super) fn compare<T>(fields: &[OrderField<T>], left: &T, right: &T) -> Ordering {
    let by_field = |field: &OrderField<T>| {
        let (left, right) = ((field.column.value)(left), (field.column.value)(right));
        match (&left, &right) {
            (Value::Absent, Value::Absent) => Ordering::Equal,
            (Value::Absent, _) => Ordering::Greater,
            (_, Value::Absent) => Ordering::Less,
            _ if field.is_descending => order(&right, &left),
            _ => order(&left, &right),
        }
    };
    fields.iter().map(by_field).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Ordering {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Whole(left), Value::Whole(right)) => left.cmp(right),
        (Value::Exact(left), Value::Exact(right)) => left.cmp(right),
        (Value::Double(left), Value::Double(right)) => left.total_cmp(right),
        // A column has values of one kind.
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: &[Column<Option<f64>>] =
        &[Column::new("asset", |_| Value::Absent), Column::new("price", |price| (*price).into())];

    #[test]
    fn reads_fields_and_directions() {
        let check = |text, expected: Option<&[(&str, bool)]>| {
            let fields = parse(text, COLUMNS, &["asset"]).ok();
            let read = fields
                .map(|fields| fields.iter().map(|field| (field.column.name, field.is_descending)).collect::<Vec<_>>());
            assert_eq!(read.as_deref(), expected, "{text:?}");
        };
        check("", Some(&[("asset", false)]));
        check("price desc, asset", Some(&[("price", true), ("asset", false)]));
        check(" price  asc ", Some(&[("price", false)]));
        for bad in ["volume", "price down", "price,", ",", "price desc asset", "PRICE"] {
            check(bad, None);
        }
        check(&"price,".repeat(100), None);
    }

    #[test]
    fn what_is_absent_comes_last_in_both_directions() {
        for direction in ["asc", "desc"] {
            let mut values = [None, Some(2.0), Some(1.0)];
            let fields = parse(&format!("price {direction}"), COLUMNS, &[]).expect("a column");
            values.sort_by(|left, right| compare(&fields, left, right));
            assert_eq!(values[2], None, "{direction}");
        }
    }
}
