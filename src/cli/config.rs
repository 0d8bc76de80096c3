//! `config show`, `config check` and `config hash-key`.

use std::io::{self, Read, Write};

use clap::{Args, Subcommand};

use super::error::CliError;
use super::json::{Json, Object};
use super::settings::SettingsArguments;
use super::table::{Align, Table};
use crate::config::{Origin, Setting};
use crate::security::KeyHash;
use crate::security::key::{self, KEY_LEN_MAX, KEY_LEN_MIN};

/// Most bytes that are read from standard input.
const KEY_TEXT_LEN_MAX: u64 = 4_096;

/// Shows and checks settings; makes keys for clients.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crossmarket config show --config FILE.toml
  CROSSMARKET__UNIVERSE__SIZE=50 crossmarket config show --json
  crossmarket config check --config FILE.toml && crossmarket serve --config FILE.toml
  crossmarket config hash-key                 a new key for a client, and what to put into security.clients.NAME.key_hashes
  crossmarket config hash-key --stdin < KEY   the hash of an existing key")]
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
    /// Generates a client's key. Prints the key, which is stored nowhere, and its hash for the settings, each on one line.
    HashKey {
        /// Read an existing key, and print only its hash.
        #[arg(long)]
        stdin: bool,
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
        ConfigCommand::HashKey { stdin: false } => {
            let key =
                key::generate().map_err(|_| CliError::Failed("the system provides no random bytes".to_owned()))?;
            writeln!(out, "key   {key}\nhash  {}", KeyHash::of(key.as_bytes()))?;
        }
        ConfigCommand::HashKey { stdin: true } => {
            let mut text = String::new();
            io::stdin().lock().take(KEY_TEXT_LEN_MAX).read_to_string(&mut text)?;
            let key = text.trim();
            let is_key = (KEY_LEN_MIN..=KEY_LEN_MAX).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic());
            if !is_key {
                let expected = format!(
                    "standard input: expected a random key of {KEY_LEN_MIN} to {KEY_LEN_MAX} printable characters"
                );
                return Err(CliError::Failed(expected));
            }
            writeln!(out, "{}", KeyHash::of(key.as_bytes()))?;
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
    object.put("default", setting.default.as_ref().map_or(Json::Null, |value| Json::Text(value.clone())));
    object.text("allowed", &setting.allowed);
    object.text("help", &setting.help);
    Json::Object(object)
}
