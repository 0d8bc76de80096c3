//! The services over loopback, with the generated clients, an image fed by hand and a store that holds candles only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::api::SIMULATED_HEADER;
use super::*;
use crate::security::{Guard, Quotas};
use crossmarket_api::v1;
use crossmarket_api::v1::catalog_service_client::CatalogServiceClient;
use crossmarket_api::v1::price_service_client::PriceServiceClient;
use crossmarket_clock::Clock;
use crossmarket_domain::series::{Point, SeriesKey};
use crossmarket_domain::state::{
    AssetInfo, AssetKind, Body, Epoch, InstrumentMapping, Key, MappingRule, MappingState, PriceSnapshot, Revision,
};
use crossmarket_domain::{AssetCode, Candle, Timestamp, TraceContext};
use crossmarket_image::histories::Histories;
use crossmarket_image::testing::{at, id, priced, state};
use crossmarket_image::{Change, Image, ImageSettings, Position};
use crossmarket_store::{Bootstrap, SeriesInfo, Store, StoreError, Tail, Update};

mod catalog;
mod follow;
mod index;
mod long_short;
mod price;
mod watch;

const EPOCH: Epoch = 7;

/// A process as far as its clients see it.
struct Fixture {
    services: Services,
    address: std::net::SocketAddr,
    channel: Channel,
}

impl Fixture {
    /// Serves what `adjust` makes of the usual settings, over an image without any shard ready.
    async fn start(adjust: impl FnOnce(&mut Services)) -> Self {
        let settings = ImageSettings { resume_revisions_max: 100, ..ImageSettings::default() };
        let mut services = Services {
            image: Arc::new(Image::new(WireEncoder, settings)),
            store: Arc::new(CandleStore::default()),
            histories: Arc::new(Histories::default()),
            clock: Clock::simulated(at(0), 1e-9),
            drain: CancellationToken::new(),
            venues: Arc::new([]),
            simulated: true,
            streams: StreamSettings { age_max: None, ..StreamSettings::default() },
            measured: true,
            send_gzip: true,
        };
        adjust(&mut services);
        let api =
            api(services.clone(), Guard::open(Quotas::default()), true).await.expect("the descriptor is compiled in");
        tokio::spawn(api.health);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Server::builder().accept_http1(true).add_routes(api.routes);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URL");
        Self { services, address, channel: endpoint.connect().await.expect("listening") }
    }

    /// Serves these prices at revisions 1, 2, 3 …
    async fn with_prices(snapshots: Vec<PriceSnapshot>) -> Self {
        let fixture = Self::start(|_| ()).await;
        fixture.load(snapshots);
        fixture
    }

    fn load(&self, snapshots: Vec<PriceSnapshot>) {
        let changes: Vec<Change> =
            (1..).zip(snapshots).map(|(revision, snapshot)| priced(revision, snapshot, at(0))).collect();
        self.bootstrap(EPOCH, changes);
    }

    fn bootstrap(&self, epoch: Epoch, changes: Vec<Change>) {
        let revision = changes.iter().map(|change| change.revision).max().unwrap_or(0);
        self.services.image.bootstrap(0, Position { epoch, revision }, changes, at(0));
    }

    fn apply(&self, changes: Vec<Change>) {
        self.services.image.apply(0, EPOCH, changes, at(0)).expect("continues");
    }

    fn prices(&self) -> PriceServiceClient<Channel> {
        PriceServiceClient::new(self.channel.clone())
    }

    fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    async fn watch(&self, request: v1::WatchPriceSnapshotsRequest) -> Streaming<v1::WatchPriceSnapshotsResponse> {
        self.prices().watch_price_snapshots(request).await.expect("opens").into_inner()
    }
}

async fn frame(stream: &mut Streaming<v1::WatchPriceSnapshotsResponse>) -> v1::WatchPriceSnapshotsResponse {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.message());
    next.await.expect("in time").expect("no error").expect("no end")
}

async fn end(stream: &mut Streaming<v1::WatchPriceSnapshotsResponse>) -> Status {
    let last = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => (),
                Ok(None) => panic!("ended without a status"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), last).await.expect("in time")
}

