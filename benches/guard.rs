//! What the guard adds to a call: an anonymous one, a client's among few and among the maximum number of clients, and a token's.

use std::convert::Infallible;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use crossmarket::security::{
    ClientSettings, Guard, KeyEntry, KeyHash, Quotas, Scopes, TokenAlgorithm, TokenSettings, Tokens,
};
use futures_util::FutureExt;
use http::{Request, Response};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use tower::{Layer, Service, service_fn};

const QUOTAS: Quotas = Quotas { calls_per_second: Some(u32::MAX), streams_max: None, subscriptions_max: None };

fn clients(count: usize) -> Vec<ClientSettings> {
    let client = |index: usize| ClientSettings {
        name: format!("client{index}"),
        keys: (0..4)
            .map(|key| KeyEntry { hash: KeyHash::of(format!("key {key} of client {index}").as_bytes()), end: None })
            .collect(),
        certificate_names: Vec::new(),
        scopes: Scopes::ALL,
        quotas: QUOTAS,
    };
    (0..count).map(client).collect()
}

/// A verifier, and a token that it takes.
fn token() -> (std::sync::Arc<Tokens>, String) {
    let random = SystemRandom::new();
    let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(scheme, key.as_ref(), &random).expect("a key");
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = key.public_key().as_ref();
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..])}]});
    let claims = json!({"iss": "i", "aud": "a", "sub": "s", "scope": "all", "exp": i64::from(u32::MAX)});
    let message = format!("{}.{}", part(b"{\"alg\":\"ES256\"}"), part(claims.to_string().as_bytes()));
    let signature = key.sign(&random, message.as_bytes()).expect("signed");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), keys.to_string()).expect("written");
    let settings = TokenSettings {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        algorithms: vec![TokenAlgorithm::Es256],
        jwks_file: file.path().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (tokens, _) = runtime.block_on(Tokens::load(settings)).expect("usable");
    (tokens, format!("Bearer {message}.{}", part(signature.as_ref())))
}

fn guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard");
    let (tokens, token) = token();
    let key = "key 1 of client 1".to_owned();
    let cases = [
        ("anybody", Guard::open(QUOTAS), None),
        ("key of 8", Guard::closed(clients(2), None, QUOTAS), Some(("x-api-key", key.clone()))),
        ("key of 2000", Guard::closed(clients(500), None, QUOTAS), Some(("x-api-key", key))),
        ("token ES256", Guard::closed(Vec::new(), Some(tokens), QUOTAS), Some(("authorization", token))),
    ];
    for (name, guard, credentials) in cases {
        let mut service = guard.layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::builder().status(201).body(Body::empty()).expect("an answer"))
        }));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut request = Request::get("/crossmarket.v1.PriceService/GetPriceSnapshot");
                if let Some((name, value)) = &credentials {
                    request = request.header(*name, value);
                }
                let request = request.body(()).expect("a request");
                let answer = service.call(request).now_or_never().expect("at once").expect("an answer");
                assert_eq!(answer.status(), 201, "let through");
            });
        });
    }
}

criterion_group!(benches, guard);
criterion_main!(benches);
