use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::super::scope::Scope;
use super::*;
use crossmarket_clock::Clock;

/// An issuer with one key of either kind.
struct Issuer {
    curve: EcdsaKeyPair,
    edwards: Ed25519KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let curve = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key");
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Self {
            curve: EcdsaKeyPair::from_pkcs8(scheme, curve.as_ref(), &random).expect("a key"),
            edwards: Ed25519KeyPair::from_pkcs8(edwards.as_ref()).expect("a key"),
        }
    }

    fn key_set(&self) -> Value {
        let point = self.curve.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let edwards = URL_SAFE_NO_PAD.encode(self.edwards.public_key().as_ref());
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "curve", "alg": "ES256", "use": "sig", "x": x, "y": y},
            {"kty": "OKP", "crv": "Ed25519", "kid": "edwards", "x": edwards},
            {"kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2VjcmV0"},
        ]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => self.edwards.sign(message.as_bytes()).as_ref().to_vec(),
            _ => self.curve.sign(&SystemRandom::new(), message.as_bytes()).expect("signed").as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn settings(file: &Path, algorithms: &[TokenAlgorithm]) -> TokenSettings {
    TokenSettings {
        issuer: "https://issuer.example".to_owned(),
        audience: "crossmarket".to_owned(),
        algorithms: algorithms.to_vec(),
        jwks_file: file.to_owned(),
    }
}

async fn tokens(issuer: &Issuer, algorithms: &[TokenAlgorithm]) -> Arc<Tokens> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), issuer.key_set().to_string()).expect("written");
    Tokens::load(settings(file.path(), algorithms)).await.expect("usable").0
}

fn now() -> i64 {
    Clock::system().now().as_seconds()
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": ["other", "crossmarket"], "sub": "desk", "exp": now() + 300,
           "scope": "openid prices catalog"})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

#[tokio::test]
async fn a_good_token_stands_for_its_subject() {
    let issuer = Issuer::new();
    let tokens = tokens(&issuer, &TokenAlgorithm::ALL).await;
    let expected = Bearer { subject: "desk".to_owned(), scopes: Scopes::of(&[Scope::Prices, Scope::Catalog]) };
    for header in [json!({"alg": "ES256", "kid": "curve"}), json!({"alg": "EdDSA", "kid": "edwards", "typ": "at+jwt"})]
    {
        let list = with(claims(), "scope", json!(["prices", "catalog", "unknown"]));
        for claims in [claims(), list, with(claims(), "aud", json!("crossmarket"))] {
            let bearer = tokens.verify(issuer.sign(&header, &claims).as_bytes());
            assert_eq!(bearer.as_ref(), Ok(&expected), "{header} {claims}");
        }
    }
    let token = issuer.sign(&json!({"alg": "ES256", "kid": "curve"}), &without(claims(), "scope"));
    assert!(tokens.verify(token.as_bytes()).expect("good").scopes.is_empty());
}

