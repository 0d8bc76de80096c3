//! Errors of commands, as people read them.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::telemetry::TelemetryError;
use crossmarket_client as client;
use crossmarket_store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// It ran and failed.
    #[error("{0}")]
    Failed(String),
    /// It ran to its end, and has reported the problems.
    #[error("there were problems")]
    AlreadyTold,
    /// The settings are wrong.
    #[error("the configuration is not valid")]
    Config(#[source] ConfigError),
    /// The service could not be reached, refused, or took too long.
    #[error("{0}")]
    Client(#[source] client::Error),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard input or output failed.
    #[error("input or output failed")]
    Io(#[from] io::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The service could not run.
    #[error("the service could not run")]
    App(#[from] AppError),
    /// Logs could not be set up.
    #[error("logs could not be set up")]
    Telemetry(#[from] TelemetryError),
}

impl From<client::Error> for CliError {
    fn from(error: client::Error) -> Self {
        Self::Client(error)
    }
}

impl CliError {
    /// True when the reader of our output has closed it.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 2 for wrong usage, else 1.
    pub(super) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }

    /// Prints it on standard error.
    pub(super) fn print(&self) {
        match self {
            Self::AlreadyTold => {}
            Self::Config(error) => {
                eprintln!("error: {self}");
                for problem in &error.problems {
                    eprintln!("  {problem}");
                }
            }
            Self::Client(error) => {
                eprintln!("error: {error}");
                for (field, description) in error.field_violations() {
                    eprintln!("  {field}: {description}");
                }
                for line in hint(error) {
                    eprintln!("  {line}");
                }
            }
            _ => eprintln!("error: {}", self.chain()),
        }
    }

    /// The error and its causes on one line, without repetition.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}

/// A hint for an error of a call.
fn hint(error: &client::Error) -> &'static [&'static str] {
    match (error, error.code()) {
        (client::Error::Unreachable { .. }, _) => &[
            "start one with `crossmarket demo` (a simulated market) or `crossmarket serve`,",
            "or say where it is: --server http://HOST:PORT or CROSSMARKET_SERVER",
        ],
        (client::Error::Deadline { .. }, _) => &["--timeout gives it more time"],
        (_, tonic::Code::Unavailable) => &["the service is starting or shutting down; try again in a moment"],
        (_, tonic::Code::Unimplemented) => &["the service does not offer this; it may be older than this client"],
        (_, tonic::Code::Unauthenticated) => &[
            "give a key (--api-key KEY or CROSSMARKET_API_KEY)",
            "or a token, which counts before a key (--token TOKEN or CROSSMARKET_TOKEN)",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_said() {
        let of = |code| hint(&client::Error::Status(Box::new(tonic::Status::new(code, "text")))).concat();
        assert!(of(tonic::Code::Unimplemented).contains("older"));
        assert!(of(tonic::Code::Unavailable).contains("again"));
        assert!(of(tonic::Code::NotFound).is_empty());
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        assert_eq!(CliError::Usage(String::new()).exit_code(), 2);
        assert_eq!(CliError::AlreadyTold.exit_code(), 1);
        assert!(CliError::Io(io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
    }
}
