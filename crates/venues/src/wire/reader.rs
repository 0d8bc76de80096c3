//! A pull reader for the venues' JSON: strict about structure, lenient about field values.
//!
//! Venues contradict their own documentation about strings and numbers, and a malformed entry must not affect the
//! others. So a decoder walks the structure with [`Reader`], keeps the [`Scalar`]s of known keys, and converts them
//! entry by entry. Numbers stay text until they become exact decimals. Reading an entry allocates nothing.
//!
//! Limits: nesting is limited to [`DEPTH_MAX`]; the caller limits the body's length.

use std::borrow::Cow;

use smol_str::SmolStr;

use crossmarket_domain::{Decimal, Timestamp};

use crate::{UnresolvedReason, VenueError};

/// Maximum nesting depth. The venues need 8.
pub(crate) const DEPTH_MAX: u32 = 32;

/// Maximum number of an object's keys that a [`Shape`] remembers.
const SHAPE_LEN_MAX: usize = 64;

/// A syntax error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    pub what: &'static str,
    /// Byte offset of the error.
    pub at: usize,
}

impl From<JsonError> for VenueError {
    fn from(error: JsonError) -> Self {
        Self::Malformed(smol_str::format_smolstr!("not the JSON documented: {error}"))
    }
}

/// The kind of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// A string, a number, a boolean or null.
    Scalar,
}

/// A value that is not an object or an array. It borrows from the body, so copying it is cheap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// The key is absent.
    #[default]
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's text, not yet validated.
    Number(&'a [u8]),
    /// A string's content, without quotes and with escapes unresolved.
    Text(&'a [u8]),
    /// An object or array in place of a scalar; it was skipped.
    Compound,
}

/// Why a scalar does not fit a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError(pub UnresolvedReason);

impl<'a> Scalar<'a> {
    /// True for a missing key, `null` and `""`, which all mean "no value".
    #[inline]
    pub(crate) fn is_absent(self) -> bool {
        matches!(self, Self::Missing | Self::Null | Self::Text(b""))
    }

    /// Reads a number, sent as string or number; absent stays absent.
    #[inline]
    pub fn decimal(self) -> Result<Option<Decimal>, FieldError> {
        match self {
            Self::Text(b"") | Self::Missing | Self::Null => Ok(None),
            Self::Number(text) | Self::Text(text) => {
                Decimal::parse_bytes(text).map(Some).map_err(|_| FieldError(UnresolvedReason::Malformed))
            }
            Self::Bool(_) | Self::Compound => Err(FieldError(UnresolvedReason::Malformed)),
        }
    }

    /// Reads a number of 0 or more. Absent stays absent; a negative number is implausible.
    #[inline]
    pub fn quantity(self) -> Result<Option<Decimal>, FieldError> {
        match self.decimal()? {
            Some(value) if value < Decimal::ZERO => Err(FieldError(UnresolvedReason::Implausible)),
            other => Ok(other),
        }
    }

    /// Reads a number above 0. Absent stays absent and 0 counts as absent (venues write 0 for "none"); a negative
    /// number is implausible.
    #[inline]
    pub fn price(self) -> Result<Option<Decimal>, FieldError> {
        Ok(self.quantity()?.filter(|value| !value.is_zero()))
    }

    /// Reads a whole number, sent as string or number. A fraction of zeros (`1.0`) is accepted.
    pub fn integer(self) -> Result<Option<i64>, FieldError> {
        let malformed = FieldError(UnresolvedReason::Malformed);
        if let Self::Number(text) | Self::Text(text) = self
            && let Some(value) = short_integer(text)
        {
            return Ok(Some(value));
        }
        let Some(value) = self.decimal()? else { return Ok(None) };
        let (mantissa, scale) = value.normalized().parts();
        if scale != 0 {
            return Err(malformed);
        }
        i64::try_from(mantissa).map(Some).map_err(|_| malformed)
    }

    /// Reads a time in milliseconds since 1970. 0 counts as absent.
    #[inline]
    pub fn millis(self) -> Result<Option<Timestamp>, FieldError> {
        Ok(self.integer()?.filter(|value| *value != 0).map(Timestamp::from_millis))
    }

    /// Reads a time in seconds since 1970. 0 counts as absent.
    pub fn seconds(self) -> Result<Option<Timestamp>, FieldError> {
        Ok(self.integer()?.filter(|value| *value != 0).map(Timestamp::from_seconds))
    }

    /// Reads a time in RFC 3339.
    pub fn iso_time(self) -> Result<Option<Timestamp>, FieldError> {
        if self.is_absent() {
            return Ok(None);
        }
        self.text().and_then(|text| Timestamp::parse(&text)).map(Some).ok_or(FieldError(UnresolvedReason::Malformed))
    }

    /// A string's content with its escapes resolved, or a number's text. `None` for anything else, and for invalid
    /// UTF-8 or escapes.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(bytes) if bytes.contains(&b'\\') => unescape(bytes).map(Cow::Owned),
            Self::Text(bytes) | Self::Number(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// The raw content of a string or number, empty for anything else.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(bytes) | Self::Number(bytes) => bytes,
            _ => b"",
        }
    }

    /// The value as a label for a report, at most 64 bytes of it.
    pub fn label(self) -> SmolStr {
        let text = self.text().unwrap_or_default();
        let mut end = text.len().min(64);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        SmolStr::new(&text[..end])
    }
}

