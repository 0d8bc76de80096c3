//! `PriceService`.

use std::sync::{Arc, LazyLock};

use smol_str::SmolStr;
use tonic::{Request, Response, Status};

use super::collection::{self, Batch, ListQuery};
use super::context::{ServerStream, Services};
use super::convert;
use super::encoded::Encoded;
use super::error::ServiceError;
use super::order::Column;
use super::paging::{self, PageSizes, Pages};
use super::watch::{self, Pace};
use crate::figures::{FIGURES, Value};
use crate::servers::price_service_server::PriceService;
use crossmarket_api::v1;
use crossmarket_domain::index::{IndexCode, asset_subject};
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetId, CandleInterval, Timestamp};
use crossmarket_image::{Collection, Filter, Item};

const CANDLE_PAGES: PageSizes = PageSizes { default: 500, max: 5_000 };

/// The columns that lists can be ordered by: the figures, the asset and the event time.
static COLUMNS: LazyLock<Vec<Column<State>>> = LazyLock::new(|| {
    let asset = Column::new("asset", |state: &State| match &state.body {
        Body::Price(price) => Value::Text(price.asset.as_str()),
        _ => Value::Absent,
    });
    let figures = FIGURES.iter().filter(|figure| figure.orders).map(|figure| Column::new(figure.name(), figure.value));
    let event_time = Column::new("event_time", |state: &State| Value::Whole(state.event_time.as_micros()));
    [asset].into_iter().chain(figures).chain([event_time]).collect()
});

pub(super) struct Price {
    services: Services,
}

impl Price {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }

    fn find(&self, asset: &AssetId, name: &str) -> Result<Arc<Item>, ServiceError> {
        let item = self.services.image.get(&Key::Price(asset.clone()));
        item.ok_or_else(|| match self.services.is_known_asset(asset) {
            true => ServiceError::NoPriceYet(name.to_owned()),
            false => ServiceError::unknown_asset(name),
        })
    }
}

#[tonic::async_trait]
impl PriceService for Price {
    async fn get_price_snapshot(
        &self,
        request: Request<v1::GetPriceSnapshotRequest>,
    ) -> Result<Response<Encoded<v1::GetPriceSnapshotResponse>>, Status> {
        let request = request.get_ref();
        let view = paging::view(request.view)?;
        self.services.check_serving()?;
        let asset = self.services.asset("asset", &request.asset)?;
        Ok(Response::new(Encoded::one(self.find(&asset, &request.asset)?.entry(view).clone())))
    }

    async fn batch_get_price_snapshots(
        &self,
        request: Request<v1::BatchGetPriceSnapshotsRequest>,
    ) -> Result<Response<Encoded<v1::BatchGetPriceSnapshotsResponse>>, Status> {
        let request = request.get_ref();
        let v1::BatchGetPriceSnapshotsRequest { assets, view, allow_partial } = request;
        let batch = Batch { field: ("assets", "asset"), names: assets, view: *view, allow_partial: *allow_partial };
        Ok(Response::new(collection::batch_get(&self.services, &batch, |field, name, view| {
            let asset = self.services.asset(field, name)?;
            Ok(self.find(&asset, name)?.entry(view).clone())
        })?))
    }

    async fn list_price_snapshots(
        &self,
        request: Request<v1::ListPriceSnapshotsRequest>,
    ) -> Result<Response<Encoded<v1::ListPriceSnapshotsResponse>>, Status> {
        let mut request = request.into_inner();
        let query = ListQuery::of(&mut request, &COLUMNS, &["market_cap_rank"])?;
        let keys = self.services.assets(&request.assets)?.into_iter().map(Key::Price).collect();
        let filter = filter(&request.categories, request.market_cap_rank_max)?;
        self.services.check_serving()?;
        Ok(Response::new(query.answer(collection::select(&self.services.image, Collection::Prices, keys, &filter))))
    }

    type WatchPriceSnapshotsStream = ServerStream<Encoded<v1::WatchPriceSnapshotsResponse>>;

