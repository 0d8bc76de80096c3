//! What is written elsewhere about the venues follows from their profiles. `UPDATE_DOCS=1 cargo test -p crossmarket-venues --test profiles`
//! rewrites the table in the README.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crossmarket_domain::Feed;
use crossmarket_venues::{REGISTRY, Venue};

const TABLE_BEGIN: &str = "<!-- venues: begin -->\n";
const TABLE_END: &str = "<!-- venues: end -->";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn row(venue: &dyn Venue) -> String {
    let profile = venue.profile();
    let feeds = [Feed::Tickers, Feed::Candles, Feed::LongShortRatios, Feed::MarketCaps, Feed::IndexLevels];
    let has = feeds.map(|feed| if profile.feed(feed).is_some() { "yes" } else { "" });
    let stream = if profile.stream.is_some() { "yes" } else { "" };
    let key = if profile.api_key.is_some() { "required" } else { "" };
    let id = format!("`{}`", profile.id);
    let cells = std::iter::once(id.as_str()).chain(has).chain([stream, key]);
    let cells: String =
        cells.map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") }).collect();
    format!("|{cells}\n")
}

#[test]
fn the_table_in_the_readme_is_that_of_the_profiles() {
    let readme = read("README.md");
    let start = readme.find(TABLE_BEGIN).expect("the table's begin") + TABLE_BEGIN.len();
    let end = start + readme[start..].find(TABLE_END).expect("the table's end");
    let mut venues = REGISTRY.to_vec();
    venues.sort_by_key(|venue| venue.id().as_str());
    let mut table =
        "| venue | tickers | candles | long/short | market caps | index levels | stream | key |\n".to_owned();
    table += "|---|---|---|---|---|---|---|---|\n";
    table.extend(venues.into_iter().map(row));
    if readme[start..end] == table {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = format!("{}{table}{}", &readme[..start], &readme[end..]);
        std::fs::write(repository().join("README.md"), updated).expect("a writable README");
        return;
    }
    panic!("the table of venues in README.md should be the following; UPDATE_DOCS=1 rewrites it\n{table}");
}

#[test]
fn the_chart_opens_the_ports_of_every_venue() {
    let values = read("helm/crossmarket/values.yaml");
    let line = values.lines().find_map(|line| line.trim().strip_prefix("venuePorts: [")).expect("venuePorts");
    let opened: BTreeSet<u16> =
        line.trim_end_matches(']').split(',').map(|port| port.trim().parse().expect("a port")).collect();
    let urls = REGISTRY.iter().flat_map(|venue| {
        let profile = venue.profile();
        std::iter::once(profile.rest_url).chain(profile.stream.map(|stream| stream.url))
    });
    let needed: BTreeSet<u16> = urls.map(port_of).collect();
    assert_eq!(opened, needed, "helm/crossmarket/values.yaml, networkPolicy.egress.venuePorts");
}

/// The port of `scheme://host[:port][/path]`; 443 when it is not written.
fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    assert!(matches!(scheme, "https" | "wss"), "{url}");
    let host = rest.split('/').next().unwrap_or(rest);
    host.split_once(':').map_or(443, |(_, port)| port.parse().expect("a port"))
}

#[test]
fn every_venue_has_a_fuzz_target() {
    let manifest = read("fuzz/Cargo.toml");
    for venue in REGISTRY {
        assert!(manifest.contains(&format!("name = \"{}\"\n", venue.id())), "{} in fuzz/Cargo.toml", venue.id());
        let seeds = repository().join("fuzz/corpus").join(venue.id().as_str());
        assert!(std::fs::read_dir(&seeds).is_ok_and(|mut seeds| seeds.next().is_some()), "{}", seeds.display());
    }
}
