//! Files that may change while the process runs: certificates, private keys, key sets, clients.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::io::AsyncReadExt;

/// Longest file of these kinds, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// How often the files are checked. Their content decides, not their modification times: Kubernetes swaps a symbolic
/// link above them, and a certificate may be renewed within the resolution of the file system's clock.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be read")]
pub struct FileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Files that belong together, such as a certificate and its key.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    paths: Vec<PathBuf>,
    /// Of the content delivered last.
    taken: Fingerprint,
    /// Of the content at the last check, if it differed from `taken`.
    seen: Option<Fingerprint>,
    reloads: Arc<Reloads>,
}

/// Counts what happened to changed files.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Reloads {
    /// How often changed files were accepted (`ok`), and how often the old ones stayed in use (`failed`).
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        [("ok", self.taken.load(Ordering::Relaxed)), ("failed", self.refused.load(Ordering::Relaxed))]
    }
}

/// A hash of the content, so that no private key is kept for comparison.
type Fingerprint = Vec<u8>;

impl WatchedFiles {
    /// Reads the files and starts to watch them.
    pub(crate) async fn read(paths: Vec<PathBuf>) -> Result<(Self, Vec<Vec<u8>>), FileError> {
        let contents = read_all(&paths).await?;
        let taken = fingerprint(&contents);
        Ok((Self { paths, taken, seen: None, reloads: Arc::default() }, contents))
    }

    pub(crate) fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// Delivers changed content to `take`, and counts whether it was accepted. Never returns.
    pub(crate) async fn follow(mut self, take: impl Fn(Result<Vec<Vec<u8>>, FileError>) -> bool) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.step(&take).await;
        }
    }

    /// One check.
    pub(super) async fn step(&mut self, take: impl Fn(Result<Vec<Vec<u8>>, FileError>) -> bool) {
        if let Some(contents) = self.look().await {
            let count = if take(contents) { &self.reloads.taken } else { &self.reloads.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The new content, once. Several files are not written at the same instant, so a change counts only when two
    /// checks in a row find the same content.
    pub(super) async fn look(&mut self) -> Option<Result<Vec<Vec<u8>>, FileError>> {
        let result = read_all(&self.paths).await;
        let now = match &result {
            Ok(contents) => fingerprint(contents),
            Err(error) => fingerprint(&[error.source.to_string().into_bytes()]),
        };
        if now == self.taken {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return None;
        }
        self.taken = now;
        self.seen = None;
        Some(result)
    }
}

async fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        contents.push(read(path).await.map_err(|source| FileError { path: path.clone(), source })?);
    }
    Ok(contents)
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut content).await?;
    if content.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"));
    }
    Ok(content)
}

fn fingerprint(contents: &[Vec<u8>]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for content in contents {
        context.update(&(content.len() as u64).to_be_bytes());
        context.update(content);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_told_once_and_only_when_it_has_settled() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths: Vec<PathBuf> = ["a", "b"].iter().map(|name| directory.path().join(name)).collect();
        let write = |index: usize, text: &str| std::fs::write(&paths[index], text).expect("written");
        write(0, "a1");
        write(1, "b1");
        let (mut files, contents) = WatchedFiles::read(paths.clone()).await.expect("readable");
        assert_eq!(contents, [b"a1", b"b1"]);
        assert!(files.look().await.is_none());
        write(0, "a2");
        assert!(files.look().await.is_none(), "the other may follow");
        write(1, "b2");
        assert!(files.look().await.is_none(), "it did");
        assert_eq!(files.look().await.expect("settled").expect("readable"), [b"a2", b"b2"]);
        assert!(files.look().await.is_none(), "once");
        std::fs::remove_file(&paths[1]).expect("removed");
        assert!(files.look().await.is_none());
        let error = files.look().await.expect("settled").expect_err("gone");
        assert!(error.to_string().contains(&paths[1].display().to_string()), "{error}");
        assert!(files.look().await.is_none(), "once");
        write(1, "b2");
        assert!(files.look().await.is_none());
        assert!(files.look().await.is_some_and(|result| result.is_ok()), "it is back");
    }

    #[tokio::test]
    async fn a_link_above_the_files_may_be_swapped() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("v1", "old"), ("v2", "new")] {
            std::fs::create_dir(at(version)).expect("made");
            std::fs::write(at(version).join("tls.crt"), text).expect("written");
        }
        std::os::unix::fs::symlink("v1", at("..data")).expect("linked");
        std::os::unix::fs::symlink("..data/tls.crt", at("tls.crt")).expect("linked");
        let (mut files, contents) = WatchedFiles::read(vec![at("tls.crt")]).await.expect("readable");
        assert_eq!(contents, [b"old"]);
        std::os::unix::fs::symlink("v2", at("..new")).expect("linked");
        std::fs::rename(at("..new"), at("..data")).expect("swapped");
        assert!(files.look().await.is_none());
        assert_eq!(files.look().await.expect("settled").expect("readable"), [b"new"]);
    }
}
