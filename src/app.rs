//! Puts the parts together: what each role of the process runs, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::config::{Config, GrpcConfig};
use crate::security::{FileError, ServerTls, TlsError, TokenError};
use crate::services::{self, Services, StreamSettings, VenueEntry, WireEncoder};
use crate::shutdown::{self, Shutdown};
use crate::telemetry::Telemetry;
use crate::telemetry::otlp::OtlpError;
use crossmarket_clock::Clock;
use crossmarket_collector::index_news::INDEX_NEWS_MAX;
use crossmarket_collector::indices::IndexOwner;
use crossmarket_collector::{self as collector, CollectorError, CollectorSettings, VenueSettings};
use crossmarket_domain::{AssetCode, Shards, Timestamp};
use crossmarket_image::follow;
use crossmarket_image::histories;
use crossmarket_image::histories::Histories;
use crossmarket_image::{Image, ImageSettings};
use crossmarket_store::{self as store, LEASE_LIFE_MAX, OpenOptions, Store, StoreError};
use crossmarket_venues as venues;

mod admin;
mod backfill;
#[cfg(feature = "simulator")]
mod demo;
mod frames;
mod indices;
mod listener;
mod measured;
mod metrics;
mod security;
mod transport;

pub use backfill::{BackfillReport, backfill};
#[cfg(feature = "simulator")]
pub use demo::{DemoOptions, demo};

use admin::Admin;
use listener::ListenerLimits;
use measured::Measured;
use security::Security;

/// What may pass between the end of the grace and the end of the process: the collector's last batch and the store's flush.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the headers of one call may take. Tokens are the largest thing in them.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Which parts of the service a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything in one process.
    #[default]
    All,
    /// Answers gRPC from the store's change feed; asks no venue.
    Server,
    /// Asks the venues and writes to the store; answers no gRPC.
    Collector,
}

