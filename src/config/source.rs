//! The layers that settings come from: a TOML file, the environment, flags.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{Flag, Origin};
use super::raw::Raw;
use super::reader::{Problem, Reader, Setting};
use crossmarket_venues::REGISTRY;

/// Prefix of the program's environment variables; further double underscores nest.
pub const ENVIRONMENT_PREFIX: &str = "CROSSMARKET__";

/// Prefix of OpenTelemetry's own variables, some of which are settings too.
pub const STANDARD_PREFIX: &str = "OTEL_";

/// Adds a file's settings. A file that cannot be read, or is not TOML, is one problem.
pub(super) fn read_file(path: &Path, reader: &mut Reader) {
    read_section(path, "", reader);
}

/// Adds what a file has of one section.
pub(super) fn read_section(path: &Path, section: &str, reader: &mut Reader) {
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&text, path, section, reader),
        Err(error) => {
            reader.report(Problem::File { path: path.to_owned(), line: None, message: error.to_string() });
        }
    }
}

/// Adds what the text of a file has of one section.
pub(super) fn read_text(text: &str, path: &Path, section: &str, reader: &mut Reader) {
    let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    match DeTable::parse(text) {
        Ok(table) => flatten(table.get_ref(), section, path, &line_of, reader),
        Err(error) => reader.report(Problem::File {
            path: path.to_owned(),
            line: error.span().map(|span| line_of(span.start)),
            message: error.message().to_owned(),
        }),
    }
}

fn flatten(table: &DeTable<'_>, prefix: &str, path: &Path, line_of: &dyn Fn(usize) -> usize, reader: &mut Reader) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(inner, &key, path, line_of, reader);
        } else {
            let origin = Origin::File(path.to_owned(), line_of(name.span().start));
            reader.put(key, raw(value), origin);
        }
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    let scalar = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().replace('_', "")),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            i64::from_str_radix(&digits, integer.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Some(boolean.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>().map_or(Raw::Nested, Raw::List),
        _ => scalar(value).map_or(Raw::Nested, Raw::Text),
    }
}

/// Adds the environment's values: `CROSSMARKET__GRPC__LISTEN` is `grpc.listen`. Venue ids have hyphens, which names of variables cannot:
/// `CROSSMARKET__VENUES__BINANCE_USDM__ENABLED` is `venues.binance-usdm.enabled`.
///
/// OpenTelemetry's own variables are settings too, below those of this program. An empty one counts as unset, as its standard says.
pub(super) fn read_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    declared: &[Setting],
    reader: &mut Reader,
) {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let is_disabled = environment.iter().any(|(name, value)| name == "OTEL_SDK_DISABLED" && value == "true");
    for (name, value) in environment.iter().filter(|(_, value)| !is_disabled && !value.is_empty()) {
        if let Some(setting) = declared.iter().find(|setting| setting.variable == Some(name)) {
            reader.put(setting.key.clone(), Raw::Text(value.clone()), Origin::Environment(name.clone()));
        }
    }
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let mut parts: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        if let [section, id, ..] = parts.as_mut_slice()
            && section == "venues"
        {
            let hyphenated = id.replace('_', "-");
            if REGISTRY.iter().any(|venue| venue.id().as_str() == hyphenated) {
                *id = hyphenated;
            }
        }
        reader.put(parts.join("."), Raw::Text(value), Origin::Environment(name));
    }
}

pub(super) fn read_flags(flags: &[Flag], reader: &mut Reader) {
    for flag in flags {
        reader.put(flag.key.clone(), Raw::Text(flag.value.clone()), Origin::Flag(flag.name.clone()));
    }
}
