//! Runs a process: build, spawn, wait, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::error::AppError;
use super::measured::Measured;
use super::process_view::ProcessView;
use super::security::{self, Security};
use super::{admin, grpc, metrics, settings};
use crate::config::Config;
use crate::services::{self, Services, VenueEntry, WireEncoder};
use crate::shutdown::{self, Shutdown};
use crate::telemetry::Telemetry;
use crate::telemetry::otlp::Otlp;
use crossmarket_clock::Clock;
use crossmarket_collector::indices::INDEX_NEWS_MAX;
use crossmarket_collector::indices::IndexOwner;
use crossmarket_collector::{self as collector, CollectorError, CollectorSettings};
use crossmarket_domain::{Shards, Timestamp};
use crossmarket_image::histories::{self, Histories};
use crossmarket_image::{Image, ImageSettings, Position, follow};
use crossmarket_store::Store;

/// Time for the collector's last batch and the store's flush after the grace.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that a process runs with.
pub(super) struct Process {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    pub(super) store_kind: &'static str,
    /// False when this process answers no gRPC.
    pub(super) serves: bool,
    /// `None` when this process does not collect.
    pub(super) collector: Option<CollectorSettings>,
    pub(super) venues: Vec<VenueEntry>,
    pub(super) simulated: bool,
    pub(super) telemetry: Telemetry,
    /// Printed once the ports are open, with the URL of the gRPC port.
    pub(super) banner: fn(&str) -> String,
}

/// Runs a process until a signal, or until a part of it fails.
pub(super) async fn run(process: Process) -> Result<(), AppError> {
    // Another part of the program may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut running = spawn(build(process).await?).await?;
    let ended = running.wait().await;
    running.drain(ended).await
}

/// A process whose ports are open and whose certificates are read; no task runs yet.
struct Parts {
    core: Core,
    admin: TcpListener,
    /// `None` when this process answers no gRPC.
    grpc: Option<(TcpListener, Security)>,
    collector: Option<CollectorSettings>,
    venues: Vec<VenueEntry>,
    telemetry: Telemetry,
    banner: fn(&str) -> String,
}

/// Shared by all parts.
struct Core {
    config: Config,
    clock: Clock,
    shards: Shards,
    store: Arc<dyn Store>,
    image: Arc<Image>,
    histories: Arc<Histories>,
    simulated: bool,
    started: Timestamp,
    shutdown: Shutdown,
}

async fn build(process: Process) -> Result<Parts, AppError> {
    let Process { config, clock, store, store_kind, serves, collector, venues, simulated, telemetry, banner } = process;
    let grpc = if serves { Some(bind("grpc.listen", config.grpc.listen).await?) } else { None };
    let admin = bind("admin.listen", config.admin.listen).await?;
    let grpc = match grpc {
        Some(listener) => Some((listener, security::open(&config).await?)),
        None => None,
    };
    let shards = Shards::new(config.collector.shards);
    let written = collector.is_some().then_some(shards);
    let core = Core {
        clock,
        shards,
        store: Arc::new(Measured::new(store, store_kind, written)),
        image: Arc::new(Image::new(WireEncoder, ImageSettings { shards, ..ImageSettings::default() })),
        histories: Arc::new(Histories::default()),
        simulated,
        started: Clock::system().now(),
        shutdown: Shutdown::default(),
        config,
    };
    Ok(Parts { core, admin, grpc, collector, venues, telemetry, banner })
}

/// A process whose tasks run.
struct Running {
    core: Core,
    background: JoinSet<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// `None` once it has ended.
    collecting: Option<JoinHandle<Result<(), CollectorError>>>,
    otlp: Option<Otlp>,
}

