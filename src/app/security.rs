//! Puts together who may connect and call, as configured.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::warn;

use super::AppError;
use crate::config::Config;
use crate::security::{Guard, ServerTls, Tokens};

/// What the gRPC port stands behind.
pub(super) struct Security {
    /// `None` without TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Decides about every call.
    pub(super) guard: Guard,
    /// To be run beside the listener; they never end.
    pub(super) rotations: Vec<BoxFuture<'static, ()>>,
}

/// Reads certificates and keys.
pub(super) async fn open(config: &Config) -> Result<Security, AppError> {
    let settings = &config.security;
    let mut rotations: Vec<BoxFuture<'static, ()>> = Vec::new();
    let mut tls = None;
    if let Some(settings) = settings.tls.clone() {
        let (loaded, rotation) = ServerTls::load(settings).await.map_err(AppError::Tls)?;
        rotations.push(Box::pin(rotation.run()));
        tls = Some(loaded);
    }
    let mut tokens = None;
    if let Some(settings) = settings.jwt.clone() {
        let (loaded, rotation) = Tokens::load(settings).await.map_err(AppError::Tokens)?;
        rotations.push(Box::pin(rotation.run()));
        tokens = Some(loaded);
    }
    let guard = match settings.asks_who_calls() {
        true => Guard::closed(settings.clients.clone(), tokens, settings.quotas),
        false => Guard::open(settings.quotas),
    };
    if settings.asks_who_calls() && tls.is_none() && !config.grpc.listen.ip().is_loopback() {
        warn!(address = %config.grpc.listen, "keys and tokens are sent in the clear: there is no security.tls");
    }
    Ok(Security { tls, guard, rotations })
}
