//! From `store.url` to a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::embedded::{EmbeddedOptions, EmbeddedStore};
use crate::error::StoreError;
use crate::port::Store;
use crate::redis::{Credentials, RedisOptions, RedisStore, is_redis};

/// The forms of `store.url`, for messages.
pub const ALLOWED: &str =
    "memory:, embedded:DIR, or redis://, rediss://, redis+sentinel:// or redis+cluster:// with their addresses";

/// Everything that a store is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Where the store is. It may hold a password: [`OpenOptions`] is for opening, not for printing.
    pub url: String,
    /// Longest time from a write to its durable commit, in the embedded store.
    pub flush_interval: Duration,
    /// The user and password of Redis, where they are not in the URL.
    pub credentials: Credentials,
    /// A file with the password, read when the store opens. A final line end is ignored.
    pub password_file: Option<PathBuf>,
    /// A file with certificates (PEM) to trust instead of the public ones, with `rediss`.
    pub tls_ca_file: Option<PathBuf>,
    /// The number of shards that assets are divided into; a shared store refuses a different one.
    pub shard_count: Option<u16>,
}

impl OpenOptions {
    /// A store of that URL, with 100 ms to flush and nothing else.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            flush_interval: Duration::from_millis(100),
            credentials: Credentials::default(),
            password_file: None,
            tls_ca_file: None,
            shard_count: None,
        }
    }
}

/// True for a URL that [`open`] can open, judging by its text.
pub fn is_store_url(url: &str) -> bool {
    match url.split_once(':') {
        Some(("memory", "")) => true,
        Some(("embedded", directory)) => !directory.is_empty(),
        _ => RedisStore::new(url, RedisOptions::default()).is_some(),
    }
}

/// The kind of store that a URL names, as a label: `memory`, `embedded` or `redis`.
pub fn kind_of(url: &str) -> &'static str {
    match url.split_once(':') {
        Some(("memory", _)) => "memory",
        Some(("embedded", _)) => "embedded",
        _ => "redis",
    }
}

/// Opens the store that `store.url` names: `memory:`, `embedded:DIR`, whose directory is created, or one in Redis, which is not
/// connected yet and may be down. Anything else is [`StoreError::Url`]; a directory that another process has open, or that cannot be written,
/// and a file of the options that cannot be read, are [`StoreError::Unavailable`].
pub async fn open(options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let url = options.url.as_str();
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(EmbeddedStore::in_memory()?)),
        Some(("embedded", directory)) if !directory.is_empty() => {
            let options = EmbeddedOptions { flush_interval: options.flush_interval, ..EmbeddedOptions::default() };
            Ok(Arc::new(EmbeddedStore::open_with(Path::new(directory), options).await?))
        }
        _ => {
            let refused = || StoreError::Url { url: without_secrets(url), allowed: ALLOWED };
            if !is_redis(url) {
                return Err(refused());
            }
            let mut credentials = options.credentials.clone();
            if let Some(file) = &options.password_file {
                let password = String::from_utf8(read(file)?).map_err(|_| unreadable(file, &"it is not text"))?;
                credentials.password = Some(password.trim_end_matches(['\r', '\n']).to_owned());
            }
            let certificates = options.tls_ca_file.as_deref().map(read).transpose()?;
            let redis =
                RedisOptions { credentials, certificates, shard_count: options.shard_count, ..Default::default() };
            Ok(Arc::new(RedisStore::new(url, redis).ok_or_else(refused)?))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("file {}: {error}", file.display()))
}

/// The URL's scheme and host: user, password, path and query may hold secrets.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once(':') else {
        return url.chars().take(64).collect();
    };
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may itself hold an unescaped separator, and then where the host starts is not known.
    let host = match (authority.rsplit_once('@'), rest.matches('@').count()) {
        (None, 0) => authority,
        (Some((_, host)), 1) => host,
        _ => "",
    };
    let host = if host.is_empty() { "…" } else { host };
    format!("{scheme}://{host}").chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open_url(url: &str) -> Result<Arc<dyn Store>, StoreError> {
        open(&OpenOptions::new(url)).await
    }

    async fn refusal(url: &str) -> String {
        match open_url(url).await {
            Err(error @ StoreError::Url { .. }) => error.to_string(),
            Err(error) => panic!("{url}: {error}"),
            Ok(_) => panic!("{url} was opened"),
        }
    }

    #[tokio::test]
    async fn opens_what_it_knows_and_says_so_otherwise() {
        assert!(open_url("memory:").await.is_ok());
        let directory = tempfile::tempdir().expect("a directory");
        let nested = directory.path().join("a/b");
        assert!(open_url(&format!("embedded:{}", nested.display())).await.is_ok());
        assert!(nested.is_dir());
        // Nobody listens there: a store in Redis opens all the same, and says so when it is used.
        let down = open_url("redis://127.0.0.1:1").await.expect("opened");
        assert!(matches!(down.bootstrap(0).await, Err(StoreError::Unavailable(_))));
        for url in ["", "memory", "memory:x", "embedded:", "redis:", "redis://a,b", "file:///tmp"] {
            let text = refusal(url).await;
            assert!(text.contains("embedded:DIR") && text.contains("redis+cluster"), "{text}");
            assert!(!is_store_url(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_refusal_shows_no_secret() {
        for url in [
            "redis://user:geheim@cache:6379/0?password=geheim",
            "redis://:geheim/geheim@cache:6379",
            "redis+sentinel://cache:6379/geheim!",
            "redis:geheim",
        ] {
            assert!(!refusal(url).await.contains("geheim"), "{url}");
        }
        assert!(refusal("redis://user:geheim@cache:6379/zero").await.contains("redis://cache:6379"));
    }

    #[tokio::test]
    async fn files_that_cannot_be_read_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");
        let options = OpenOptions { password_file: Some(missing.clone()), ..OpenOptions::new("redis://127.0.0.1:1") };
        let certificates = OpenOptions { tls_ca_file: Some(missing), ..OpenOptions::new("rediss://127.0.0.1:1") };
        for options in [options, certificates] {
            match open(&options).await {
                Err(StoreError::Unavailable(text)) => assert!(text.contains("missing"), "{text}"),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("opened"),
            }
        }
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_unavailable() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        let url = format!("embedded:{}", file.join("below").display());
        match open_url(&url).await {
            Err(StoreError::Unavailable(text)) => assert!(text.contains("below"), "{text}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("opened"),
        }
    }
}
