//! `venues.<id>.*`: which venues are asked, and where they are. The ids are those of [`REGISTRY`].

use std::collections::BTreeMap;

use super::raw::redact_url;
use super::reader::Reader;
use super::spec::{Spec, boolean, optional, secret, text};
use crossmarket_domain::VenueId;
use crossmarket_venues::{REGISTRY, Secret, Venue};

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
    /// False for a venue that is switched off.
    pub enabled: bool,
    /// Without a trailing slash.
    pub rest_url: String,
    /// Without a trailing slash; `None` for a venue without a stream.
    pub ws_url: Option<String>,
    /// For a venue that needs one; without a key the venue is not asked.
    pub api_key: Option<Secret>,
}

impl VenueConfig {
    fn read(reader: &mut Reader, venue: &dyn Venue) -> Self {
        let key = |name: &str| format!("venues.{}.{name}", venue.id());
        let profile = venue.profile();
        let enabled = reader.read(&key("enabled"), "Whether the venue is polled.", boolean(true));
        let help = "Its HTTP API. Feeds on the venue's other hosts are asked there only while this is the default.";
        let rest_url = reader.read(&key("rest_url"), help, url(profile.rest_url, ["http", "https"]));
        let ws_url =
            profile.stream.map(|stream| reader.read(&key("ws_url"), "Its stream.", url(stream.url, ["ws", "wss"])));
        let api_key = profile.api_key.and_then(|_| api_key(reader, key));
        Self { enabled, rest_url, ws_url, api_key }
    }
}

/// `api_key`, else the first line of `api_key_file`, so that no key has to be in a configuration.
fn api_key(reader: &mut Reader, key: impl Fn(&str) -> String) -> Option<Secret> {
    let help = "Its key, for a venue that needs one. Without a key the venue is not polled.";
    let allowed = "a key: up to 256 printable characters";
    let given = reader.read(&key("api_key"), help, secret(allowed, Secret::parse));
    let parse = |name: &str| {
        let content = std::fs::read_to_string(name).ok()?;
        Some((name.to_owned(), Secret::parse(content.lines().next()?)?))
    };
    let of_file = optional("a readable file whose first line is a key", parse, |(name, _)| name.clone());
    let of_file = reader.read(&key("api_key_file"), "A file that holds the key.", of_file);
    given.or(of_file.map(|(_, secret)| secret))
}

fn url(default: &str, schemes: [&'static str; 2]) -> Spec<String> {
    let allowed = format!("an absolute {} or {} URL without query or fragment", schemes[0], schemes[1]);
    let parse = move |text: &str| {
        let url = url::Url::parse(text).ok()?;
        let plain = schemes.contains(&url.scheme()) && url.has_host() && url.query().is_none();
        (plain && url.fragment().is_none()).then(|| text.trim_end_matches('/').to_owned())
    };
    text(default.to_owned(), &allowed, parse, |url| redact_url(url))
}
