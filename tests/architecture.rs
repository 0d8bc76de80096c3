//! Holds what Cargo cannot express of ARCHITECTURE.md: which crate may depend on which, what pure crates must do without, who makes status
//! codes, and that no modules import each other in a circle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/circles.rs"]
mod circles;

/// The libraries and those that each may depend on. A crate that is missing here fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("backoff", &[]),
    ("clock", &["domain"]),
    ("telemetry", &["domain"]),
    ("analytics", &["domain"]),
    ("simulator", &["domain", "clock"]),
    ("venues", &["domain", "simulator"]),
    ("store", &["domain", "backoff"]),
    ("image", &["domain", "backoff", "clock", "analytics", "store", "telemetry"]),
    ("collector", &["domain", "backoff", "clock", "analytics", "venues", "image", "store", "telemetry"]),
    ("api", &[]),
    ("client", &["api", "backoff"]),
];

/// What pure crates must not reach for.
const OUTSIDE: &[&str] =
    &["tonic", "prost", "reqwest", "std::fs", "std::net", "std::env", "SystemTime", "Instant::now"];

/// The pure crates, with what each must do without besides [`OUTSIDE`].
const PURE: &[(&str, &[&str])] =
    &[("domain", &["tokio", "serde"]), ("analytics", &["tokio", "serde"]), ("venues", &["tokio"])];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable source folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files below a folder with their code, tests left out.
fn code_below(dir: &str) -> Vec<(String, String)> {
    let dir = root().join(dir);
    let mut files = Vec::new();
    source_files(&dir, &mut files);
    assert!(!files.is_empty(), "no sources in {}", dir.display());
    let relative = |file: &Path| file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    files
        .iter()
        .map(|file| (relative(file), code_of(&fs::read_to_string(file).expect("UTF-8 source"))))
        .filter(|(name, _)| !name.split(['/', '.']).any(|part| part == "tests"))
        .collect()
}

/// The source without line comments, string contents and test modules' bodies (tests may reach anywhere).
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines()
        .map(|line| {
            let mut kept = String::new();
            let mut in_string = false;
            let mut previous = ' ';
            for (index, c) in line.char_indices() {
                if !in_string && line[index..].starts_with("//") {
                    break;
                }
                if c == '"' && previous != '\\' && previous != '\'' {
                    in_string = !in_string;
                }
                if !in_string {
                    kept.push(c);
                }
                previous = c;
            }
            kept + "\n"
        })
        .collect()
}

#[test]
fn crates_depend_only_on_what_their_layer_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the libraries") {
        let name = entry.expect("a readable entry").file_name().into_string().expect("UTF-8");
        let manifest = fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let Some(may_use) = allowed.get(name.as_str()) else {
            breaches.push(format!("{name} is not in the layering table"));
            continue;
        };
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for used in dependencies.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix("crossmarket-")) {
            if !may_use.contains(&used) {
                breaches.push(format!("{name} depends on {used}"));
            }
        }
    }
    assert!(breaches.is_empty(), "layering is broken:\n{}", breaches.join("\n"));
}

#[test]
fn pure_crates_reach_for_nothing_outside() {
    let mut breaches = Vec::new();
    for (name, besides) in PURE {
        // What a venue answers in the demo is a server.
        let sources = code_below(&format!("crates/{name}/src"));
        for (file, code) in sources.into_iter().filter(|(file, _)| !file.ends_with("simulated.rs")) {
            for banned in OUTSIDE.iter().chain(*besides).filter(|banned| code.contains(**banned)) {
                breaches.push(format!("{file} reaches for {banned}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_the_error_module_of_the_services_makes_status_codes() {
    for (file, code) in code_below("src/services") {
        assert!(file == "src/services/error.rs" || !code.contains("Status::new("), "{file} makes a status by itself");
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut sources = vec![root().join("src")];
    for entry in fs::read_dir(root().join("crates")).expect("the libraries") {
        sources.push(entry.expect("a readable entry").path().join("src"));
    }
    let mut found = Vec::new();
    for source in sources {
        for circle in circles::circles(&source) {
            found.push(format!("{}: {}", source.display(), circle.join(", ")));
            found.extend(circles::imports_within(&source, &circle).into_iter().map(|line| format!("    {line}")));
        }
    }
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

/// A crate of those files, and the circles in it.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    circles::circles(folder.path())
}

#[test]
fn relative_paths_make_circles() {
    let found = circles_of(&[
        ("lib.rs", "mod parent;"),
        ("parent.rs", "mod child; use child::Part; pub(crate) struct Whole;"),
        ("parent/child.rs", "use super::Whole; pub(crate) struct Part(Whole);"),
    ]);
    assert_eq!(found, [["parent", "parent::child"]]);
}

#[test]
fn paths_in_code_make_circles() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "fn f() { crate::b::g() }"),
        ("b.rs", "use crate::c; fn g() { c::h() }"),
        ("c.rs", "fn h() { super::a::f() }"),
    ]);
    assert_eq!(found, [["a", "b", "c"]]);
}

#[test]
fn a_module_that_only_re_exports_is_in_no_circle() {
    let found = circles_of(&[
        ("lib.rs", "mod face;"),
        ("face/mod.rs", "mod one; mod two; pub use one::One; pub use two::Two;"),
        ("face/one.rs", "pub struct One;"),
        ("face/two.rs", "use super::One; pub struct Two(One); #[cfg(test)] mod tests { use super::super::Two; }"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}
