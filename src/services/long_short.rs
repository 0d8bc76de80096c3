//! `LongShortService`.

mod breadth;
mod history;

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
use crate::servers::long_short_service_server::LongShortService;
use crossmarket_api::v1;
use crossmarket_domain::long_short::{LongShortKey, LongShortRatio};
use crossmarket_domain::state::{Body, Key};
use crossmarket_domain::{AssetCode, Feed};
use crossmarket_image::{Collection, Filter, Item, LongShortSeries};

const ORDER_FIELDS: &[&str] =
    &["asset", "market_cap_rank", "ratio", "long_share", "open_interest", "rsi_14d", "change_24h", "event_time"];

/// The service.
pub struct LongShort {
    services: Services,
}

impl LongShort {
    /// A service that answers from these.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    /// The series that a request names; without a venue it is the aggregate, which some kinds do not have.
    fn series(&self, kind: i32, period: i32, venue: &str) -> Result<LongShortSeries, ServiceError> {
        let refused = |field: &str, value: i32, allowed: &str| ServiceError::invalid(field, value, allowed);
        let kind = convert::long_short_kind(kind).ok_or_else(|| {
            let allowed = "must be LONG_SHORT_KIND_GLOBAL_ACCOUNT (1), _TOP_TRADER_ACCOUNT (2), _TOP_TRADER_POSITION (3), \
                           _TAKER_VOLUME (4) or _GLOBAL_POSITION (5)";
            refused("kind", kind, allowed)
        })?;
        let period = convert::long_short_period(period)
            .ok_or_else(|| refused("period", period, "must be LONG_SHORT_PERIOD_5M (1) to LONG_SHORT_PERIOD_1D (6)"))?;
        let venues: Vec<&str> = self
            .services
            .venues
            .iter()
            .filter(|known| known.feeds.contains(&Feed::LongShortRatios))
            .map(|known| known.id.as_str())
            .collect();
        if venue.is_empty() {
            if !kind.is_pooled() {
                let kind = kind.as_str();
                let venues = venues.join(", ");
                let allowed = format!("{kind} is each venue's own figure and is not pooled: must name one of {venues}");
                return Err(ServiceError::invalid("venue", venue, allowed));
            }
            return Ok(LongShortSeries { kind, period, venue: None });
        }
        let lower = venue.to_ascii_lowercase();
        if !venues.contains(&lower.as_str()) {
            let allowed = format!("must be empty for the aggregate or one of {}", venues.join(", "));
            return Err(ServiceError::invalid("venue", venue, allowed));
        }
        Ok(LongShortSeries { kind, period, venue: Some(SmolStr::from(lower)) })
    }

    fn get(&self, request: &v1::GetLongShortRatioRequest) -> Result<encoded::GetLongShortRatioResponse, ServiceError> {
        let view = paging::view(request.view)?;
        let asset = paging::asset("asset", &request.asset)?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        self.services.check_serving()?;
        let item = self.services.image.get(&key_of(&series, asset.clone()));
        let item = item.ok_or_else(|| self.missing(&asset, &request.asset, &series))?;
        Ok(Encoded { entries: vec![item.entry(view).clone()], rest: Default::default() })
    }

