//! From the quotes of many venues to one price in US dollars.

pub mod aggregate;
mod candidate;
mod median;
pub mod plausibility;
mod quote;
mod rate_table;
pub mod rates;
