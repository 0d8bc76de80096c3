//! A TCP proxy for fault tests: it passes, delays, cuts, swallows or refuses, and changes its mind while connections are open.

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the proxy treats every byte, on open and new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass.
    Pass,
    /// Bytes pass so much later, in each direction.
    Delay(Duration),
    /// Connections stay open and are accepted, and every byte is kept back: what half-open looks like. Bytes kept back are lost.
    BlackHole,
    /// Open connections are closed, and new ones are closed immediately.
    Cut,
    /// Requests pass and every answer is kept back: the server does what it was asked, and nobody hears of it.
    LoseAnswers,
}

/// A running proxy. It ends, with its connections, when it goes out of scope.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    upstream: watch::Sender<SocketAddr>,
    accepted: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of a port of this machine, on a free port.
    pub async fn start(upstream_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("bound");
        let fault = watch::Sender::new(Fault::Pass);
        let upstream = watch::Sender::new(SocketAddr::from(([127, 0, 0, 1], upstream_port)));
        let accepted = Arc::new(AtomicU64::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, fault.subscribe(), upstream.subscribe(), Arc::clone(&accepted)));
        Self { address, fault, upstream, accepted, _accepting: accepting }
    }

    /// `redis://ADDRESS`.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Changes what happens from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Sends new connections to another port of this machine.
    pub fn redirect(&self, upstream_port: u16) {
        self.upstream.send_replace(SocketAddr::from(([127, 0, 0, 1], upstream_port)));
    }

    /// How many connections were accepted so far.
    pub fn accepted_count(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    fault: watch::Receiver<Fault>,
    upstream: watch::Receiver<SocketAddr>,
    accepted: Arc<AtomicU64>,
) {
    // Dropped with this task, and then every connection ends.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        accepted.fetch_add(1, Ordering::Relaxed);
        while connections.try_join_next().is_some() {}
        let (fault, upstream) = (fault.clone(), *upstream.borrow());
        connections.spawn(async move {
            let mut cut = fault.clone();
            tokio::select! {
                // An error means that the proxy has ended, and so must this task.
                _ = cut.wait_for(|fault| *fault == Fault::Cut) => {}
                () = connection(client, upstream, fault) => {}
            }
        });
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, mut fault: watch::Receiver<Fault>) {
    // In a black hole nothing is connected: the client's bytes wait.
    if fault.wait_for(|fault| *fault != Fault::BlackHole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // Small frames must not wait for each other's acknowledgement: it is a fault to be asked for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = pump(client_read, server_write, fault.clone(), false) => {}
        () = pump(server_read, client_write, fault, true) => {}
    }
}

/// Copies one direction until either side closes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: watch::Receiver<Fault>, is_answer: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *fault.borrow();
        match now {
            Fault::BlackHole => continue,
            Fault::LoseAnswers if is_answer => continue,
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Pass | Fault::LoseAnswers | Fault::Cut => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The other side is to see the end while the fault lasts, as it would with a cable pulled.
    let mut fault = fault;
    let _ = fault.wait_for(|fault| *fault != Fault::BlackHole).await;
}
