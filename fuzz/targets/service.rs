//! What comes from clients and operators: cursors, page tokens, settings.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use crossmarket::config::{self, ConfigError, Flag, Loaded};
use crossmarket::security::{Guard, Quotas};
use crossmarket::services::{self, Services, StreamSettings, WireEncoder};
use crossmarket_api::v1;
use crossmarket_api::v1::catalog_service_client::CatalogServiceClient;
use crossmarket_clock::Clock;
use crossmarket_domain::state::{AssetInfo, AssetKind, Body, Key, State};
use crossmarket_domain::{AssetCode, AssetId, Timestamp};
use crossmarket_image::{Change, Collection, Cursor, Image, ImageSettings, Position};
use crossmarket_store::EmbeddedStore;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::service::Routes;

/// More problems than this for each line of a configuration cannot be: a setting is one problem.
const PROBLEMS_PER_LINE_MAX: usize = 2;

/// Reads an input as a cursor and as a page token, and makes a cursor of it that must read back, and not when it is changed.
pub fn cursor_and_tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for collection in Collection::ALL {
        if let Ok(cursor) = Cursor::decode(&text, collection) {
            assert_eq!(cursor.encode(), text, "two texts of one cursor");
        }
    }
    let (positions, _) = data.as_chunks::<16>();
    let positions: Vec<Position> = positions.iter().take(256).map(position).collect();
    for collection in Collection::ALL.into_iter().filter(|_| !positions.is_empty()) {
        let cursor = Cursor { collection, positions: positions.clone() };
        let encoded = cursor.encode();
        assert_eq!(Cursor::decode(&encoded, collection).as_ref(), Ok(&cursor));
        assert!(
            Collection::ALL.into_iter().all(|other| other == collection || Cursor::decode(&encoded, other).is_err())
        );
        let mangled = mangled(&encoded, data);
        assert!(Cursor::decode(&mangled, collection).is_err(), "{mangled} was {encoded}");
    }
    page_token(&text, data);
}

fn position(bytes: &[u8; 16]) -> Position {
    let number = u128::from_be_bytes(*bytes);
    Position { epoch: (number >> 64) as u64, revision: number as u64 }
}

/// The text with one of its bytes changed, which one and how by the input.
fn mangled(text: &str, data: &[u8]) -> String {
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    let at = sum % text.len();
    let other = ["A", "B", "_", "=", " ", "é", ""][sum % 7];
    let other = if text.get(at..=at) == Some(other) { "-" } else { other };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

thread_local! {
    /// The services over an image of three assets, called in this thread without a connection, and a page token of theirs.
    static CATALOGUE: Catalogue = Catalogue::new();
    /// A file for one configuration after another.
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a temporary file"));
}

struct Catalogue {
    runtime: tokio::runtime::Runtime,
    routes: Routes,
    token: String,
}

impl Catalogue {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let image = Image::new(WireEncoder, ImageSettings::default());
        let changes = ["BTC", "ETH", "SOL"].into_iter().zip(1..).map(change).collect();
        image.bootstrap(0, Position { epoch: 7, revision: 3 }, changes, Timestamp::EPOCH);
        let services = Services {
            image: Arc::new(image),
            store: Arc::new(EmbeddedStore::in_memory().expect("a store")),
            histories: Arc::default(),
            clock: Clock::simulated(Timestamp::EPOCH, 1e-9),
            drain: CancellationToken::new(),
            venues: Arc::new([]),
            simulated: true,
            streams: StreamSettings::default(),
            measured: true,
            send_gzip: false,
        };
        let api = runtime
            .block_on(services::api(services, Guard::open(Quotas::default()), true))
            .expect("the descriptor is compiled in");
        let mut catalogue = Self { runtime, routes: api.routes, token: String::new() };
        catalogue.token = catalogue.list("").expect("the first page");
        assert!(!catalogue.token.is_empty(), "there is a second page");
        catalogue
    }

    /// The next page's token, or how the call was refused.
    fn list(&self, page_token: &str) -> Result<String, Code> {
        let request = v1::ListAssetsRequest { page_size: 1, page_token: page_token.to_owned(), ..Default::default() };
        let mut client = CatalogServiceClient::new(self.routes.clone());
        let response = self.runtime.block_on(client.list_assets(request));
        response.map(|response| response.into_inner().next_page_token).map_err(|status| status.code())
    }
}

