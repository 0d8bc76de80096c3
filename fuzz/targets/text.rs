//! The readers of JSON and of numbers, beside readers of other make.

use crossmarket_domain::Decimal;
use crossmarket_domain::decimal::DECIMAL_TEXT_LEN_MAX;
use crossmarket_venues::wire::reader::{JsonError, Kind, Reader, Scalar};
use serde::de::IgnoredAny;

/// Walks an input as JSON. What `serde_json` reads, this reads too, unless it is nested too deep, and with the same texts.
pub fn json_reader(data: &[u8]) {
    let mut reader = Reader::new(data);
    let walked = walk(&mut reader).and_then(|()| reader.finish());
    let mut reader = Reader::new(data);
    let raw = reader.raw().and_then(|raw| reader.finish().map(|()| raw));
    assert_eq!(walked, raw.map(drop), "walking and skipping differ");
    if let Ok(raw) = raw {
        assert!(raw.len() <= data.len());
        let mut again = Reader::new(raw);
        assert_eq!(again.raw(), Ok(raw));
    }
    if serde_json::from_slice::<IgnoredAny>(data).is_ok() {
        let read = walked.map_err(|error| error.what);
        assert!(matches!(read, Ok(()) | Err("nested too deep")), "{read:?} where others read JSON");
    }
    if let Ok(text) = serde_json::from_slice::<String>(data) {
        let read = Reader::new(data).scalar().ok().and_then(Scalar::text).map(String::from);
        assert_eq!(read, Some(text));
    }
    if let Ok(integer) = serde_json::from_slice::<i64>(data) {
        assert_eq!(Reader::new(data).scalar().map(Scalar::integer), Ok(Ok(Some(integer))));
    }
}

fn walk(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    match reader.kind()? {
        Kind::Object => reader.object(|reader, _| walk(reader)),
        Kind::Array => reader.array(walk),
        Kind::Scalar => reader.scalar().map(convert),
    }
}

/// Every conversion of a scalar, for any value.
fn convert(scalar: Scalar<'_>) {
    assert!(scalar.label().len() <= 64);
    assert!(scalar.price().is_ok_and(|price| price.is_none_or(Decimal::is_positive)) || scalar.price().is_err());
    let quantity = scalar.quantity();
    assert!(!matches!(quantity, Ok(Some(quantity)) if quantity < Decimal::ZERO));
    let whole = scalar.integer();
    if let (Ok(Some(whole)), Ok(Some(number))) = (whole, scalar.decimal()) {
        assert_eq!(Decimal::from(whole), number);
    }
    assert_eq!(scalar.millis().is_ok(), whole.is_ok());
    assert_eq!(scalar.seconds().is_ok(), whole.is_ok());
    assert_eq!(scalar.iso_time(), scalar.iso_time());
}

/// Reads an input as a number.
pub fn decimal(data: &[u8]) {
    let Ok(number) = Decimal::parse_bytes(data) else { return };
    let text = std::str::from_utf8(data).expect("digits");
    assert!(text.len() <= DECIMAL_TEXT_LEN_MAX);
    let (mantissa, scale) = number.parts();
    assert_eq!(Decimal::from_parts(mantissa, scale).map(Decimal::parts), Some((mantissa, scale)));
    let printed = Decimal::parse(&number.to_string()).map(Decimal::parts);
    assert_eq!(printed, Ok((mantissa, scale)), "what is printed reads back");
    assert_eq!(number.normalized(), number);
    assert!(scale <= 28 && mantissa.unsigned_abs() < 1 << 96);
    let (read, expected) =
        (number.to_f64(), text.parse::<f64>().expect("a float parses everything that a decimal parses"));
    // Rounded to 28 digits or to 28 places, whichever is coarser.
    let tolerance = (expected.abs() * 1e-15).max(1e-28);
    assert!((read - expected).abs() <= tolerance, "{text} reads as {read}");
    assert!(number.rounded(4).parts().1 <= 4);
    for digits in [1, 18] {
        let rounded = number.rounded_to_significant(digits);
        // Next to the largest decimal there is nothing to round up to.
        if rounded == number {
            continue;
        }
        let mut rounded = rounded.parts().0.unsigned_abs();
        while rounded != 0 && rounded % 10 == 0 {
            rounded /= 10;
        }
        assert!(rounded < 10u128.pow(digits), "{text} rounded to {digits} digits has {rounded}");
    }
    arithmetic(number);
}

fn arithmetic(number: Decimal) {
    assert_eq!(number.checked_sub(number), Some(Decimal::ZERO));
    assert_eq!(number.checked_mul(Decimal::ONE), Some(number));
    assert_eq!(number.checked_div(number), (!number.is_zero()).then_some(Decimal::ONE));
    assert_eq!(number.checked_div(Decimal::ZERO), None);
    assert!(number.checked_add(number).is_none_or(|sum| number.is_zero() || sum != number));
}
