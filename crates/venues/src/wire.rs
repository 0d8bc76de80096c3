//! Shared code of the venues' decoders: reading JSON, building a response entry by entry, and common formats.

pub(crate) mod binance;
mod builder;
mod candles;
mod errors;
pub(crate) mod levels;
pub(crate) mod listings;
pub mod reader;
mod shares;
mod status;
mod symbols;
mod ticker;

pub(crate) use builder::{At, EntryInstrument, Failure, ResponseBuilder, Statement, each_object};
pub(crate) use candles::{CandleColumns, candle_rows, record_candles};
pub(crate) use errors::{no_such_feed, plain_code, rejected, transient, without};
pub(crate) use reader::{FieldError, JsonError, Kind, Reader, Scalar, Shape};
pub(crate) use shares::{long_short_of_ratio, long_short_of_shares};
pub(crate) use status::check as check_status;
pub(crate) use symbols::{derivative, split_at, split_joined, spot_instrument, url_encoded};
pub(crate) use ticker::{Field, TickerEntry};
