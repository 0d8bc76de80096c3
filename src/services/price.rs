//! `PriceService`.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use smol_str::SmolStr;
use tonic::{Request, Response, Status};

use super::encoded::{self, Encoded};
use super::error::ServiceError;
use super::order::{self, OrderField, SortValue};
use super::paging::{self, Pages};
use super::watch::{self, Frame, Pace, RequestedItem, WatchRequest};
use super::{ServerStream, Services, convert};
use crate::servers::price_service_server::PriceService;
use crossmarket_api::v1;
use crossmarket_domain::index::{IndexCode, asset_subject};
use crossmarket_domain::series::{SeriesKey, SeriesKind};
use crossmarket_domain::state::{Body, Key};
use crossmarket_domain::{AssetCode, CandleInterval, Timestamp};
use crossmarket_image::{Collection, Filter, Item};

const CANDLE_PAGE_SIZE_MAX: usize = 5_000;
const CANDLE_PAGE_SIZE_DEFAULT: usize = 500;

const ORDER_FIELDS: &[&str] = &[
    "asset",
    "market_cap_rank",
    "market_cap",
    "volume_24h",
    "price",
    "change_1h_percent",
    "change_24h_percent",
    "change_7d_percent",
    "change_30d_percent",
    "change_ytd_percent",
    "volatility_24h_percent",
    "rsi_14d",
    "drawdown_percent",
    "event_time",
];

/// The service.
pub struct Price {
    services: Services,
}