async fn spawn(mut parts: Parts) -> Result<Running, AppError> {
    let mut background = JoinSet::new();
    if parts.collector.is_none() && !parts.core.config.store.is_shared() {
        open_unwritten_shards(&parts.core).await?;
    }
    spawn_followers(&parts.core, &mut background);
    if let Some((_, security)) = &mut parts.grpc {
        for rotation in std::mem::take(&mut security.rotations) {
            background.spawn(rotation);
        }
    }
    let view = view(&parts);
    let measured = view.clone();
    let otlp = parts.telemetry.start(Arc::new(move || metrics::page(&measured)))?;
    let Parts { core, admin, grpc, collector, venues, banner, .. } = parts;
    let admin_address = address_of(&admin);
    let router = admin::router(view, core.config.admin.status_page);
    background.spawn(async move {
        if let Err(error) = axum::serve(admin, router).await {
            warn!(%error, "admin port ended");
        }
    });
    let server = match grpc {
        Some((listener, security)) => {
            let mark = if core.simulated { " simulated=true" } else { "" };
            let grpc_address = address_of(&listener);
            let scheme = if security.tls.is_some() { "https" } else { "http" };
            let server = spawn_grpc(&core, listener, security, venues, &mut background).await?;
            println!("listening grpc={grpc_address} admin={admin_address}{mark}");
            print!("{}", banner(&format!("{scheme}://{grpc_address}")));
            info!(%grpc_address, %admin_address, simulated = core.simulated, "listening");
            server
        }
        None => {
            println!("listening admin={admin_address}");
            info!(%admin_address, "listening");
            until_cancelled(&core.shutdown.drain)
        }
    };
    let collecting = Some(match collector {
        Some(settings) => spawn_collector(&core, settings),
        None => until_cancelled(&core.shutdown.drain),
    });
    Ok(Running { core, background, server, collecting, otlp })
}

/// Nobody but this process writes to a store that is not shared. Without a collector its shards are complete as they
/// are, even if they never had a writer: histories may have been imported.
async fn open_unwritten_shards(core: &Core) -> Result<(), AppError> {
    for shard in core.shards.all() {
        if core.store.bootstrap(shard).await?.epoch == 0 {
            core.image.bootstrap(shard, Position { epoch: 0, revision: 0 }, Vec::new(), core.clock.now());
        }
    }
    Ok(())
}

/// Keeps the live image and the histories up to date.
fn spawn_followers(core: &Core, background: &mut JoinSet<()>) {
    let Core { clock, image, store, histories, shutdown, .. } = core;
    for shard in core.shards.all() {
        let (image, store) = (Arc::clone(image), Arc::clone(store));
        background.spawn(follow::follow_shard(image, store, shard, *clock, shutdown.stop.clone()));
    }
    background.spawn(follow::keep_fresh(Arc::clone(image), *clock, shutdown.stop.clone()));
    background.spawn(histories::keep(Arc::clone(histories), Arc::clone(store), *clock, shutdown.stop.clone()));
}

fn view(parts: &Parts) -> ProcessView {
    let core = &parts.core;
    let security = parts.grpc.as_ref().map(|(_, security)| security);
    ProcessView {
        image: Arc::clone(&core.image),
        clock: core.clock,
        drain: core.shutdown.drain.clone(),
        simulated: core.simulated,
        serves: parts.grpc.is_some(),
        role: match (&parts.grpc, &parts.collector) {
            (Some(_), Some(_)) => "all",
            (Some(_), None) => "server",
            (None, _) => "collector",
        },
        leading: parts.collector.as_ref().map(|settings| settings.leading.clone()),
        started: core.started,
        tls: security.and_then(|security| security.tls.clone()),
        reloads: security.map(|security| security.reloads.clone()).unwrap_or_default().into(),
        guard: security.map(|security| security.guard.clone()),
    }
}

