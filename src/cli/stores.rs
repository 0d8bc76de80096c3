//! What commands that read or fill a store say of it before they begin.

use std::path::Path;

use super::error::CliError;
use crossmarket_store::StoreError;
use crossmarket_store::embedded::DATABASE_FILE;

/// Refuses a store that is gone when the command ends.
pub(super) fn check_lasting(url: &str) -> Result<(), CliError> {
    match url {
        "memory:" => Err(CliError::Usage("memory: is gone when this command ends".to_owned())),
        _ => Ok(()),
    }
}

/// Refuses a store in which there can be nothing: an embedded one would be made by being opened.
pub(super) fn check_source(url: &str) -> Result<(), CliError> {
    check_lasting(url)?;
    match url.strip_prefix("embedded:") {
        Some(directory) if !Path::new(directory).join(DATABASE_FILE).is_file() => {
            Err(CliError::Failed(format!("there is no store in {directory}")))
        }
        _ => Ok(()),
    }
}

/// An embedded store has one process at a time: say what to do when that is the service.
pub(super) fn in_use(error: StoreError, url: &str) -> CliError {
    match error {
        // Other stores have more than one process, and their URLs may hold passwords.
        StoreError::Unavailable(reason) if url.starts_with("embedded:") => CliError::Failed(format!(
            "cannot open the store {url}: {reason}; if a running service holds it, stop that service, do this, and start it again"
        )),
        other => CliError::Store(other),
    }
}
