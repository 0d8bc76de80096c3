//! Recorded answers and frames, compared figure by figure with another JSON reader's view of the same file. The files lie outside the
//! repository; without them these tests say so and pass.

use std::path::{Path, PathBuf};
use std::sync::Once;

mod a;
mod b;
mod indices;
mod listings;
#[path = "../support/question.rs"]
#[allow(dead_code, reason = "invented answers have their questions in words")]
mod question;

/// The folder of recorded answers, `CROSSMARKET_SHARED_DATA` or beside the repository; `None`, said once, when it is missing.
fn shared_data() -> Option<PathBuf> {
    static SKIPPED: Once = Once::new();
    let root = std::env::var_os("CROSSMARKET_SHARED_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if !root.is_dir() {
        SKIPPED.call_once(|| eprintln!("skipped: no recorded answers; set CROSSMARKET_SHARED_DATA"));
        return None;
    }
    Some(root)
}
