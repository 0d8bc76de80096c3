//! JSON Web Tokens (RFC 7519, RFC 9068): signed by one issuer, for one audience, with algorithms fixed by the settings
//! and not by the token.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tracing::{error, info};

use super::files::{FileError, Reloads, WatchedFiles};
use super::refusal::Refusal;
use super::scope::Scopes;

mod verifier;

/// Longest token, in bytes.
const TOKEN_LEN_MAX: usize = 8 << 10;

/// Longest subject, in bytes.
const SUBJECT_LEN_MAX: usize = 256;

/// The allowed difference between the issuer's clock and ours, in seconds.
const LEEWAY_S: u64 = 30;

/// Maximum number of keys of an issuer.
const KEYS_MAX: usize = 64;

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `iss`.
    pub issuer: String,
    /// The required value of `aud`, or of one of its entries.
    pub audience: String,
    pub algorithms: Vec<TokenAlgorithm>,
    /// The issuer's public keys, a JSON Web Key Set. Read again when it changes.
    pub jwks_file: PathBuf,
}

/// A signature algorithm. All are asymmetric, so the service holds no signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// The name in settings, as in RFC 7518 and RFC 8037.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }

    /// True when a key of the set is for this algorithm.
    fn fits(self, key: &Jwk) -> bool {
        let said = match key.common.key_algorithm {
            None => true,
            Some(KeyAlgorithm::RS256) => self == Self::Rs256,
            Some(KeyAlgorithm::PS256) => self == Self::Ps256,
            Some(KeyAlgorithm::ES256) => self == Self::Es256,
            Some(KeyAlgorithm::ES384) => self == Self::Es384,
            Some(KeyAlgorithm::EdDSA) => self == Self::EdDsa,
            Some(_) => false,
        };
        let kind = match &key.algorithm {
            AlgorithmParameters::RSA(_) => matches!(self, Self::Rs256 | Self::Ps256),
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => self == Self::Es256,
                EllipticCurve::P384 => self == Self::Es384,
                _ => false,
            },
            AlgorithmParameters::OctetKeyPair(parameters) => {
                self == Self::EdDsa && parameters.curve == EllipticCurve::Ed25519
            }
            _ => false,
        };
        said && kind && matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature))
    }
}

/// Why an issuer's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not a JSON Web Key Set.
    #[error("{}: is not a JSON Web Key Set (RFC 7517)", path.display())]
    NotKeys {
        /// The file.
        path: PathBuf,
    },
    /// None of its keys is for an algorithm of the settings.
    #[error("{}: holds no key for {algorithms}, or more than {KEYS_MAX}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The algorithms of the settings.
        algorithms: String,
    },
}

/// The bearer of a verified token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// `sub`.
    pub(super) subject: String,
    /// The known scopes in `scope`.
    pub(super) scopes: Scopes,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    keys: RwLock<Arc<[IssuerKey]>>,
}

/// Loads a changed key set. Run it beside the listener.
#[derive(Debug)]
pub struct KeyRotation {
    tokens: Arc<Tokens>,
    files: WatchedFiles,
}

#[derive(Debug)]
struct IssuerKey {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: ScopeClaim,
}

/// Names separated by spaces (RFC 9068), or a list, as some issuers send.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

impl Default for ScopeClaim {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Tokens {
    /// Reads the issuer's keys.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has no usable key.
    pub async fn load(settings: TokenSettings) -> Result<(Arc<Self>, KeyRotation), TokenError> {
        verifier::install();
        let (files, contents) = WatchedFiles::read(vec![settings.jwks_file.clone()]).await?;
        let keys = RwLock::new(keys_of(&settings, &contents)?);
        let tokens = Arc::new(Self { settings, keys });
        let rotation = KeyRotation { tokens: Arc::clone(&tokens), files };
        Ok((tokens, rotation))
    }

    /// Verifies a token and returns its bearer.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Bearer, Refusal> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Refusal::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid)?;
        // Critical extensions must be understood (RFC 7515, 4.1.11), and we support none.
        if header.crit.is_some() {
            return Err(Refusal::Invalid);
        }
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let key = match &header.kid {
            // Keys of different kinds may have the same name (RFC 7517, 4.5).
            Some(id) => {
                let mut named = keys.iter().filter(|key| key.id.as_ref() == Some(id));
                named.find(|key| key.validation.algorithms.contains(&header.alg))
            }
            // No trial of several keys: an issuer with more than one must name the key used.
            None => keys.first().filter(|_| keys.len() == 1),
        };
        let key = key.ok_or(Refusal::Invalid)?;
        let claims = match jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation) {
            Ok(token) => token.claims,
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => return Err(Refusal::Expired),
            Err(_) => return Err(Refusal::Invalid),
        };
        if claims.sub.is_empty() || claims.sub.len() > SUBJECT_LEN_MAX {
            return Err(Refusal::Invalid);
        }
        let known = |names: &mut dyn Iterator<Item = &str>| {
            names.filter_map(Scopes::parse).fold(Scopes::default(), Scopes::and)
        };
        let scopes = match &claims.scope {
            ScopeClaim::Text(text) => known(&mut text.split(' ')),
            ScopeClaim::List(names) => known(&mut names.iter().map(String::as_str)),
        };
        Ok(Bearer { subject: claims.sub, scopes })
    }
}

impl KeyRotation {
    pub(crate) fn reloads(&self) -> Arc<Reloads> {
        self.files.reloads()
    }

    /// Loads the key set whenever it changes. Never returns.
    pub async fn run(self) {
        let Self { tokens, files } = self;
        files.follow(|contents| tokens.take(contents)).await;
    }
}

impl Tokens {
    fn take(&self, contents: Result<Vec<Vec<u8>>, FileError>) -> bool {
        match contents.map_err(TokenError::from).and_then(|contents| keys_of(&self.settings, &contents)) {
            Ok(keys) => {
                info!(keys = keys.len(), "issuer keys reloaded");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                true
            }
            Err(problem) => {
                error!(%problem, "the issuer's new keys cannot be used, keeping the old ones");
                false
            }
        }
    }
}

fn keys_of(settings: &TokenSettings, contents: &[Vec<u8>]) -> Result<Arc<[IssuerKey]>, TokenError> {
    let path = || settings.jwks_file.clone();
    let content = contents.first().map(Vec::as_slice).unwrap_or_default();
    let set: JwkSet = serde_json::from_slice(content).map_err(|_| TokenError::NotKeys { path: path() })?;
    let keys: Vec<IssuerKey> = set.keys.iter().filter_map(|key| IssuerKey::of(settings, key)).collect();
    if keys.is_empty() || keys.len() > KEYS_MAX {
        let names: Vec<_> = settings.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        return Err(TokenError::NoKey { path: path(), algorithms: names.join(", ") });
    }
    Ok(keys.into())
}

impl IssuerKey {
    /// `None` when no algorithm of the settings can use it.
    fn of(settings: &TokenSettings, key: &Jwk) -> Option<Self> {
        let mut algorithms = settings.algorithms.iter().filter(|algorithm| algorithm.fits(key));
        let mut validation = Validation::new(algorithms.next()?.algorithm());
        validation.algorithms.extend(algorithms.map(|algorithm| algorithm.algorithm()));
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Some(Self { id: key.common.key_id.clone(), key: DecodingKey::from_jwk(key).ok()?, validation })
    }
}

#[cfg(test)]
mod tests;
