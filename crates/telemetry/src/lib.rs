//! What every part of the program records: metrics and spans. How they leave the process is the service's business.
//!
//! - [`metrics`]: declares every metric; [`registry`] has the instruments, [`exposition`] their text.
//! - [`trace`]: spans, and who decides that they are recorded.

#![deny(unreachable_pub)]

pub mod exposition;
pub mod metrics;
pub mod registry;
pub mod trace;
