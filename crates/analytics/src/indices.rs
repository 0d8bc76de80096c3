//! Indices, and the analyses of daily closes.

pub mod altcoin_season;
pub mod basket;
pub mod cap_index;
pub mod comparison;
pub mod cycles;
pub mod daily;
pub mod index_level;
pub mod index_sources;
pub mod levels;
pub mod patterns;
