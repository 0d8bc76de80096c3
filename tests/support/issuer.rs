//! An issuer of tokens (JWT).

// Each test binary has this module as its own and uses a part of it.
#![allow(dead_code)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// An issuer with one key.
pub struct Issuer(Ed25519KeyPair);

impl Issuer {
    /// The value of `iss`.
    pub const NAME: &str = "https://issuer.example";

    /// A new one.
    pub fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    /// Its JSON Web Key Set.
    pub fn key_set(&self) -> String {
        let key = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": key}]}).to_string()
    }

    /// A token for crossmarket that expires the given number of seconds from now.
    pub fn token(&self, subject: &str, scope: &str, seconds: i64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let end = now.as_secs() as i64 + seconds;
        let claims = json!({"iss": Self::NAME, "aud": "crossmarket", "sub": subject, "scope": scope, "exp": end});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "one"})), part(&claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes())))
    }
}
