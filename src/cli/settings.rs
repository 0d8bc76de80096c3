//! The options that every command with settings has.

use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use crate::config::{self, ENVIRONMENT_PREFIX, Flag, Loaded, STANDARD_PREFIX};

/// Where settings come from besides the environment.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SettingsArguments {
    /// A TOML file of settings.
    #[arg(long, value_name = "FILE", env = "CROSSMARKET_CONFIG")]
    config: Option<PathBuf>,
    /// Override one setting; repeatable. `crossmarket config show` lists them all.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl SettingsArguments {
    /// Reads the settings; `flags` take precedence.
    pub(super) fn load(&self, flags: Vec<Flag>) -> Result<Loaded, CliError> {
        let set = self.set.iter().map(|(key, value)| Flag {
            key: key.clone(),
            value: value.clone(),
            name: format!("--set {key}"),
        });
        let all: Vec<Flag> = set.chain(flags).collect();
        config::load(self.config.as_deref(), environment()?, &all).map_err(CliError::Config)
    }
}

/// The flag of one setting, when it is given.
pub(super) fn flag(key: &str, name: &str, value: Option<impl ToString>) -> Option<Flag> {
    value.map(|value| Flag { key: key.to_owned(), value: value.to_string(), name: name.to_owned() })
}

fn environment() -> Result<Vec<(String, String)>, CliError> {
    let ours = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with(ENVIRONMENT_PREFIX) || name.starts_with(STANDARD_PREFIX)
    });
    ours.map(|(name, value)| {
        let shown = name.to_string_lossy().into_owned();
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err(CliError::Failed(format!("environment variable {shown} is not UTF-8"))),
        }
    })
    .collect()
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as universe.size=50".to_owned()),
    }
}
