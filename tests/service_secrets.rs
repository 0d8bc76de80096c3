//! Secrets are planted everywhere that the service takes them, and nothing that it writes, shows, sends or answers may hold one: logs at every level,
//! metrics, traces, the status page, answers and errors, `config show` and `config check`, and what a panic would print.

#[path = "support/redis.rs"]
mod servers;
mod support {
    pub mod certificates;
    pub mod issuer;
    pub mod process;
}

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crossmarket::security::KeyHash;
use crossmarket_api::v1::{ListFeedsRequest, ListPriceSnapshotsRequest, ListVenuesRequest};
use crossmarket_client::{Client, ClientBuilder, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use servers::RedisServer;
use support::certificates::{Authority, Mounted};
use support::issuer::Issuer;
use support::process::{Process, binary, soon, wait_until};

const API_KEY: &str = "canary-api-key-7d1c5a0e9f3b4826b0c4";
const WRONG_API_KEY: &str = "canary-wrong-api-key-51f0c2a97e644d";
const VENUE_KEY: &str = "canary-venue-key-3e8a";
const REDIS_PASSWORD: &str = "canary-redis-password-9c42";
const BROKEN_KEY_FILE: &str = "canary-broken-key-file-60b7";
const URL_PASSWORD: &str = "canary-url-password-1d93";
const OTLP_HEADER: &str = "canary-otlp-header-a812";

/// The planted secrets, by name.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn none_in(&self, place: &str, text: &str) {
        assert!(!text.is_empty(), "{place} is empty, and so tells nothing");
        for (name, canary) in &self.0 {
            if let Some(index) = text.find(canary.as_str()) {
                let start = (0..=index.saturating_sub(200)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                panic!("{place} holds {name}: …{}", &text[start..index]);
            }
        }
    }
}

/// A venue that answers with what it was sent, in four ways. Returns its port, and how many requests had the key.
async fn echoing_venue() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let with_key = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&with_key);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 16 << 10];
            let len = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..len]).into_owned();
            let count = if head.contains(VENUE_KEY) { seen.fetch_add(1, Ordering::Relaxed) } else { 0 };
            let status = ["401 Unauthorized", "302 Found", "200 OK", "500 Internal Server Error"][count % 4];
            let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
            let len = head.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1{path}\r\nretry-after: 1\r\nconnection: close\r\n\
                 content-length: {len}\r\n\r\n{head}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, with_key)
}

/// What was sent by OTLP over HTTP, by path: protobuf bodies, in which texts appear unchanged.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<HashMap<String, String>>>);

impl Sent {
    fn bodies(&self, path: &str) -> String {
        self.0.lock().expect("not poisoned").get(path).cloned().unwrap_or_default()
    }
}

/// Accepts everything sent by OTLP with the right header. Returns its port.
async fn telemetry_receiver() -> (u16, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let sent = Sent::default();
    let taken = sent.clone();
    let take = move |uri: axum::http::Uri, headers: axum::http::HeaderMap, body: bytes::Bytes| async move {
        assert_eq!(headers.get("x-receiver").and_then(|value| value.to_str().ok()), Some(OTLP_HEADER));
        let mut taken = taken.0.lock().expect("not poisoned");
        taken.entry(uri.path().to_owned()).or_default().push_str(&String::from_utf8_lossy(&body));
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(take)).await });
    (port, sent)
}

async fn page(service: &Process, path: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::get(format!("http://{}{path}", service.admin)).await.expect("an answer");
    answer.text().await.expect("text")
}

