//! `IndexService`: indices, comparisons, altcoin season and cycles, from the live image and the histories in memory.

use std::collections::HashSet;

use futures_util::StreamExt;
use prost::Message;
use tonic::{Request, Response, Status};

use self::side::{Operand, Side};
use super::encoded::{self, Encoded};
use super::error::ServiceError;
use super::order::{self, SortValue};
use super::paging::{self, Pages};
use super::watch::{self, Frame, Pace, RequestedItem, WatchRequest};
use super::{ServerStream, Services, convert};
use crate::servers::index_service_server::IndexService;
use crossmarket_api::v1;
use crossmarket_domain::index::{Expression, IndexCode, KNOWN, Subject};
use crossmarket_domain::state::Key;
use crossmarket_domain::{Decimal, Timestamp};
use crossmarket_image::{Collection, Filter, View};

mod compare;
mod cycles;
mod derived;
mod live;
mod past;
mod season;
mod side;
mod snapshot;

const ORDER_FIELDS: &[&str] = &[
    "index",
    "kind",
    "change_1d_percent",
    "change_7d_percent",
    "change_30d_percent",
    "change_ytd_percent",
    "market_cap",
];

/// The service.
pub struct Index {
    services: Services,
}

impl Index {
    /// A service that answers from these.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    fn get(&self, request: &v1::GetIndexSnapshotRequest) -> Result<encoded::GetIndexSnapshotResponse, ServiceError> {
        let view = paging::view(request.view)?;
        side::parse("index", &request.index)?;
        self.services.check_serving()?;
        let entry = self.entry("index", &request.index, view)?;
        Ok(Encoded { entries: vec![entry], rest: Default::default() })
    }

    fn batch_get(
        &self,
        request: &v1::BatchGetIndexSnapshotsRequest,
    ) -> Result<encoded::BatchGetIndexSnapshotsResponse, ServiceError> {
        let view = paging::view(request.view)?;
        if request.indices.is_empty() {
            return Err(ServiceError::invalid("indices", "", "must name at least one index"));
        }
        paging::check_filter_len("indices", request.indices.len())?;
        self.services.check_serving()?;
        let mut response = encoded::BatchGetIndexSnapshotsResponse::default();
        for (index, name) in request.indices.iter().enumerate() {
            match self.entry(&format!("indices[{index}]"), name, view) {
                Ok(entry) => response.entries.push(entry),
                Err(_) if request.allow_partial => response.rest.missing.push(name.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(response)
    }

    /// One snapshot as an entry: the image's own bytes where it has them.
    fn entry(&self, field: &str, name: &str, view: View) -> Result<bytes::Bytes, ServiceError> {
        if let Expression::Single(Subject::Index(code)) = side::parse(field, name)?
            && let Some(item) = self.services.image.get(&Key::Index(code))
        {
            return Ok(item.entry(view).clone());
        }
        let side = Side::resolve(&self.services, field, name)?;
        Ok(snapshot::entry(snapshot::of(&self.services, &side)?, view))
    }

    fn list(&self, mut request: v1::ListIndicesRequest) -> Result<encoded::ListIndicesResponse, ServiceError> {
        let view = paging::view(request.view)?;
        let page_size = paging::page_size(request.page_size, paging::PAGE_SIZE_DEFAULT, paging::PAGE_SIZE_MAX)?;
        let mut fields = order::parse(&request.order_by, ORDER_FIELDS, "kind")?;
        if request.order_by.trim().is_empty() {
            fields.push(order::OrderField { name: "index", descending: false });
        }
        let known_kind =
            |kind: &i32| v1::IndexKind::try_from(*kind).is_ok_and(|kind| kind != v1::IndexKind::Unspecified);
        if let Some(at) = request.kinds.iter().position(|kind| !known_kind(kind)) {
            let value = request.kinds.get(at).copied().unwrap_or_default();
            return Err(ServiceError::invalid(format!("kinds[{at}]"), value, "must be a kind of index, from 1 to 10"));
        }
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let pages = Pages::of(&request, &token)?;
        self.services.check_serving()?;

        let mut listed: Vec<Listed> = self.catalogue().into_iter().map(|code| self.listed(code, view)).collect();
        listed.retain(|one| request.kinds.is_empty() || request.kinds.contains(&one.message.kind));
        listed.sort_by(|left, right| {
            order::compare(&fields, &left.message, &right.message, sort_value)
                .then_with(|| left.message.index.cmp(&right.message.index))
        });
        let (page, next_page_token) = pages.page(&listed, page_size, |one| one.entry.len());
        let entries = page.iter().map(|one| one.entry.clone()).collect();
        let total_size = i32::try_from(listed.len()).unwrap_or(i32::MAX);
        Ok(Encoded { entries, rest: v1::ListIndicesResponse { snapshots: Vec::new(), next_page_token, total_size } })
    }

    /// Every index that there is: those with a name of their own, and the categories and baskets that have a state.
    fn catalogue(&self) -> Vec<IndexCode> {
        let mut codes: Vec<IndexCode> = KNOWN.iter().filter_map(|known| IndexCode::parse(known.code)).collect();
        let items = self.services.image.select(Collection::Indices, |_| true);
        let with_state = items.iter().filter_map(|item| match &item.key {
            Key::Index(code) => Some(code.clone()),
            _ => None,
        });
        codes.extend(with_state);
        let mut seen = HashSet::new();
        codes.retain(|code| seen.insert(code.clone()));
        codes
    }

    fn listed(&self, code: IndexCode, view: View) -> Listed {
        if let Some(item) = self.services.image.get(&Key::Index(code.clone())) {
            let entry = item.entry(view).clone();
            // The figures by which lists are ordered are in either view.
            let message = v1::GetIndexSnapshotResponse::decode(item.entry(View::Basic).clone());
            return Listed { message: message.ok().and_then(|message| message.snapshot).unwrap_or_default(), entry };
        }
        let subject = Subject::Index(code);
        let side = Side {
            operands: Operand::find(&self.services, &subject).into_iter().collect(),
            expression: Expression::Single(subject),
        };
        let message =
            snapshot::of(&self.services, &side).unwrap_or_else(|_| snapshot::without_level(&self.services, &side));
        Listed { entry: snapshot::entry(message.clone(), view), message }
    }

    fn watch(
        &self,
        request: Request<v1::WatchIndexSnapshotsRequest>,
    ) -> Result<ServerStream<encoded::WatchIndexSnapshotsResponse>, ServiceError> {
        let deadline = watch::deadline(request.metadata());
        let request = request.into_inner();
        paging::check_filter_len("indices", request.indices.len())?;
        let view = paging::view(request.view)?;
        let plain = |name: &String| match Expression::parse(name) {
            Some(Expression::Single(Subject::Index(code))) => Some(Key::Index(code)),
            _ => None,
        };
        if request.indices.iter().any(|name| Expression::parse(name).is_some() && plain(name).is_none()) {
            return self.watch_derived(request, view, deadline);
        }
        let items: Vec<RequestedItem> =
            request.indices.iter().map(|name| RequestedItem::new(name, plain(name))).collect();
        let (min_interval, heartbeat_interval) = (request.min_interval, request.heartbeat_interval);
        let pace = Pace { view, min_interval, heartbeat_interval, deadline };
        let watched = WatchRequest::of(Collection::Indices, Filter::default(), items, pace, request.resume_cursor);
        let frames = watch::open(&self.services, watched)?;
        Ok(Box::pin(frames.map(|frame| frame.map(index_frame))))
    }

    /// A stream that has assets or quotients in it, which are computed when what they rest on changes.
    fn watch_derived(
        &self,
        request: v1::WatchIndexSnapshotsRequest,
        view: View,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<ServerStream<encoded::WatchIndexSnapshotsResponse>, ServiceError> {
        self.services.check_histories()?;
        let cursor = watch::resume(&request.resume_cursor, Collection::Indices)?;
        let items = derived::each_once(&request.indices, |_, name| live::WatchedSnapshot::new(name, view));
        let source = derived::DerivedSource::new(&self.services, items, cursor);
        let (min_interval, heartbeat_interval) = (request.min_interval, request.heartbeat_interval);
        let pace = Pace { view, min_interval, heartbeat_interval, deadline };
        let frames = watch::run(&self.services, source, &pace)?;
        Ok(Box::pin(frames.map(|frame| frame.map(index_frame))))
    }

    fn watch_comparisons_of(
        &self,
        request: Request<v1::WatchComparisonsRequest>,
    ) -> Result<ServerStream<encoded::WatchComparisonsResponse>, ServiceError> {
        let deadline = watch::deadline(request.metadata());
        let request = request.into_inner();
        compare::check_subjects(&request.subjects)?;
        let query = compare::Query {
            start: compare::Start::Lookback(compare::lookback(request.lookback_observations)?),
            end: None,
            frequency: compare::frequency(request.frequency)?,
            alignment: compare::alignment(request.alignment)?,
            include_points: request.include_points,
        };
        side::parse("benchmark", &request.benchmark)?;
        self.services.check_histories()?;
        Side::resolve(&self.services, "benchmark", &request.benchmark)?;
        let cursor = watch::resume(&request.resume_cursor, Collection::Indices)?;
        let items = derived::each_once(&request.subjects, |_, name| {
            live::WatchedComparison::new(name, &request.benchmark, query)
        });
        let source = derived::DerivedSource::new(&self.services, items, cursor);
        let (min_interval, heartbeat_interval) = (request.min_interval, request.heartbeat_interval);
        let pace = Pace { view: View::Full, min_interval, heartbeat_interval, deadline };
        let frames = watch::run(&self.services, source, &pace)?;
        Ok(Box::pin(frames.map(|frame| frame.map(comparison_frame))))
    }
}

fn index_frame(frame: Frame) -> encoded::WatchIndexSnapshotsResponse {
    let Frame { entries, cursor, state, conflated_count, publish_time, items, configuration } = frame;
    let rest = v1::WatchIndexSnapshotsResponse {
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

fn comparison_frame(frame: Frame) -> encoded::WatchComparisonsResponse {
    let Frame { entries, cursor, state, conflated_count, publish_time, items, configuration } = frame;
    let rest = v1::WatchComparisonsResponse {
        comparisons: Vec::new(),
        cursor,
        state: state.into(),
        conflated_count,
        publish_time: Some(publish_time),
        items,
        configuration,
    };
    Encoded { entries, rest }
}

/// An index in a list.
struct Listed {
    message: v1::IndexSnapshot,
    entry: bytes::Bytes,
}

fn sort_value<'a>(message: &'a v1::IndexSnapshot, field: &str) -> SortValue<'a> {
    match field {
        "index" => SortValue::Text(&message.index),
        "kind" => SortValue::Whole(message.kind.into()),
        "change_1d_percent" => message.change_1d_percent.into(),
        "change_7d_percent" => message.change_7d_percent.into(),
        "change_30d_percent" => message.change_30d_percent.into(),
        "change_ytd_percent" => message.change_ytd_percent.into(),
        "market_cap" => message.market_cap.as_deref().and_then(|text| Decimal::parse(text).ok()).into(),
        _ => SortValue::Absent,
    }
}

/// An instant of a request.
fn instant(field: &str, time: &prost_types::Timestamp) -> Result<Timestamp, ServiceError> {
    convert::instant(time).ok_or_else(|| {
        let value = format!("{} s {} ns", time.seconds, time.nanos);
        ServiceError::invalid(field, value, "must be an instant between the years 1 and 9999")
    })
}

fn item_status(item: &str, state: v1::ItemState, message: String) -> v1::ItemStatus {
    v1::ItemStatus { item: item.to_owned(), state: state.into(), message }
}

/// What an error says of an item in a request that takes the others all the same.
fn item_state_of(error: &ServiceError) -> v1::ItemState {
    match error {
        ServiceError::InvalidArgument { .. } => v1::ItemState::Invalid,
        ServiceError::NoLevelYet(_) | ServiceError::NoPriceYet(_) => v1::ItemState::Pending,
        ServiceError::InsufficientHistory { .. } => v1::ItemState::InsufficientHistory,
        _ => v1::ItemState::Unknown,
    }
}

#[tonic::async_trait]
impl IndexService for Index {
    async fn list_indices(
        &self,
        request: Request<v1::ListIndicesRequest>,
    ) -> Result<Response<encoded::ListIndicesResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner())?))
    }

    async fn get_index_snapshot(
        &self,
        request: Request<v1::GetIndexSnapshotRequest>,
    ) -> Result<Response<encoded::GetIndexSnapshotResponse>, Status> {
        Ok(Response::new(self.get(request.get_ref())?))
    }

    async fn batch_get_index_snapshots(
        &self,
        request: Request<v1::BatchGetIndexSnapshotsRequest>,
    ) -> Result<Response<encoded::BatchGetIndexSnapshotsResponse>, Status> {
        Ok(Response::new(self.batch_get(request.get_ref())?))
    }

    type WatchIndexSnapshotsStream = ServerStream<encoded::WatchIndexSnapshotsResponse>;

    async fn watch_index_snapshots(
        &self,
        request: Request<v1::WatchIndexSnapshotsRequest>,
    ) -> Result<Response<Self::WatchIndexSnapshotsStream>, Status> {
        Ok(Response::new(self.watch(request)?))
    }

    async fn list_index_history(
        &self,
        request: Request<v1::ListIndexHistoryRequest>,
    ) -> Result<Response<v1::ListIndexHistoryResponse>, Status> {
        Ok(Response::new(past::list(&self.services, request.into_inner()).await?))
    }

    async fn compare_indices(
        &self,
        request: Request<v1::CompareIndicesRequest>,
    ) -> Result<Response<v1::CompareIndicesResponse>, Status> {
        Ok(Response::new(compare::answer(&self.services, request.get_ref())?))
    }

    type WatchComparisonsStream = ServerStream<encoded::WatchComparisonsResponse>;

    async fn watch_comparisons(
        &self,
        request: Request<v1::WatchComparisonsRequest>,
    ) -> Result<Response<Self::WatchComparisonsStream>, Status> {
        Ok(Response::new(self.watch_comparisons_of(request)?))
    }

    async fn get_altcoin_season(
        &self,
        request: Request<v1::GetAltcoinSeasonRequest>,
    ) -> Result<Response<v1::GetAltcoinSeasonResponse>, Status> {
        Ok(Response::new(season::get(&self.services, request.get_ref())?))
    }

    async fn list_altcoin_season_history(
        &self,
        request: Request<v1::ListAltcoinSeasonHistoryRequest>,
    ) -> Result<Response<v1::ListAltcoinSeasonHistoryResponse>, Status> {
        let services = self.services.clone();
        let request = request.into_inner();
        // Thousands of days may be asked for, at some 100 microseconds each.
        let listed = tokio::task::spawn_blocking(move || season::list(&services, request)).await;
        match listed {
            Ok(listed) => Ok(Response::new(listed?)),
            Err(_) => Err(ServiceError::Draining { cursor: String::new() }.into()),
        }
    }

    async fn get_cycles(
        &self,
        request: Request<v1::GetCyclesRequest>,
    ) -> Result<Response<v1::GetCyclesResponse>, Status> {
        Ok(Response::new(cycles::get(&self.services, request.get_ref())?))
    }
}