fn change((code, revision): (&str, u64)) -> Change {
    let id = AssetId::parse(code).expect("an id");
    let info = AssetInfo {
        asset_id: id.clone(),
        asset: AssetCode::parse(code).expect("a code"),
        aliases: Vec::new(),
        name: None,
        kind: AssetKind::Coin,
        market_cap_rank: None,
        categories: Vec::new(),
        listing_ids: Vec::new(),
        instruments: Vec::new(),
        history_start: None,
        history_day_count: 0,
    };
    let state = State {
        event_time: Timestamp::EPOCH,
        receive_time: Timestamp::EPOCH,
        publish_time: Timestamp::EPOCH,
        budget: std::time::Duration::ZERO,
        simulated: true,
        body: Body::Asset(Box::new(info)),
    };
    Change { key: Key::Asset(id), revision, state: Some(state) }
}

fn page_token(text: &str, data: &[u8]) {
    CATALOGUE.with(|catalogue| {
        let mangled = mangled(&catalogue.token, data);
        assert_eq!(catalogue.list(&mangled), Err(Code::InvalidArgument), "{mangled} was {}", catalogue.token);
        assert!(catalogue.list(&catalogue.token).is_ok());
        // Whoever knows the format can make a token; it may lead anywhere in the list and nowhere else.
        let listed = catalogue.list(text);
        assert!(matches!(listed, Ok(_) | Err(Code::InvalidArgument)), "{text:?}: {listed:?}");
    });
}

/// Reads an input as a configuration: a TOML file up to a line `---`, then lines of `NAME=VALUE` for the environment and of
/// `--key=value` for flags.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (file, rest) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let pairs = || rest.lines().filter_map(|line| line.split_once('='));
    let environment = pairs().filter(|(name, _)| !name.starts_with("--"));
    let environment: Vec<(String, String)> =
        environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let flags = pairs().filter_map(|(name, value)| Some((name.strip_prefix("--")?, value)));
    let flag =
        |(key, value): (&str, &str)| Flag { key: key.to_owned(), value: value.to_owned(), name: format!("--{key}") };
    let flags: Vec<Flag> = flags.map(flag).collect();
    FILE.with_borrow_mut(|temporary| {
        let handle = temporary.as_file_mut();
        std::io::Seek::rewind(handle).and_then(|()| handle.set_len(0)).expect("an empty file");
        handle.write_all(file.as_bytes()).expect("written");
        let load = || config::load(Some(temporary.path()), environment.clone(), &flags);
        let first = load();
        match (&first, &load()) {
            (Ok(first), Ok(second)) => assert_eq!(first.config, second.config),
            (Err(first), Err(second)) => assert_eq!(first, second),
            (first, second) => panic!("read once as {first:?} and once as {second:?}"),
        }
        match first {
            Ok(loaded) => readable(&loaded),
            Err(error) => told(&error, &text),
        }
    });
}

fn readable(loaded: &Loaded) {
    let keys: HashSet<&str> = loaded.settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys.len(), loaded.settings.len(), "a setting is listed twice");
    assert!(!keys.is_empty());
}

fn told(error: &ConfigError, text: &str) {
    let count = error.problems.len();
    // A line of TOML may hold as many settings as it has equals signs.
    let settings_max = text.lines().count() + text.matches('=').count() + 1;
    assert!((1..=PROBLEMS_PER_LINE_MAX * settings_max).contains(&count), "{count} problems");
    assert!(error.problems.iter().all(|problem| !problem.to_string().is_empty()));
}
