//! Who may call what on the real binary: every method of every service, with every kind of credentials.

use std::path::Path;

use crossmarket::security::KeyHash;
use crossmarket_api::v1::{ListPriceSnapshotsRequest, ListVenuesRequest};
use crossmarket_client::{Client, Error, Tls};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use support::certificates::{Authority, Mounted};
use support::issuer::Issuer;
use support::process::{Process, soon, wait_until};

mod support {
    pub mod certificates;
    pub mod issuer;
    pub mod process;
}

const ALL_KEY: &str = "a-key-for-everything-of-more-than-32-characters";
const CATALOG_KEY: &str = "a-key-for-the-catalogue-of-more-than-32-characters";
const PRICES_KEY: &str = "a-key-for-prices-of-more-than-32-characters";
const ENDED_KEY: &str = "a-key-that-has-ended-of-more-than-32-characters";

/// The clients of the tests, in a file of their own as a Secret has it.
fn clients_file(directory: &Path) -> String {
    let hash = |key: &str| KeyHash::of(key.as_bytes()).to_string();
    let text = format!(
        "[everything]\nkey_hashes = [\"{}\", \"{} until 2020-01-01\"]\nscopes = [\"all\"]\n\
         [catalogue]\nkey_hashes = [\"{}\"]\nscopes = [\"catalog\"]\n\
         [prices]\nkey_hashes = [\"{}\"]\ncertificate_names = [\"spiffe://cluster/prices\"]\nscopes = [\"prices\"]\n",
        hash(ALL_KEY),
        hash(ENDED_KEY),
        hash(CATALOG_KEY),
        hash(PRICES_KEY),
    );
    let path = directory.join("clients.toml");
    std::fs::write(&path, text).expect("written");
    format!("security.clients_file={}", path.display())
}

fn serve(directory: &Path, settings: &[&str]) -> Process {
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    Process::serve_in_with(directory, &arguments)
}

/// Every method of every service that the port offers, as `/package.Service/Method`.
fn methods() -> Vec<String> {
    let sets = [
        crossmarket_api::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = Vec::new();
    for set in sets {
        for file in FileDescriptorSet::decode(set).expect("a descriptor set").file {
            for service in &file.service {
                let name = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| name(method.name())));
            }
        }
    }
    methods
}

