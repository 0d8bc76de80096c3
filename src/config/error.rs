//! Everything that is wrong with a configuration.

use super::reader::Problem;

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// At least one problem, in the order of the settings, unknown ones last.
    pub problems: Vec<Problem>,
}
