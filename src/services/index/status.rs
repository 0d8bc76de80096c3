//! The status of items in requests that name several.

use crate::services::error::ServiceError;
use crossmarket_api::v1;

pub(super) fn item_status(item: &str, state: v1::ItemState, message: String) -> v1::ItemStatus {
    v1::ItemStatus { item: item.to_owned(), state: state.into(), message, ..Default::default() }
}

/// The state of an item that fails in a request whose other items are answered.
pub(super) fn item_state_of(error: &ServiceError) -> v1::ItemState {
    match error {
        ServiceError::InvalidArgument { .. } => v1::ItemState::Invalid,
        ServiceError::NoLevelYet(_) | ServiceError::NoPriceYet(_) => v1::ItemState::Pending,
        ServiceError::InsufficientHistory { .. } => v1::ItemState::InsufficientHistory,
        _ => v1::ItemState::Unknown,
    }
}
