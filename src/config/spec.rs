//! Kinds of settings: the default, what is allowed, how a value is parsed, and how it is shown.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::{REDACTED, Raw, redact_url};

type Parse<T> = Box<dyn Fn(&Raw) -> Option<T>>;
type Show<T> = Box<dyn Fn(&T) -> Option<String>>;

/// How one setting is read and shown.
pub(super) struct Spec<T> {
    pub(super) default: T,
    /// In words, for people who gave something else.
    pub(super) allowed: String,
    /// `None` for a value that is not allowed.
    pub(super) parse: Parse<T>,
    /// `None` for a value that is not set.
    pub(super) show: Show<T>,
    /// Makes a refused value safe to print.
    pub(super) redact: fn(&str) -> String,
    /// The standard environment variable that sets it too.
    pub(super) variable: Option<&'static str>,
}

impl<T> Spec<T> {
    /// Adds to what is allowed.
    pub(super) fn note(mut self, note: &str) -> Self {
        self.allowed = format!("{}; {note}", self.allowed);
        self
    }

    pub(super) fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    /// Never prints a refused value.
    pub(super) fn hidden(mut self) -> Self {
        self.redact = |_| REDACTED.to_owned();
        self
    }
}

/// A text with a default.
pub(super) fn text<T>(
    default: T,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Spec<T> {
    Spec {
        default,
        allowed: allowed.to_owned(),
        parse: Box::new(move |raw| raw.text().and_then(&parse)),
        show: Box::new(move |value| Some(show(value))),
        redact: redact_url,
        variable: None,
    }
}

/// A text without a default.
pub(super) fn optional<T: 'static>(
    allowed: &str,
    parse: impl Fn(&str) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Spec<Option<T>> {
    Spec {
        default: None,
        allowed: allowed.to_owned(),
        parse: Box::new(move |raw| raw.text().and_then(&parse).map(Some)),
        show: Box::new(move |value| value.as_ref().map(&show)),
        redact: redact_url,
        variable: None,
    }
}

/// Any text that is not empty.
pub(super) fn word(allowed: &str) -> Spec<Option<String>> {
    optional(allowed, |text| (!text.is_empty()).then(|| text.to_owned()), Clone::clone)
}

/// The path of a file or directory.
pub(super) fn path(allowed: &str) -> Spec<Option<PathBuf>> {
    let parse = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    optional(allowed, parse, |path| path.display().to_string())
}

/// A value that is never shown.
pub(super) fn secret<T: 'static>(allowed: &str, parse: impl Fn(&str) -> Option<T> + 'static) -> Spec<Option<T>> {
    optional(allowed, parse, |_| REDACTED.to_owned()).hidden()
}

pub(super) fn boolean(default: bool) -> Spec<bool> {
    text(default, "true or false", |text| text.parse().ok(), bool::to_string)
}

/// A whole number of `unit` within a range.
pub(super) fn whole<T: TryFrom<u64> + Display + 'static>(
    default: T,
    range: RangeInclusive<u64>,
    unit: &str,
) -> Spec<T> {
    whole_as(default, range, unit, |number| T::try_from(number).ok(), T::to_string)
}

pub(super) fn milliseconds(default: Duration, range: RangeInclusive<u64>) -> Spec<Duration> {
    let show = |time: &Duration| time.as_millis().to_string();
    whole_as(default, range, "milliseconds", |number| Some(Duration::from_millis(number)), show)
}

pub(super) fn seconds(default: Duration, range: RangeInclusive<u64>) -> Spec<Duration> {
    let show = |time: &Duration| time.as_secs().to_string();
    whole_as(default, range, "seconds", |number| Some(Duration::from_secs(number)), show)
}

fn whole_as<T>(
    default: T,
    range: RangeInclusive<u64>,
    unit: &str,
    convert: impl Fn(u64) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Spec<T> {
    let allowed = format!("a whole number from {} to {}, {unit}", range.start(), range.end());
    let parse = move |text: &str| text.parse().ok().filter(|number| range.contains(number)).and_then(&convert);
    text(default, &allowed, parse, show)
}

/// One of several named values.
pub(super) fn choice<T: Copy>(default: T, all: &'static [T], name: fn(T) -> &'static str) -> Spec<T> {
    let parse = move |text: &str| all.iter().copied().find(|value| name(*value) == text);
    let names: Vec<&str> = all.iter().map(|value| name(*value)).collect();
    let allowed = match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    };
    text(default, &allowed, parse, move |value| name(*value).to_owned())
}

/// At most `count_max` items: an array in a file, elsewhere texts separated by commas. Empty by default.
pub(super) fn list<T: 'static>(
    count_max: usize,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Spec<Vec<T>> {
    let parse_all = move |raw: &Raw| match raw {
        Raw::Text(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(&parse).collect::<Option<Vec<T>>>()
        }
        Raw::List(items) => items.iter().map(|item| parse(item.trim())).collect(),
        Raw::Nested => None,
    };
    Spec {
        default: Vec::new(),
        allowed: allowed.to_owned(),
        parse: Box::new(move |raw| parse_all(raw).filter(|items| items.len() <= count_max)),
        show: Box::new(move |items| Some(items.iter().map(&show).collect::<Vec<_>>().join(","))),
        redact: str::to_owned,
        variable: None,
    }
}

/// Declares a section: a struct whose fields are its settings. Each row gives the field, the setting's name where that differs, the type, and
/// the kind; the documentation comment is the setting's help in docs/configuration.md.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident in $section:literal {
            $($(#[doc = $help:literal])+ $field:ident $(as $key:ident)?: $type:ty = $spec:expr;)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl $name {
            pub(super) fn read(reader: &mut $crate::config::reader::Reader) -> Self {
                Self {
                    $($field: reader.read(
                        concat!($section, ".", settings!(@key $field $($key)?)),
                        concat!($($help),+),
                        $spec,
                    ),)*
                }
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:ident) => { stringify!($key) };
}

pub(super) use settings;