/// Everything that a command prints.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the binary runs");
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(path: &Path, content: &str) -> String {
    std::fs::write(path, content).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let redis = RedisServer::start();
    redis.command(&["CONFIG", "SET", "requirepass", REDIS_PASSWORD]);
    let (venue_port, venue_requests) = echoing_venue().await;
    let (telemetry_port, sent) = telemetry_receiver().await;
    let authority = Authority::new();
    let issued = authority.issue(None);
    std::fs::create_dir(at("tls")).expect("made");
    let mut mounted = Mounted::new(&at("tls"), &issued);
    let (certificate, private_key) = mounted.files();
    let issuer = Issuer::new();
    let token = issuer.token("desk", "all", 3_600);
    let forged = Issuer::new().token("desk", "all", 3_600);

    let mut canaries = vec![
        ("the API key", API_KEY.to_owned()),
        ("its hash", KeyHash::of(API_KEY.as_bytes()).to_string()),
        ("a wrong API key", WRONG_API_KEY.to_owned()),
        ("the venue's key", VENUE_KEY.to_owned()),
        ("Redis' password", REDIS_PASSWORD.to_owned()),
        ("a password in a URL", URL_PASSWORD.to_owned()),
        ("a broken key file's content", BROKEN_KEY_FILE.to_owned()),
        ("a header of OTLP", OTLP_HEADER.to_owned()),
        ("the token's signature", token.rsplit('.').next().expect("three parts").to_owned()),
        ("the token's claims", token.split('.').nth(1).expect("three parts").to_owned()),
        ("the forged token's signature", forged.rsplit('.').next().expect("three parts").to_owned()),
    ];
    let lines = issued.key.lines().filter(|line| !line.starts_with("-----"));
    canaries.extend(lines.map(|line| ("the private key", line.to_owned())));
    let canaries = Canaries(canaries);

    let clients = format!(
        "[desk]\nkey_hashes = [\"{}\"]\nscopes = [\"all\"]\n[poor]\nkey_hashes = [\"{}\"]\nscopes = [\"catalog\"]\n",
        KeyHash::of(API_KEY.as_bytes()),
        KeyHash::of(b"another-key-of-more-than-32-characters"),
    );
    let mut settings = vec![
        format!("store.url={}", redis.url()),
        format!("store.password_file={}", write(&at("password"), REDIS_PASSWORD)),
        format!("security.tls.certificate_file={certificate}"),
        format!("security.tls.key_file={private_key}"),
        format!("security.clients_file={}", write(&at("clients.toml"), &clients)),
        format!("security.jwt.issuer={}", Issuer::NAME),
        "security.jwt.audience=crossmarket".to_owned(),
        "security.jwt.algorithms=EdDSA".to_owned(),
        format!("security.jwt.jwks_file={}", write(&at("jwks.json"), &issuer.key_set())),
        format!("telemetry.otlp_endpoint=http://127.0.0.1:{telemetry_port}"),
        "telemetry.otlp_protocol=http/protobuf".to_owned(),
        format!("telemetry.otlp_headers=x-receiver={OTLP_HEADER}"),
        "telemetry.otlp_metrics_interval_ms=500".to_owned(),
        "telemetry.sampler=always_on".to_owned(),
        format!("venues.twelvedata.rest_url=http://127.0.0.1:{venue_port}"),
        format!("venues.twelvedata.api_key_file={}", write(&at("venue-key"), VENUE_KEY)),
    ];
    for venue in crossmarket_venues::REGISTRY.iter().map(|venue| venue.id().to_string()) {
        settings.push(format!("venues.{venue}.enabled={}", venue == "twelvedata"));
    }
    let mut arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();

    for command in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]] {
        let text = printed(binary().args(command).args(&arguments));
        assert!(!text.contains("refused"), "{text}");
        canaries.none_in(&command.join(" "), &text);
    }
    arguments.extend(["--log", "trace"]);
    let service = Process::serve(&arguments);
    let url = format!("https://{}", service.grpc);
    let client = |with: fn(ClientBuilder, &str) -> ClientBuilder, secret: &str| {
        let builder = Client::builder().endpoint(&url).tls(Tls::default().authority(authority.pem.as_str()));
        with(builder.attempts_max(1), secret).build().expect("usable")
    };
    let with_key: fn(ClientBuilder, &str) -> ClientBuilder = |builder, key| builder.api_key(key);
    let with_token: fn(ClientBuilder, &str) -> ClientBuilder = |builder, token| builder.bearer_token(token);
    let good = client(with_key, API_KEY);
    wait_until("an answer", async || good.catalog().list_venues(ListVenuesRequest::default()).await.ok()).await;
    wait_until("requests with the venue's key, answered in every way", async || {
        (venue_requests.load(Ordering::Relaxed) >= 4).then_some(())
    })
    .await;
    let failed = async || {
        let feeds = soon("feeds", good.catalog().list_feeds(ListFeedsRequest::default())).await.expect("feeds");
        let told = format!("{feeds:?}");
        (feeds.feeds.iter().any(|feed| !feed.error.is_empty())).then_some(told)
    };
    let feeds = wait_until("an error of the venue", failed).await;
    canaries.none_in("ListFeeds", &feeds);

    let bearer = client(with_token, &token);
    soon("an answer", bearer.catalog().list_venues(ListVenuesRequest::default())).await.expect("the token counts");
    for (place, client) in [
        ("the answer to a wrong key", client(with_key, WRONG_API_KEY)),
        ("the answer to a forged token", client(with_token, &forged)),
    ] {
        let request = ListPriceSnapshotsRequest::default();
        let error = soon("an answer", client.prices().list_price_snapshots(request)).await.expect_err("refused");
        canaries.none_in(place, &format!("{error}\n{error:?}\n{client:?}"));
    }
    // A key file that is broken, while the service runs.
    mounted.swap(&support::certificates::Issued {
        pem: issued.pem.clone(),
        der: issued.der.clone(),
        key: format!("-----BEGIN PRIVATE KEY-----\n{BROKEN_KEY_FILE}\n-----END PRIVATE KEY-----\n"),
    });
    let refused = "crossmarket_file_reloads_total{files=\"certificates\",outcome=\"failed\"} 1";
    wait_until("the broken file is noticed", async || page(&service, "/metrics").await.contains(refused).then_some(()))
        .await;

    // Spans of calls that were refused, and of requests to the venue that had its key.
    for name in ["crossmarket.v1.PriceService/ListPriceSnapshots", "url.full"] {
        wait_until(name, async || sent.bodies("/v1/traces").contains(name).then_some(())).await;
    }
    canaries.none_in("the traces", &sent.bodies("/v1/traces"));
    wait_until("metrics", async || sent.bodies("/v1/metrics").contains("crossmarket").then_some(())).await;
    canaries.none_in("the metrics that are sent", &sent.bodies("/v1/metrics"));
    canaries.none_in("/metrics", &page(&service, "/metrics").await);
    canaries.none_in("the status page", &page(&service, "/").await);
    let log = service.log();
    assert!(log.contains("TRACE") && log.contains("new certificates cannot be used"), "everything was logged");
    canaries.none_in("the log", &log);
    println!("log_bytes={} venue_requests={}", log.len(), venue_requests.load(Ordering::Relaxed));
}

