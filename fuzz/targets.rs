//! What each fuzz target does with an input: it reads it and checks what the reader promises. A broken promise panics.
//!
//! `cargo fuzz` runs these by coverage (`scripts/fuzz`), and `tests/fuzz_seeded.rs` runs them on mutated seeds with every test.

#[path = "targets/history.rs"]
mod history;
#[path = "targets/service.rs"]
mod service;
#[path = "targets/store.rs"]
mod store;
#[path = "targets/text.rs"]
mod text;
#[path = "targets/venue.rs"]
mod venue;

use crossmarket_venues as venues;

/// A target's name and what it does.
type Target = (&'static str, fn(&[u8]));

/// The targets besides the venues.
const OTHERS: &[Target] = &[
    ("history-csv", history::history_csv),
    ("json-reader", text::json_reader),
    ("decimal", text::decimal),
    ("cursor-and-tokens", service::cursor_and_tokens),
    ("configuration", service::configuration),
    ("store-encoding", store::store_encoding),
];

/// The names of all targets: every venue of the registry by its id, then the others.
#[allow(dead_code, reason = "only the seeded run lists the targets")]
pub fn names() -> Vec<&'static str> {
    let venues = venues::REGISTRY.iter().map(|venue| venue.id().as_str());
    venues.chain(OTHERS.iter().map(|(name, _)| *name)).collect()
}

/// Runs a target on an input.
///
/// # Panics
///
/// When a promise is broken, and for a name that no target has.
pub fn run(name: &str, data: &[u8]) {
    if let Some(venue) = venues::find(name) {
        return venue::venue(venue, data);
    }
    let target = OTHERS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no fuzz target is called {name}"));
    target(data);
}
