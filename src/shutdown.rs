//! Shutdown: drain, then grace, then the hard deadline.

use tokio_util::sync::CancellationToken;

/// The two steps of a shutdown, shared by every part of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    /// Cancelled first: health answers NOT_SERVING, streams end with their cursor, no new work is taken.
    pub drain: CancellationToken,
    /// Cancelled next: collectors stop and flush.
    pub stop: CancellationToken,
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