#[test]
fn nothing_that_is_refused_is_repeated_with_its_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let canaries = Canaries(vec![
        ("an API key", API_KEY.to_owned()),
        ("the venue's key", VENUE_KEY.to_owned()),
        ("Redis' password", REDIS_PASSWORD.to_owned()),
        ("a password in a URL", URL_PASSWORD.to_owned()),
        ("a broken key file's content", BROKEN_KEY_FILE.to_owned()),
    ]);
    let broken = write(&at("tls.key"), BROKEN_KEY_FILE);
    let certificate = write(&at("tls.crt"), &Authority::new().issue(None).pem);
    let clients = write(&at("clients.toml"), &format!("[desk]\nkey_hashes = \"{API_KEY}\"\nscopes = [\"all\"]\n"));
    let no_toml = write(&at("broken.toml"), &format!("[desk]\nkey_hashes = {API_KEY}\n"));
    let jwks = write(&at("jwks.json"), &format!("{{\"keys\": \"{API_KEY}\"}}"));
    let refused: [&[&str]; 11] = [
        &["config", "check", "--set", &format!("security.clients_file={clients}")],
        &["config", "check", "--set", &format!("security.clients_file={no_toml}")],
        &["config", "check", "--set", &format!("security.clients.desk.key_hashes={API_KEY}")],
        &["config", "check", "--set", &format!("security.clients.desk.api_key={API_KEY}")],
        &["config", "check", "--set", &format!("venues.twelvedata.api_key={VENUE_KEY} and more")],
        &["config", "check", "--set", &format!("store.url=redis-typo://me:{URL_PASSWORD}@127.0.0.1:1")],
        &["config", "check", "--set", &format!("store.pasword={REDIS_PASSWORD}")],
        &["serve", "--store", &format!("redis+cluster://me:{URL_PASSWORD}@127.0.0.1:1/9/9"), "--log", "trace"],
        &[
            "serve",
            "--store",
            "memory:",
            "--set",
            &format!("security.tls.certificate_file={certificate}"),
            "--set",
            &format!("security.tls.key_file={broken}"),
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ],
        &[
            "serve",
            "--store",
            "memory:",
            "--set",
            "security.jwt.issuer=i",
            "--set",
            "security.jwt.audience=a",
            "--set",
            "security.jwt.algorithms=ES256",
            "--set",
            &format!("security.jwt.jwks_file={jwks}"),
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ],
        &["get", "BTC", "--server", "http://127.0.0.1:1", "--api-key", API_KEY],
    ];
    for command in refused {
        let output = binary().args(command).output().expect("the binary runs");
        assert!(!output.status.success(), "{command:?} was taken");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        canaries.none_in(&format!("{} {}", command[0], command[1]), &stderr);
    }
    for command in [&["get", "--help"][..], &["list", "--help"]] {
        let text =
            printed(binary().args(command).env("CROSSMARKET_API_KEY", API_KEY).env("CROSSMARKET_TOKEN", API_KEY));
        canaries.none_in(&command.join(" "), &text);
    }
}

#[test]
fn what_a_panic_would_print_holds_no_secret() {
    let variables = [
        ("CROSSMARKET__STORE__URL", format!("redis://me:{URL_PASSWORD}@127.0.0.1:1")),
        ("CROSSMARKET__STORE__PASSWORD", REDIS_PASSWORD.to_owned()),
        ("CROSSMARKET__VENUES__TWELVEDATA__API_KEY", VENUE_KEY.to_owned()),
        ("CROSSMARKET__SECURITY__CLIENTS__DESK__KEY_HASHES", KeyHash::of(API_KEY.as_bytes()).to_string()),
        ("CROSSMARKET__SECURITY__CLIENTS__DESK__SCOPES", "all".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let loaded = crossmarket::config::load(None, variables, &[]).expect("valid");
    let canaries = Canaries(vec![
        ("the API key's hash", KeyHash::of(API_KEY.as_bytes()).to_string()),
        ("the venue's key", VENUE_KEY.to_owned()),
        ("Redis' password", REDIS_PASSWORD.to_owned()),
        ("a password in a URL", URL_PASSWORD.to_owned()),
    ]);
    canaries.none_in("the configuration", &format!("{loaded:?}"));
    canaries.none_in("the store's options", &format!("{:?}", loaded.config.store));
}
