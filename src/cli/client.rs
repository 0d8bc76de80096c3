//! The connection to a running service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::error::CliError;
use super::parse::parse_duration;
use crossmarket_client::{Client, Error, Tls, TraceHeaders};

/// Most attempts of a call: someone is waiting, and should learn soon that the service is down.
const ATTEMPTS_MAX: u32 = 4;

/// How to reach the service.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientArguments {
    /// The service; of several endpoints, separated by commas, any one that works is used.
    #[arg(long, value_name = "URL", env = "CROSSMARKET_SERVER", default_value = "http://127.0.0.1:50051")]
    server: String,
    /// The longest time to wait for an answer, such as 500ms or 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,
    /// The API key of this client.
    #[arg(long, value_name = "KEY", env = "CROSSMARKET_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The token of this client (JWT); it takes precedence over a key.
    #[arg(long, value_name = "TOKEN", env = "CROSSMARKET_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A PEM file of the certificate authorities to trust for https endpoints, instead of the public ones.
    #[arg(long, value_name = "FILE", env = "CROSSMARKET_CA")]
    ca: Option<PathBuf>,
    /// A PEM file of this client's certificate, for mutual TLS.
    #[arg(long, value_name = "FILE", env = "CROSSMARKET_CERTIFICATE", requires = "key")]
    certificate: Option<PathBuf>,
    /// A PEM file of that certificate's private key.
    #[arg(long, value_name = "FILE", env = "CROSSMARKET_KEY", requires = "certificate")]
    key: Option<PathBuf>,
}

impl ClientArguments {
    /// Builds the client, which connects on the first call.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        let mut builder = Client::builder()
            .endpoints(self.server.split(','))
            .deadline(self.timeout)
            .attempt_timeout(self.timeout)
            .attempts_max(ATTEMPTS_MAX);
        // The service would check only the key, which may be a leftover in the environment.
        builder = match (&self.token, &self.api_key) {
            (Some(token), _) => builder.bearer_token(token),
            (None, Some(key)) => builder.api_key(key),
            (None, None) => builder,
        };
        if let Ok(traceparent) = std::env::var("TRACEPARENT") {
            let headers = TraceHeaders { traceparent, tracestate: std::env::var("TRACESTATE").ok() };
            builder = builder.trace_context(move || Some(headers.clone()));
        }
        let mut tls = Tls::default();
        if let Some(path) = &self.ca {
            tls = tls.authority(read(path)?);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            tls = tls.identity(read(certificate)?, read(key)?);
        }
        builder = builder.tls(tls);
        builder.build().map_err(|error| match error {
            Error::Unusable { what: "endpoint", value, reason } => {
                CliError::Usage(format!("--server {value:?}: {reason}"))
            }
            other => CliError::Usage(other.to_string()),
        })
    }

    /// The service's URL, as given.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(server: &str) -> ClientArguments {
        ClientArguments {
            server: server.to_owned(),
            timeout: Duration::from_secs(1),
            api_key: None,
            token: None,
            ca: None,
            certificate: None,
            key: None,
        }
    }

    #[test]
    fn a_token_takes_precedence_over_a_key() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            client: ClientArguments,
        }
        let both = ["command", "--api-key", "key", "--token", "token"];
        let command = <Command as clap::Parser>::try_parse_from(both).expect("one counts");
        assert!(command.client.client().is_ok());
    }

    #[test]
    fn a_server_that_is_no_url_is_wrong_usage() {
        for server in ["ftp://a", "http://", "not a host", "http://a:1,,http://b:1"] {
            let error = arguments(server).client().expect_err(server);
            assert!(matches!(error, CliError::Usage(_)), "{server}: {error}");
        }
        let several = arguments("127.0.0.1:1,https://127.0.0.1:2").client().expect("usable");
        assert_eq!(several.endpoints().len(), 2);
    }
}
