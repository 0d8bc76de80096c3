//! Holds the layering of ARCHITECTURE.md: who may name whom. It reads the sources as text, `crate::{a, b}` groups and `super::` included.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules and the ones that each may name besides itself. A module that is missing here fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("proto", &[]),
    ("client", &["proto"]),
    ("analytics", &["domain"]),
    ("venues", &["domain"]),
    ("image", &["domain", "analytics"]),
    ("store", &["domain"]),
    ("collector", &["domain", "clock", "analytics", "venues", "image", "histories", "store", "telemetry"]),
    ("histories", &["domain", "clock", "analytics", "store"]),
    ("security", &["domain", "clock", "proto"]),
    ("services", &["domain", "clock", "analytics", "image", "store", "histories", "proto", "security", "telemetry"]),
    ("simulator", &["domain", "clock", "venues"]),
    ("follow", &["domain", "clock", "image", "store", "telemetry"]),
    ("config", &["venues", "domain", "store", "security", "telemetry"]),
    ("telemetry", &["domain"]),
    ("shutdown", &[]),
    (
        "app",
        &[
            "domain",
            "clock",
            "analytics",
            "venues",
            "image",
            "store",
            "follow",
            "histories",
            "collector",
            "security",
            "services",
            "simulator",
            "telemetry",
            "config",
            "shutdown",
        ],
    ),
    ("cli", &["app", "client", "domain", "clock", "proto", "venues", "store", "config", "security", "telemetry"]),
];

/// What pure modules must not reach for.
const OUTSIDE: &[&str] =
    &["tonic", "prost", "reqwest", "std::fs", "std::net", "std::env", "SystemTime", "Instant::now"];

/// The pure modules, with what each must do without besides [`OUTSIDE`].
const PURE: &[(&str, &[&str])] =
    &[("domain", &["tokio", "serde"]), ("analytics", &["tokio", "serde"]), ("venues", &["tokio"]), ("image", &[])];

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

/// The module path of a file below `src`: `venues/json.rs` is `["venues", "json"]`.
fn module_path(file: &Path, src: &Path) -> Vec<String> {
    let relative = file.strip_prefix(src).expect("below src").with_extension("");
    relative.iter().map(|part| part.to_string_lossy().into_owned()).collect()
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

/// The top-level modules that the code names through `crate::` and `super::`.
fn named_modules(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (index, _) in code.match_indices("crate::") {
        heads(&code[index + "crate::".len()..], &mut named);
    }
    // `super::` climbs one module; more `super::`s than the module is deep reach the crate's root.
    let mut rest = code;
    while let Some(index) = rest.find("super::") {
        let mut climbs = 0;
        rest = &rest[index..];
        while let Some(after) = rest.strip_prefix("super::") {
            climbs += 1;
            rest = after;
        }
        if climbs >= module.len() {
            heads(rest, &mut named);
        }
    }
    named
}

/// The first segments of a path or of a `{…}` group of paths.
fn heads(text: &str, named: &mut BTreeSet<String>) {
    let Some(group) = text.strip_prefix('{') else {
        let head: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if head.starts_with(|c: char| c.is_lowercase()) {
            named.insert(head);
        }
        return;
    };
    let mut depth = 1;
    let mut at_head = true;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_head = true,
            c if at_head && depth == 1 && !c.is_whitespace() => {
                heads(&group[index..], named);
                at_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[test]
fn modules_name_only_what_their_layer_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let pure: BTreeMap<&str, &[&str]> = PURE.iter().copied().collect();
    let mut files = Vec::new();
    source_files(&src, &mut files);
    let mut breaches = Vec::new();
    for file in &files {
        let module = module_path(file, &src);
        let top = module[0].as_str();
        if matches!(top, "lib" | "main") || module.iter().any(|part| part == "tests") {
            continue;
        }
        let code = code_of(&fs::read_to_string(file).expect("UTF-8 source"));
        let Some(may_name) = allowed.get(top) else {
            breaches.push(format!("{top} is not in the layering table"));
            continue;
        };
        for named in named_modules(&code, &module) {
            if named != top && allowed.contains_key(named.as_str()) && !may_name.contains(&named.as_str()) {
                breaches.push(format!("{} names {named}", module.join("::")));
            }
        }
        if let Some(besides) = pure.get(top) {
            for banned in OUTSIDE.iter().chain(*besides).filter(|banned| code.contains(**banned)) {
                breaches.push(format!("{} reaches for {banned}", module.join("::")));
            }
        }
        // `services/convert` alone knows both vocabularies, `services/error` alone makes status codes.
        if top == "services" && code.contains("Status::new(") && module.get(1).map(String::as_str) != Some("error") {
            breaches.push(format!("{} makes a status by itself", module.join("::")));
        }
    }
    assert!(files.len() > 10, "the sources were not found");
    assert!(breaches.is_empty(), "layering is broken:\n{}", breaches.join("\n"));
}

#[test]
fn the_reader_sees_groups_and_supers() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let check = |code: &str, path: &str, expected: &[&str]| {
        let named: Vec<String> = named_modules(&code_of(code), &module(path)).into_iter().collect();
        assert_eq!(named, expected, "{code}");
    };
    check("use crate::store::Store;", "venues::json", &["store"]);
    check("use crate::{\n    domain::{a, b},\n    store,\n};", "venues::json", &["domain", "store"]);
    check("use super::super::collector::run;", "venues::json", &["collector"]);
    check("use super::{collector, store::x};", "venues", &["collector", "store"]);
    check("use super::status;", "venues::json", &[]);
    check("// crate::store\nlet text = \"crate::store\";", "venues::json", &[]);
}

/// Dependencies that a program with the client alone compiles. Every other one belongs to the service: it is optional and listed under
/// the feature `server`.
const CLIENT_DEPENDENCIES: &[&str] = &[
    "prost",
    "prost-types",
    "tonic",
    "tonic-prost",
    "futures-util",
    "http",
    "rand",
    "thiserror",
    "tokio",
    "tonic-types",
];

#[test]
fn the_client_has_nothing_of_the_service_behind_it() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let server = manifest["features"]["server"].as_array().expect("a list");
    let mut wrong = Vec::new();
    for (name, dependency) in manifest["dependencies"].as_table().expect("a table") {
        let optional = dependency.get("optional").and_then(toml::Value::as_bool) == Some(true);
        let behind_server = server.iter().any(|feature| feature.as_str() == Some(&format!("dep:{name}")));
        if CLIENT_DEPENDENCIES.contains(&name.as_str()) || (optional && behind_server) {
            continue;
        }
        wrong.push(name.as_str());
    }
    assert!(wrong.is_empty(), "make these optional and list them as dep:NAME under the feature server: {wrong:?}");
}