/// Calls a method with an empty request; `Ok` when it was let through and had something to answer.
async fn call(channel: &Channel, path: &str, credentials: Option<(&'static str, &str)>) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("connected");
    let mut request = Request::new(());
    if let Some((name, value)) = credentials {
        request.metadata_mut().insert(name, MetadataValue::try_from(value).expect("a value"));
    }
    let path = path.parse().expect("a path");
    let answer = client.server_streaming(request, path, ProstCodec::<(), ()>::default());
    let mut answer = soon("an answer", answer).await?.into_inner();
    soon("a message", answer.message()).await.map(drop)
}

async fn refused(channel: &Channel, path: &str, credentials: Option<(&'static str, &str)>) -> Status {
    match call(channel, path, credentials).await {
        Err(status) => status,
        Ok(()) => panic!("{path} with {credentials:?} was let through"),
    }
}

fn key(value: &str) -> Option<(&'static str, &str)> {
    Some(("x-api-key", value))
}

async fn metric(service: &Process, name: &str) -> f64 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let page = reqwest::get(format!("http://{}/metrics", service.admin)).await.expect("a page");
    let page = page.text().await.expect("text");
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not shown"))
}

#[tokio::test]
async fn every_method_but_health_asks_who_calls_and_tells_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new();
    let jwks = directory.path().join("jwks.json");
    std::fs::write(&jwks, issuer.key_set()).expect("written");
    let service = serve(
        directory.path(),
        &[
            &clients_file(directory.path()),
            &format!("security.jwt.issuer={}", Issuer::NAME),
            "security.jwt.audience=crossmarket",
            "security.jwt.algorithms=EdDSA",
            &format!("security.jwt.jwks_file={}", jwks.display()),
        ],
    );
    let channel = service.channel().await;
    let token = |issuer: &Issuer, scope, seconds| format!("Bearer {}", issuer.token("somebody", scope, seconds));
    let (ended, forged) = (token(&issuer, "all", -120), token(&Issuer::new(), "all", 300));
    let (good, of_nothing) = (token(&issuer, "prices", 300), token(&issuer, "openid", 300));
    let methods = methods();
    assert!(methods.len() > 30, "{methods:?}");
    for path in &methods {
        if path.starts_with("/grpc.health.v1.Health/") {
            call(&channel, path, None).await.expect("probes have no credentials");
            continue;
        }
        let missing = refused(&channel, path, None).await;
        assert_eq!(missing.code(), Code::Unauthenticated, "{path}");
        for credentials in [
            key("no-such-key"),
            key(ENDED_KEY),
            Some(("authorization", ended.as_str())),
            Some(("authorization", forged.as_str())),
            Some(("authorization", "Basic dXNlcjpwYXNzd29yZA==")),
        ] {
            let status = refused(&channel, path, credentials).await;
            assert_eq!((status.code(), status.message()), (missing.code(), missing.message()), "{path}");
            assert_eq!(status.details(), missing.details(), "{path}");
        }
        let (scope, wrong) = match path.contains("CatalogService") {
            true => (CATALOG_KEY, PRICES_KEY),
            false => (ALL_KEY, CATALOG_KEY),
        };
        let denied = refused(&channel, path, key(wrong)).await;
        assert_eq!(denied.code(), Code::PermissionDenied, "{path}");
        assert!(!denied.message().contains("catalog") && !denied.message().contains("price"), "{denied}");
        let status = refused(&channel, path, Some(("authorization", of_nothing.as_str()))).await;
        assert_eq!((status.code(), status.message()), (Code::PermissionDenied, denied.message()), "{path}");
        for credentials in [key(scope), key(ALL_KEY)] {
            let code = call(&channel, path, credentials).await.err().map(|status| status.code());
            assert!(!matches!(code, Some(Code::Unauthenticated | Code::PermissionDenied)), "{path}: {code:?}");
        }
    }
    // Only clients learn that a method does not exist.
    for path in ["/crossmarket.v1.PriceService/Other", "/other.Service/Method"] {
        assert_eq!(refused(&channel, path, None).await.code(), Code::Unauthenticated, "{path}");
        assert_eq!(refused(&channel, path, key(ALL_KEY)).await.code(), Code::Unimplemented, "{path}");
    }
    let allowed =
        |status: Result<(), Status>| !matches!(status, Err(status) if status.code() == Code::PermissionDenied);
    let prices = "/crossmarket.v1.PriceService/ListPriceSnapshots";
    assert!(allowed(call(&channel, prices, Some(("authorization", &good))).await), "a token's scope");
    for reason in ["missing", "invalid", "expired", "scope"] {
        let count = metric(&service, &format!("crossmarket_auth_rejections_total{{reason=\"{reason}\"}}")).await;
        assert!(count >= (methods.len() - 2) as f64, "{reason}: {count}");
    }

    // A browser's call over HTTP/1.1 is refused in its own words.
    let url = format!("http://{}{prices}", service.grpc);
    let web = reqwest::Client::builder().http1_only().build().expect("a client");
    let web = web.post(url).header("content-type", "application/grpc-web+proto").body(vec![0; 5]);
    let answer = soon("an answer", web.send()).await.expect("an answer");
    assert_eq!(answer.headers().get("grpc-status").map(|status| status.as_bytes()), Some(&b"16"[..]), "{answer:?}");
}

