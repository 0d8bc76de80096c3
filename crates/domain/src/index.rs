//! Indices: what they are called, and their levels with everything derived from these.

mod code;
mod snapshot;

pub use code::{Expression, IndexCode, IndexKind, KNOWN, KnownIndex, Subject, asset_subject};
pub use snapshot::{
    Exclusion, ExclusionReason, IndexCalendar, IndexConstituent, IndexHigh, IndexMethodology, IndexSnapshot,
    IndexSource, IndexWeighting, MarketCapReference, MarketSession,
};