impl Price {
    /// A service that answers from these.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    fn get(&self, request: &v1::GetPriceSnapshotRequest) -> Result<encoded::GetPriceSnapshotResponse, ServiceError> {
        let view = paging::view(request.view)?;
        let asset = paging::asset("asset", &request.asset)?;
        self.services.check_serving()?;
        let item = self.find(&asset, &request.asset)?;
        Ok(Encoded { entries: vec![item.entry(view).clone()], rest: Default::default() })
    }

    fn batch_get(
        &self,
        request: &v1::BatchGetPriceSnapshotsRequest,
    ) -> Result<encoded::BatchGetPriceSnapshotsResponse, ServiceError> {
        let view = paging::view(request.view)?;
        if request.assets.is_empty() {
            return Err(ServiceError::invalid("assets", "", "must name at least one asset"));
        }
        paging::check_filter_len("assets", request.assets.len())?;
        self.services.check_serving()?;
        let mut response = encoded::BatchGetPriceSnapshotsResponse::default();
        for (index, name) in request.assets.iter().enumerate() {
            let found = paging::asset(format!("assets[{index}]"), name).and_then(|asset| self.find(&asset, name));
            match found {
                Ok(item) => response.entries.push(item.entry(view).clone()),
                Err(_) if request.allow_partial => response.rest.missing.push(name.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(response)
    }

    fn list(
        &self,
        mut request: v1::ListPriceSnapshotsRequest,
    ) -> Result<encoded::ListPriceSnapshotsResponse, ServiceError> {
        let view = paging::view(request.view)?;
        let page_size = paging::page_size(request.page_size, paging::PAGE_SIZE_DEFAULT, paging::PAGE_SIZE_MAX)?;
        let fields = order::parse(&request.order_by, ORDER_FIELDS, "market_cap_rank")?;
        let keys: HashSet<Key> = paging::assets(&request.assets)?.into_iter().map(Key::Price).collect();
        let filter = filter(&request.categories, request.market_cap_rank_max)?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let pages = Pages::of(&request, &token)?;
        self.services.check_serving()?;

        let image = &self.services.image;
        let mut items: Vec<Arc<Item>> = if keys.is_empty() {
            image.select(Collection::Prices, |item| filter.admits(item))
        } else {
            keys.iter().filter_map(|key| image.get(key)).filter(|item| filter.admits(item)).collect()
        };
        sort(&mut items, &fields);
        let (page, next_page_token) = pages.page(&items, page_size, |item| item.entry(view).len());
        let entries = page.iter().map(|item| item.entry(view).clone()).collect();
        let total_size = i32::try_from(items.len()).unwrap_or(i32::MAX);
        let rest = v1::ListPriceSnapshotsResponse { snapshots: Vec::new(), next_page_token, total_size };
        Ok(Encoded { entries, rest })
    }

    fn watch(
        &self,
        request: Request<v1::WatchPriceSnapshotsRequest>,
    ) -> Result<ServerStream<encoded::WatchPriceSnapshotsResponse>, ServiceError> {
        let deadline = watch::deadline(request.metadata());
        let request = request.into_inner();
        paging::check_filter_len("assets", request.assets.len())?;
        let view = paging::view(request.view)?;
        let filter = filter(&request.categories, request.market_cap_rank_max)?;
        let items: Vec<RequestedItem> = request
            .assets
            .iter()
            .map(|name| RequestedItem::new(name, AssetCode::parse(name).map(Key::Price)))
            .collect();
        let (min_interval, heartbeat_interval) = (request.min_interval, request.heartbeat_interval);
        let pace = Pace { view, min_interval, heartbeat_interval, deadline };
        let watched = WatchRequest::of(Collection::Prices, filter, items, pace, request.resume_cursor);
        let frames = watch::open(&self.services, watched)?;
        Ok(Box::pin(frames.map(|frame| frame.map(watch_response))))
    }

    async fn candles(&self, request: v1::ListCandlesRequest) -> Result<v1::ListCandlesResponse, ServiceError> {
        let query = CandleQuery::of(request)?;
        self.services.check_serving()?;
        let CandleQuery { asset, interval, page_size, pages, .. } = &query;
        let series = SeriesKey { subject: self.candle_subject(asset), kind: SeriesKind::Candles(*interval) };
        let candles = self.services.store.candles(&series, query.from, query.until).await?;
        if candles.is_empty() && !self.services.is_known_asset(asset) {
            return Err(ServiceError::unknown_asset(&query.name));
        }
        let now = self.services.clock.now();
        let next = candles.get(*page_size).map(|candle| pages.token(candle.start.as_micros()));
        Ok(v1::ListCandlesResponse {
            candles: candles.iter().take(*page_size).map(|candle| convert::candle(candle, *interval, now)).collect(),
            next_page_token: next.unwrap_or_default(),
            asset: asset.to_string(),
            quote_currency: convert::QUOTE_CURRENCY.to_owned(),
            interval: convert::wire_interval(*interval).into(),
            simulated: self.services.simulated,
        })
    }

    /// Under what name candles are stored: those of an index where it is called so and no asset is.
    fn candle_subject(&self, asset: &AssetCode) -> SmolStr {
        match IndexCode::parse(asset.as_str()) {
            Some(index) if !self.services.is_known_asset(asset) => index.as_str().into(),
            _ => asset_subject(asset),
        }
    }

    fn find(&self, asset: &AssetCode, name: &str) -> Result<Arc<Item>, ServiceError> {
        let item = self.services.image.get(&Key::Price(asset.clone()));
        item.ok_or_else(|| match self.services.is_known_asset(asset) {
            true => ServiceError::NoPriceYet(asset.to_string()),
            false => ServiceError::unknown_asset(name),
        })
    }
}

#[tonic::async_trait]
impl PriceService for Price {
    async fn get_price_snapshot(
        &self,
        request: Request<v1::GetPriceSnapshotRequest>,
    ) -> Result<Response<encoded::GetPriceSnapshotResponse>, Status> {
        Ok(Response::new(self.get(request.get_ref())?))
    }

    async fn batch_get_price_snapshots(
        &self,
        request: Request<v1::BatchGetPriceSnapshotsRequest>,
    ) -> Result<Response<encoded::BatchGetPriceSnapshotsResponse>, Status> {
        Ok(Response::new(self.batch_get(request.get_ref())?))
    }

    async fn list_price_snapshots(
        &self,
        request: Request<v1::ListPriceSnapshotsRequest>,
    ) -> Result<Response<encoded::ListPriceSnapshotsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner())?))
    }

    type WatchPriceSnapshotsStream = ServerStream<encoded::WatchPriceSnapshotsResponse>;

    async fn watch_price_snapshots(
        &self,
        request: Request<v1::WatchPriceSnapshotsRequest>,
    ) -> Result<Response<Self::WatchPriceSnapshotsStream>, Status> {
        Ok(Response::new(self.watch(request)?))
    }

    async fn list_candles(
        &self,
        request: Request<v1::ListCandlesRequest>,
    ) -> Result<Response<v1::ListCandlesResponse>, Status> {
        Ok(Response::new(self.candles(request.into_inner()).await?))
    }
}

