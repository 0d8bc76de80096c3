//! Combines the quotes of many venues into one price in US dollars.

pub mod aggregate;
mod candidate;
mod median;
pub mod plausibility;
mod quote;
mod rate_table;
pub mod rates;