/// The prices of a frame as `ASSET=price`.
fn prices(frame: &v1::WatchPriceSnapshotsResponse) -> Vec<String> {
    let text =
        |snapshot: &v1::PriceSnapshot| format!("{}={}", snapshot.asset, snapshot.price.as_deref().unwrap_or("nothing"));
    frame.snapshots.iter().map(text).collect()
}

fn assert_invalid(status: &Status, field: &str, texts: &[&str]) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    assert_eq!(violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), [field]);
    for text in texts {
        assert!(status.message().contains(text), "{text:?} is not in {:?}", status.message());
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

fn cataloged(revision: Revision, asset: &str, kind: AssetKind, rank: Option<u32>) -> Change {
    let info = AssetInfo {
        asset_id: id(asset),
        asset: AssetCode::parse(asset).expect("a ticker"),
        aliases: Vec::new(),
        name: None,
        kind,
        market_cap_rank: rank,
        categories: vec!["layer-1".into()],
        listing_ids: vec![("coingecko".into(), "an-id".into())],
        instruments: vec![InstrumentMapping {
            venue: "binance".into(),
            instrument: crossmarket_domain::Instrument::spot(format!("{asset}USDT"), asset, "USDT"),
            rule: MappingRule::Ticker,
            state: MappingState::Confirmed,
            price_ratio: Some(1.0),
            since: at(0),
        }],
        history_start: None,
        history_day_count: 0,
    };
    let key = Key::Asset(id(asset));
    Change { key, revision, state: Some(state(Body::Asset(Box::new(info)), at(0))) }
}

/// A store with one list of candles and a feed that the test writes.
#[derive(Default)]
struct CandleStore {
    candles: Mutex<Vec<Candle>>,
    bootstraps: Mutex<Vec<Bootstrap>>,
    tails: Mutex<Vec<Tail>>,
}

fn not_here() -> StoreError {
    StoreError::Unavailable("not in this store".to_owned())
}

#[async_trait]
impl Store for CandleStore {
    async fn open_writer(&self, _: u16, _: Timestamp) -> Result<(Epoch, Revision), StoreError> {
        Err(not_here())
    }

    async fn write(&self, _: u16, _: Epoch, _: Vec<Update>, _: Option<TraceContext>) -> Result<Revision, StoreError> {
        Err(not_here())
    }

    async fn published(&self, _: u16, _: Epoch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn bootstrap(&self, _: u16) -> Result<Bootstrap, StoreError> {
        self.bootstraps.lock().expect("not poisoned").pop().ok_or_else(not_here)
    }

    async fn tail(&self, _: u16, _: Epoch, _: Revision, _: Duration) -> Result<Tail, StoreError> {
        self.tails.lock().expect("not poisoned").pop().ok_or_else(not_here)
    }

    async fn put_candles(&self, _: &SeriesKey, candles: &[Candle]) -> Result<(), StoreError> {
        self.candles.lock().expect("not poisoned").extend_from_slice(candles);
        Ok(())
    }

    async fn candles(&self, key: &SeriesKey, from: Timestamp, until: Timestamp) -> Result<Vec<Candle>, StoreError> {
        let candles = self.candles.lock().expect("not poisoned");
        let within = |candle: &&Candle| key.subject == "id:bitcoin" && (from..until).contains(&candle.start);
        Ok(candles.iter().filter(within).cloned().collect())
    }

    async fn put_points(&self, _: &SeriesKey, _: &[Point]) -> Result<(), StoreError> {
        Err(not_here())
    }

    async fn points(&self, _: &SeriesKey, _: Timestamp, _: Timestamp) -> Result<Vec<Point>, StoreError> {
        Err(not_here())
    }

    async fn series(&self) -> Result<Vec<SeriesInfo>, StoreError> {
        Err(not_here())
    }

    async fn trim_series(&self, _: &SeriesKey, _: Timestamp) -> Result<(), StoreError> {
        Err(not_here())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
