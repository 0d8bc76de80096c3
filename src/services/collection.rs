//! Lists and batches of a collection, the same for every service.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::context::Services;
use super::encoded::Encoded;
use super::error::ServiceError;
use super::order::{self, Column, OrderField};
use super::paging::{self, PageRequest, PageSizes, Pages};
use crossmarket_api::v1;
use crossmarket_domain::state::{Key, State};
use crossmarket_image::{Collection, Filter, Image, Item, View};

/// A request for a page of states.
pub(super) trait ListRequest: PageRequest {
    fn view_and_order(&self) -> (i32, &str);
}

/// A page of states.
pub(super) trait ListResponse: Message + Default {
    fn of_page(next_page_token: String, total_size: i32) -> Self;
}

/// Several states by name.
pub(super) trait BatchResponse: Message + Default {
    fn of_missing(missing: Vec<String>) -> Self;
}

macro_rules! lists {
    ($($request:ident => $response:ident),* $(,)?) => {
        $(impl ListRequest for v1::$request {
            fn view_and_order(&self) -> (i32, &str) {
                (self.view, &self.order_by)
            }
        }

        impl ListResponse for v1::$response {
            fn of_page(next_page_token: String, total_size: i32) -> Self {
                Self { next_page_token, total_size, ..Self::default() }
            }
        })*
    };
}

macro_rules! batches {
    ($($response:ident),* $(,)?) => {
        $(impl BatchResponse for v1::$response {
            fn of_missing(missing: Vec<String>) -> Self {
                Self { missing, ..Self::default() }
            }
        })*
    };
}

lists!(
    ListPriceSnapshotsRequest => ListPriceSnapshotsResponse,
    ListLongShortRatiosRequest => ListLongShortRatiosResponse,
    ListAssetsRequest => ListAssetsResponse,
    ListIndicesRequest => ListIndicesResponse,
);
batches!(BatchGetPriceSnapshotsResponse, BatchGetIndexSnapshotsResponse);

pub(super) trait ListItem {
    /// What lists are ordered by.
    type Ordered;
    fn ordered(&self) -> &Self::Ordered;
    /// Decides between rows that the order leaves equal.
    fn tie(&self) -> impl Ord;
    fn entry(&self, view: View) -> &Bytes;
}

impl ListItem for Arc<Item> {
    type Ordered = State;

    fn ordered(&self) -> &State {
        &self.state
    }

    fn tie(&self) -> impl Ord {
        &self.key
    }

    fn entry(&self, view: View) -> &Bytes {
        Item::entry(self, view)
    }
}

/// The part of a list request that does not depend on the collection.
pub(super) struct ListQuery<T: 'static> {
    pub(super) view: View,
    order: Vec<OrderField<T>>,
    pages: Pages,
}

impl<T> ListQuery<T> {
    /// Reads a request. `default` names the columns that order a list when the request does not say.
    pub(super) fn of(
        request: &mut impl ListRequest,
        columns: &'static [Column<T>],
        default: &[&str],
    ) -> Result<Self, ServiceError> {
        let (view, order_by) = request.view_and_order();
        let (view, order) = (paging::view(view)?, order::parse(order_by, columns, default)?);
        Ok(Self { view, order, pages: Pages::of(request, PageSizes::STATES)? })
    }

    /// The page of the rows that was asked for.
    pub(super) fn answer<L: ListResponse>(&self, mut rows: Vec<impl ListItem<Ordered = T>>) -> Encoded<L> {
        rows.sort_by(|left, right| {
            order::compare(&self.order, left.ordered(), right.ordered()).then_with(|| left.tie().cmp(&right.tie()))
        });
        let (page, next_page_token) = self.pages.page(&rows, |row| row.entry(self.view).len());
        let total_size = i32::try_from(rows.len()).unwrap_or(i32::MAX);
        let entries = page.iter().map(|row| row.entry(self.view).clone()).collect();
        Encoded { entries, rest: L::of_page(next_page_token, total_size) }
    }
}

/// The items with these keys, or all of the collection when there are none, that the filter admits.
pub(super) fn select(image: &Image, collection: Collection, keys: HashSet<Key>, filter: &Filter) -> Vec<Arc<Item>> {
    if keys.is_empty() {
        return image.select(collection, |item| filter.admits(item));
    }
    keys.iter().filter_map(|key| image.get(key)).filter(|item| filter.admits(item)).collect()
}

/// Names that a batch request asks for.
pub(super) struct Batch<'a> {
    /// The request's field with the names, and what one of them is.
    pub(super) field: (&'static str, &'static str),
    pub(super) names: &'a [String],
    pub(super) view: i32,
    /// Names without an item are listed as missing instead of failing the call.
    pub(super) allow_partial: bool,
}

/// One entry for each name, in the order of the names. `find` receives the field that holds a name, and the name.
pub(super) fn batch_get<L: BatchResponse>(
    services: &Services,
    batch: &Batch<'_>,
    find: impl Fn(&str, &str, View) -> Result<Bytes, ServiceError>,
) -> Result<Encoded<L>, ServiceError> {
    let (field, noun) = batch.field;
    let view = paging::view(batch.view)?;
    if batch.names.is_empty() {
        return Err(ServiceError::invalid(field, "", format!("must name at least one {noun}")));
    }
    paging::check_filter_len(field, batch.names.len())?;
    services.check_serving()?;
    let (mut entries, mut missing) = (Vec::with_capacity(batch.names.len()), Vec::new());
    for (index, name) in batch.names.iter().enumerate() {
        match find(&format!("{field}[{index}]"), name, view) {
            Ok(entry) => entries.push(entry),
            Err(_) if batch.allow_partial => missing.push(name.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(Encoded { entries, rest: L::of_missing(missing) })
}
