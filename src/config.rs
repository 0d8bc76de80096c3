//! Settings: defaults, then a TOML file, then environment variables, then flags. Each part is a struct in a file of its own.
//!
//! A setting is declared once, where it is read: name, default, range and help. The [`Reader`] remembers each with its value and origin (for
//! `config show`) and collects what is wrong, so that all problems are reported at once. What no part has read is an unknown setting and
//! is refused. docs/configuration.md is generated from the same declarations.

use std::path::Path;

mod baskets;
mod collector;
#[cfg(test)]
mod docs;
mod error;
mod origin;
mod raw;
mod reader;
mod security;
mod server;
mod source;
mod spec;
mod store;
mod telemetry;
mod venues;

pub use baskets::{
    BasketConfig, BasketMembers, BasketRebalance, BasketWeighting, BasketsConfig, IndexReference, IndexReferencesConfig,
};
pub use collector::{CollectorConfig, UniverseConfig};
pub use error::ConfigError;
pub use origin::{Flag, Origin};
pub use reader::{Problem, Reader, Setting};
pub use security::{ClientsFile, SecurityConfig};
pub use server::{AdminConfig, GrpcConfig, ShutdownConfig};
pub use source::{ENVIRONMENT_PREFIX, STANDARD_PREFIX};
pub use store::StoreConfig;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use venues::{VenueConfig, VenuesConfig};

/// Every setting of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `grpc.*`: the gRPC server.
    pub grpc: GrpcConfig,
    /// `admin.*`: probes, metrics, the status page.
    pub admin: AdminConfig,
    /// `store.*`: where values are kept.
    pub store: StoreConfig,
    /// `venues.*`: which venues are asked, and where they are.
    pub venues: VenuesConfig,
    /// `collector.*`: the collection of data.
    pub collector: CollectorConfig,
    /// `universe.*`: the assets that are collected.
    pub universe: UniverseConfig,
    /// `baskets.*`: indices of one's own.
    pub baskets: BasketsConfig,
    /// `index_references.*`: published market caps of equity indices.
    pub index_references: IndexReferencesConfig,
    /// `security.*`: who may connect and call.
    pub security: SecurityConfig,
    /// `telemetry.*`: logs.
    pub telemetry: TelemetryConfig,
    /// `shutdown.*`: how the process ends.
    pub shutdown: ShutdownConfig,
}

impl Config {
    fn read(reader: &mut Reader) -> Self {
        Self {
            grpc: GrpcConfig::read(reader),
            admin: AdminConfig::read(reader),
            store: StoreConfig::read(reader),
            venues: VenuesConfig::read(reader),
            collector: CollectorConfig::read(reader),
            universe: UniverseConfig::read(reader),
            baskets: BasketsConfig::read(reader),
            index_references: IndexReferencesConfig::read(reader),
            security: SecurityConfig::read(reader),
            telemetry: TelemetryConfig::read(reader),
            shutdown: ShutdownConfig::read(reader),
        }
    }
}

impl Config {
    /// The declarations of every setting that reading comes across.
    fn declared(mut reader: Reader) -> Vec<Setting> {
        Self::read(&mut reader);
        reader.finish().0
    }
}

impl Default for Config {
    /// The defaults alone: no file, no environment, no flag.
    fn default() -> Self {
        Self::read(&mut Reader::default())
    }
}

/// A configuration that could be read, and what it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Every setting in the order of the documentation, with its value and origin.
    pub settings: Vec<Setting>,
}

