//! `security.*`: who may connect and call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::reader::{Problem, Reader};
use super::source;
use super::spec::{self, list, optional, whole};
use crate::security::{ClientSettings, KeyEntry, Quotas, Scopes, TlsSettings, TokenAlgorithm, TokenSettings};

/// Most clients.
const CLIENTS_MAX: usize = 500;

/// Most keys of a client, so that one can be replaced by another while both are taken. With `CLIENTS_MAX` it bounds what every call is compared with.
const KEYS_MAX: usize = 4;

/// Most names of certificates of a client.
const CERTIFICATE_NAMES_MAX: usize = 16;

/// The section of the clients.
const CLIENTS: &str = "security.clients";

/// `security.*`: who may connect and call.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityConfig {
    /// `security.tls.*`: TLS on the gRPC port; `None` means that it speaks plain HTTP/2. `certificate_file` and `key_file` belong together;
    /// with `client_ca_file` clients must have a certificate of one of the authorities in it. All are PEM, and read again when they change.
    pub tls: Option<TlsSettings>,
    /// A TOML file of further clients, `[NAME]` and the settings of `security.clients.<name>` in it; read again when it changes.
    pub clients_file: Option<ClientsFile>,
    /// `security.clients.<name>.*`: who may call what.
    pub clients: Vec<ClientSettings>,
    /// `security.jwt.*`: tokens that are taken; all four settings or none.
    pub jwt: Option<TokenSettings>,
    /// `security.quotas.*`: how much each client may ask for that has no quotas of its own: clients of the configuration, subjects of tokens, and
    /// without authentication addresses (of IPv6 networks of 64 bits). 0 is no limit, and the default.
    pub quotas: Quotas,
}

/// A file of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Who was in it.
    pub clients: Vec<ClientSettings>,
}

impl SecurityConfig {
    /// The clients of the settings and of the file.
    pub fn all_clients(&self) -> Vec<ClientSettings> {
        let of_file = self.clients_file.iter().flat_map(|file| &file.clients);
        self.clients.iter().chain(of_file).cloned().collect()
    }

    /// The clients of the settings and of the file with another content.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the content.
    pub fn clients_with(&self, path: &Path, content: &[u8]) -> Result<Vec<ClientSettings>, ConfigError> {
        let mut reader = Reader::default();
        match std::str::from_utf8(content) {
            Ok(text) => source::read_text(text, path, CLIENTS, &mut reader),
            Err(error) => {
                let message = error.to_string();
                reader.report(Problem::File { path: path.to_owned(), line: None, message });
            }
        }
        let of_file = clients(&mut reader, self.quotas);
        refuse_doubles(&mut reader, &self.clients, &of_file);
        refuse_shared(&mut reader, &self.clients, &of_file);
        let (_, problems) = reader.finish();
        if problems.is_empty() { Ok([self.clients.clone(), of_file].concat()) } else { Err(ConfigError { problems }) }
    }

    /// Whether callers must authenticate: as soon as one way to do so is configured.
    pub fn asks_who_calls(&self) -> bool {
        self.clients_file.is_some() || !self.clients.is_empty() || self.jwt.is_some()
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let tls = tls(reader);
        let help = "Further clients: `[NAME]` and the settings of `security.clients.<name>` in it. Read again when it changes.";
        let clients_file = spec::path("a readable TOML file of clients");
        let clients_file = reader.read("security.clients_file", help, clients_file);
        let quotas = quotas(reader, "security.quotas", Quotas::default());
        let clients = clients(reader, quotas);
        refuse_shared(reader, &[], &clients);
        let clients_file = clients_file.map(|path| file_of_clients(reader, path, &clients, quotas));
        Self { tls, clients_file, clients, jwt: jwt(reader), quotas }
    }
}

