//! `config show` and `config check`.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::error::CliError;
use super::json::{Json, Object};
use super::settings::SettingsArguments;
use super::table::{Align, Table};
use crate::config::{Origin, Setting};

/// Shows and checks settings.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket config show --config FILE.toml
  CROSSMARKET__UNIVERSE__SIZE=50 crossmarket config show --json
  crossmarket config check --config FILE.toml && crossmarket serve --config FILE.toml")]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints every setting with its value and where it came from (default, file, env, flag); secrets are redacted.
    Show {
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Checks the settings: exit code 0, or 1 with every problem on standard error.
    Check {
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

pub(super) fn run(arguments: &ConfigArguments) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match &arguments.command {
        ConfigCommand::Show { json, settings } => {
            let loaded = settings.load(Vec::new())?;
            if *json {
                writeln!(out, "{}", Json::List(loaded.settings.iter().map(setting_json).collect()))?;
            } else {
                write!(out, "{}", table(&loaded.settings).render(None))?;
            }
        }
        ConfigCommand::Check { settings } => {
            let count = settings.load(Vec::new())?.settings.len();
            writeln!(out, "ok: {count} settings")?;
        }
    }
    Ok(out.flush()?)
}

fn table(settings: &[Setting]) -> Table {
    let mut table = Table::new(&[("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)]);
    for setting in settings {
        let value = setting.value.clone().unwrap_or_else(|| "(not set)".to_owned());
        table.row(vec![setting.key.clone(), value, setting.origin.to_string()]);
    }
    table
}

fn setting_json(setting: &Setting) -> Json {
    let origin = match &setting.origin {
        Origin::Default => "default",
        Origin::File(..) => "file",
        Origin::Environment(_) => "env",
        Origin::Flag(_) => "flag",
    };
    let mut object = Object::default();
    object.text("key", &setting.key);
    object.put("value", setting.value.as_ref().map_or(Json::Null, |value| Json::Text(value.clone())));
    object.text("origin", origin);
    object.text("from", setting.origin.to_string());
    object.text("allowed", &setting.allowed);
    Json::Object(object)
}
