//! `venues.<id>.*`: which venues are asked, and where they are. The ids are those of [`REGISTRY`].

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::raw::redact_url;
use super::reader::Reader;
use super::spec::{Spec, boolean, list, optional, secret, text};
use crossmarket_domain::{AssetCode, VenueId};
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
    /// What the venue means by codes of its own; `None` for a code to be ignored.
    pub codes: BTreeMap<SmolStr, Option<SmolStr>>,
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
        let codes = codes(reader, key);
        Self { enabled, rest_url, ws_url, api_key, codes }
    }
}

/// `codes.<code>` and `ignore`: codes that mean something else, or nothing, at the venue.
fn codes(reader: &mut Reader, key: impl Fn(&str) -> String) -> BTreeMap<SmolStr, Option<SmolStr>> {
    let allowed = "at most 1000 codes such as LUNA: an array in a file, elsewhere separated by commas";
    let ignored = list(1_000, allowed, AssetCode::parse, AssetCode::to_string);
    let help = "Codes of the venue that are ignored. What other codes mean is set by `codes.<code>`.";
    let ignored: Vec<AssetCode> = reader.read(&key("ignore"), help, ignored);
    let mut codes: BTreeMap<SmolStr, Option<SmolStr>> =
        ignored.iter().map(|code| (SmolStr::new(code.as_str()), None)).collect();
    for name in reader.values_under(&key("codes")) {
        let meaning = key(&format!("codes.{name}"));
        let Some(code) = AssetCode::parse(&name) else {
            reader.refuse(&meaning, &name, "a code of at most 32 characters");
            continue;
        };
        let parse = |text: &str| (1..=100).contains(&text.len()).then(|| SmolStr::new(text));
        let spec = optional("a ticker, an id such as id:terra-luna, or a name", parse, SmolStr::to_string);
        let means = reader.read(&meaning, "What the venue means by the code.", spec);
        codes.insert(SmolStr::new(code.as_str()), means);
    }
    codes
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
