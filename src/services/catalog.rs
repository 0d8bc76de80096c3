//! `CatalogService`.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use super::collection::ListQuery;
use super::context::Services;
use super::convert;
use super::encoded::Encoded;
use super::error::ServiceError;
use super::order::Column;
use super::paging::{self, PageSizes, Pages};
use super::venue::VenueEntry;
use crate::figures::Value;
use crate::servers::catalog_service_server::CatalogService;
use crossmarket_api::v1;
use crossmarket_domain::Feed;
use crossmarket_domain::state::{AssetInfo, Body, FeedState, FeedStatus, InstrumentMapping, Key, State};
use crossmarket_image::{Collection, Filter, Item};

macro_rules! column {
    ($name:literal, |$info:ident| $value:expr) => {
        Column::new($name, |state: &State| match &state.body {
            Body::Asset($info) => $value,
            _ => Value::Absent,
        })
    };
}

static COLUMNS: &[Column<State>] = &[
    column!("asset", |info| Value::Text(info.asset.as_str())),
    column!("name", |info| info.name.as_deref().map_or(Value::Absent, Value::Text)),
    column!("market_cap_rank", |info| info.market_cap_rank.into()),
    column!("instrument_count", |info| Value::Whole(i64::try_from(info.instruments.len()).unwrap_or(i64::MAX))),
];

pub(super) struct Catalog {
    services: Services,
}

impl Catalog {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn list_assets(
        &self,
        request: Request<v1::ListAssetsRequest>,
    ) -> Result<Response<Encoded<v1::ListAssetsResponse>>, Status> {
        let mut request = request.into_inner();
        let query = ListQuery::of(&mut request, COLUMNS, &["market_cap_rank"])?;
        let wanted = AssetFilter::of(&self.services, &request)?;
        self.services.check_serving()?;
        let items = self.services.image.select(Collection::Assets, |item| wanted.admits(item));
        let mut response: Encoded<v1::ListAssetsResponse> = query.answer(items);
        response.rest.simulated = self.services.simulated;
        Ok(Response::new(response))
    }

    async fn list_instruments(
        &self,
        request: Request<v1::ListInstrumentsRequest>,
    ) -> Result<Response<v1::ListInstrumentsResponse>, Status> {
        let mut request = request.into_inner();
        paging::check_filter_len("venues", request.venues.len())?;
        for (index, state) in request.states.iter().enumerate() {
            if !v1::MappingState::try_from(*state).is_ok_and(|state| state != v1::MappingState::Unspecified) {
                let allowed = "must be a MappingState (1 to 3)";
                return Err(ServiceError::invalid(format!("states[{index}]"), state, allowed).into());
            }
        }
        let pages = Pages::of(&mut request, PageSizes::STATES)?;
        self.services.check_serving()?;
        let wanted = self.services.assets(&request.assets)?;
        let v1::ListInstrumentsRequest { venues, states, .. } = request;
        let items = self.services.image.select(Collection::Assets, |item| match &item.key {
            Key::Asset(id) => wanted.is_empty() || wanted.contains(id),
            _ => false,
        });
        let infos = items.iter().filter_map(|item| match &item.state.body {
            Body::Asset(info) => Some((info.as_ref(), item.state.simulated)),
            _ => None,
        });
        let mut instruments: Vec<v1::Instrument> = infos
            .flat_map(|(info, simulated)| {
                info.instruments.iter().map(move |mapping| convert::instrument(info, mapping, simulated))
            })
            .filter(|one| venues.is_empty() || venues.iter().any(|venue| venue.eq_ignore_ascii_case(&one.venue)))
            .filter(|one| states.is_empty() || states.contains(&one.state))
            .collect();
        let name = |one: &v1::Instrument| (one.asset_id.clone(), one.venue.clone(), one.venue_symbol.clone());
        instruments.sort_by_cached_key(name);
        let (page, next_page_token) = pages.page(&instruments, |one| one.encoded_len());
        Ok(Response::new(v1::ListInstrumentsResponse {
            instruments: page.to_vec(),
            next_page_token,
            total_size: total(instruments.len()),
            simulated: self.services.simulated,
        }))
    }

    async fn list_venues(
        &self,
        request: Request<v1::ListVenuesRequest>,
    ) -> Result<Response<v1::ListVenuesResponse>, Status> {
        let mut request = request.into_inner();
        let pages = Pages::of(&mut request, PageSizes::STATES)?;
        self.services.check_serving()?;

        let mut venues: Vec<&VenueEntry> =
            self.services.venues.iter().filter(|venue| venue.enabled || !request.enabled_only).collect();
        venues.sort_by_key(|venue| venue.id.as_str());
        let feeds = self.services.image.select(Collection::Feeds, |_| true);
        let (page, next_page_token) = pages.page(&venues, |_| 0);
        Ok(Response::new(v1::ListVenuesResponse {
            venues: page.iter().map(|venue| wire_venue(venue, &feeds)).collect(),
            next_page_token,
            total_size: total(venues.len()),
            simulated: self.services.simulated,
        }))
    }

