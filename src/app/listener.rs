//! The gRPC port's accept loop. It limits connections in total and per address, sets a deadline for the handshake and
//! the preface, and pauses when the process runs out of file descriptors, which tonic's own loop does not. Silent
//! connections make room for others before the deadline; peers that send frames without calls are cut off.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::frames::FrameMeter;
use super::transport::Transport;
use crate::security::{Peer, ServerTls, network};
use crossmarket_telemetry::metrics;
use crossmarket_telemetry::registry::{Counter, Gauge};

/// Maximum number of accepted connections that wait for the server.
const READY_CONNECTIONS_MAX: usize = 64;

/// Maximum number of connections with an unfinished handshake. When another arrives, the oldest is closed.
const WAITING_MAX: usize = 1_024;

/// Pause of the loop after an error such as "too many open files".
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Why connections are turned away.
const REFUSALS: [&str; 5] = ["limit", "address_limit", "abuse", "handshake", "preface"];

/// The loop's limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenerLimits {
    /// Maximum number of open connections; further ones wait in the system's queue.
    pub connections_max: usize,
    /// Maximum number of open connections per IPv4 address or IPv6 network; further ones are closed.
    pub connections_per_address_max: usize,
    /// A connection must finish its TLS handshake and the HTTP/2 preface (or begin with HTTP/1.1) within this time, or
    /// it is closed. Nothing else would end it, and probes that only connect would delay a shutdown.
    pub handshake_timeout: Duration,
}

#[derive(Clone, Debug)]
struct Measures {
    open: Arc<Gauge>,
    accepted: Arc<Counter>,
    limit: Arc<Counter>,
    address_limit: Arc<Counter>,
    abuse: Arc<Counter>,
    handshake: Arc<Counter>,
    silent: Arc<Counter>,
}

impl Measures {
    fn new() -> Self {
        let [limit, address_limit, abuse, handshake, silent] =
            REFUSALS.map(|reason| metrics::CONNECTIONS_REFUSED.with(&[reason]));
        let (open, accepted) = (metrics::CONNECTIONS_OPEN.with(&[]), metrics::CONNECTIONS_ACCEPTED.with(&[]));
        Self { open, accepted, limit, address_limit, abuse, handshake, silent }
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

/// Accepts until cancelled. Returned connections have sent their first byte; they fail if the rest of the preface is
/// late.
pub(super) fn accept(
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
    let addresses = Addresses::default();
    let measures = Measures::new();
    let mut waiting = Waiting::default();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                warn!(%error, "connection not accepted");
                waiting.make_room(&measures);
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                continue;
            }
        };
        measures.accepted.increment();
        let Some(of_address) = addresses.enter(address, limits.connections_per_address_max) else {
            measures.address_limit.increment();
            debug!(%address, "connection closed: the address has too many");
            continue;
        };
        if places.available_permits() == 0 || waiting.is_full() {
            waiting.make_room(&measures);
        }
        // The semaphore is never closed, so a permit always comes.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let held = Held { _place: place, _of_address: of_address, _open: Open::new(&measures.open) };
        let handed_over = hand_over(stream, held, limits, tls.clone(), ready.clone(), measures.clone());
        waiting.push(tokio::spawn(cancel.clone().run_until_cancelled_owned(handed_over)).abort_handle());
    }
}

/// Connections with an unfinished handshake, oldest first.
#[derive(Default)]
struct Waiting(VecDeque<AbortHandle>);

impl Waiting {
    /// True at the limit. Connections that have finished their handshake do not count.
    fn is_full(&mut self) -> bool {
        if self.0.len() >= WAITING_MAX {
            self.0.retain(|connection| !connection.is_finished());
        }
        self.0.len() >= WAITING_MAX
    }

    fn push(&mut self, connection: AbortHandle) {
        while self.0.front().is_some_and(AbortHandle::is_finished) {
            self.0.pop_front();
        }
        self.0.push_back(connection);
    }

    /// Closes the connection that has waited longest.
    fn make_room(&mut self, measures: &Measures) {
        while let Some(oldest) = self.0.pop_front() {
            if !oldest.is_finished() {
                oldest.abort();
                measures.limit.increment();
                return;
            }
        }
    }
}

/// Connections by IPv4 address or IPv6 network, as for quotas.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// Counts a connection until it is dropped; `None` when the address is at its limit.
    fn enter(&self, address: IpAddr, max: usize) -> Option<OfAddress> {
        let address = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        (*count < max).then(|| {
            *count += 1;
            OfAddress { addresses: self.clone(), address }
        })
    }
}

