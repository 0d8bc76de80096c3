//! `store.*`: where values are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Reader;
use super::reader::redact_url;
use crossmarket_store::redis::Credentials;
use crossmarket_store::{OpenOptions, is_store_url};

/// `store.*`: where values are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `embedded:DIR` (a directory that the process creates), `memory:` (gone when the process ends), or Redis: `redis://`, `rediss://`,
    /// `redis+sentinel://`, `redis+cluster://`. Default `embedded:./data`.
    pub url: String,
    /// Time between making what was written durable in the embedded store, 10 ms to 60 s, default 100 ms: at most so much is lost with `kill -9` or
    /// when the machine fails.
    pub flush_interval: Duration,
    /// Redis' ACL user, where it is not in the URL.
    pub username: Option<String>,
    /// Redis' password, where it is not in the URL. Better from the environment than from the file.
    pub password: Option<String>,
    /// A file that holds Redis' password.
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) to trust, where Redis' is not signed by a public authority.
    pub tls_ca_file: Option<PathBuf>,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &redact_url(&self.url))
            .field("flush_interval", &self.flush_interval)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field("password_file", &self.password_file)
            .field("tls_ca_file", &self.tls_ca_file)
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
        let shown = |text: &Option<String>| text.clone().unwrap_or_default();
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let given = |text: &str| (!text.is_empty()).then(|| Some(text.to_owned()));
        let file = |text: &str| (!text.is_empty()).then(|| Some(PathBuf::from(text)));
        Self {
            url: reader.parsed("store.url", "embedded:./data".to_owned(), crossmarket_store::ALLOWED, url, |url| {
                redact_url(url)
            }),
            flush_interval: Duration::from_millis(reader.integer(
                "store.flush_interval_ms",
                100,
                10..=60_000,
                flush_unit,
            )),
            username: reader.parsed("store.username", None, "a user of Redis' access control lists", given, shown),
            password: reader.secret("store.password", "the password of that user"),
            password_file: reader.parsed("store.password_file", None, "a file that holds the password", file, path),
            tls_ca_file: reader.parsed("store.tls_ca_file", None, "a file with certificates in PEM", file, path),
        }
    }

    /// What the store is opened with.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            url: self.url.clone(),
            flush_interval: self.flush_interval,
            credentials: Credentials { username: self.username.clone(), password: self.password.clone() },
            password_file: self.password_file.clone(),
            tls_ca_file: self.tls_ca_file.clone(),
            shard_count: None,
        }
    }
}

fn url(text: &str) -> Option<String> {
    is_store_url(text).then(|| text.to_owned())
}
