//! Which server has which slot. Asked again after every suspicious answer.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, FromRedisValue, Value};

use super::address::Endpoint;
use super::connection::{RESPONSE_TIMEOUT, connect};

/// Ranges of slots in a Cluster at most; one slot each.
const RANGES_MAX: usize = 16_384;

/// Who has what: by the first slot of a range its last slot, the way to its server, and that server's address.
pub(super) struct Routes(BTreeMap<u16, (u16, ConnectionInfo, String)>);

impl Routes {
    /// One server has all slots.
    fn one(info: ConnectionInfo) -> Self {
        let address = info.addr().to_string();
        Self(BTreeMap::from([(0, (u16::MAX, info, address))]))
    }

    fn of(&self, slot: u16) -> Option<(&ConnectionInfo, &str)> {
        let (_, (last, info, address)) = self.0.range(..=slot).next_back()?;
        (slot <= *last).then_some((info, address.as_str()))
    }

    /// The address of the server that has a slot.
    pub(super) fn address(&self, slot: u16) -> Option<&str> {
        self.of(slot).map(|(_, address)| address)
    }

    /// How to connect to it.
    pub(super) fn info(&self, slot: u16) -> Option<ConnectionInfo> {
        self.of(slot).map(|(info, _)| info.clone())
    }
}

/// Asks who has what. The error is a text for people.
pub(super) async fn find(endpoint: &Endpoint, certificates: Option<&[u8]>) -> Result<Routes, String> {
    match endpoint {
        Endpoint::Server(info) => Ok(Routes::one((**info).clone())),
        Endpoint::Sentinel { sentinels, master, template } => {
            let mut last_error = String::new();
            for sentinel in sentinels {
                let mut command = redis::cmd("SENTINEL");
                command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                match ask::<Option<(String, u16)>>(sentinel, certificates, &command).await {
                    Ok(Some((host, port))) => return Ok(Routes::one(at(template, &host, port))),
                    Ok(None) => last_error = format!("sentinel {} knows no master {master:?}", sentinel.addr()),
                    Err(error) => last_error = format!("sentinel {}: {error}", sentinel.addr()),
                }
            }
            Err(last_error)
        }
        Endpoint::Cluster(seeds) => {
            let mut last_error = String::new();
            for seed in seeds {
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS");
                match ask::<Vec<Vec<Value>>>(seed, certificates, &command).await.and_then(|rows| ranges(seed, &rows)) {
                    Ok(ranges) => return Ok(Routes(ranges)),
                    Err(error) => last_error = format!("redis cluster node {}: {error}", seed.addr()),
                }
            }
            Err(last_error)
        }
    }
}

async fn ask<T: FromRedisValue>(
    info: &ConnectionInfo,
    certificates: Option<&[u8]>,
    command: &redis::Cmd,
) -> Result<T, String> {
    let mut connection = connect(info.clone(), certificates).await?;
    let limit: Duration = RESPONSE_TIMEOUT;
    match tokio::time::timeout(limit, command.query_async(&mut connection)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {limit:?}")),
    }
}

/// The same way of connecting, at another address.
fn at(template: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match template.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    template.clone().set_addr(addr)
}

/// Reads the answer to `CLUSTER SLOTS`: rows of first slot, last slot, and nodes of which the first is the master. A node without a
/// name of its own is the one that was asked.
fn ranges(asked: &ConnectionInfo, rows: &[Vec<Value>]) -> Result<BTreeMap<u16, (u16, ConnectionInfo, String)>, String> {
    let mut ranges = BTreeMap::new();
    for row in rows.iter().take(RANGES_MAX) {
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = row.as_slice() else {
            return Err("CLUSTER SLOTS is not understood".to_owned());
        };
        let (Some(host), Some(Value::Int(port))) = (master.first(), master.get(1)) else {
            return Err("CLUSTER SLOTS is not understood".to_owned());
        };
        let host: Option<String> = redis::from_redis_value_ref(host).unwrap_or(None);
        let (Ok(first), Ok(last), Ok(port)) = (u16::try_from(*first), u16::try_from(*last), u16::try_from(*port))
        else {
            return Err("CLUSTER SLOTS is not understood".to_owned());
        };
        let asked_host = match asked.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        };
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or(asked_host);
        let info = at(asked, &host, port);
        let address = info.addr().to_string();
        ranges.insert(first, (last, info, address));
    }
    if ranges.is_empty() { Err("no slot is assigned".to_owned()) } else { Ok(ranges) }
}
