//! The metrics and spans that every part of the program records. Exporting them is the service's job.
//!
//! - [`metrics`]: declares every metric; [`registry`] has the instruments, [`exposition`] their text.
//! - [`trace`]: spans, and who decides that they are recorded.

#![deny(unreachable_pub)]

pub mod exposition;
pub mod metrics;
pub mod registry;
pub mod trace;