fn tls(reader: &mut Reader) -> Option<TlsSettings> {
    let mut path =
        |name: &str, help: &str, allowed: &str| reader.read(&format!("security.tls.{name}"), help, spec::path(allowed));
    let help = "The server's certificates. With it and `key_file` the gRPC port speaks TLS. All files are PEM and are read again when they change.";
    let certificate = path("certificate_file", help, "a file with the server's certificates in PEM");
    let key = path("key_file", "The private key.", "a file with the certificate's private key in PEM");
    let help = "Authorities of clients. With it, clients must have a certificate of one of them.";
    let client_ca_file = path("client_ca_file", help, "a file with the certificates of clients' authorities in PEM");
    match (certificate, key) {
        (Some(certificate_file), Some(key_file)) => Some(TlsSettings { certificate_file, key_file, client_ca_file }),
        (None, None) => {
            if client_ca_file.is_some() {
                let allowed = "only with security.tls.certificate_file and security.tls.key_file";
                reader.refuse("security.tls.client_ca_file", "", allowed);
            }
            None
        }
        (certificate, _) => {
            let missing = if certificate.is_some() { "key_file" } else { "certificate_file" };
            reader.refuse(&format!("security.tls.{missing}"), "", "certificate_file and key_file, both or neither");
            None
        }
    }
}

fn file_of_clients(reader: &mut Reader, path: PathBuf, others: &[ClientSettings], quotas: Quotas) -> ClientsFile {
    let mut of_file = Reader::default();
    source::read_section(&path, CLIENTS, &mut of_file);
    let clients = clients(&mut of_file, quotas);
    refuse_doubles(&mut of_file, others, &clients);
    refuse_shared(&mut of_file, others, &clients);
    reader.absorb(of_file);
    ClientsFile { path, clients }
}

fn refuse_doubles(reader: &mut Reader, clients: &[ClientSettings], of_file: &[ClientSettings]) {
    for client in of_file.iter().filter(|client| clients.iter().any(|other| other.name == client.name)) {
        let allowed = "a client stands in one place: the settings or security.clients_file";
        reader.refuse(&format!("{CLIENTS}.{}", client.name), &client.name, allowed);
    }
}

/// A key, or the name of a certificate, stands for one client: with two it would be chance whose scopes and quotas count. `others` have been looked at.
fn refuse_shared(reader: &mut Reader, others: &[ClientSettings], clients: &[ClientSettings]) {
    let (mut keys, mut names) = (HashMap::new(), HashMap::new());
    for (index, client) in others.iter().chain(clients).enumerate() {
        let mut refuse = |owner: &str, what: &str, setting: &str| {
            if owner != client.name && index >= others.len() {
                let allowed = format!("{what} stands for one client; one of these is of the client {owner:?} too");
                reader.refuse(&format!("{CLIENTS}.{}.{setting}", client.name), "", &allowed);
            }
        };
        for key in &client.keys {
            refuse(keys.entry(key.hash).or_insert(client.name.as_str()), "a key", "key_hashes");
        }
        for name in &client.certificate_names {
            let owner = names.entry(name.as_str()).or_insert(client.name.as_str());
            refuse(owner, "a certificate's name", "certificate_names");
        }
    }
}

fn clients(reader: &mut Reader, quotas: Quotas) -> Vec<ClientSettings> {
    let names = reader.names_under(CLIENTS);
    let mut clients = Vec::new();
    for name in names {
        let section = format!("{CLIENTS}.{name}");
        if clients.len() >= CLIENTS_MAX {
            reader.refuse(&section, &name, "at most 500 clients");
        } else if !is_name(&name) {
            reader.refuse(&section, &name, "a name of at most 64 letters, digits, hyphens and underscores");
        } else {
            clients.extend(client(reader, &section, name, quotas));
        }
    }
    clients
}

