//! docs/configuration.md is generated from the declarations of the settings: `UPDATE_DOCS=1 cargo test --lib config::docs` writes it.

use std::fmt::Write as _;

use super::raw::Raw;
use super::{Config, ENVIRONMENT_PREFIX, Origin, Reader, Setting};

const HEADER: &str = "\
# Configuration

<!-- Generated from src/config/ by src/config/docs.rs -->

Every setting has a name such as `grpc.listen`. Its value comes from the last of these that gives one:

1. the default,
2. a TOML file: `--config FILE`, or the variable `CROSSMARKET_CONFIG`,
3. OpenTelemetry's own environment variables, for the settings that name one below,
4. an environment variable: `CROSSMARKET__GRPC__LISTEN` is `grpc.listen`; in names of venues `_` stands for `-`,
5. a flag: `--set grpc.listen=0.0.0.0:50051`, or the command's own such as `--listen`.

`crossmarket config show` prints every setting with its value and origin, `crossmarket config check` every problem at once. Unknown settings are refused. Secrets are never
printed. Durations are whole numbers of the unit that ends the name. A list is an array in the file, elsewhere its items are separated by commas.
";

/// The default of settings that each venue has its own value for.
const VENUES_OWN: &str = "the venue's own";

/// Titles and introductions of the sections.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("grpc", "gRPC server", ""),
    ("admin", "Admin port", "Probes, metrics and the status page."),
    ("store", "Store", ""),
    (
        "venues",
        "Venues",
        "One group for every venue of the table in the README. The venue's own addresses are the defaults.\n\nWhere a venue means another asset by a code than the market does, `venues.<id>.codes.<code>` says which: in a file\n`[venues.kraken]` with `codes = { LUNA = \"LUNC\" }`. The meaning is a ticker, an id (`id:terra-luna`) or a name.",
    ),
    ("collector", "Collector", ""),
    ("universe", "Universe", "The assets that are collected."),
    ("baskets", "Baskets", "Indices of your own: each basket is published as the index `basket:<name>`. At most 50."),
    (
        "index_references",
        "Index references",
        "Published market caps of equity indices (RUT, SPX, NDX, IXIC, DJI), each with its date and source: all three or none.",
    ),
    (
        "security",
        "Security",
        "Who may connect and call. As soon as one way to authenticate is configured, nobody gets in without. `security.quotas.*` apply to each\nclient without quotas of its own: clients of the configuration, subjects of tokens and, without authentication, addresses (IPv6: /64 networks).",
    ),
    ("telemetry", "Telemetry", "Logs, metrics and traces."),
    ("shutdown", "Shutdown", ""),
];

/// A setting of each section that operators name, the prefix it has here and the one in the page.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("baskets.example.assets", "baskets.example.", "baskets.<name>."),
    ("index_references.rut.date", "index_references.rut.", "index_references.<index>."),
    ("security.clients.example.scopes", "security.clients.example.", "security.clients.<name>."),
];

fn page() -> String {
    let mut reader = Reader::default();
    for (key, _, _) in EXAMPLES {
        reader.put((*key).to_owned(), Raw::Text(String::new()), Origin::Default);
    }
    let settings = documented(Config::declared(reader));
    let mut page = HEADER.to_owned();
    let mut count = 0;
    for (section, title, intro) in SECTIONS {
        let _ = write!(page, "\n## {title}\n\n");
        if !intro.is_empty() {
            let _ = write!(page, "{intro}\n\n");
        }
        page.push_str("| setting | default | allowed | meaning |\n|---|---|---|---|\n");
        let of_section = settings.iter().filter(|setting| setting.key.split('.').next() == Some(section));
        for setting in of_section {
            page.push_str(&row(setting));
            count += 1;
        }
    }
    assert_eq!(count, settings.len(), "every section is in SECTIONS");
    page
}

/// Under their general names, and each once.
fn documented(declared: Vec<Setting>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for mut setting in declared {
        for (_, prefix, general) in EXAMPLES {
            setting.key = setting.key.replace(prefix, general);
        }
        if let Some((_, name)) = setting.key.strip_prefix("venues.").and_then(|rest| rest.split_once('.')) {
            if name.ends_with("_url") {
                setting.default = Some(VENUES_OWN.to_owned());
            }
            setting.key = format!("venues.<id>.{name}");
        }
        if settings.iter().all(|known| known.key != setting.key) {
            settings.push(setting);
        }
    }
    settings
}

fn row(setting: &Setting) -> String {
    let default = match setting.default.as_deref() {
        None | Some("") => "none".to_owned(),
        Some(VENUES_OWN) => VENUES_OWN.to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let variable = setting.variable.map(|name| format!(" Also `{name}`.")).unwrap_or_default();
    format!("| `{}` | {default} | {} | {}{variable} |\n", setting.key, setting.allowed, setting.help)
}

#[test]
fn the_configuration_page_is_current() {
    assert!(HEADER.contains(ENVIRONMENT_PREFIX));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs/ is writable");
    }
    let current = std::fs::read_to_string(path).unwrap_or_default();
    assert!(current == page, "out of date: UPDATE_DOCS=1 cargo test --lib config::docs");
}
