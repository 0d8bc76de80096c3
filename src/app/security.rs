//! Certificates, keys and quotas of the gRPC port, as configured.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::{error, info, warn};

use super::error::AppError;
use crate::config::{Config, SecurityConfig};
use crate::security::{FileError, Guard, Reloads, ServerTls, Tokens, WatchedFiles};

/// The protection of the gRPC port.
pub(super) struct Security {
    /// `None` without TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Decides about every call.
    pub(super) guard: Guard,
    /// Tasks that run beside the listener and never end.
    pub(super) rotations: Vec<BoxFuture<'static, ()>>,
    pub(super) reloads: FileReloads,
}

/// Reloads of changed files, by kind of file.
pub(super) type FileReloads = Vec<(&'static str, Arc<Reloads>)>;

/// Reads certificates and keys.
pub(super) async fn open(config: &Config) -> Result<Security, AppError> {
    let settings = &config.security;
    let mut rotations: Vec<BoxFuture<'static, ()>> = Vec::new();
    let mut reloads = Vec::new();
    let mut tls = None;
    if let Some(settings) = settings.tls.clone() {
        let (loaded, rotation) = ServerTls::load(settings).await.map_err(AppError::Tls)?;
        reloads.push(("certificates", rotation.reloads()));
        rotations.push(Box::pin(rotation.run()));
        tls = Some(loaded);
    }
    let mut tokens = None;
    if let Some(settings) = settings.jwt.clone() {
        let (loaded, rotation) = Tokens::load(settings).await.map_err(AppError::Tokens)?;
        reloads.push(("token_keys", rotation.reloads()));
        rotations.push(Box::pin(rotation.run()));
        tokens = Some(loaded);
    }
    let guard = match settings.asks_who_calls() {
        true => Guard::closed(settings.all_clients(), tokens, settings.quotas),
        false => Guard::open(settings.quotas),
    };
    if let Some(path) = settings.clients_file.as_ref().map(|file| file.path.clone()) {
        let (files, contents) = WatchedFiles::read(vec![path]).await.map_err(AppError::Clients)?;
        reloads.push(("clients", files.reloads()));
        // The file may have changed since the settings were read.
        take_clients(&guard, settings, Ok(contents));
        let (guard, settings) = (guard.clone(), settings.clone());
        rotations
            .push(Box::pin(async move { files.follow(|contents| take_clients(&guard, &settings, contents)).await }));
    }
    if settings.asks_who_calls() && tls.is_none() && !config.grpc.listen.ip().is_loopback() {
        warn!(address = %config.grpc.listen, "keys and tokens are sent in the clear: there is no security.tls");
    }
    Ok(Security { tls, guard, rotations, reloads })
}

/// Applies the clients of a changed file.
fn take_clients(guard: &Guard, settings: &SecurityConfig, contents: Result<Vec<Vec<u8>>, FileError>) -> bool {
    let Some(file) = &settings.clients_file else { return false };
    match contents.map(|contents| settings.clients_with(&file.path, &contents.concat())) {
        Ok(Ok(clients)) => {
            info!(count = clients.len(), "clients read");
            guard.replace_clients(clients);
            return true;
        }
        Ok(Err(problems)) => error!(%problems, "the new clients cannot be used, keeping the old ones"),
        Err(problem) => error!(%problem, "the new clients cannot be read, keeping the old ones"),
    }
    false
}
