//! TLS and mutual TLS of the real binary, and certificates that are renewed under load.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossmarket_api::v1::ListVenuesRequest;
use crossmarket_client::{Client, Error, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

use support::certificates::{Authority, Issued, Mounted};
use support::process::{Process, binary, soon, wait_until};

mod support {
    pub mod certificates;
    pub mod process;
}

const ROTATION_COUNT: usize = 10;

/// From the change of the files until a new connection is answered with the new certificate.
const ROTATION_MAX: Duration = Duration::from_secs(10);

/// The arguments with which TLS is spoken.
fn tls_arguments(files: &(String, String)) -> Vec<String> {
    let certificate = format!("security.tls.certificate_file={}", files.0);
    let key = format!("security.tls.key_file={}", files.1);
    ["--set".to_owned(), certificate, "--set".to_owned(), key].into()
}

fn serve(directory: &Path, files: &(String, String), more: &[&str]) -> Process {
    let arguments = tls_arguments(files);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Process::serve_in_with(directory, &arguments)
}

fn client(url: &str, tls: Tls) -> Client {
    Client::builder().endpoint(url).tls(tls).attempts_max(1).build().expect("usable")
}

async fn call(client: &Client) -> Result<usize, Error> {
    Ok(soon("an answer", client.catalog().list_venues(ListVenuesRequest::default())).await?.venues.len())
}

/// Waits until the image is loaded, which is later than the port.
async fn answers(client: &Client) {
    wait_until("an answer", async || call(client).await.ok()).await;
}

async fn metric(service: &Process, name: &str) -> Option<f64> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let page = reqwest::get(format!("http://{}/metrics", service.admin)).await.ok()?.text().await.ok()?;
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The certificate that a new connection is answered with.
async fn served(address: SocketAddr, authority: &Authority) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("an authority");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("shown")[0].to_vec()
}

#[tokio::test]
async fn tls_is_spoken_and_plaintext_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let mounted = Mounted::new(directory.path(), &authority.issue(None));
    let arguments = tls_arguments(&mounted.files());
    let demo = Process::demo(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let url = format!("https://{}", demo.grpc);
    let good = client(&url, Tls::default().authority(authority.pem.as_str()));
    answers(&good).await;
    assert!(call(&good).await.expect("an answer") > 10);

    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).expect("written");
    let get = |server: &str, ca: &Path| {
        let mut command = binary();
        command.args(["get", "BTC", "--json", "--server", server, "--ca"]).arg(ca);
        command.output().expect("the binary runs")
    };
    wait_until("a price", async || get(&url, &ca).status.success().then_some(())).await;
    let other = directory.path().join("other.crt");
    std::fs::write(&other, &Authority::new().pem).expect("written");
    assert_eq!(get(&url, &other).status.code(), Some(1), "not the authority that signed");
    assert_eq!(get(&format!("http://{}", demo.grpc), &ca).status.code(), Some(1), "plaintext");

    assert!(call(&client(&url, Tls::default())).await.is_err(), "not a public authority");
    assert!(call(&client(&format!("http://{}", demo.grpc), Tls::default())).await.is_err(), "plaintext");
    let end = metric(&demo, "crossmarket_tls_certificate_expiry_timestamp_seconds{certificate=\"server\"}").await;
    assert!(end.is_some_and(|end| end > 1e9), "{end:?}");
}

#[tokio::test]
async fn mutual_tls_takes_only_the_clients_authority_and_its_successor() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, clients) = (Authority::new(), Authority::new());
    let mounted = Mounted::new(directory.path(), &authority.issue(None));
    let ca = directory.path().join("clients.crt");
    std::fs::write(&ca, &clients.pem).expect("written");
    let setting = format!("security.tls.client_ca_file={}", ca.display());
    let service = serve(directory.path(), &mounted.files(), &["--set", &setting]);
    let url = format!("https://{}", service.grpc);
    let trusting = || Tls::default().authority(authority.pem.as_str());
    let with = |issued: &Issued| client(&url, trusting().identity(issued.pem.as_str(), issued.key.as_str()));
    let good = clients.issue(None);
    answers(&with(&good)).await;

    let successor = Authority::new();
    let refused = [client(&url, trusting()), with(&authority.issue(None)), with(&successor.issue(None))];
    for (index, client) in refused.iter().enumerate() {
        assert!(call(client).await.is_err(), "client {index} has no certificate that counts");
    }
    // The authorities are renewed as the certificate is: first both count, then the new one alone.
    std::fs::write(&ca, format!("{}{}", clients.pem, successor.pem)).expect("written");
    answers(&with(&successor.issue(None))).await;
    assert!(call(&with(&good)).await.is_ok());
    std::fs::write(&ca, &successor.pem).expect("written");
    let gone = async || call(&with(&good)).await.is_err().then_some(());
    wait_until("the old authority is no longer accepted", gone).await;
    assert!(call(&with(&successor.issue(None))).await.is_ok());
    let end = metric(&service, "crossmarket_tls_certificate_expiry_timestamp_seconds{certificate=\"client_ca\"}").await;
    assert!(end.is_some_and(|end| end > 1e9), "{end:?}");
}