#[tokio::test]
async fn the_client_library_and_the_commands_send_their_credentials() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, clients) = (Authority::new(), Authority::new());
    let mounted = Mounted::new(directory.path(), &authority.issue(None));
    let (certificate, private_key) = mounted.files();
    let ca = directory.path().join("clients.crt");
    std::fs::write(&ca, &clients.pem).expect("written");
    let service = serve(
        directory.path(),
        &[
            &clients_file(directory.path()),
            &format!("security.tls.certificate_file={certificate}"),
            &format!("security.tls.key_file={private_key}"),
            &format!("security.tls.client_ca_file={}", ca.display()),
            "grpc.reflection=false",
            "admin.status_page=false",
        ],
    );
    let of = |uri: Option<&str>, key: Option<&str>| {
        let own = clients.issue(uri);
        let tls = Tls::default().authority(authority.pem.as_str()).identity(own.pem.as_str(), own.key.as_str());
        let builder = Client::builder().endpoint(format!("https://{}", service.grpc)).tls(tls).attempts_max(1);
        let builder = if let Some(key) = key { builder.api_key(key) } else { builder };
        builder.build().expect("usable")
    };
    let code = |error: Error| match error {
        Error::Status(status) => status.code(),
        other => panic!("{other}"),
    };
    let prices = async |client: &Client| {
        client.prices().list_price_snapshots(ListPriceSnapshotsRequest::default()).await.map(drop)
    };
    let venues = async |client: &Client| client.catalog().list_venues(ListVenuesRequest::default()).await.map(drop);

    let named = of(Some("spiffe://cluster/prices"), None);
    wait_until("an answer", async || prices(&named).await.ok()).await;
    assert_eq!(venues(&named).await.map_err(code), Err(Code::PermissionDenied), "the certificate's scopes");
    assert_eq!(prices(&of(None, None)).await.map_err(code), Err(Code::Unauthenticated), "a certificate of nobody");
    let keyed = of(Some("spiffe://cluster/prices"), Some(CATALOG_KEY));
    assert_eq!(venues(&keyed).await.map_err(code), Ok(()), "a key counts before a certificate");
    assert_eq!(prices(&keyed).await.map_err(code), Err(Code::PermissionDenied));

    let own = clients.issue(None);
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let files = [write("ca.crt", &authority.pem), write("own.crt", &own.pem), write("own.key", &own.key)];
    let list = |key: &str| {
        let mut command = support::process::binary();
        command.args(["list", "--json", "--server", &format!("https://{}", service.grpc), "--ca"]).arg(&files[0]);
        command.arg("--certificate").arg(&files[1]).arg("--key").arg(&files[2]);
        command.env("CROSSMARKET_API_KEY", key).output().expect("the binary runs").status.code()
    };
    assert_eq!((list(ALL_KEY), list("wrong")), (Some(0), Some(1)));

    let _ = rustls::crypto::ring::default_provider().install_default();
    let status_page = reqwest::get(format!("http://{}/", service.admin)).await.expect("an answer");
    assert_eq!(status_page.status(), 404);
}

#[tokio::test]
async fn a_changed_file_of_clients_counts_without_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let service = serve(directory.path(), &[&clients_file(directory.path())]);
    let channel = service.channel().await;
    let code = async |key: &str| {
        let path = "/crossmarket.v1.CatalogService/ListVenues";
        let status = call(&channel, path, Some(("x-api-key", key))).await.err();
        status.map_or(Code::Ok, |status| status.code())
    };
    wait_until("the catalogue", async || (code(CATALOG_KEY).await == Code::Ok).then_some(())).await;
    let new_key = "a-key-that-comes-later-of-more-than-32-characters";
    let write = |text: &str| std::fs::write(directory.path().join("clients.toml"), text).expect("written");
    let hash = KeyHash::of(new_key.as_bytes());
    write(&format!("[later]\nkey_hashes = [\"{hash}\"]\nscopes = [\"catalog\"]\n"));
    wait_until("the new client", async || (code(new_key).await == Code::Ok).then_some(())).await;
    assert_eq!(code(CATALOG_KEY).await, Code::Unauthenticated, "a client that was taken out");
    // A key in the place of its hash.
    write(&format!("[later]\nkey_hashes = [\"{new_key}\"]\nscopes = [\"catalog\"]\n"));
    let told = || service.log().contains("the new clients cannot be used").then_some(());
    wait_until("the broken file is noticed", async || told()).await;
    assert!(!service.log().contains(new_key));
    assert_eq!(code(new_key).await, Code::Ok, "the old ones go on");
    write("");
    wait_until("nobody is left", async || (code(new_key).await == Code::Unauthenticated).then_some(())).await;
}

#[tokio::test]
async fn reflection_can_be_turned_off_and_needs_no_client_where_nobody_does() {
    let directory = tempfile::tempdir().expect("a directory");
    for (setting, code) in [("grpc.reflection=true", None), ("grpc.reflection=false", Some(Code::Unimplemented))] {
        let service = serve(directory.path(), &[setting]);
        let channel = service.channel().await;
        let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let found = call(&channel, path, None).await.err().map(|status| status.code());
        assert!(code.is_none() || found == code, "{setting}: {found:?}");
        assert!(code.is_some() || found != Some(Code::Unimplemented), "{setting}: {found:?}");
    }
}