/// One connection of an address.
#[derive(Debug)]
struct OfAddress {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The limits that a connection counts against until it is dropped.
#[derive(Debug)]
struct Held {
    _place: OwnedSemaphorePermit,
    _of_address: OfAddress,
    _open: Open,
}

async fn hand_over(
    stream: TcpStream,
    held: Held,
    limits: ListenerLimits,
    tls: Option<Arc<ServerTls>>,
    ready: mpsc::Sender<io::Result<Connection>>,
    measures: Measures,
) {
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
            let (mut kept, keep) = oneshot::channel();
            let opening = Some(Opening { end: Box::pin(sleep_until(end)), keep });
            let connection = Connection { stream, peer, frames: FrameMeter::new(), opening, measures, _held: held };
            // A send fails only when the server has ended.
            drop(ready.send(Ok(connection)).await);
            // Until its preface is complete it may still have to make room.
            kept.closed().await;
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

/// Does the TLS handshake, if the port speaks TLS.
async fn open(stream: TcpStream, tls: Option<Arc<ServerTls>>) -> io::Result<(Transport, Peer)> {
    // Send small frames immediately instead of waiting for more data.
    stream.set_nodelay(true)?;
    let address = stream.peer_addr().ok();
    let Some(tls) = tls else { return Ok((Transport::Plain(stream), Peer::new(address, &[]))) };
    let stream = tls.accept(stream).await?;
    let peer = Peer::new(address, stream.get_ref().1.peer_certificates().unwrap_or_default());
    Ok((Transport::Tls(Box::new(stream)), peer))
}

/// An open connection, which counts against the limit until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Transport,
    peer: Peer,
    frames: FrameMeter,
    /// `None` once the peer's HTTP version is known. Reads then have no time limit.
    opening: Option<Opening>,
    measures: Measures,
    _held: Held,
}

/// A connection whose preface is incomplete.
#[derive(Debug)]
struct Opening {
    /// When the preface must be complete.
    end: Pin<Box<Sleep>>,
    /// Ends when the connection must make room.
    keep: oneshot::Receiver<()>,
}

impl Opening {
    /// Why a connection must be closed.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::ErrorKind> {
        if self.keep.is_terminated() || Pin::new(&mut self.keep).poll(context).is_ready() {
            return Poll::Ready(io::ErrorKind::ConnectionAborted);
        }
        self.end.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut)
    }
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
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let received = buffer.filled().get(before..).unwrap_or_default();
        if !self.frames.receive(received) {
            self.measures.abuse.increment();
            debug!(peer = ?self.peer, "connection cut off: frames that carry nothing");
            return Poll::Ready(Err(io::Error::other("too many frames that carry nothing")));
        }
        if self.frames.is_version_known() {
            self.opening = None;
        }
        if polled.is_pending()
            && let Some(opening) = &mut self.opening
            && let Poll::Ready(kind) = opening.poll_end(context)
        {
            // Counted where the connection is evicted.
            if kind == io::ErrorKind::TimedOut {
                self.measures.silent.increment();
            }
            debug!(peer = ?self.peer, ?kind, "connection closed: its first words did not come in time");
            return Poll::Ready(Err(kind.into()));
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(len)) = written {
            self.frames.send(bytes.get(..len).unwrap_or_default());
        }
        written
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(mut len)) = written {
            for slice in slices {
                let of_slice = len.min(slice.len());
                self.frames.send(slice.get(..of_slice).unwrap_or_default());
                len -= of_slice;
            }
        }
        written
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

    const LIMITS: ListenerLimits = ListenerLimits {
        connections_max: 8,
        connections_per_address_max: 8,
        handshake_timeout: Duration::from_secs(60),
    };

    async fn start(limits: ListenerLimits) -> (std::net::SocketAddr, ReceiverStream<io::Result<Connection>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        (address, accept(listener, limits, None, CancellationToken::new()))
    }

    #[tokio::test]
    async fn closes_connections_that_say_nothing() {
        let limits = ListenerLimits { handshake_timeout: Duration::from_millis(20), ..LIMITS };
        let (address, _connections) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.expect("accepted");
        assert_eq!(silent.read(&mut [0]).await.expect("closed in order"), 0);
    }

    /// Reads until the end or an error, like an HTTP server that waits for the preface.
    async fn read_all(mut connection: Connection) -> io::Result<usize> {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await
    }

    #[tokio::test]
    async fn one_byte_is_no_preface() {
        let limits = ListenerLimits { handshake_timeout: Duration::from_millis(50), ..LIMITS };
        let (address, mut connections) = start(limits).await;
        let refused = Measures::new().silent;
        let before = refused.get();
        for words in [&b"P"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let mut slow = TcpStream::connect(address).await.expect("accepted");
            slow.write_all(words).await.expect("written");
            let connection = connections.next().await.expect("a connection").expect("accepted");
            let read = tokio::time::timeout(Duration::from_secs(5), read_all(connection)).await.expect("in time");
            assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        }
        assert!(refused.get() >= before + 2, "{}", refused.get());
        for words in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"POST /"] {
            let mut calm = TcpStream::connect(address).await.expect("accepted");
            calm.write_all(words).await.expect("written");
            let connection = connections.next().await.expect("a connection").expect("accepted");
            let read = tokio::time::timeout(Duration::from_millis(200), read_all(connection)).await;
            assert!(read.is_err(), "whoever has said what it speaks may be silent: {read:?}");
        }
    }

    #[tokio::test]
    async fn holds_further_connections_back() {
        let limits = ListenerLimits { connections_max: 1, ..LIMITS };
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

    #[tokio::test]
    async fn a_silent_connection_makes_room_for_one_that_speaks() {
        let (address, mut connections) = start(ListenerLimits { connections_max: 2, ..LIMITS }).await;
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(TcpStream::connect(address).await.expect("accepted"));
        }
        let mut speaking = TcpStream::connect(address).await.expect("accepted");
        speaking.write_all(b"x").await.expect("written");
        assert!(connections.next().await.is_some());
        assert_eq!(silent[0].read(&mut [0]).await.expect("closed in order"), 0);
    }

    #[tokio::test]
    async fn a_connection_of_one_byte_makes_room_as_a_silent_one_does() {
        let (address, mut connections) = start(ListenerLimits { connections_max: 1, ..LIMITS }).await;
        let mut slow = TcpStream::connect(address).await.expect("accepted");
        slow.write_all(b"P").await.expect("written");
        let reading = tokio::spawn(read_all(connections.next().await.expect("a connection").expect("accepted")));
        let mut speaking = TcpStream::connect(address).await.expect("accepted");
        speaking.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        let next = tokio::time::timeout(Duration::from_secs(5), connections.next()).await.expect("a place");
        let ended = reading.await.expect("no panic").map_err(|error| error.kind());
        assert_eq!(ended, Err(io::ErrorKind::ConnectionAborted));
        let spoken = tokio::spawn(read_all(next.expect("a connection").expect("accepted")));
        // Once a connection has sent data it stays, however many others connect.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut third = TcpStream::connect(address).await.expect("queued");
        third.write_all(b"x").await.expect("written");
        assert!(tokio::time::timeout(Duration::from_millis(100), connections.next()).await.is_err());
        assert!(!spoken.is_finished());
    }

    #[tokio::test]
    async fn connections_that_have_done_their_handshake_wait_no_more() {
        let done = tokio::spawn(async {});
        let silent = tokio::spawn(std::future::pending::<()>());
        let mut waiting = Waiting::default();
        waiting.push(silent.abort_handle());
        (1..WAITING_MAX).for_each(|_| waiting.push(done.abort_handle()));
        done.await.expect("done");
        assert!(!waiting.is_full(), "nobody is closed for those that have gone");
        assert_eq!(waiting.0.len(), 1);
        (1..WAITING_MAX).for_each(|_| waiting.push(silent.abort_handle()));
        assert!(waiting.is_full());
        silent.abort();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let addresses = Addresses::default();
        let enter = |address: &str| addresses.enter(address.parse().expect("an address"), 1);
        let held = enter("2001:db8::1").expect("the first");
        assert!(enter("2001:db8::2").is_none(), "the same network");
        assert!(enter("2001:db8:0:1::1").is_some(), "another one");
        drop(held);
        let _mapped = enter("::ffff:192.0.2.1").expect("an address of IPv4");
        assert!(enter("192.0.2.1").is_none(), "the same in another notation");
        assert!(enter("192.0.2.2").is_some());
        assert!(enter("2001:db8::2").is_some(), "the place is free again");
    }

    #[tokio::test]
    async fn an_address_has_its_own_limit() {
        let (address, mut connections) = start(ListenerLimits { connections_per_address_max: 1, ..LIMITS }).await;
        let mut first = TcpStream::connect(address).await.expect("accepted");
        first.write_all(b"x").await.expect("written");
        let held = connections.next().await.expect("a connection").expect("accepted");
        let mut second = TcpStream::connect(address).await.expect("accepted");
        assert_eq!(second.read(&mut [0]).await.expect("closed in order"), 0);
        drop(held);
        let mut third = TcpStream::connect(address).await.expect("accepted");
        third.write_all(b"x").await.expect("written");
        assert!(connections.next().await.is_some());
    }
}
