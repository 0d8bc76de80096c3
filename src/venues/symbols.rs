//! Splitting venue symbols into base and quote, shared by the venues.
