//! What is written.

use crossmarket_domain::state::{Key, State};

/// The new state of a key; `None` removes the key.
pub type Update = (Key, Option<State>);
