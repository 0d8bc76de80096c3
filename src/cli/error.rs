//! What a command tells when it fails.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use tonic_types::StatusExt;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// It ran and failed, as told.
    #[error("{0}")]
    Failed(String),
    /// It ran to its end, and what is wrong has been told already.
    #[error("there were problems")]
    AlreadyTold,
    /// The settings are wrong.
    #[error("the configuration is refused")]
    Config(#[source] ConfigError),
    /// The service could not be reached.
    #[error("no service answers at {server}")]
    Connect {
        /// The address tried.
        server: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The service answered with an error.
    #[error("{}", status_text(.0))]
    Status(#[source] Box<tonic::Status>),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
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

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl CliError {
    /// True when whoever read our output has gone away.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 2 for wrong usage, else 1.
    pub(super) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }

    /// Tells it on standard error.
    pub(super) fn print(&self) {
        match self {
            Self::AlreadyTold => {}
            Self::Config(error) => {
                eprintln!("error: {self}");
                for problem in &error.problems {
                    eprintln!("  {problem}");
                }
            }
            Self::Status(status) => {
                eprintln!("error: {self}");
                for violation in
                    status.get_details_bad_request().map(|found| found.field_violations).unwrap_or_default()
                {
                    eprintln!("  {}: {}", violation.field, violation.description);
                }
            }
            Self::Connect { .. } => {
                eprintln!("error: {}", self.chain());
                eprintln!("  start one with `crossmarket demo` (a simulated market) or `crossmarket serve`,");
                eprintln!("  or say where it is: --server http://HOST:PORT or CROSSMARKET_SERVER");
            }
            _ => eprintln!("error: {}", self.chain()),
        }
    }

    /// The error and its causes on one line, each said once.
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

/// `NOT_FOUND (ASSET_UNKNOWN): no asset "XYZ"`.
pub(super) fn status_text(status: &tonic::Status) -> String {
    let reason = status.get_details_error_info().map(|info| format!(" ({})", info.reason)).unwrap_or_default();
    let code = code_name(status.code());
    if status.message().is_empty() {
        format!("{code}{reason}")
    } else {
        format!("{code}{reason}: {}", status.message())
    }
}

/// The code as gRPC's documentation writes it.
fn code_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_is_told_with_code_and_reason() {
        let mut details = ErrorDetails::new();
        details.set_error_info("ASSET_UNKNOWN", "crossmarket", std::collections::HashMap::new());
        let status = tonic::Status::with_error_details(tonic::Code::NotFound, "no asset \"XYZ\"", details);
        assert_eq!(status_text(&status), "NOT_FOUND (ASSET_UNKNOWN): no asset \"XYZ\"");
        assert_eq!(status_text(&tonic::Status::unavailable("")), "UNAVAILABLE");
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        assert_eq!(CliError::Usage(String::new()).exit_code(), 2);
        assert_eq!(CliError::AlreadyTold.exit_code(), 1);
        assert!(CliError::Io(io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
    }
}