    /// Why there is no such ratio.
    fn missing(&self, asset: &AssetCode, name: &str, series: &LongShortSeries) -> ServiceError {
        if !self.services.is_known_asset(asset) {
            return ServiceError::unknown_asset(name);
        }
        ServiceError::NoRatio {
            asset: asset.to_string(),
            kind: series.kind.as_str(),
            period: series.period.as_str(),
            venue: series.venue.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    fn list(
        &self,
        mut request: v1::ListLongShortRatiosRequest,
    ) -> Result<encoded::ListLongShortRatiosResponse, ServiceError> {
        let view = paging::view(request.view)?;
        let page_size = paging::page_size(request.page_size, paging::PAGE_SIZE_DEFAULT, paging::PAGE_SIZE_MAX)?;
        let fields = order::parse(&request.order_by, ORDER_FIELDS, "market_cap_rank")?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        let assets = paging::assets(&request.assets)?;
        let filter = filter(series.clone(), request.market_cap_rank_min, request.market_cap_rank_max)?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let pages = Pages::of(&request, &token)?;
        self.services.check_serving()?;

        let image = &self.services.image;
        let mut items: Vec<Arc<Item>> = if assets.is_empty() {
            image.select(Collection::LongShortRatios, |item| filter.admits(item))
        } else {
            let named: HashSet<Key> = assets.into_iter().map(|asset| key_of(&series, asset)).collect();
            named.iter().filter_map(|key| image.get(key)).filter(|item| filter.admits(item)).collect()
        };
        sort(&mut items, &fields);
        let (page, next_page_token) = pages.page(&items, page_size, |item| item.entry(view).len());
        let entries = page.iter().map(|item| item.entry(view).clone()).collect();
        let total_size = i32::try_from(items.len()).unwrap_or(i32::MAX);
        let rest = v1::ListLongShortRatiosResponse { ratios: Vec::new(), next_page_token, total_size };
        Ok(Encoded { entries, rest })
    }

    fn watch(
        &self,
        request: Request<v1::WatchLongShortRatiosRequest>,
    ) -> Result<ServerStream<encoded::WatchLongShortRatiosResponse>, ServiceError> {
        let deadline = watch::deadline(request.metadata());
        let request = request.into_inner();
        paging::check_filter_len("assets", request.assets.len())?;
        let view = paging::view(request.view)?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        let filter = filter(series.clone(), request.market_cap_rank_min, request.market_cap_rank_max)?;
        let named_key = |name: &str| AssetCode::parse(name).map(|asset| key_of(&series, asset));
        let item = |name: &String| RequestedItem::new(name, named_key(name));
        let items: Vec<RequestedItem> = request.assets.iter().map(item).collect();
        let (min_interval, heartbeat_interval) = (request.min_interval, request.heartbeat_interval);
        let pace = Pace { view, min_interval, heartbeat_interval, deadline };
        let watched = WatchRequest::of(Collection::LongShortRatios, filter, items, pace, request.resume_cursor);
        let frames = watch::open(&self.services, watched)?;
        Ok(Box::pin(frames.map(|frame| frame.map(watch_response))))
    }
}

#[tonic::async_trait]
impl LongShortService for LongShort {
    async fn get_long_short_ratio(
        &self,
        request: Request<v1::GetLongShortRatioRequest>,
    ) -> Result<Response<encoded::GetLongShortRatioResponse>, Status> {
        Ok(Response::new(self.get(request.get_ref())?))
    }

    async fn list_long_short_ratios(
        &self,
        request: Request<v1::ListLongShortRatiosRequest>,
    ) -> Result<Response<encoded::ListLongShortRatiosResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner())?))
    }

    type WatchLongShortRatiosStream = ServerStream<encoded::WatchLongShortRatiosResponse>;

    async fn watch_long_short_ratios(
        &self,
        request: Request<v1::WatchLongShortRatiosRequest>,
    ) -> Result<Response<Self::WatchLongShortRatiosStream>, Status> {
        Ok(Response::new(self.watch(request)?))
    }

    async fn list_long_short_ratio_history(
        &self,
        request: Request<v1::ListLongShortRatioHistoryRequest>,
    ) -> Result<Response<v1::ListLongShortRatioHistoryResponse>, Status> {
        Ok(Response::new(self.history(request.into_inner()).await?))
    }

    async fn get_long_short_breadth(
        &self,
        request: Request<v1::GetLongShortBreadthRequest>,
    ) -> Result<Response<v1::GetLongShortBreadthResponse>, Status> {
        Ok(Response::new(self.breadth(request.get_ref())?))
    }
}

fn key_of(series: &LongShortSeries, asset: AssetCode) -> Key {
    let LongShortSeries { kind, period, venue } = series.clone();
    Key::LongShort(LongShortKey { asset, kind, period, venue })
}

fn filter(series: LongShortSeries, rank_min: Option<i32>, rank_max: Option<i32>) -> Result<Filter, ServiceError> {
    let market_cap_rank_min = paging::rank_max("market_cap_rank_min", rank_min)?;
    let market_cap_rank_max = paging::rank_max("market_cap_rank_max", rank_max)?;
    if let (Some(least), Some(most)) = (market_cap_rank_min, market_cap_rank_max)
        && least > most
    {
        return Err(ServiceError::invalid("market_cap_rank_max", most, "must not be less than market_cap_rank_min"));
    }
    Ok(Filter { market_cap_rank_min, market_cap_rank_max, long_short: Some(series), ..Filter::default() })
}

fn watch_response(frame: Frame) -> encoded::WatchLongShortRatiosResponse {
    let Frame { entries, cursor, state, conflated_count, publish_time, items, configuration } = frame;
    let rest = v1::WatchLongShortRatiosResponse {
        ratios: Vec::new(),
        cursor,
        state: state.into(),
        conflated_count,
        publish_time: Some(publish_time),
        items,
        configuration,
    };
    Encoded { entries, rest }
}

fn sort(items: &mut [Arc<Item>], fields: &[OrderField]) {
    items.sort_by(|left, right| {
        order::compare(fields, left.as_ref(), right.as_ref(), sort_value).then_with(|| left.key.cmp(&right.key))
    });
}

fn ratio_of(item: &Item) -> Option<&LongShortRatio> {
    match &item.state.body {
        Body::LongShort(ratio) => Some(ratio),
        _ => None,
    }
}

fn sort_value<'a>(item: &'a Item, field: &str) -> SortValue<'a> {
    let Some(ratio) = ratio_of(item) else { return SortValue::Absent };
    match field {
        "asset" => SortValue::Text(ratio.key.asset.as_str()),
        "market_cap_rank" => ratio.market_cap_rank.into(),
        "ratio" => ratio.shares.map(|shares| shares.ratio).into(),
        "long_share" => ratio.shares.map(|shares| shares.long_share).into(),
        "open_interest" => ratio.open_interest.into(),
        "rsi_14d" => ratio.rsi_14d.into(),
        "change_24h" => ratio.change_24h().into(),
        "event_time" => SortValue::Whole(item.state.event_time.as_micros()),
        _ => SortValue::Absent,
    }
}
