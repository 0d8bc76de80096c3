//! `LongShortService`.

mod breadth;
mod history;

use smol_str::SmolStr;
use tonic::{Request, Response, Status};

use super::collection::{self, ListQuery};
use super::context::{ServerStream, Services};
use super::convert;
use super::encoded::Encoded;
use super::error::ServiceError;
use super::order::Column;
use super::paging;
use super::watch::{self, Pace};
use crate::figures::Value;
use crate::servers::long_short_service_server::LongShortService;
use crossmarket_api::v1;
use crossmarket_domain::long_short::{LongShortKey, LongShortRatio};
use crossmarket_domain::state::{Body, Key, State};
use crossmarket_domain::{AssetId, Feed};
use crossmarket_image::{Collection, Filter, LongShortSeries};

macro_rules! column {
    ($name:literal, |$ratio:ident| $value:expr) => {
        Column::new($name, |state: &State| match &state.body {
            Body::LongShort($ratio) => $value,
            _ => Value::Absent,
        })
    };
}

static COLUMNS: &[Column<State>] = &[
    column!("asset", |ratio| Value::Text(ratio.ticker.as_str())),
    column!("market_cap_rank", |ratio| ratio.market_cap_rank.into()),
    column!("ratio", |ratio| ratio.shares.map(|shares| shares.ratio).into()),
    column!("long_share", |ratio| ratio.shares.map(|shares| shares.long_share).into()),
    column!("open_interest", |ratio| ratio.open_interest.into()),
    column!("rsi_14d", |ratio| ratio.rsi_14d.into()),
    column!("change_24h", |ratio| ratio.change_24h().into()),
    Column::new("event_time", |state: &State| Value::Whole(state.event_time.as_micros())),
];

pub struct LongShort {
    services: Services,
}

impl LongShort {
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

    /// Why there is no such ratio.
    fn missing(&self, asset: &AssetId, name: &str, series: &LongShortSeries) -> ServiceError {
        if !self.services.is_known_asset(asset) {
            return ServiceError::unknown_asset(name);
        }
        ServiceError::NoRatio {
            asset: name.to_owned(),
            kind: series.kind.as_str(),
            period: series.period.as_str(),
            venue: series.venue.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

#[tonic::async_trait]
impl LongShortService for LongShort {
    async fn get_long_short_ratio(
        &self,
        request: Request<v1::GetLongShortRatioRequest>,
    ) -> Result<Response<Encoded<v1::GetLongShortRatioResponse>>, Status> {
        let request = request.get_ref();
        let view = paging::view(request.view)?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        self.services.check_serving()?;
        let asset = self.services.asset("asset", &request.asset)?;
        let item = self.services.image.get(&key_of(&series, asset.clone()));
        let item = item.ok_or_else(|| self.missing(&asset, &request.asset, &series))?;
        Ok(Response::new(Encoded::one(item.entry(view).clone())))
    }

    async fn list_long_short_ratios(
        &self,
        request: Request<v1::ListLongShortRatiosRequest>,
    ) -> Result<Response<Encoded<v1::ListLongShortRatiosResponse>>, Status> {
        let mut request = request.into_inner();
        let query = ListQuery::of(&mut request, COLUMNS, &["market_cap_rank"])?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        let keys = self.services.assets(&request.assets)?.into_iter().map(|asset| key_of(&series, asset)).collect();
        let filter = filter(series, request.market_cap_rank_min, request.market_cap_rank_max)?;
        self.services.check_serving()?;
        Ok(Response::new(query.answer(collection::select(
            &self.services.image,
            Collection::LongShortRatios,
            keys,
            &filter,
        ))))
    }

    type WatchLongShortRatiosStream = ServerStream<Encoded<v1::WatchLongShortRatiosResponse>>;

    async fn watch_long_short_ratios(
        &self,
        request: Request<v1::WatchLongShortRatiosRequest>,
    ) -> Result<Response<Self::WatchLongShortRatiosStream>, Status> {
        let (request, pace) = Pace::of(request)?;
        let series = self.series(request.kind, request.period, &request.venue)?;
        let filter = filter(series.clone(), request.market_cap_rank_min, request.market_cap_rank_max)?;
        let key = |name: &str| self.services.watched_asset(name).map(|asset| key_of(&series, asset));
        let items = watch::requested("assets", &request.assets, key)?;
        Ok(Response::new(watch::open(&self.services, Collection::LongShortRatios, filter, items, &pace)?))
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

fn key_of(series: &LongShortSeries, asset: AssetId) -> Key {
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

fn ratio_of(state: &State) -> Option<&LongShortRatio> {
    match &state.body {
        Body::LongShort(ratio) => Some(ratio),
        _ => None,
    }
}
