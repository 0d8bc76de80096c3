//! `IndexService`: indices, comparisons, altcoin season and cycles, from the live image and the histories in memory.

use std::collections::HashSet;

use prost::Message;
use tonic::{Request, Response, Status};

use self::leg::{Leg, Operand};
use super::collection::{self, Batch, ListItem, ListQuery};
use super::context::{ServerStream, Services};
use super::encoded::Encoded;
use super::error::ServiceError;
use super::order::Column;
use super::paging;
use super::watch::{self, Pace};
use crate::figures::Value;
use crate::servers::index_service_server::IndexService;
use crossmarket_api::v1;
use crossmarket_domain::Decimal;
use crossmarket_domain::index::{Expression, IndexCode, KNOWN, Subject};
use crossmarket_domain::state::Key;
use crossmarket_image::{Collection, Filter, View};

mod compare;
mod cycles;
mod derived;
mod history;
mod leg;
mod season;
mod snapshot;
mod status;
mod watched;

pub(super) struct Index {
    services: Services,
}

impl Index {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }

    /// One snapshot as an entry: the image's own bytes where it has them.
    fn entry(&self, field: &str, name: &str, view: View) -> Result<bytes::Bytes, ServiceError> {
        if let Expression::Single(Subject::Index(code)) = leg::parse(field, name)?
            && let Some(item) = self.services.image.get(&Key::Index(code))
        {
            return Ok(item.entry(view).clone());
        }
        let leg = Leg::resolve(&self.services, field, name)?;
        Ok(snapshot::entry(snapshot::of(&self.services, &leg)?, view))
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

    fn row(&self, code: IndexCode, view: View) -> IndexRow {
        if let Some(item) = self.services.image.get(&Key::Index(code.clone())) {
            let entry = item.entry(view).clone();
            // The figures by which lists are ordered are in either view.
            let message = v1::GetIndexSnapshotResponse::decode(item.entry(View::Basic).clone());
            return IndexRow { message: message.ok().and_then(|message| message.snapshot).unwrap_or_default(), entry };
        }
        let leg = Leg {
            operands: Operand::find(&self.services, &Subject::Index(code.clone())).into_iter().collect(),
            expression: Expression::Single(Subject::Index(code)),
        };
        let message =
            snapshot::of(&self.services, &leg).unwrap_or_else(|_| snapshot::without_level(&self.services, &leg));
        IndexRow { entry: snapshot::entry(message.clone(), view), message }
    }

    /// A stream with assets or quotients in it, which are computed when their states change.
    fn watch_derived(
        &self,
        names: &[String],
        pace: &Pace,
    ) -> Result<ServerStream<Encoded<v1::WatchIndexSnapshotsResponse>>, ServiceError> {
        self.services.check_histories()?;
        let cursor = pace.cursor(Collection::Indices)?;
        let items = derived::each_once(names, |name| watched::WatchedSnapshot::new(&self.services, name, pace.view));
        watch::run(&self.services, derived::DerivedSource::new(&self.services, items, cursor), pace)
    }
}

/// An index in a list.
struct IndexRow {
    message: v1::IndexSnapshot,
    entry: bytes::Bytes,
}

impl ListItem for IndexRow {
    type Ordered = v1::IndexSnapshot;

    fn ordered(&self) -> &v1::IndexSnapshot {
        &self.message
    }

    fn tie(&self) -> impl Ord {
        &self.message.index
    }

    fn entry(&self, _: View) -> &bytes::Bytes {
        &self.entry
    }
}

static COLUMNS: &[Column<v1::IndexSnapshot>] = &[
    Column::new("index", |message| Value::Text(&message.index)),
    Column::new("kind", |message| Value::Whole(message.kind.into())),
    Column::new("change_1d_percent", |message| message.change_1d_percent.into()),
    Column::new("change_7d_percent", |message| message.change_7d_percent.into()),
    Column::new("change_30d_percent", |message| message.change_30d_percent.into()),
    Column::new("change_ytd_percent", |message| message.change_ytd_percent.into()),
    Column::new("market_cap", |message| {
        message.market_cap.as_deref().and_then(|text| Decimal::parse(text).ok()).into()
    }),
];

