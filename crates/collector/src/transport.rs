//! Access to the venues: HTTP and WebSocket within their limits, and the health of each feed.

pub(crate) mod circuit_breaker;
pub(crate) mod feed_health;
pub(crate) mod http;
pub(crate) mod rate_limit;
pub(crate) mod retry;
pub(crate) mod streams;
pub(crate) mod venue_link;
pub(crate) mod websocket;
