//! Indices: those published by external sources, and those computed here from many assets.

mod assets;
mod baskets;
mod equity;
mod figures;
pub(crate) mod level_selector;
pub(crate) mod news;
pub(crate) mod owner;
mod pending;
mod records;
mod settings;
pub(crate) mod source;
pub(crate) mod sources;
mod sums;

pub use baskets::{BasketDefinition, Members};
pub use news::{INDEX_NEWS_MAX, IndexNews};
pub use owner::IndexOwner;
pub use settings::{IndexSettings, PublishedMarketCap};
pub use source::indices;