#[tokio::test]
async fn every_other_token_is_refused() {
    let issuer = Issuer::new();
    let tokens = tokens(&issuer, &TokenAlgorithm::ALL).await;
    let header = json!({"alg": "ES256", "kid": "curve"});
    let check = |token: &str, expected: Refusal| assert_eq!(tokens.verify(token.as_bytes()), Err(expected), "{token}");
    let signed = |claims: Value| issuer.sign(&header, &claims);
    check(&signed(with(claims(), "exp", json!(now() - 120))), Refusal::Expired);
    for wrong in [
        with(claims(), "nbf", json!(now() + 300)),
        with(claims(), "nbf", json!("2000-01-01")),
        with(claims(), "exp", json!("never")),
        with(claims(), "iss", json!("https://other.example")),
        with(claims(), "aud", json!("other")),
        with(claims(), "sub", json!("")),
        with(claims(), "sub", json!("x".repeat(SUBJECT_LEN_MAX + 1))),
        without(claims(), "exp"),
        without(claims(), "iss"),
        without(claims(), "aud"),
        without(claims(), "sub"),
    ] {
        check(&signed(wrong), Refusal::Invalid);
    }
    let good = signed(claims());
    assert!(tokens.verify(good.as_bytes()).is_ok());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let more = URL_SAFE_NO_PAD.encode(with(claims(), "scope", json!("all")).to_string());
    let (head, _) = message.split_once('.').expect("two parts");
    check(&format!("{head}.{more}.{signature}"), Refusal::Invalid);
    check(&format!("{message}."), Refusal::Invalid);
    check(message, Refusal::Invalid);
    check("", Refusal::Invalid);
    check(&"x".repeat(TOKEN_LEN_MAX + 1), Refusal::Invalid);
    for header in [
        json!({"alg": "none", "kid": "curve"}),
        json!({"alg": "HS256", "kid": "shared"}),
        json!({"alg": "HS256", "kid": "curve"}),
        json!({"alg": "ES256", "kid": "edwards"}),
        json!({"alg": "ES256", "kid": "unknown"}),
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": "curve", "crit": ["b64"], "b64": true}),
        json!({"alg": "ES256", "kid": "curve", "crit": []}),
        json!({"alg": "ES256", "kid": "curve", "crit": "exp"}),
    ] {
        check(&issuer.sign(&header, &claims()), Refusal::Invalid);
    }
    check(&Issuer::new().sign(&header, &claims()), Refusal::Invalid);
}

#[tokio::test]
async fn a_key_is_found_by_its_name_and_kind() {
    let issuer = Issuer::new();
    let mut key_set = issuer.key_set();
    for key in key_set["keys"].as_array_mut().expect("a list") {
        key["kid"] = json!("2026");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set.to_string()).expect("written");
    let (tokens, _) = Tokens::load(settings(file.path(), &TokenAlgorithm::ALL)).await.expect("usable");
    for algorithm in ["ES256", "EdDSA"] {
        let token = issuer.sign(&json!({"alg": algorithm, "kid": "2026"}), &claims());
        assert!(tokens.verify(token.as_bytes()).is_ok(), "{algorithm}");
    }
}

#[tokio::test]
async fn only_algorithms_of_the_settings_count() {
    let issuer = Issuer::new();
    let tokens = tokens(&issuer, &[TokenAlgorithm::EdDsa]).await;
    let edwards = issuer.sign(&json!({"alg": "EdDSA"}), &claims());
    assert!(tokens.verify(edwards.as_bytes()).is_ok(), "the only key that counts needs no name");
    let curve = issuer.sign(&json!({"alg": "ES256", "kid": "curve"}), &claims());
    assert_eq!(tokens.verify(curve.as_bytes()), Err(Refusal::Invalid));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), issuer.key_set().to_string()).expect("written");
    let error = Tokens::load(settings(file.path(), &[TokenAlgorithm::Rs256])).await.expect_err("no such key");
    assert!(error.to_string().contains("no key for RS256"), "{error}");
    std::fs::write(file.path(), "no JSON").expect("written");
    let error = Tokens::load(settings(file.path(), &[TokenAlgorithm::EdDsa])).await.expect_err("no key set");
    assert!(error.to_string().contains("not a JSON Web Key Set"), "{error}");
}

#[tokio::test]
async fn a_changed_key_set_is_taken_and_a_broken_one_is_not() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), first.key_set().to_string()).expect("written");
    let (tokens, mut rotation) = Tokens::load(settings(file.path(), &[TokenAlgorithm::Es256])).await.expect("usable");
    let header = json!({"alg": "ES256", "kid": "curve"});
    let knows = |issuer: &Issuer| tokens.verify(issuer.sign(&header, &claims()).as_bytes()).is_ok();
    assert!(knows(&first) && !knows(&second));
    for (content, taken) in [("{}".to_owned(), false), (second.key_set().to_string(), true)] {
        std::fs::write(file.path(), content).expect("written");
        assert!(rotation.files.look().await.is_none());
        rotation.files.step(|contents| rotation.tokens.take(contents)).await;
        assert_eq!((knows(&first), knows(&second)), (!taken, taken));
    }
    assert_eq!(rotation.reloads().counts(), [("ok", 1), ("failed", 1)]);
}
