//! One connection to a Redis server: how it is set up, and which server answers.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, ServerErrorKind};
use smol_str::SmolStr;

/// Longest time to a connection, and to each answer while it is set up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// Longest time to an answer, besides what its bytes take.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(200);

/// Which server a connection leads to: it changes when a server is restarted and when another takes its place.
pub(super) type Identity = SmolStr;

/// A new connection, logged in.
pub(super) async fn connect(
    info: redis::ConnectionInfo,
    certificates: Option<&[u8]>,
) -> Result<MultiplexedConnection, String> {
    let client = match certificates.filter(|_| matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. })) {
        Some(root) => {
            let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(root.to_vec()) };
            Client::build_with_tls(info, certificates)
        }
        None => Client::open(info),
    };
    // The crate's own time-outs stay off besides the connection's: each request has its own.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
    let client = client.map_err(|error| error.to_string())?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    match tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

/// The server's run id, which is new after every start; a replica is refused. Where `INFO` is not permitted every connection counts as
/// another server, which costs a writer a new epoch with each.
pub(super) async fn identify(connection: &MultiplexedConnection) -> Result<Identity, String> {
    let mut connection = connection.clone();
    let mut both = redis::pipe();
    both.cmd("INFO").arg("server").cmd("INFO").arg("replication");
    let answer = tokio::time::timeout(RESPONSE_TIMEOUT, both.query_async::<(String, String)>(&mut connection)).await;
    let (server, replication) = match answer {
        Err(_) => return Err("no answer in time".to_owned()),
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
            return Ok(format!("unknown-{:016x}", rand::random::<u64>()).into());
        }
        Ok(Err(error)) => return Err(error.to_string()),
    };
    let line = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name).map(|rest| SmolStr::new(rest.trim())))
    };
    if line(&replication, "role:").is_some_and(|role| role != "master") {
        return Err("it is a replica, and only a master takes writes".to_owned());
    }
    line(&server, "run_id:").ok_or_else(|| "it does not tell its run_id".to_owned())
}