    async fn watch_price_snapshots(
        &self,
        request: Request<v1::WatchPriceSnapshotsRequest>,
    ) -> Result<Response<Self::WatchPriceSnapshotsStream>, Status> {
        let (request, pace) = Pace::of(request)?;
        let filter = filter(&request.categories, request.market_cap_rank_max)?;
        let items =
            watch::requested("assets", &request.assets, |name| self.services.watched_asset(name).map(Key::Price))?;
        Ok(Response::new(watch::open(&self.services, Collection::Prices, filter, items, &pace)?))
    }

    async fn list_candles(
        &self,
        request: Request<v1::ListCandlesRequest>,
    ) -> Result<Response<v1::ListCandlesResponse>, Status> {
        let request = request.into_inner();
        let query = CandleQuery::of(&self.services, request)?;
        self.services.check_serving()?;
        let CandleQuery { asset, subject, interval, pages, .. } = &query;
        let series = SeriesKey { subject: subject.clone(), kind: SeriesKind::Candles(*interval) };
        let candles =
            self.services.store.candles(&series, query.from, query.until).await.map_err(ServiceError::from)?;
        let is_unknown = || asset.as_ref().is_none_or(|id| !self.services.is_known_asset(id));
        if candles.is_empty() && is_unknown() {
            return Err(ServiceError::unknown_asset(&query.name).into());
        }
        let now = self.services.clock.now();
        let next = candles.get(pages.size).map(|candle| pages.token(candle.start.as_micros()));
        Ok(Response::new(v1::ListCandlesResponse {
            candles: candles.iter().take(pages.size).map(|candle| convert::candle(candle, *interval, now)).collect(),
            next_page_token: next.unwrap_or_default(),
            asset: asset.as_ref().map_or_else(|| subject.to_string(), |id| self.services.ticker(id).to_string()),
            asset_id: asset.as_ref().map(ToString::to_string).unwrap_or_default(),
            quote_currency: convert::QUOTE_CURRENCY.to_owned(),
            interval: convert::wire_interval(*interval).into(),
            simulated: self.services.simulated,
        }))
    }
}

/// A request for candles, checked.
struct CandleQuery {
    /// `None` for an index.
    asset: Option<AssetId>,
    /// Under what name the candles are stored.
    subject: SmolStr,
    /// The asset as the client named it.
    name: String,
    interval: CandleInterval,
    from: Timestamp,
    until: Timestamp,
    pages: Pages,
}

impl CandleQuery {
    fn of(services: &Services, mut request: v1::ListCandlesRequest) -> Result<Self, ServiceError> {
        let (asset, subject) = candle_subject(services, &request.asset)?;
        let interval = convert::candle_interval(request.interval).ok_or_else(|| {
            let allowed = "must be CANDLE_INTERVAL_5M (1), CANDLE_INTERVAL_1H (2) or CANDLE_INTERVAL_1D (3)";
            ServiceError::invalid("interval", request.interval, allowed)
        })?;
        let pages = Pages::of(&mut request, CANDLE_PAGES)?;
        let (from, until) = paging::page_span(&pages, request.start_time.as_ref(), request.end_time.as_ref())?;
        Ok(Self { asset, subject, name: request.asset, interval, from, until, pages })
    }
}

/// The asset of that name and the name of its histories, or an index if its code is the name and no asset has it.
fn candle_subject(services: &Services, name: &str) -> Result<(Option<AssetId>, SmolStr), ServiceError> {
    let asset = services.asset("asset", name)?;
    match IndexCode::parse(name) {
        Some(index) if !services.is_known_asset(&asset) => Ok((None, index.as_str().into())),
        _ => Ok((Some(asset.clone()), asset_subject(&asset))),
    }
}

fn filter(categories: &[String], market_cap_rank_max: Option<i32>) -> Result<Filter, ServiceError> {
    paging::check_filter_len("categories", categories.len())?;
    Ok(Filter {
        categories: categories.iter().map(|category| SmolStr::from(category.to_lowercase())).collect(),
        market_cap_rank_max: paging::rank_max("market_cap_rank_max", market_cap_rank_max)?,
        ..Filter::default()
    })
}
