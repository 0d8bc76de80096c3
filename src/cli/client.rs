//! The connection to a running service.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};

use super::error::CliError;
use crate::proto::v1::price_service_client::PriceServiceClient;

/// Largest answer that is read, in bytes: 1,000 full snapshots with 50 contributions each fit several times.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the service is.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientArguments {
    /// Where the service is.
    #[arg(long, value_name = "URL", env = "CROSSMARKET_SERVER", default_value = "http://127.0.0.1:50051")]
    server: String,
}

impl ClientArguments {
    /// Connects to the price service.
    pub(super) async fn prices(&self) -> Result<PriceServiceClient<Channel>, CliError> {
        let channel = self.connect().await?;
        Ok(PriceServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// Where the service is, as given.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    async fn connect(&self) -> Result<Channel, CliError> {
        let unusable = || CliError::Usage(format!("--server {:?}: expected http://HOST:PORT", self.server));
        let url = if self.server.contains("://") { self.server.clone() } else { format!("http://{}", self.server) };
        if !url.starts_with("http://") {
            return Err(unusable());
        }
        // A silent peer is noticed by unanswered pings, so that a watch does not hang on a dead connection.
        let endpoint = Endpoint::from_shared(url)
            .map_err(|_| unusable())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        endpoint.connect().await.map_err(|source| CliError::Connect { server: self.server.clone(), source })
    }
}

/// True for failures that may pass: the service is starting, draining or gone, or the connection broke.
pub(super) fn may_pass(error: &CliError) -> bool {
    match error {
        CliError::Connect { .. } => true,
        CliError::Status(status) => {
            status.code() == tonic::Code::Unavailable || status.source().is_some_and(is_transport)
        }
        _ => false,
    }
}

/// Whether an error, or one of its causes, comes from the connection rather than from the service.
fn is_transport(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<tonic::transport::Error>() || current.is::<std::io::Error>() {
            return true;
        }
        cause = current.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> ClientArguments {
        ClientArguments { server: server.to_owned() }
    }

    #[tokio::test]
    async fn a_server_that_is_no_url_is_wrong_usage() {
        for server in ["https://127.0.0.1:1", "ftp://a", "http://", "not a host"] {
            let error = client(server).prices().await.expect_err(server);
            assert!(matches!(error, CliError::Usage(_)), "{server}: {error}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert!(may_pass(&tonic::Status::unavailable("draining").into()));
        assert!(!may_pass(&tonic::Status::not_found("no").into()));
        assert!(!may_pass(&CliError::AlreadyTold));
    }
}
