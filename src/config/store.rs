//! `store.*`: where values are kept.

use std::fmt;
use std::time::Duration;

use super::Reader;
use super::reader::redact_url;

/// `store.*`: where values are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `embedded:DIR` (a directory that the process creates) or `memory:` (gone when the process ends); default `embedded:./data`.
    pub url: String,
    /// Time between making what was written durable, 10 ms to 60 s, default 100 ms: at most so much is lost with `kill -9` or when the machine fails.
    pub flush_interval: Duration,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &redact_url(&self.url))
            .field("flush_interval", &self.flush_interval)
            .finish()
    }
}

impl StoreConfig {
    /// Whether several processes may use the store at once.
    pub fn is_shared(&self) -> bool {
        !(self.url.starts_with("memory:") || self.url.starts_with("embedded:"))
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let flush_unit = "milliseconds";
        Self {
            url: reader.parsed("store.url", "embedded:./data".to_owned(), "embedded:DIR or memory:", url, |url| {
                redact_url(url)
            }),
            flush_interval: Duration::from_millis(reader.integer(
                "store.flush_interval_ms",
                100,
                10..=60_000,
                flush_unit,
            )),
        }
    }
}

fn url(text: &str) -> Option<String> {
    let known = text == "memory:" || text.strip_prefix("embedded:").is_some_and(|directory| !directory.is_empty());
    known.then(|| text.to_owned())
}
