//! From `store.url` to a store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::embedded::EmbeddedOptions;
use super::{EmbeddedStore, MemoryStore, Store, StoreError};

const ALLOWED: &str = "allowed are memory: and embedded:DIR; stores in Redis (redis://, rediss://, redis+sentinel://, \
                       redis+cluster://) come with a later version";

/// Opens the store that `store.url` names: `memory:`, or `embedded:DIR`, whose directory is created. Anything else is
/// [`StoreError::Url`]; a directory that another process has open, or that cannot be written, is
/// [`StoreError::Unavailable`]. `flush_interval` is how long what was written may wait to become durable.
pub async fn open(url: &str, flush_interval: Duration) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(MemoryStore::new())),
        Some(("embedded", directory)) if !directory.is_empty() => {
            let options = EmbeddedOptions { flush_interval, ..EmbeddedOptions::default() };
            Ok(Arc::new(EmbeddedStore::open_with(Path::new(directory), options).await?))
        }
        _ => Err(StoreError::Url { url: without_secrets(url), allowed: ALLOWED }),
    }
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

    const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

    async fn refusal(url: &str) -> String {
        match open(url, FLUSH_INTERVAL).await {
            Err(error @ StoreError::Url { .. }) => error.to_string(),
            Err(error) => panic!("{url}: {error}"),
            Ok(_) => panic!("{url} was opened"),
        }
    }

    #[tokio::test]
    async fn opens_what_it_knows_and_says_so_otherwise() {
        assert!(open("memory:", FLUSH_INTERVAL).await.is_ok());
        let directory = tempfile::tempdir().expect("a directory");
        let nested = directory.path().join("a/b");
        assert!(open(&format!("embedded:{}", nested.display()), FLUSH_INTERVAL).await.is_ok());
        assert!(nested.is_dir());
        for url in ["", "memory", "memory:x", "embedded:", "redis://localhost", "rediss://localhost", "file:///tmp"] {
            let text = refusal(url).await;
            assert!(text.contains("embedded:DIR") && text.contains("later version"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_refusal_shows_no_secret() {
        for url in [
            "redis://user:geheim@cache:6379/0?password=geheim",
            "redis://:geheim/geheim@cache:6379",
            "redis+sentinel://cache:6379/geheim",
            "redis:geheim",
        ] {
            assert!(!refusal(url).await.contains("geheim"), "{url}");
        }
        assert!(refusal("redis://user:geheim@cache:6379/0").await.contains("redis://cache:6379"));
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_unavailable() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        let url = format!("embedded:{}", file.join("below").display());
        match open(&url, FLUSH_INTERVAL).await {
            Err(StoreError::Unavailable(text)) => assert!(text.contains("below"), "{text}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("opened"),
        }
    }
}
