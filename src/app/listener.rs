//! The gRPC port's accept loop: a limit on connections, a deadline on the first byte, and a pause when the process runs out of
//! file descriptors, which tonic's own loop has not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::transport::Transport;
use crate::security::{Peer, ServerTls};
use crate::telemetry::metrics::recorder;
use crate::telemetry::registry::{Counter, Gauge};

/// Accepted connections that wait for the server to take them, at most.
const READY_CONNECTIONS_MAX: usize = 64;

/// How long accepting rests after an error such as "too many open files".
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Why connections are turned away.
const REFUSALS: [&str; 5] = ["limit", "address_limit", "abuse", "handshake", "preface"];

/// The loop's limits.
#[derive(Clone, Copy, Debug)]
pub struct ListenerLimits {
    /// Open connections at most; further ones wait in the system's queue.
    pub connections_max: usize,
    /// A connection that has sent nothing for so long, or not finished its TLS handshake, is closed. Probes that only connect would otherwise
    /// hold up a shutdown.
    pub handshake_timeout: Duration,
}

/// What is counted of connections.
#[derive(Clone, Debug)]
struct Measures {
    open: Arc<Gauge>,
    accepted: Arc<Counter>,
    handshake: Arc<Counter>,
    silent: Arc<Counter>,
}

impl Measures {
    fn new() -> Self {
        let recorder = recorder();
        let [_, _, _, handshake, silent] = REFUSALS.map(|reason| recorder.connections_refused.with(&[reason]));
        let (open, accepted) = (recorder.connections_open.with(&[]), recorder.connections_accepted.with(&[]));
        Self { open, accepted, handshake, silent }
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
struct Open(Arc<Gauge>);

impl Open {
    fn new(gauge: &Arc<Gauge>) -> Self {
        gauge.increment();
        Self(Arc::clone(gauge))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement();
    }
}

/// Accepts until cancelled; what comes out has sent its first byte.
pub fn accept(
    listener: TcpListener,
    limits: ListenerLimits,
    tls: Option<Arc<ServerTls>>,
    cancel: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, receiver) = mpsc::channel(READY_CONNECTIONS_MAX);
    let accepting = accept_for_ever(listener, limits, tls, ready, cancel.clone());
    tokio::spawn(cancel.run_until_cancelled_owned(accepting));
    ReceiverStream::new(receiver)
}

async fn accept_for_ever(
    listener: TcpListener,
    limits: ListenerLimits,
    tls: Option<Arc<ServerTls>>,
    ready: mpsc::Sender<io::Result<Connection>>,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let measures = Measures::new();
    loop {
        // The semaphore is never closed, so a permit always comes.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                measures.accepted.increment();
                let handed_over = hand_over(stream, place, limits, tls.clone(), ready.clone(), measures.clone());
                tokio::spawn(cancel.clone().run_until_cancelled_owned(handed_over));
            }
            Err(error) => {
                warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

async fn hand_over(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    limits: ListenerLimits,
    tls: Option<Arc<ServerTls>>,
    ready: mpsc::Sender<io::Result<Connection>>,
    measures: Measures,
) {
    let counted = Open::new(&measures.open);
    let end = Instant::now() + limits.handshake_timeout;
    match timeout_at(end, stream.peek(&mut [0])).await {
        Ok(Ok(1)) => {}
        Ok(_) => return,
        Err(_) => {
            measures.silent.increment();
            debug!("connection closed: nothing was sent");
            return;
        }
    }
    match timeout_at(end, open(stream, tls)).await {
        Ok(Ok((stream, peer))) => {
            // A send fails only when the server has ended.
            drop(ready.send(Ok(Connection { stream, peer, _place: place, _open: counted })).await);
        }
        Ok(Err(error)) => {
            measures.handshake.increment();
            debug!(%error, "connection closed before its first call");
        }
        Err(_) => {
            measures.handshake.increment();
            debug!("connection closed: no handshake in time");
        }
    }
}

/// Does the handshake where TLS is spoken.
async fn open(stream: TcpStream, tls: Option<Arc<ServerTls>>) -> io::Result<(Transport, Peer)> {
    // Small frames must not wait for more to come.
    stream.set_nodelay(true)?;
    let address = stream.peer_addr().ok();
    let Some(tls) = tls else { return Ok((Transport::Plain(stream), Peer::new(address, &[]))) };
    let stream = tls.accept(stream).await?;
    let peer = Peer::new(address, stream.get_ref().1.peer_certificates().unwrap_or_default());
    Ok((Transport::Tls(Box::new(stream)), peer))
}

/// An open connection, which counts against the limit until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    peer: Peer,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    async fn start(limits: ListenerLimits) -> (std::net::SocketAddr, ReceiverStream<io::Result<Connection>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        (address, accept(listener, limits, None, CancellationToken::new()))
    }

    #[tokio::test]
    async fn closes_connections_that_say_nothing() {
        let limits = ListenerLimits { connections_max: 8, handshake_timeout: Duration::from_millis(20) };
        let (address, _connections) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.expect("accepted");
        assert_eq!(silent.read(&mut [0]).await.expect("closed in order"), 0);
    }

    #[tokio::test]
    async fn holds_further_connections_back() {
        let limits = ListenerLimits { connections_max: 1, handshake_timeout: Duration::from_secs(60) };
        let (address, mut connections) = start(limits).await;
        let mut first = TcpStream::connect(address).await.expect("accepted");
        first.write_all(b"x").await.expect("written");
        let held = connections.next().await.expect("a connection").expect("accepted");
        let mut second = TcpStream::connect(address).await.expect("queued");
        second.write_all(b"x").await.expect("written");
        assert!(tokio::time::timeout(Duration::from_millis(50), connections.next()).await.is_err());
        drop(held);
        assert!(connections.next().await.is_some());
    }
}
