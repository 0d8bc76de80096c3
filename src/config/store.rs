//! `store.*`: where values are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::redact_url;
use super::spec::{milliseconds, path, secret, settings, text, word};
use crossmarket_store::redis::Credentials;
use crossmarket_store::{ALLOWED, OpenOptions, is_store_url};

settings! {
    /// `store.*`: where values are kept.
    #[derive(Clone, PartialEq, Eq)]
    pub struct StoreConfig in "store" {
        /// Where values are kept: `embedded:DIR` (a directory that the process creates), `memory:` (lost when the process ends), or Redis:
        /// `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`.
        url: String = text("embedded:./data".to_owned(), ALLOWED, url, |url| redact_url(url));
        /// Time between flushes of the embedded store to disk. `kill -9` or a machine failure loses at most this much.
        flush_interval as flush_interval_ms: Duration = milliseconds(Duration::from_millis(100), 10..=60_000);
        /// Redis ACL user, if it is not in the URL.
        username: Option<String> = word("a user of Redis' access control lists");
        /// Redis password, if it is not in the URL. The environment is a better place for it than the file.
        password: Option<String> = secret("the password of that user", given);
        /// File that holds the Redis password.
        password_file: Option<PathBuf> = path("a file that holds the password");
        /// File with the certificates (PEM) to trust, if no public authority signed the one of Redis.
        tls_ca_file: Option<PathBuf> = path("a file with certificates in PEM");
    }
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

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
