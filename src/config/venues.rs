//! `venues.<id>.*`: which venues are asked, and where they are. The ids are those of [`REGISTRY`].

use std::collections::BTreeMap;

use super::Reader;
use crossmarket_domain::VenueId;
use crossmarket_venues::{REGISTRY, Secret};

/// `venues.*`: one part for every venue of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VenuesConfig(pub BTreeMap<VenueId, VenueConfig>);

impl VenuesConfig {
    /// One venue's part.
    pub fn get(&self, venue: VenueId) -> Option<&VenueConfig> {
        self.0.get(&venue)
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        Self(REGISTRY.iter().map(|venue| (venue.id(), VenueConfig::read(reader, *venue))).collect())
    }
}

/// `venues.<id>.*`: one venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueConfig {
    /// Whether the venue is asked at all, default true.
    pub enabled: bool,
    /// Where its HTTP API is: an absolute `http` or `https` URL without a trailing slash; default the venue's own. Feeds that live on other
    /// hosts are asked there only while this is the default.
    pub rest_url: String,
    /// Where its stream is: an absolute `ws` or `wss` URL without a trailing slash; default the venue's own. `None` for a venue without a stream.
    pub ws_url: Option<String>,
    /// Its key, for a venue that answers nothing without one; it may stand in the file that `api_key_file` names. Without a key the venue is not asked.
    pub api_key: Option<Secret>,
}

impl VenueConfig {
    fn read(reader: &mut Reader, venue: &dyn crossmarket_venues::Venue) -> Self {
        let id = venue.id();
        Self {
            enabled: reader.boolean(&format!("venues.{id}.enabled"), true),
            rest_url: url(reader, &format!("venues.{id}.rest_url"), venue.rest_url(), ["http", "https"]),
            ws_url: venue
                .stream()
                .map(|stream| url(reader, &format!("venues.{id}.ws_url"), stream.ws_url(), ["ws", "wss"])),
            api_key: venue.api_key().and_then(|_| api_key(reader, &id.to_string())),
        }
    }
}

/// `api_key`, else the first line of `api_key_file`, so that a key need not stand in a configuration.
fn api_key(reader: &mut Reader, id: &str) -> Option<Secret> {
    let given = reader.hidden(&format!("venues.{id}.api_key"), "a key: up to 256 printable characters", Secret::parse);
    let read = |text: &str| {
        let content = std::fs::read_to_string(text).ok()?;
        Secret::parse(content.lines().next()?)
    };
    let of_file =
        reader.file_of(&format!("venues.{id}.api_key_file"), "a readable file whose first line is a key", read);
    given.or(of_file)
}

fn url(reader: &mut Reader, key: &str, default: &str, schemes: [&str; 2]) -> String {
    let allowed = format!("an absolute {} or {} URL without query or fragment", schemes[0], schemes[1]);
    let parse = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        let plain = schemes.contains(&url.scheme()) && url.has_host() && url.query().is_none();
        (plain && url.fragment().is_none()).then(|| text.trim_end_matches('/').to_owned())
    };
    reader.parsed(key, default.to_owned(), &allowed, parse, |url| super::reader::redact_url(url))
}