#[inline]
fn short_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// The keys of a list's objects, in the order of the most recent object, each with its look-up result.
#[derive(Clone, Debug)]
pub struct Shape<'a, F> {
    /// The text from a key's opening quote to its colon.
    keys: Vec<(&'a [u8], F)>,
}

impl<F> Default for Shape<'_, F> {
    fn default() -> Self {
        Self { keys: Vec::with_capacity(SHAPE_LEN_MAX) }
    }
}

/// Walks a JSON text from start to end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader of a whole text. A leading byte order mark is skipped.
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes, at, depth: 0 }
    }

    /// Returns the kind of the next value without consuming it.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            _ => Ok(Kind::Scalar),
        }
    }

    /// Reads an object: `field` is called with each key and must consume its value.
    #[inline]
    pub fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &'a [u8]) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'{', "expected an object")?;
        if self.peek()? == b'}' {
            return self.close();
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.error("expected a key"));
            }
            let key = self.string()?;
            if self.peek()? != b':' {
                return Err(self.error("expected a colon"));
            }
            self.at += 1;
            field(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.close(),
                _ => return Err(self.error("expected a comma or the object's end")),
            }
        }
    }

    /// Reads an object of a list whose objects have the same keys in the same order. Works like [`Reader::object`], but
    /// where the next bytes are the key that `shape` learned from earlier objects, it neither scans for the key's end
    /// nor looks it up. `name` looks up a key; `field` is called with the result and must consume the value.
    #[inline]
    pub(crate) fn object_like<F: Copy>(
        &mut self,
        shape: &mut Shape<'a, F>,
        name: impl Fn(&[u8]) -> F,
        mut field: impl FnMut(&mut Self, F) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'{', "expected an object")?;
        if self.peek()? == b'}' {
            return self.close();
        }
        let mut index = 0;
        loop {
            let found = match shape.keys.get(index) {
                Some((text, found)) if self.bytes[self.at..].starts_with(text) => {
                    self.at += text.len();
                    *found
                }
                _ => self.learn_key(shape, index, &name)?,
            };
            index += 1;
            field(self, found)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.close(),
                _ => return Err(self.error("expected a comma or the object's end")),
            }
        }
    }

    /// Reads the key at `index` and its colon, and stores them in the shape.
    #[cold]
    fn learn_key<F: Copy>(
        &mut self,
        shape: &mut Shape<'a, F>,
        index: usize,
        name: impl Fn(&[u8]) -> F,
    ) -> Result<F, JsonError> {
        if self.peek()? != b'"' {
            return Err(self.error("expected a key"));
        }
        let start = self.at;
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        let found = name(key);
        shape.keys.truncate(index);
        if index < SHAPE_LEN_MAX {
            shape.keys.push((&self.bytes[start..self.at], found));
        }
        Ok(found)
    }

    /// Reads an array: `item` is called for each element and must consume it.
    #[inline]
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        self.open(b'[', "expected an array")?;
        if self.peek()? == b']' {
            return self.close();
        }
        loop {
            item(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return self.close(),
                _ => return Err(self.error("expected a comma or the array's end")),
            }
        }
    }

    /// Reads an array's first `N` elements as scalars and skips the rest; missing ones are [`Scalar::Missing`].
    pub fn row<const N: usize>(&mut self) -> Result<[Scalar<'a>; N], JsonError> {
        let mut row = [Scalar::Missing; N];
        let mut index = 0;
        self.array(|reader| {
            let value = reader.scalar()?;
            if let Some(slot) = row.get_mut(index) {
                *slot = value;
            }
            index += 1;
            Ok(())
        })?;
        Ok(row)
    }

    /// Reads the next value. An object or array is skipped and becomes [`Scalar::Compound`].
    #[inline]
    pub fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.peek()? {
            b'"' => self.string().map(Scalar::Text),
            b'{' | b'[' => {
                self.skip()?;
                Ok(Scalar::Compound)
            }
            b't' => self.literal(b"true", Scalar::Bool(true)),
            b'f' => self.literal(b"false", Scalar::Bool(false)),
            b'n' => self.literal(b"null", Scalar::Null),
            _ => self.number().map(Scalar::Number),
        }
    }

    /// Skips the next value.
    #[inline]
    pub fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'0'..=b'9' | b'-' => self.number().map(drop),
            _ => self.skip_other(),
        }
    }

    fn skip_other(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.array(Self::skip),
            _ => self.scalar().map(drop),
        }
    }

    /// Skips the next value and returns its text.
    pub fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.bytes[start..self.at])
    }

    /// Checks that only white space is left.
    pub fn finish(mut self) -> Result<(), JsonError> {
        self.skip_white_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("text after the end")) }
    }

    #[inline]
    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte after white space.
    #[inline]
    fn peek(&mut self) -> Result<u8, JsonError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => {
                self.skip_white_space();
                self.bytes.get(self.at).copied().ok_or(self.error("unexpected end"))
            }
        }
    }

    #[inline]
    fn open(&mut self, bracket: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek()? != bracket {
            return Err(self.error(what));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn close(&mut self) -> Result<(), JsonError> {
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    /// Reads a string, starting at its opening quote; returns the text between the quotes.
    #[inline]
    fn string(&mut self) -> Result<&'a [u8], JsonError> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            at += offset_of_quote_or_backslash(&self.bytes[at.min(self.bytes.len())..]);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(&self.bytes[start..at]);
                }
                Some(_) => at += 2,
                None => return Err(self.error("string without an end")),
            }
        }
    }

    #[inline]
    fn number(&mut self) -> Result<&'a [u8], JsonError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(self.error("expected a value"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn literal(&mut self, text: &'static [u8], value: Scalar<'a>) -> Result<Scalar<'a>, JsonError> {
        if !self.bytes[self.at..].starts_with(text) {
            return Err(self.error("expected a value"));
        }
        self.at += text.len();
        Ok(value)
    }

    #[cold]
    fn error(&self, what: &'static str) -> JsonError {
        JsonError { what, at: self.at }
    }
}