async fn spawn_grpc(
    core: &Core,
    listener: TcpListener,
    security: Security,
    venues: Vec<VenueEntry>,
    background: &mut JoinSet<()>,
) -> Result<JoinHandle<Result<(), tonic::transport::Error>>, AppError> {
    let services = Services {
        image: Arc::clone(&core.image),
        store: Arc::clone(&core.store),
        histories: Arc::clone(&core.histories),
        clock: core.clock,
        drain: core.shutdown.drain.clone(),
        venues: venues.into(),
        simulated: core.simulated,
        streams: settings::streams(&core.config.grpc),
        measured: core.config.telemetry.metrics,
        send_gzip: true,
    };
    let api = services::api(services, security.guard, core.config.grpc.reflection).await?;
    background.spawn(api.health);
    Ok(grpc::spawn(&core.config, listener, security.tls, api.routes, &core.shutdown.drain))
}

/// The collector ends when the drain begins, so that a successor for its shards need not wait for this process's
/// clients.
fn spawn_collector(core: &Core, mut settings: CollectorSettings) -> JoinHandle<Result<(), CollectorError>> {
    let (news, news_receiver) = mpsc::channel(INDEX_NEWS_MAX);
    settings.index_news = Some(news);
    let owner = IndexOwner {
        store: Arc::clone(&core.store),
        shard: core.shards.cross_asset(),
        clock: core.clock,
        image: Arc::clone(&core.image),
        histories: Arc::clone(&core.histories),
        news: news_receiver,
        settings: settings::indices(&core.config, core.simulated),
    };
    let (store, stop) = (Arc::clone(&core.store), core.shutdown.drain.clone());
    tokio::spawn(collector::run(settings, Some(owner), store, core.shards, core.clock, stop))
}

/// Replaces a part that this process does not run.
fn until_cancelled<E: Send + 'static>(token: &CancellationToken) -> JoinHandle<Result<(), E>> {
    let cancelled = token.clone().cancelled_owned();
    tokio::spawn(async move {
        cancelled.await;
        Ok(())
    })
}

impl Running {
    /// Waits for a signal, or for a part to end.
    async fn wait(&mut self) -> Result<(), AppError> {
        let collecting = async {
            match &mut self.collecting {
                Some(task) => collector_end(task.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = shutdown::signal() => {
                if let Err(error) = result {
                    warn!(%error, "cannot listen for signals, shutting down");
                }
                Ok(())
            }
            result = collecting => {
                self.collecting = None;
                result
            }
            result = &mut self.server => result.unwrap_or(Ok(())).map_err(AppError::from),
        }
    }

    /// Ends every part: drain, grace, hard deadline. `ended` is why the process ends.
    async fn drain(self, ended: Result<(), AppError>) -> Result<(), AppError> {
        let Self { core: Core { config, store, shutdown, .. }, mut background, mut server, collecting, otlp } = self;
        info!("draining");
        shutdown.drain.cancel();
        // Streams end by themselves with their cursor; a client that never reads would hold its connection
        // indefinitely.
        if !server.is_finished() && tokio::time::timeout(config.shutdown.grace, &mut server).await.is_err() {
            warn!("connections are still open after the grace: they end with the process");
            server.abort();
        }
        shutdown.stop.cancel();
        let finish = async {
            if let Some(task) = collecting {
                collector_end(task.await)?;
            }
            store.flush().await?;
            Ok::<(), AppError>(())
        };
        let finished = tokio::time::timeout(FLUSH_TIMEOUT, finish).await;
        background.shutdown().await;
        if let Some(otlp) = otlp {
            otlp.end().await;
        }
        info!("ended");
        match finished {
            Ok(result) => ended.and(result),
            Err(_) => {
                warn!("the last batch was not flushed in time");
                ended
            }
        }
    }
}

fn collector_end(result: Result<Result<(), CollectorError>, JoinError>) -> Result<(), AppError> {
    match result {
        Ok(result) => Ok(result?),
        // Nobody aborts it, so it panicked.
        Err(_) => Err(AppError::CollectorPanicked),
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { setting, address, source })
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    // A bound listener has an address; the unspecified one is used if the system does not report it.
    listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}
