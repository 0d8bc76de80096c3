//! `demo`: the whole service against simulated venues on loopback.

use std::sync::Arc;

use super::error::AppError;
use super::run::{Process, run};
use super::settings;
use crate::config::{Config, IndexReference};
use crate::telemetry::Telemetry;
use crossmarket_clock::Clock;
use crossmarket_collector::CollectorSettings;
use crossmarket_domain::{Decimal, IndexCode, Timestamp};
use crossmarket_simulator::{self as simulator, SimulatorOptions, VenueEndpoint};
use crossmarket_store::{self as store, OpenOptions};
use crossmarket_venues::Secret;

mod preload;

/// Minimum number of tracked assets, large enough for the whole simulated market.
const UNIVERSE_SIZE_MIN: usize = 250;

/// In US dollars. Seven per cent of it is the 220 billion of the market note.
const RUSSELL_MARKET_CAP: i64 = 3_140_000_000_000;

/// The default address of the service, which clients use.
const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

#[derive(Clone, Debug)]
pub(crate) struct DemoOptions {
    /// The settings; the venues' addresses are the demo's own, and the store is `memory:` unless `store` is set.
    pub config: Config,
    /// The seed of the simulated market: the same seed gives the same market.
    pub seed: u64,
    /// Speed of the simulated clock relative to wall-clock time, above 0.
    pub speed: f64,
    /// The store given on the command line, if any.
    pub store: Option<String>,
}

/// Runs the whole service against simulated venues until a signal.
pub(crate) async fn demo(options: DemoOptions, telemetry: Telemetry) -> Result<(), AppError> {
    // A demo leaves nothing behind, unless a store is given.
    let url = options.store.clone().unwrap_or_else(|| "memory:".to_owned());
    let store_kind = store::kind_of(&url);
    let store = store::open(&OpenOptions { url, ..options.config.store.open_options() }).await?;
    let mut options = options;
    give_references(&mut options.config);
    let mut collector = settings::collector(&options.config);
    collector.simulated = true;
    collector.seed = options.seed;
    collector.universe_size = collector.universe_size.max(UNIVERSE_SIZE_MIN);
    let venues = settings::venue_entries(&options.config, true);
    let clock = Clock::simulated(simulator::start_time(), options.speed);
    let simulator_options = SimulatorOptions::new(options.seed, clock);
    let simulator =
        simulator::start(crossmarket_venues::SIMULATED, simulator_options).await.map_err(AppError::Simulator)?;
    redirect(&mut collector, &simulator.endpoints());
    let past = tokio::spawn(preload::preload(Arc::clone(&store), simulator.shared_market()));
    let process = Process {
        telemetry,
        config: options.config,
        clock,
        store,
        store_kind,
        serves: true,
        collector: Some(collector),
        venues,
        simulated: true,
        banner,
    };
    let result = run(process).await;
    past.abort();
    simulator.shutdown().await;
    result
}

/// The simulated market capitalization of the Russell 2000 at the end of 2025, unless the configuration has one.
fn give_references(config: &mut Config) {
    let index = IndexCode::parse("RUT").filter(|index| config.index_references.0.iter().all(|one| one.index != *index));
    if let (Some(index), Some(date)) = (index, Timestamp::from_date(2025, 12, 31)) {
        let market_cap = Decimal::from(RUSSELL_MARKET_CAP);
        config.index_references.0.push(IndexReference { index, market_cap, date, source: "simulated".to_owned() });
    }
}

/// Points the collector at the simulated venues. A venue that is not simulated is disabled: a demo never queries a real
/// one.
fn redirect(settings: &mut CollectorSettings, endpoints: &[VenueEndpoint]) {
    for venue in &mut settings.venues {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.venue == venue.venue.id().as_str());
        match endpoint {
            Some(endpoint) => {
                venue.rest_url.clone_from(&endpoint.rest_url);
                venue.ws_url.clone_from(&endpoint.ws_url);
                // A simulated venue accepts any key and never sees a configured one.
                venue.api_key = venue.venue.profile().api_key.and_then(|_| Secret::parse("simulated"));
            }
            None => venue.enabled = false,
        }
    }
}

fn banner(url: &str) -> String {
    let server = if url == DEFAULT_SERVER { String::new() } else { format!(" --server {url}") };
    format!(
        "\nSIMULATED DATA: a made-up market on loopback venues, starting on {}.\n\
         gRPC on {url}, reflection on. Try in another terminal:\n\
         \x20 crossmarket get BTC --full{server}\n\
         \x20 crossmarket list --limit 20{server}\n\
         \x20 crossmarket watch BTC ETH BNB SOL XMR{server}\n\
         Ctrl-C ends it.\n\n",
        simulator::start_time(),
    )
}
