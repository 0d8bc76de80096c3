//! The part of a Kubernetes API server that Lease objects need, over TLS: get and update, with versions, bearer tokens and refusals as documented
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path as RoutePath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{Authority, Issued};

/// The namespace that the service account is of.
pub const NAMESPACE: &str = "market";

/// A running one. Its tasks end with the test's runtime.
#[derive(Clone)]
pub struct ApiServer {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    leases: HashMap<String, Value>,
    version: u64,
    token: String,
    acceptor: TlsAcceptor,
    mood: Mood,
    updates: usize,
}

/// How requests are answered.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    /// As asked.
    Well,
    /// Not at all.
    Silent,
    /// The account may not.
    Forbidding,
}

impl ApiServer {
    /// With Lease objects that nobody holds. `token` is the one that is taken.
    pub async fn start(names: &[&str], token: &str, authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Inner {
            leases: HashMap::new(),
            version: 100,
            token: token.to_owned(),
            acceptor: acceptor(&authority.issue(None)),
            mood: Mood::Well,
            updates: 0,
        };
        let server = Self { address, inner: Arc::new(Mutex::new(inner)) };
        for name in names {
            server.put(name, json!({"metadata": {"name": name, "labels": {"made-by": "the chart"}}}));
        }
        let path = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}";
        let routes = axum::Router::new().route(path, get(read).put(update)).with_state(server.clone());
        let listener = TlsListener { listener, server: server.clone() };
        tokio::spawn(async move { axum::serve(listener, routes).await });
        server
    }

    /// Its address, as a pod is told it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// An object as it is.
    pub fn lease(&self, name: &str) -> Value {
        self.inner().leases[name].clone()
    }

    /// Who holds it.
    pub fn holder(&self, name: &str) -> String {
        self.lease(name)["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// Updates that were taken.
    pub fn updates(&self) -> usize {
        self.inner().updates
    }

    /// Writes an object as somebody else would who may do anything.
    pub fn put(&self, name: &str, mut object: Value) {
        let mut inner = self.inner();
        inner.version += 1;
        object["metadata"]["resourceVersion"] = json!(inner.version.to_string());
        inner.leases.insert(name.to_owned(), object);
    }

    /// Takes an object away.
    pub fn remove(&self, name: &str) {
        self.inner().leases.remove(name);
    }

    /// Answers differently from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.inner().mood = mood;
    }

    /// Takes another token from now on, and no other.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.inner().token);
    }

    /// Has a certificate of another authority from the next connection on.
    pub fn set_authority(&self, authority: &Authority) {
        self.inner().acceptor = acceptor(&authority.issue(None));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is silent, and refuses whom it does not know.
    async fn admit(&self, headers: &HeaderMap, namespace: &str) -> Result<(), Answer> {
        while self.inner().mood == Mood::Silent {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let inner = self.inner();
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if given != format!("Bearer {}", inner.token) {
            return Err(refusal(StatusCode::UNAUTHORIZED, "Unauthorized"));
        }
        if inner.mood == Mood::Forbidding || namespace != NAMESPACE {
            let message = format!("leases.coordination.k8s.io is forbidden in the namespace \"{namespace}\"");
            return Err(refusal(StatusCode::FORBIDDEN, &message));
        }
        Ok(())
    }
}

type Answer = (StatusCode, String);

fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({"kind": "Status", "status": "Failure", "message": message, "code": status.as_u16()});
    (status, body.to_string())
}

async fn read(
    State(server): State<ApiServer>,
    RoutePath((namespace, name)): RoutePath<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    if let Err(refused) = server.admit(&headers, &namespace).await {
        return refused;
    }
    match server.inner().leases.get(&name) {
        Some(object) => (StatusCode::OK, object.to_string()),
        None => refusal(StatusCode::NOT_FOUND, &format!("leases.coordination.k8s.io \"{name}\" not found")),
    }
}

async fn update(
    State(server): State<ApiServer>,
    RoutePath((namespace, name)): RoutePath<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Ok(mut object) = serde_json::from_slice::<Value>(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    if let Err(refused) = server.admit(&headers, &namespace).await {
        return refused;
    }
    let mut inner = server.inner();
    let Some(stored) = inner.leases.get(&name) else {
        return refusal(StatusCode::NOT_FOUND, &format!("leases.coordination.k8s.io \"{name}\" not found"));
    };
    if stored["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
        let message = format!("Operation cannot be fulfilled on leases.coordination.k8s.io \"{name}\"");
        return refusal(StatusCode::CONFLICT, &message);
    }
    let spec = &object["spec"];
    let is_time = |value: &Value| value.as_str().is_none_or(|text| text.len() == "2006-01-02T15:04:05.000000Z".len());
    let lives = spec["leaseDurationSeconds"].as_u64().is_some_and(|seconds| seconds > 0);
    if !lives || !is_time(&spec["renewTime"]) || !is_time(&spec["acquireTime"]) {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, &format!("Lease \"{name}\" is invalid"));
    }
    inner.version += 1;
    inner.updates += 1;
    object["metadata"]["resourceVersion"] = json!(inner.version.to_string());
    let answer = (StatusCode::OK, object.to_string());
    inner.leases.insert(name, object);
    answer
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from(issued.der.clone());
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("they belong together")))
}

struct TlsListener {
    listener: TcpListener,
    server: ApiServer,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            let acceptor = self.server.inner().acceptor.clone();
            if let Ok(stream) = acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What a pod has of its service account.
pub struct Account {
    directory: PathBuf,
}

impl Account {
    /// In an empty directory.
    pub fn new(directory: &Path, token: &str, authority: &Authority) -> Self {
        let account = Self { directory: directory.to_owned() };
        account.write("namespace", NAMESPACE);
        account.write("ca.crt", &authority.pem);
        account.write("token", &format!("{token}\n"));
        account
    }

    /// Renews a file.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).expect("written");
    }
}