fn client(reader: &mut Reader, section: &str, name: String, quotas_of_all: Quotas) -> Option<ClientSettings> {
    let key = |name: &str| format!("{section}.{name}");
    let allowed = "at most 4 hashes of keys as `crossmarket config hash-key` prints them, each with ` until ` and a date behind it if the key ends";
    let keys = list(KEYS_MAX, allowed, KeyEntry::parse, KeyEntry::shown).hidden();
    let keys = reader.read(&key("key_hashes"), "Hashes of the client's keys.", keys);
    let allowed = "at most 16 DNS names or URIs of clients' certificates";
    let certificate_names = list(CERTIFICATE_NAMES_MAX, allowed, certificate_name, Clone::clone);
    let help = "Names in the client's certificates, if clients have any.";
    let certificate_names = reader.read(&key("certificate_names"), help, certificate_names);
    let allowed = "at least one of prices, long_short, indices, signals, overview, catalog, reflection; or all";
    let scopes = list(16, allowed, Scopes::parse, Scopes::to_string);
    let scopes = reader.read(&key("scopes"), "What the client may call.", scopes);
    let scopes = scopes.into_iter().fold(Scopes::default(), Scopes::and);
    let quotas = quotas(reader, section, quotas_of_all);
    if keys.is_empty() && certificate_names.is_empty() {
        reader.refuse(&key("key_hashes"), "", "key_hashes or certificate_names must say how the client is known");
        return None;
    }
    if scopes.is_empty() {
        reader.refuse(&key("scopes"), "", allowed);
        return None;
    }
    Some(ClientSettings { name, keys, certificate_names, scopes, quotas })
}

fn quotas(reader: &mut Reader, section: &str, default: Quotas) -> Quotas {
    let mut read = |name: &str, default: Option<u32>, help: &str, unit: &str| {
        let unit = format!("{unit}; 0 means no limit");
        let number = whole(default.unwrap_or_default(), 0..=1_000_000, &unit);
        Some(reader.read(&format!("{section}.{name}"), help, number)).filter(|number| *number > 0)
    };
    Quotas {
        calls_per_second: read("calls_per_second", default.calls_per_second, "Most calls per second.", "calls"),
        streams_max: read("streams_max", default.streams_max, "Most open streams.", "open streams"),
        subscriptions_max: read(
            "subscriptions_max",
            default.subscriptions_max,
            "Most subscriptions over all streams.",
            "subscriptions",
        ),
    }
}

fn jwt(reader: &mut Reader) -> Option<TokenSettings> {
    let mut text = |name: &str, help: &str, allowed: &str| {
        let parse = |text: &str| (!text.is_empty() && text.len() <= 512).then(|| text.to_owned());
        reader.read(&format!("security.jwt.{name}"), help, optional(allowed, parse, Clone::clone))
    };
    let issuer = text("issuer", "Who issues the tokens.", "what the tokens' iss must be");
    let audience = text("audience", "Whom the tokens are for.", "what the tokens' aud must be or hold");
    let algorithms = list(
        TokenAlgorithm::ALL.len(),
        "some of RS256, PS256, ES256, ES384, EdDSA",
        |text| TokenAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text),
        |algorithm| algorithm.as_str().to_owned(),
    );
    let algorithms = reader.read("security.jwt.algorithms", "Signature algorithms that are accepted.", algorithms);
    let help = "The issuer's keys. Read again when the file changes.";
    let jwks_file = spec::path("a file with the issuer's JSON Web Key Set");
    let jwks_file = reader.read("security.jwt.jwks_file", help, jwks_file);
    match (issuer, audience, jwks_file) {
        (None, None, None) if algorithms.is_empty() => None,
        (Some(issuer), Some(audience), Some(jwks_file)) if !algorithms.is_empty() => {
            Some(TokenSettings { issuer, audience, algorithms, jwks_file })
        }
        _ => {
            reader.refuse("security.jwt", "", "issuer, audience, algorithms and jwks_file, all four or none");
            None
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

/// DNS names are the same in any letter case, URIs are not.
fn certificate_name(text: &str) -> Option<String> {
    let plain = !text.is_empty() && text.len() <= 512 && text.bytes().all(|c| c.is_ascii_graphic());
    plain.then(|| if text.contains("://") { text.to_owned() } else { text.to_ascii_lowercase() })
}