/// Reads the configuration from its layers: the file if there is one, then those of the environment's variables (name and value) that start
/// with [`ENVIRONMENT_PREFIX`], then the flags.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::default();
    if let Some(path) = file {
        source::read_file(path, &mut reader);
    }
    let declared = Config::declared(Reader::default());
    source::read_environment(environment, &declared, &mut reader);
    source::read_flags(flags, &mut reader);
    let config = Config::read(&mut reader);
    let (settings, problems) = reader.finish();
    if problems.is_empty() { Ok(Loaded { config, settings }) } else { Err(ConfigError { problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn flag(key: &str, value: &str) -> Flag {
        Flag { key: key.to_owned(), value: value.to_owned(), name: "--set".to_owned() }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn problems(file: Option<&Path>, variables: &[(&str, &str)], flags: &[Flag]) -> Vec<String> {
        let error = load(file, environment(variables), flags).expect_err("must be refused");
        error.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_venue_s_codes_are_read_from_a_table() {
        let file = file("[venues.kraken]\nignore = [\"FEE\"]\ncodes = { LUNA = \"LUNC\", ABC = \"id:a-b-c\" }\n");
        let loaded = load(Some(file.path()), Vec::new(), &[]).expect("valid");
        let codes = &loaded.config.venues.get(crossmarket_domain::VenueId("kraken")).expect("registered").codes;
        let codes: Vec<(&str, Option<&str>)> =
            codes.iter().map(|(code, means)| (code.as_str(), means.as_deref())).collect();
        assert_eq!(codes, [("ABC", Some("id:a-b-c")), ("FEE", None), ("LUNA", Some("LUNC"))]);
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Config::default();
        assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
        assert_eq!(config.store.url, "embedded:./data");
        assert_eq!((config.collector.shards, config.universe.size), (1, 200));
        let loaded = load(None, Vec::new(), &[]).expect("defaults are valid");
        assert_eq!(loaded.config, config);
        assert!(loaded.settings.iter().all(|setting| setting.origin == Origin::Default));
    }

    #[test]
    fn later_layers_win_and_say_so() {
        let file = file("[grpc]\nlisten = \"127.0.0.1:1\"\nmax_concurrent_streams = 7\n[universe]\nsize = 10\n");
        let variables =
            environment(&[("CROSSMARKET__UNIVERSE__SIZE", "20"), ("CROSSMARKET__GRPC__LISTEN", "127.0.0.1:2")]);
        let loaded = load(Some(file.path()), variables, &[flag("grpc.listen", "127.0.0.1:3")]).expect("valid");
        assert_eq!(loaded.config.grpc.listen.port(), 3);
        assert_eq!(loaded.config.grpc.max_concurrent_streams, 7);
        assert_eq!(loaded.config.universe.size, 20);
        let origin = |key: &str| {
            let setting = loaded.settings.iter().find(|setting| setting.key == key).expect("a setting");
            setting.origin.to_string()
        };
        assert_eq!(origin("grpc.listen"), "flag --set");
        assert_eq!(origin("universe.size"), "env CROSSMARKET__UNIVERSE__SIZE");
        assert!(origin("grpc.max_concurrent_streams").ends_with("line 3"));
    }

    #[test]
    fn all_problems_are_told_with_key_value_and_what_is_allowed() {
        let file = file("[grpc]\nlissten = \"127.0.0.1:1\"\nlisten = \"somewhere\"\n[universe]\nsize = \"many\"\n");
        let told = problems(Some(file.path()), &[("CROSSMARKET__COLLECTOR__SHARDS", "0")], &[flag("colour", "red")]);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].starts_with("grpc.listen = \"somewhere\"") && told[0].contains("line 3"), "{}", told[0]);
        assert!(told[1].starts_with("collector.shards = \"0\"") && told[1].contains("1 to"), "{}", told[1]);
        assert!(told[2].starts_with("universe.size = \"many\""), "{}", told[2]);
        assert!(told[3].contains("colour") && told[3].contains("flag --set"), "{}", told[3]);
        assert!(told[4].contains("unknown setting") && told[4].contains("did you mean grpc.listen?"), "{}", told[4]);
    }

    #[test]
    fn a_file_that_is_not_toml_is_one_problem_with_its_line() {
        let file = file("[grpc]\nlisten = \n");
        let told = problems(Some(file.path()), &[], &[]);
        assert!(told.len() == 1 && told[0].contains("line 2"), "{told:?}");
        let told = problems(Some(Path::new("no/such/file.toml")), &[], &[]);
        assert!(told.len() == 1 && told[0].contains("no/such/file.toml"), "{told:?}");
    }

    #[test]
    fn baskets_are_read_strictly() {
        let text = "[baskets.Ai]\nassets = [\"FET\", \"tao\"]\nweighting = \"capped-market-cap\"\ncap_percent = 40\n\
                    [baskets.private]\ncategory = \"privacy-coins\"\nweighting = \"equal\"\nrebalance = \"quarterly\"\n";
        let file = file(text);
        let baskets = load(Some(file.path()), Vec::new(), &[]).expect("valid").config.baskets.0;
        let shown: Vec<_> = baskets.iter().map(|basket| (basket.index.as_str(), basket.cap_percent)).collect();
        assert_eq!(shown, [("basket:ai", Some(40.0)), ("basket:private", None)]);
        assert_eq!(baskets[1].members, BasketMembers::Category("privacy-coins".to_owned()));
        let check = |setting: &str, expected: &str| {
            let pairs: Vec<(String, String)> = setting
                .split(' ')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (format!("CROSSMARKET__BASKETS__X__{key}"), value.to_owned()))
                .collect();
            let error = load(None, pairs, &[]).expect_err(setting);
            assert!(error.to_string().contains(expected), "{setting}: {error}");
        };
        check("WEIGHTING=equal", "baskets.x.assets");
        check("ASSETS=BTC CATEGORY=meme", "not both");
        check("ASSETS=BTC WEIGHTING=capped-market-cap", "baskets.x.cap_percent");
        check("ASSETS=BTC CAP_PERCENT=10", "only with weighting");
        check("ASSETS=BTC WEIGHTING=capped-market-cap CAP_PERCENT=0", "greater than 0");
        check("ASSETS=BTC REBALANCE=daily", "never, weekly");
        check("ASSETS=BTC COLOUR=red", "unknown setting");
    }

    #[test]
    fn a_reference_is_whole_or_refused() {
        let reference = |pairs: &[(&str, &str)]| load(None, environment(pairs), &[]);
        let whole = [
            ("CROSSMARKET__INDEX_REFERENCES__RUT__MARKET_CAP", "3000000000000"),
            ("CROSSMARKET__INDEX_REFERENCES__RUT__DATE", "2025-12-31"),
            ("CROSSMARKET__INDEX_REFERENCES__RUT__SOURCE", "somebody"),
        ];
        let read = reference(&whole).expect("valid").config.index_references.0;
        assert_eq!(
            (read.len(), read[0].index.as_str(), read[0].date.to_string().as_str()),
            (1, "RUT", "2025-12-31T00:00:00Z")
        );
        assert!(reference(&whole[..2]).expect_err("no source").to_string().contains("all three"));
        let vix = [("CROSSMARKET__INDEX_REFERENCES__VIX__MARKET_CAP", "1")];
        assert!(reference(&vix).is_err());
    }

    #[test]
    fn a_section_given_a_value_is_refused() {
        assert_eq!(problems(None, &[("CROSSMARKET__GRPC", "1")], &[]).len(), 1);
        let file = file("store = 3\n");
        assert_eq!(problems(Some(file.path()), &[], &[]).len(), 1);
    }

    #[test]
    fn passwords_are_never_printed() {
        let told = problems(None, &[("CROSSMARKET__STORE__URL", "ftp://user:hunter2@host")], &[]);
        assert!(told[0].contains("store.url") && !told[0].contains("hunter2"), "{told:?}");
        let told = problems(None, &[("CROSSMARKET__VENUES__NOWHERE__API_KEY", "hunter2")], &[]);
        assert!(!told[0].contains("hunter2"), "{told:?}");
    }
}