#[tonic::async_trait]
impl IndexService for Index {
    async fn list_indices(
        &self,
        request: Request<v1::ListIndicesRequest>,
    ) -> Result<Response<Encoded<v1::ListIndicesResponse>>, Status> {
        let mut request = request.into_inner();
        let query = ListQuery::of(&mut request, COLUMNS, &["kind", "index"])?;
        let known_kind =
            |kind: &i32| v1::IndexKind::try_from(*kind).is_ok_and(|kind| kind != v1::IndexKind::Unspecified);
        if let Some((at, kind)) = request.kinds.iter().enumerate().find(|(_, kind)| !known_kind(kind)) {
            return Err(
                ServiceError::invalid(format!("kinds[{at}]"), kind, "must be a kind of index, from 1 to 10").into()
            );
        }
        self.services.check_serving()?;
        let mut rows: Vec<IndexRow> = self.catalogue().into_iter().map(|code| self.row(code, query.view)).collect();
        rows.retain(|row| request.kinds.is_empty() || request.kinds.contains(&row.message.kind));
        Ok(Response::new(query.answer(rows)))
    }

    async fn get_index_snapshot(
        &self,
        request: Request<v1::GetIndexSnapshotRequest>,
    ) -> Result<Response<Encoded<v1::GetIndexSnapshotResponse>>, Status> {
        let request = request.get_ref();
        let view = paging::view(request.view)?;
        leg::parse("index", &request.index)?;
        self.services.check_serving()?;
        Ok(Response::new(Encoded::one(self.entry("index", &request.index, view)?)))
    }

    async fn batch_get_index_snapshots(
        &self,
        request: Request<v1::BatchGetIndexSnapshotsRequest>,
    ) -> Result<Response<Encoded<v1::BatchGetIndexSnapshotsResponse>>, Status> {
        let request = request.get_ref();
        let v1::BatchGetIndexSnapshotsRequest { indices, view, allow_partial } = request;
        let batch = Batch { field: ("indices", "index"), names: indices, view: *view, allow_partial: *allow_partial };
        Ok(Response::new(collection::batch_get(&self.services, &batch, |field, name, view| {
            self.entry(field, name, view)
        })?))
    }

    type WatchIndexSnapshotsStream = ServerStream<Encoded<v1::WatchIndexSnapshotsResponse>>;

    async fn watch_index_snapshots(
        &self,
        request: Request<v1::WatchIndexSnapshotsRequest>,
    ) -> Result<Response<Self::WatchIndexSnapshotsStream>, Status> {
        let (request, pace) = Pace::of(request)?;
        let key = |name: &str| match Expression::parse(name) {
            Some(Expression::Single(Subject::Index(code))) => Some(Key::Index(code)),
            _ => None,
        };
        let items = watch::requested("indices", &request.indices, key)?;
        if request.indices.iter().any(|name| Expression::parse(name).is_some() && key(name).is_none()) {
            return Ok(Response::new(self.watch_derived(&request.indices, &pace)?));
        }
        Ok(Response::new(watch::open(&self.services, Collection::Indices, Filter::default(), items, &pace)?))
    }

    async fn list_index_history(
        &self,
        request: Request<v1::ListIndexHistoryRequest>,
    ) -> Result<Response<v1::ListIndexHistoryResponse>, Status> {
        Ok(Response::new(history::list(&self.services, request.into_inner()).await?))
    }

    async fn compare_indices(
        &self,
        request: Request<v1::CompareIndicesRequest>,
    ) -> Result<Response<Encoded<v1::CompareIndicesResponse>>, Status> {
        Ok(Response::new(compare::answer(&self.services, request.get_ref())?.into()))
    }

    type WatchComparisonsStream = ServerStream<Encoded<v1::WatchComparisonsResponse>>;

    async fn watch_comparisons(
        &self,
        request: Request<v1::WatchComparisonsRequest>,
    ) -> Result<Response<Self::WatchComparisonsStream>, Status> {
        let (request, pace) = Pace::of(request)?;
        compare::check_subjects(&request.subjects)?;
        let query = compare::ComparisonQuery {
            start: compare::Start::Lookback(compare::lookback(request.lookback_observations)?),
            end: None,
            frequency: compare::frequency(request.frequency)?,
            alignment: compare::alignment(request.alignment)?,
            include_points: request.include_points,
        };
        leg::parse("benchmark", &request.benchmark)?;
        self.services.check_histories()?;
        Leg::resolve(&self.services, "benchmark", &request.benchmark)?;
        let cursor = pace.cursor(Collection::Indices)?;
        let benchmark = &request.benchmark;
        let items = derived::each_once(&request.subjects, |name| {
            watched::WatchedComparison::new(&self.services, name, benchmark, query)
        });
        Ok(Response::new(watch::run(
            &self.services,
            derived::DerivedSource::new(&self.services, items, cursor),
            &pace,
        )?))
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