/// What is fetched by a backfill.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// From which day on; `None` takes as much as the venues give.
    pub since: Option<Timestamp>,
    /// Of which assets; empty means the universe.
    pub codes: Vec<AssetCode>,
}

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error("{setting} = {address}: cannot listen there")]
    Listen {
        /// The setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("security.tls: {0}")]
    Tls(#[source] TlsError),
    /// The file of clients cannot be read.
    #[error("security.clients_file: {0}")]
    Clients(#[source] FileError),
    /// The keys of the tokens' issuer cannot be used.
    #[error("security.jwt: {0}")]
    Tokens(#[source] TokenError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The collector ended.
    #[error("the collector ended")]
    Collector(#[from] CollectorError),
    /// The collector broke down, which is a defect of the program.
    #[error("the collector broke down")]
    CollectorPanicked,
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Server(#[from] tonic::transport::Error),
    /// The API's own description cannot be read.
    #[error("the API's descriptor cannot be read")]
    Descriptor(#[from] tonic_reflection::server::Error),
    /// The simulated venues cannot be started.
    #[cfg(feature = "simulator")]
    #[error("the simulated venues cannot be started")]
    Simulator(#[source] io::Error),
    /// Telemetry cannot be sent as configured.
    #[error("telemetry cannot be sent")]
    Telemetry(#[from] OtlpError),
    /// A role that this store does not allow.
    #[error(
        "--role {role} needs a store that several processes share; store.url is a store of one process: use --role all"
    )]
    Role {
        /// The role.
        role: &'static str,
    },
}

/// Everything that a process runs with.
struct Process {
    config: Config,
    clock: Clock,
    store: Arc<dyn Store>,
    store_kind: &'static str,
    /// False when this process answers no gRPC.
    serves: bool,
    /// `None` when this process does not collect.
    collector: Option<CollectorSettings>,
    venues: Vec<VenueEntry>,
    simulated: bool,
    telemetry: Telemetry,
    /// Printed once the ports are open, with the URL of the gRPC port.
    banner: fn(&str) -> String,
}

/// Runs the service until it is told to stop.
pub async fn serve(config: Config, role: Role, telemetry: Telemetry) -> Result<(), AppError> {
    let part = match role {
        Role::All => None,
        Role::Server => Some("server"),
        Role::Collector => Some("collector"),
    };
    if let Some(role) = part.filter(|_| !config.store.is_shared()) {
        return Err(AppError::Role { role });
    }
    let shard_count = Some(config.collector.shards);
    let store = store::open(&OpenOptions { shard_count, ..config.store.open_options() }).await?;
    let collects = role == Role::Collector || (role == Role::All && config.collector.enabled);
    let collector = collects.then(|| collector_settings(&config));
    let serves = role != Role::Collector;
    let venues = venue_entries(&config, false);
    let banner = |_: &str| String::new();
    let store_kind = store::kind_of(&config.store.url);
    let clock = Clock::system();
    run(Process { clock, store, store_kind, serves, collector, venues, simulated: false, banner, config, telemetry })
        .await
}

/// The collector's settings as configured.
fn collector_settings(config: &Config) -> CollectorSettings {
    let venue_settings = |venue: &&'static dyn venues::Venue| {
        let mut settings = VenueSettings::of(*venue);
        if let Some(configured) = config.venues.get(venue.id()) {
            settings.enabled = configured.enabled;
            settings.rest_url.clone_from(&configured.rest_url);
            settings.ws_url = settings.ws_url.and(configured.ws_url.clone());
            settings.api_key.clone_from(&configured.api_key);
        }
        settings
    };
    CollectorSettings {
        venues: venues::REGISTRY.iter().map(venue_settings).collect(),
        universe_size: config.universe.size,
        extra_assets: config.universe.assets.clone(),
        required_venue_count: config.collector.required_venue_count,
        publish_interval: config.collector.publish_interval,
        // A store of one process is contested by nobody, and a machine that is too slow for a moment is no reason to begin anew.
        lease_life: if config.store.is_shared() { config.collector.lease_life } else { LEASE_LIFE_MAX },
        seed: rand::random(),
        ..CollectorSettings::default()
    }
}

fn venue_entries(config: &Config, simulated: bool) -> Vec<VenueEntry> {
    let entry = |venue: &&'static dyn venues::Venue| {
        let about = venue.about();
        VenueEntry {
            id: venue.id().to_string(),
            title: about.title.to_owned(),
            feeds: venue.feeds().to_vec(),
            enabled: config.venues.get(venue.id()).is_none_or(|configured| configured.enabled),
            simulated,
            documentation_url: about.documentation_url.to_owned(),
            terms_url: about.terms_url.to_owned(),
            terms_note: String::new(),
            official: about.official,
            key_required: venue.api_key().is_some(),
            key_configured: config.venues.get(venue.id()).is_some_and(|configured| configured.api_key.is_some()),
        }
    };
    venues::REGISTRY.iter().map(entry).collect()
}

/// Runs a process until a signal, or until a part of it fails.
async fn run(process: Process) -> Result<(), AppError> {
    // Another part of the program may have installed it before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Process { config, clock, store, store_kind, serves, collector, venues, simulated, banner, telemetry } = process;
    let grpc = if serves { Some(bind("grpc.listen", config.grpc.listen).await?) } else { None };
    let admin = bind("admin.listen", config.admin.listen).await?;
    let security = if serves { Some(security::open(&config).await?) } else { None };
    let started = Clock::system().now();
    let role = match (serves, collector.is_some()) {
        (true, true) => "all",
        (true, false) => "server",
        (false, _) => "collector",
    };
    let shutdown = Shutdown::default();
    let shards = Shards::new(config.collector.shards);
    let written = collector.is_some().then_some(shards);
    let store: Arc<dyn Store> = Arc::new(Measured::new(store, store_kind, written));
    let image = Arc::new(Image::new(WireEncoder, ImageSettings { shards, ..ImageSettings::default() }));
    let mut background = JoinSet::new();
    for shard in shards.all() {
        let (image, store) = (Arc::clone(&image), Arc::clone(&store));
        background.spawn(follow::follow_shard(image, store, shard, clock, shutdown.stop.clone()));
    }
    background.spawn(follow::keep_fresh(Arc::clone(&image), clock, shutdown.stop.clone()));
    let histories = Arc::new(Histories::default());
    background.spawn(histories::keep(Arc::clone(&histories), Arc::clone(&store), clock, shutdown.stop.clone()));
    let (tls, guard, reloads) = match security {
        Some(Security { tls, guard, rotations, reloads }) => {
            for rotation in rotations {
                background.spawn(rotation);
            }
            (tls, Some(guard), reloads)
        }
        None => (None, None, Vec::new()),
    };
    let index_image = Arc::clone(&image);
    let admin_address = address_of(&admin);
    let drain = shutdown.drain.clone();
    let leading = collector.as_ref().map(|settings| settings.leading.clone());
    let page = Admin {
        image: Arc::clone(&image),
        clock,
        drain,
        simulated,
        serves,
        role,
        leading,
        started,
        tls: tls.clone(),
        reloads: reloads.into(),
        guard: guard.clone(),
        status_page: config.admin.status_page,
    };
    let measured = page.clone();
    let otlp = telemetry.start(Arc::new(move || metrics::page(&measured)))?;
    spawn_admin(&mut background, admin, page);
    let mut server = match grpc.zip(guard) {
        Some((listener, guard)) => {
            let grpc_address = address_of(&listener);
            let services = Services {
                image,
                store: Arc::clone(&store),
                histories: Arc::clone(&histories),
                clock,
                drain: shutdown.drain.clone(),
                venues: venues.into(),
                simulated,
                streams: stream_settings(&config.grpc),
                measured: config.telemetry.metrics,
                send_gzip: true,
            };
            let api = services::api(services, guard, config.grpc.reflection).await?;
            background.spawn(api.health);
            let mark = if simulated { " simulated=true" } else { "" };
            println!("listening grpc={grpc_address} admin={admin_address}{mark}");
            let scheme = if tls.is_some() { "https" } else { "http" };
            print!("{}", banner(&format!("{scheme}://{grpc_address}")));
            info!(%grpc_address, %admin_address, simulated, "listening");
            spawn_server(&config, listener, tls, api.routes, &shutdown)
        }
        None => {
            println!("listening admin={admin_address}");
            info!(%admin_address, "listening");
            let drained = shutdown.drain.clone().cancelled_owned();
            tokio::spawn(async move {
                drained.await;
                Ok(())
            })
        }
    };
    // It ends when the drain begins: whoever takes its shards over need not wait for this process's clients.
    let stop = shutdown.drain.clone();
    let mut collecting = match collector {
        Some(mut settings) => {
            let (news, news_receiver) = mpsc::channel(INDEX_NEWS_MAX);
            settings.index_news = Some(news);
            let owner = IndexOwner {
                store: Arc::clone(&store),
                shard: shards.cross_asset(),
                clock,
                image: index_image,
                histories,
                news: news_receiver,
                settings: indices::settings(&config, simulated),
            };
            tokio::spawn(collector::run(settings, Some(owner), Arc::clone(&store), shards, clock, stop))
        }
        None => tokio::spawn(async move {
            stop.cancelled().await;
            Ok(())
        }),
    };

    let mut collected = None;
    let ended = tokio::select! {
        result = shutdown::signal() => {
            if let Err(error) = result {
                warn!(%error, "signals cannot be heard, shutting down");
            }
            Ok(())
        }
        result = &mut collecting => { collected = Some(()); collector_end(result) }
        result = &mut server => result.unwrap_or(Ok(())).map_err(AppError::from),
    };
    info!("draining");
    shutdown.drain.cancel();
    // Streams end by themselves with their cursor; a client that never reads would hold its connection for ever.
    if !server.is_finished() && tokio::time::timeout(config.shutdown.grace, &mut server).await.is_err() {
        warn!("connections are still open after the grace: they end with the process");
        server.abort();
    }
    shutdown.stop.cancel();
    let finish = async {
        if collected.is_none() {
            collector_end(collecting.await)?;
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

fn collector_end(result: Result<Result<(), CollectorError>, JoinError>) -> Result<(), AppError> {
    match result {
        Ok(result) => Ok(result?),
        // It is aborted by nobody, so it panicked.
        Err(_) => Err(AppError::CollectorPanicked),
    }
}

fn spawn_server(
    config: &Config,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    routes: Routes,
    shutdown: &Shutdown,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let grpc = &config.grpc;
    let limits = ListenerLimits {
        connections_max: grpc.connections_max.min(connections_by_descriptors()),
        connections_per_address_max: grpc.connections_per_address_max,
        handshake_timeout: grpc.handshake_timeout,
    };
    let connections = listener::accept(listener, limits, tls, shutdown.drain.clone());
    let drained = shutdown.drain.clone().cancelled_owned();
    tokio::spawn(server(config).add_routes(routes).serve_with_incoming_shutdown(connections, drained))
}

/// Connections for which there are file descriptors, with some left for the store, the venues and files.
fn connections_by_descriptors() -> usize {
    const KEPT_FREE: usize = 96;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    // Where the system does not tell, or there is no limit, the setting alone counts.
    let allowed = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    allowed.map_or(usize::MAX, |allowed| allowed.saturating_sub(KEPT_FREE).max(allowed / 2))
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { setting, address, source })
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    // A bound listener has an address; the unspecified one stands in if the system does not tell.
    listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

fn spawn_admin(background: &mut JoinSet<()>, listener: TcpListener, admin: Admin) {
    background.spawn(async move {
        if let Err(error) = axum::serve(listener, admin.router()).await {
            warn!(%error, "admin port ended");
        }
    });
}

fn stream_settings(grpc: &GrpcConfig) -> StreamSettings {
    let age_max = Some(grpc.stream_age_max).filter(|age| !age.is_zero());
    StreamSettings { age_max, age_jitter: 0.1, ..StreamSettings::default() }
}

/// The HTTP/2 server's limits. HTTP/1.1 is spoken for gRPC-Web.
fn server(config: &Config) -> Server {
    let grpc = &config.grpc;
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(grpc.max_concurrent_streams)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_keepalive_interval(Some(grpc.keepalive_interval))
        .http2_keepalive_timeout(Some(grpc.keepalive_timeout));
    // Keys and tokens are looked at in every call, a certificate in the handshake alone. A connection of this age takes no further calls, and
    // ends with those that it has: a grace for them would take the place of telling the client (tonic 0.14), and cut them.
    let asks_certificates = config.security.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    match stream_settings(grpc).age_max.filter(|_| asks_certificates) {
        Some(age) => server.max_connection_age(age),
        None => server,
    }
}
