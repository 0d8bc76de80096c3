//! Reads settings one by one, remembers where each came from, and collects what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::origin::Origin;
use super::raw::{REDACTED, Raw, redact_url};
use super::spec::Spec;

/// One setting as it is in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name: `grpc.listen`.
    pub key: String,
    /// Its value as text, redacted when it is secret; `None` when it is not set and has no default.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// Shown like `value`.
    pub default: Option<String>,
    /// What is allowed, in words.
    pub allowed: String,
    /// What it is for.
    pub help: String,
    /// The standard environment variable that sets it too.
    pub variable: Option<&'static str>,
}

/// Something wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A setting's value is not allowed.
    Value {
        /// The setting.
        key: String,
        /// The value, redacted when it may be secret.
        value: String,
        /// What is allowed.
        allowed: String,
        /// Where the value came from.
        origin: Origin,
    },
    /// There is no such setting.
    Unknown {
        /// The name given.
        key: String,
        /// The value, redacted when it may be secret.
        value: String,
        /// The name that was probably meant, or the names that exist in that section.
        hint: String,
        /// Where it came from.
        origin: Origin,
    },
    /// The file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// The line at fault, from 1.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { key, value, allowed, origin } => {
                write!(f, "{key} = {value:?} ({origin}): not allowed; allowed: {allowed}")
            }
            Self::Unknown { key, value, hint, origin } => {
                write!(f, "{key} = {value:?} ({origin}): unknown setting; {hint}")
            }
            Self::File { path, line: Some(line), message } => {
                write!(f, "file {} line {line}: {message}", path.display())
            }
            Self::File { path, line: None, message } => write!(f, "file {}: {message}", path.display()),
        }
    }
}

/// The layers merged, and what has been read of them so far.
#[derive(Debug, Default)]
pub struct Reader {
    given: BTreeMap<String, (Raw, Origin)>,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Sets a value; a later one replaces an earlier one of the same key.
    pub(super) fn put(&mut self, key: String, value: Raw, origin: Origin) {
        self.given.insert(key, (value, origin));
    }

    /// Adds what another has read, and its problems.
    pub(super) fn absorb(&mut self, other: Self) {
        let (settings, problems) = other.finish();
        self.settings.extend(settings);
        self.problems.extend(problems);
    }

    /// Adds a problem.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The names of the sections right below a section that were given, in their order.
    pub(super) fn names_under(&self, section: &str) -> Vec<String> {
        let names = self.given.keys().filter_map(|key| {
            let (name, _) = key.strip_prefix(section)?.strip_prefix('.')?.split_once('.')?;
            Some(name.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names
    }

    /// The names of the values right below a section that were given, in their order.
    pub(super) fn values_under(&self, section: &str) -> Vec<String> {
        let names = self.given.keys().filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'));
        names.filter(|name| !name.contains('.')).map(str::to_owned).collect()
    }

    /// Adds that a value is not allowed, where that shows only together with others.
    pub(super) fn refuse(&mut self, key: &str, value: &str, allowed: &str) {
        let setting = self.settings.iter().find(|setting| setting.key == key);
        let origin = setting.map_or(Origin::Default, |setting| setting.origin.clone());
        let problem =
            Problem::Value { key: key.to_owned(), value: redact_url(value), allowed: allowed.to_owned(), origin };
        self.problems.push(problem);
    }

    /// Reads one setting.
    pub(super) fn read<T>(&mut self, key: &str, help: &str, spec: Spec<T>) -> T {
        let Spec { default, allowed, parse, show, redact, variable } = spec;
        let shown_default = show(&default);
        let mut value = default;
        let mut origin = Origin::Default;
        if let Some((raw, given_by)) = self.given.remove(key) {
            if let Some(parsed) = parse(&raw) {
                value = parsed;
            } else {
                self.problems.push(Problem::Value {
                    key: key.to_owned(),
                    value: redact(&raw.shown()),
                    allowed: allowed.clone(),
                    origin: given_by.clone(),
                });
            }
            origin = given_by;
        }
        self.settings.push(Setting {
            key: key.to_owned(),
            value: show(&value),
            origin,
            default: shown_default,
            allowed,
            help: help.trim().to_owned(),
            variable,
        });
        value
    }

    /// Every setting that was read, and all problems; what nobody has read is unknown.
    pub(super) fn finish(mut self) -> (Vec<Setting>, Vec<Problem>) {
        for (key, (raw, origin)) in std::mem::take(&mut self.given) {
            let hint = hint(&key, &self.settings);
            let value = if may_be_secret(&key) { REDACTED.to_owned() } else { redact_url(&raw.shown()) };
            self.problems.push(Problem::Unknown { key, value, hint, origin });
        }
        (self.settings, self.problems)
    }
}

/// Whether a name contains a word for secrets, even misspelt.
fn may_be_secret(key: &str) -> bool {
    let words = ["key", "secret", "password", "token"];
    let resembles = |part: &str, word: &str| part.contains(word) || distance(part, word) <= word.len() / 3;
    key.split(['.', '_', '-']).any(|part| words.iter().any(|word| resembles(part, word)))
}

/// The nearest existing name, or else those in the longest section that exists.
fn hint(key: &str, settings: &[Setting]) -> String {
    let nearest = settings.iter().map(|setting| (distance(key, &setting.key), &setting.key)).min();
    if let Some((distance, nearest)) = nearest
        && distance <= 3
    {
        return format!("did you mean {nearest}?");
    }
    let mut section = key;
    while let Some((parent, _)) = section.rsplit_once('.') {
        section = parent;
        let inside: Vec<&str> = settings
            .iter()
            .filter_map(|setting| setting.key.strip_prefix(section)?.strip_prefix('.'))
            .map(|rest| rest.split('.').next().unwrap_or(rest))
            .fold(Vec::new(), push_new);
        if !inside.is_empty() {
            return format!("{section} has: {}", inside.join(", "));
        }
    }
    let sections = settings.iter().filter_map(|setting| setting.key.split('.').next()).fold(Vec::new(), push_new);
    format!("sections: {}", sections.join(", "))
}

fn push_new<'a>(mut seen: Vec<&'a str>, name: &'a str) -> Vec<&'a str> {
    if !seen.contains(&name) {
        seen.push(name);
    }
    seen
}

/// The Levenshtein distance of two names, in characters.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, from) in left.chars().take(128).enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        let mut next_row = vec![previous];
        for (to, above) in right.chars().zip(row.iter().skip(1)) {
            previous = (diagonal + usize::from(from != to)).min(previous + 1).min(above + 1);
            diagonal = *above;
            next_row.push(previous);
        }
        row = next_row;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("grpc.lisen", "grpc.listen"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn misspelt_secrets_are_secrets() {
        for key in ["store.pasword", "store.passwrd", "venues.okx.api_kee", "a.apikey", "x.tokens", "x.my-sekret"] {
            assert!(may_be_secret(key), "{key}");
        }
        for key in ["grpc.lissten", "universe.sise", "store.flush_interval"] {
            assert!(!may_be_secret(key), "{key}");
        }
    }
}
