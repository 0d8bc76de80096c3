//! The scripts. Each is called by its hash; a server that has lost it (a restart, a failover) is given it again.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, ToRedisArgs, Value};

use super::pool::{Failure, Lent};

/// A script and its hash.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

pub(super) static OPEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("open.lua")));
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));
pub(super) static PUBLISHED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("published.lua")));
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));
pub(super) static SERIES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("series.lua")));

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// A call with these keys, to which arguments are added.
    pub(super) fn call(&self, keys: &[impl ToRedisArgs]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        command
    }

    /// Runs such a call.
    pub(super) async fn run(&self, lent: &mut Lent<'_>, call: &Cmd, limit: Duration) -> Result<Value, Failure> {
        match lent.send(call, limit).await {
            Err(Failure::NoScript) => {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(self.source);
                lent.send(&load, limit).await?;
                lent.send(call, limit).await
            }
            answer => answer,
        }
    }
}