#[tokio::test]
async fn a_certificate_that_counts_no_more_is_found_out_on_open_connections() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, clients) = (Authority::new(), Authority::new());
    let mounted = Mounted::new(directory.path(), &authority.issue(None));
    let ca = directory.path().join("clients.crt");
    std::fs::write(&ca, &clients.pem).expect("written");
    let setting = format!("security.tls.client_ca_file={}", ca.display());
    let more = ["--set", &setting, "--set", "grpc.stream_age_max_s=2"];
    let service = serve(directory.path(), &mounted.files(), &more);
    let issued = clients.issue(None);
    let tls = Tls::default().authority(authority.pem.as_str()).identity(issued.pem.as_str(), issued.key.as_str());
    let open = client(&format!("https://{}", service.grpc), tls);
    answers(&open).await;
    std::fs::write(&ca, Authority::new().pem).expect("written");
    // Twice, as a connection that ends may take a call with it.
    let gone = async || (call(&open).await.is_err() && call(&open).await.is_err()).then_some(());
    wait_until("the connection to end", gone).await;
}

#[derive(Default)]
struct Load {
    ended: AtomicBool,
    calls: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Load {
    fn count(&self, result: Result<(), String>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result {
            self.failures.lock().expect("not poisoned").push(error);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rotations_under_load_fail_no_call() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let mut mounted = Mounted::new(directory.path(), &authority.issue(None));
    let service = serve(directory.path(), &mounted.files(), &[]);
    let address: SocketAddr = service.grpc.parse().expect("an address");
    let url = format!("https://{}", service.grpc);
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, &authority.pem).expect("written");
    let trusting = Tls::default().authority(authority.pem.as_str());
    let steady = client(&url, trusting.clone());
    answers(&steady).await;

    // One client stays connected, others connect for every call, and one is the command line.
    let load = Arc::new(Load::default());
    let mut running = Vec::new();
    for fresh in [false, true, true] {
        let (load, steady, url, trusting) = (Arc::clone(&load), steady.clone(), url.clone(), trusting.clone());
        running.push(tokio::spawn(async move {
            while !load.ended.load(Ordering::Relaxed) {
                let client = if fresh { client(&url, trusting.clone()) } else { steady.clone() };
                load.count(call(&client).await.map(drop).map_err(|error| error.to_string()));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    let mut slowest = Duration::ZERO;
    for rotation in 0..ROTATION_COUNT {
        let renewed = authority.issue(None);
        if rotation % 2 == 0 {
            mounted.swap(&renewed)
        } else {
            mounted.overwrite(&renewed)
        }
        let changed = Instant::now();
        wait_until("the new certificate", async || (served(address, &authority).await == renewed.der).then_some(()))
            .await;
        slowest = slowest.max(changed.elapsed());
        let output = binary().args(["ratios", "--json", "--server", &url, "--ca"]).arg(&ca).output();
        let output = output.expect("the binary runs");
        load.count(output.status.success().then_some(()).ok_or_else(|| format!("{output:?}")));
    }
    load.ended.store(true, Ordering::Relaxed);
    for task in running {
        task.await.expect("no panic");
    }
    let failures = load.failures.lock().expect("not poisoned").clone();
    let calls = load.calls.load(Ordering::Relaxed);
    println!(
        "rotations={ROTATION_COUNT} calls={calls} failed={} served_after_max_s={:.2}",
        failures.len(),
        slowest.as_secs_f64()
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(calls > 100, "{calls} calls are no load");
    assert!(slowest < ROTATION_MAX, "{slowest:?}");
    assert_eq!(
        metric(&service, "crossmarket_file_reloads_total{files=\"certificates\",outcome=\"ok\"}").await,
        Some(ROTATION_COUNT as f64)
    );
    assert_eq!(
        metric(&service, "crossmarket_file_reloads_total{files=\"certificates\",outcome=\"failed\"}").await,
        Some(0.0)
    );
}
