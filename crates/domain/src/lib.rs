//! The vocabulary of the service and its invariants. Pure: no I/O, no async runtime, no wire types. The one
//! serialization here is the stored form of states, derived on the types that it is the form of.

#![deny(unreachable_pub)]

mod asset_id;
pub mod calendar;
pub mod candle;
pub mod decimal;
pub mod index;
pub mod instrument;
pub mod long_short;
pub mod observation;
pub mod provenance;
pub mod registry;
pub mod series;
pub mod shard;
pub mod state;
mod stored;
pub mod time;
pub mod trace;

pub use asset_id::{AssetId, AssetName, BITCOIN, ETHEREUM};
pub use candle::{Candle, CandleInterval};
pub use decimal::Decimal;
pub use index::IndexCode;
pub use instrument::{AssetCode, Feed, Instrument, InstrumentKind, VenueId};
pub use observation::{LongShortKind, Observation, Payload, Period};
pub use shard::{ShardId, Shards};
pub use time::Timestamp;
pub use trace::TraceContext;