    async fn list_feeds(
        &self,
        request: Request<v1::ListFeedsRequest>,
    ) -> Result<Response<v1::ListFeedsResponse>, Status> {
        let mut request = request.into_inner();
        paging::check_filter_len("venues", request.venues.len())?;
        paging::check_filter_len("feeds", request.feeds.len())?;
        paging::check_filter_len("states", request.states.len())?;
        for (index, name) in request.feeds.iter().enumerate() {
            if Feed::parse(name).is_none() {
                let allowed = format!("must be one of {}", Feed::ALL.map(Feed::as_str).join(", "));
                return Err(ServiceError::invalid(format!("feeds[{index}]"), name, allowed).into());
            }
        }
        for (index, state) in request.states.iter().enumerate() {
            if v1::FeedState::try_from(*state).is_err() {
                return Err(
                    ServiceError::invalid(format!("states[{index}]"), state, "must be a FeedState (1 to 5)").into()
                );
            }
        }
        let pages = Pages::of(&mut request, PageSizes::STATES)?;
        self.services.check_serving()?;

        let mut items = self.services.image.select(Collection::Feeds, |item| wants_feed(&request, item));
        items.sort_by_key(|item| feed_status(item).map(|status| (status.venue.clone(), status.feed.as_str())));
        let now = self.services.clock.now();
        let (page, next_page_token) = pages.page(&items, |_| 0);
        let feed = |item: &Arc<Item>| Some(convert::feed(feed_status(item)?, &item.state, now));
        Ok(Response::new(v1::ListFeedsResponse {
            feeds: page.iter().filter_map(feed).collect(),
            next_page_token,
            total_size: total(items.len()),
            simulated: self.services.simulated,
        }))
    }
}

/// The filters of a request for assets, checked.
struct AssetFilter {
    keys: HashSet<Key>,
    venues: Vec<String>,
    kinds: Vec<i32>,
    figures: Filter,
}

impl AssetFilter {
    fn of(services: &Services, request: &v1::ListAssetsRequest) -> Result<Self, ServiceError> {
        paging::check_filter_len("categories", request.categories.len())?;
        paging::check_filter_len("venues", request.venues.len())?;
        paging::check_filter_len("kinds", request.kinds.len())?;
        for (index, kind) in request.kinds.iter().enumerate() {
            if v1::AssetKind::try_from(*kind).is_err() {
                return Err(ServiceError::invalid(format!("kinds[{index}]"), kind, "must be an AssetKind (1 to 6)"));
            }
        }
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect::<Vec<_>>();
        Ok(Self {
            keys: services.assets(&request.assets)?.into_iter().map(Key::Asset).collect(),
            venues: lower(&request.venues),
            kinds: request.kinds.clone(),
            figures: Filter {
                categories: lower(&request.categories).into_iter().map(Into::into).collect(),
                market_cap_rank_max: paging::rank_max("market_cap_rank_max", request.market_cap_rank_max)?,
                ..Filter::default()
            },
        })
    }

    fn admits(&self, item: &Item) -> bool {
        let Some(info) = asset_info(item) else { return false };
        let at_venue = |mapping: &InstrumentMapping| self.venues.iter().any(|wanted| *wanted == mapping.venue);
        (self.keys.is_empty() || self.keys.contains(&item.key))
            && (self.venues.is_empty() || info.instruments.iter().any(at_venue))
            && (self.kinds.is_empty() || self.kinds.contains(&convert::wire_asset_kind(info.kind).into()))
            && self.figures.admits(item)
    }
}

fn asset_info(item: &Item) -> Option<&AssetInfo> {
    match &item.state.body {
        Body::Asset(info) => Some(info),
        _ => None,
    }
}

fn feed_status(item: &Item) -> Option<&FeedStatus> {
    match &item.state.body {
        Body::Feed(status) => Some(status),
        _ => None,
    }
}

fn wants_feed(request: &v1::ListFeedsRequest, item: &Item) -> bool {
    let Some(status) = feed_status(item) else { return false };
    let is_venue = |wanted: &String| wanted.eq_ignore_ascii_case(&status.venue);
    (request.venues.is_empty() || request.venues.iter().any(is_venue))
        && (request.feeds.is_empty() || request.feeds.iter().any(|wanted| wanted == status.feed.as_str()))
        && (request.states.is_empty() || request.states.contains(&convert::wire_feed_state(status.state).into()))
}

fn wire_venue(venue: &VenueEntry, feeds: &[Arc<Item>]) -> v1::Venue {
    let states = feeds.iter().filter_map(|item| feed_status(item)).filter(|status| status.venue == venue.id.as_str());
    let worst = states.map(|status| status.state).max_by_key(|state| severity(*state));
    let state = match worst {
        _ if !venue.enabled => FeedState::Disabled,
        Some(worst) => worst,
        None => FeedState::Starting,
    };
    v1::Venue {
        venue: venue.id.clone(),
        title: venue.title.clone(),
        feeds: venue.feeds.iter().map(ToString::to_string).collect(),
        enabled: venue.enabled,
        simulated: venue.simulated,
        documentation_url: venue.documentation_url.clone(),
        terms_url: venue.terms_url.clone(),
        terms_note: venue.terms_note.clone(),
        official: venue.official,
        key_required: venue.key_required,
        key_configured: venue.key_configured,
        state: convert::wire_feed_state(state).into(),
    }
}

/// How bad a feed's state is. A feed that is switched off says nothing about its venue.
fn severity(state: FeedState) -> u8 {
    match state {
        FeedState::Disabled => 0,
        FeedState::Ok => 1,
        FeedState::Starting => 2,
        FeedState::Degraded => 3,
        FeedState::Down => 4,
    }
}

fn total(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}