/// Offset of the first `"` or `\`, or the length when there is none. Works in steps of eight bytes.
#[inline]
fn offset_of_quote_or_backslash(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest byte with its high bit set marks the first zero byte of the word.
    let zero_bytes = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_bytes(word ^ (LOW * b'"' as u64)) | zero_bytes(word ^ (LOW * b'\\' as u64));
        if found != 0 {
            return bytes.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
    bytes.len() - rest.len() + tail
}

fn unescape(bytes: &[u8]) -> Option<String> {
    let quoted = [b"\"", bytes, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(text: &str) -> Result<(), JsonError> {
        let mut reader = Reader::new(text.as_bytes());
        reader.skip()?;
        reader.finish()
    }

    #[test]
    fn walks_what_is_json() {
        for text in [
            "{}",
            "[]",
            " [1 , -2.5e+3,\"a\\\"b\", null,true,{\"k\":[false]}] \n",
            "\u{feff}\"x\"",
            "\"123456789\\\\\"",
        ] {
            assert_eq!(skip(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not() {
        for text in
            ["", "{", "[1", "[1,", "{\"a\"}", "{\"a\":}", "{a:1}", "\"abc", "\"abc\\", "nul", "[1]]", "<html>", "[1 2]"]
        {
            assert!(skip(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_objects_by_their_shape_whatever_it_is() {
        let text =
            br#"[{"a":1,"b":2},{"a":3,"b":4},{"b":5,"a":6},{ "a" : 7 , "c":{"b":0},"b":8},{},{"a":9,"ab":0,"b":10}]"#;
        let mut reader = Reader::new(text);
        let (mut shape, mut read) = (Shape::default(), Vec::new());
        let name = |key: &[u8]| if key == b"a" { Some(0) } else { (key == b"b").then_some(1) };
        reader
            .array(|reader| {
                let mut found = [Scalar::Missing; 2];
                reader.object_like(&mut shape, name, |reader, slot: Option<usize>| {
                    match slot {
                        Some(slot) => found[slot] = reader.scalar()?,
                        None => reader.skip()?,
                    }
                    Ok(())
                })?;
                read.push(found.map(|scalar| scalar.integer().expect("a number")));
                Ok(())
            })
            .expect("an array");
        let pair = |a, b| [Some(a), Some(b)];
        assert_eq!(read, [pair(1, 2), pair(3, 4), pair(6, 5), pair(7, 8), [None, None], pair(9, 10)]);
    }

    #[test]
    fn limits_the_depth() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skip(&nested(DEPTH_MAX as usize)).is_ok());
        assert!(skip(&nested(DEPTH_MAX as usize + 1)).is_err());
    }

    #[test]
    fn reads_scalars_in_either_form() {
        let mut reader = Reader::new(br#"["1.50", 2e-3, "", null, 0, "-1", {"a":1}, 1700000000123]"#);
        let [a, b, c, d, e, f, g, h, i] = reader.row::<9>().expect("an array");
        let decimal = |text| Ok(Some(Decimal::parse(text).expect("a number")));
        assert_eq!(a.price(), decimal("1.50"));
        assert_eq!(b.price(), decimal("0.002"));
        assert_eq!((c.price(), d.price(), e.price()), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(f.price(), Err(FieldError(UnresolvedReason::Implausible)));
        assert_eq!(g.price(), Err(FieldError(UnresolvedReason::Malformed)));
        assert_eq!(h.millis(), Ok(Some(Timestamp::from_millis(1_700_000_000_123))));
        assert_eq!(i, Scalar::Missing);
    }

    #[test]
    fn resolves_escapes() {
        let mut reader = Reader::new(br#"["a\u00e9\n\"", "plain", "\ud800"]"#);
        let [a, b, c] = reader.row::<3>().expect("an array");
        assert_eq!(a.text().as_deref(), Some("aé\n\""));
        assert_eq!(b.text().as_deref(), Some("plain"));
        assert_eq!(c.text(), None);
    }
}
