//! Checks of commands that read or fill a store, before they begin.

use std::path::Path;

use super::error::CliError;
use crossmarket_store::StoreError;
use crossmarket_store::embedded::DATABASE_FILE;

/// Refuses a store that does not outlive the command.
pub(super) fn check_lasting(url: &str) -> Result<(), CliError> {
    match url {
        "memory:" => Err(CliError::Usage("memory: does not outlive this command".to_owned())),
        _ => Ok(()),
    }
}

/// Refuses an embedded store that does not exist, because opening it would create it.
pub(super) fn check_source(url: &str) -> Result<(), CliError> {
    check_lasting(url)?;
    match url.strip_prefix("embedded:") {
        Some(directory) if !Path::new(directory).join(DATABASE_FILE).is_file() => {
            Err(CliError::Failed(format!("there is no store in {directory}")))
        }
        _ => Ok(()),
    }
}

/// An embedded store belongs to one process at a time: says what to do when that is the service.
pub(super) fn in_use(error: StoreError, url: &str) -> CliError {
    match error {
        // Other stores have more than one process, and their URLs may hold passwords.
        StoreError::Unavailable(reason) if url.starts_with("embedded:") => CliError::Failed(format!(
            "cannot open the store {url}: {reason}; if a running service holds it, stop that service, do this, and start it again"
        )),
        other => CliError::Store(other),
    }
}