/// A request for candles, checked.
struct CandleQuery {
    asset: AssetCode,
    /// The asset as the client named it.
    name: String,
    interval: CandleInterval,
    from: Timestamp,
    until: Timestamp,
    page_size: usize,
    pages: Pages,
}

impl CandleQuery {
    fn of(mut request: v1::ListCandlesRequest) -> Result<Self, ServiceError> {
        let asset = paging::asset("asset", &request.asset)?;
        let interval = convert::candle_interval(request.interval).ok_or_else(|| {
            let allowed = "must be CANDLE_INTERVAL_5M (1), CANDLE_INTERVAL_1H (2) or CANDLE_INTERVAL_1D (3)";
            ServiceError::invalid("interval", request.interval, allowed)
        })?;
        let page_size = paging::page_size(request.page_size, CANDLE_PAGE_SIZE_DEFAULT, CANDLE_PAGE_SIZE_MAX)?;
        let start = paging::time_of("start_time", request.start_time.as_ref(), i64::MIN)?;
        let until = paging::time_of("end_time", request.end_time.as_ref(), i64::MAX)?;
        if start > until {
            return Err(ServiceError::invalid("end_time", until, "must not be before start_time"));
        }
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let pages = Pages::of(&request, &token)?;
        let from = if pages.continued { Timestamp::from_micros(pages.start) } else { start };
        Ok(Self { asset, name: request.asset, interval, from, until, page_size, pages })
    }
}

fn watch_response(frame: Frame) -> encoded::WatchPriceSnapshotsResponse {
    let Frame { entries, cursor, state, conflated_count, publish_time, items, configuration } = frame;
    let rest = v1::WatchPriceSnapshotsResponse {
        snapshots: Vec::new(),
        cursor,
        state: state.into(),
        conflated_count,
        publish_time: Some(publish_time),
        items,
        configuration,
    };
    Encoded { entries, rest }
}

/// A filter by figures; keys are added by the caller.
fn filter(categories: &[String], market_cap_rank_max: Option<i32>) -> Result<Filter, ServiceError> {
    paging::check_filter_len("categories", categories.len())?;
    Ok(Filter {
        keys: None,
        categories: categories.iter().map(|category| SmolStr::from(category.to_lowercase())).collect(),
        market_cap_rank_max: paging::rank_max("market_cap_rank_max", market_cap_rank_max)?,
        ..Filter::default()
    })
}

fn sort(items: &mut [Arc<Item>], fields: &[OrderField]) {
    items.sort_by(|left, right| {
        order::compare(fields, left.as_ref(), right.as_ref(), sort_value).then_with(|| left.key.cmp(&right.key))
    });
}

fn sort_value<'a>(item: &'a Item, field: &str) -> SortValue<'a> {
    let Body::Price(price) = &item.state.body else { return SortValue::Absent };
    match field {
        "asset" => SortValue::Text(price.asset.as_str()),
        "market_cap_rank" => price.market_cap_rank.into(),
        "market_cap" => price.market_cap.into(),
        "volume_24h" => price.volume_24h.into(),
        "price" => price.price.into(),
        "change_1h_percent" => price.change_1h_percent.into(),
        "change_24h_percent" => price.change_24h_percent.into(),
        "change_7d_percent" => price.change_7d_percent.into(),
        "change_30d_percent" => price.change_30d_percent.into(),
        "change_ytd_percent" => price.change_ytd_percent.into(),
        "volatility_24h_percent" => price.volatility_24h_percent.into(),
        "rsi_14d" => price.rsi_14d.into(),
        "drawdown_percent" => price.all_time_high.as_ref().and_then(|high| high.drawdown_percent).into(),
        "event_time" => SortValue::Whole(item.state.event_time.as_micros()),
        _ => SortValue::Absent,
    }
}
