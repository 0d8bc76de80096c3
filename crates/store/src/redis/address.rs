//! From a URL to where Redis is: one server, the master that sentinels name, or a Cluster.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::keys::{DEFAULT_PREFIX, Keys};

/// Most addresses in one URL.
const ADDRESSES_MAX: usize = 16;

/// What is allowed, for people.
pub const ALLOWED: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// the same with TLS, redis+sentinel://HOST:PORT,HOST:PORT/MASTER[/DB], \
                           redis+cluster://HOST:PORT,HOST:PORT (rediss+… with TLS); ?prefix=NAME sets what the keys start with";

/// Who we are to Redis. It is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; `None` for the default one.
    pub username: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// Where Redis is.
#[derive(Clone)]
pub(super) enum Endpoint {
    Server(Box<ConnectionInfo>),
    /// The master of a name that any of the sentinels knows.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        /// The master's name.
        master: String,
        /// How to connect to the master, with a sentinel's address in place of its own.
        template: Box<ConnectionInfo>,
    },
    /// The nodes of a Cluster, of which any tells the others.
    Cluster(Vec<ConnectionInfo>),
}

/// A URL, taken apart.
#[derive(Clone)]
pub(super) struct Address {
    /// Where Redis is.
    pub endpoint: Endpoint,
    /// The keys' names.
    pub keys: Keys,
}

/// True for the schemes that this store answers to.
pub fn is_redis(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    matches!(scheme.split_once('+').unwrap_or((scheme, "")), ("redis" | "rediss", "" | "sentinel" | "cluster"))
}

impl Address {
    /// Reads a URL; `None` for what is not allowed. Credentials given apart replace the URL's.
    pub(super) fn parse(url: &str, apart: &Credentials) -> Option<Self> {
        if !is_redis(url) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let (transport, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut prefix = DEFAULT_PREFIX.to_owned();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "prefix" => prefix = value.into_owned(),
                _ => return None,
            }
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.len() > ADDRESSES_MAX || hosts.contains(&"") {
            return None;
        }
        let info = |user: &str, host: &str, path: &str, port: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port { "" } else { port };
            format!("{transport}://{user}{host}{port}/{path}").into_connection_info().ok()
        };
        let with_login = |info: ConnectionInfo| {
            let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            if let Some(username) = &apart.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &apart.password {
                settings = settings.set_password(password);
            }
            info.set_redis_settings(settings)
        };
        let endpoint = match kind {
            "" if hosts.len() == 1 => Endpoint::Server(Box::new(with_login(info(&user, hosts[0], path, ":6379")?))),
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let plain = master.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
                if master.is_empty() || !plain {
                    return None;
                }
                // Sentinels are asked without a login: their users are not the servers'.
                let sentinels: Option<Vec<ConnectionInfo>> =
                    hosts.iter().map(|host| info("", host, "", ":26379")).collect();
                let template = Box::new(with_login(info(&user, hosts[0], database, ":26379")?));
                Endpoint::Sentinel { sentinels: sentinels?, master: master.to_owned(), template }
            }
            "cluster" if path.is_empty() => {
                let seeds: Option<Vec<ConnectionInfo>> =
                    hosts.iter().map(|host| info(&user, host, "", ":6379").map(with_login)).collect();
                Endpoint::Cluster(seeds?)
            }
            _ => return None,
        };
        Some(Self { endpoint, keys: Keys::with_prefix(&prefix)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Option<Address> {
        Address::parse(url, &Credentials::default())
    }

    #[test]
    fn reads_every_kind_of_url() {
        let Some(Address { endpoint: Endpoint::Server(info), keys }) =
            parse("redis://me:p%40ss@cache/3?prefix=staging")
        else {
            panic!("a server");
        };
        assert_eq!(info.addr().to_string(), "cache:6379");
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("me"), Some("p@ss"), 3));
        assert_eq!(settings.protocol(), ProtocolVersion::RESP3);
        assert_eq!(keys.lease(0), "staging:{0}:lease");

        let url = "redis+sentinel://me:secret@a:1,b,c:3/main/2";
        let Some(Address { endpoint: Endpoint::Sentinel { sentinels, master, template }, .. }) = parse(url) else {
            panic!("sentinels");
        };
        let addresses: Vec<String> = sentinels.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!((addresses, master.as_str()), (["a:1", "b:26379", "c:3"].map(str::to_owned).to_vec(), "main"));
        assert_eq!((template.redis_settings().db(), template.redis_settings().password()), (2, Some("secret")));
        assert_eq!(sentinels[0].redis_settings().password(), None);

        assert!(
            matches!(parse("redis+cluster://a:1,b:2"), Some(Address { endpoint: Endpoint::Cluster(seeds), .. }) if seeds.len() == 2)
        );
        let apart = Credentials { username: Some("other".into()), password: Some("hidden".into()) };
        let Some(Address { endpoint: Endpoint::Server(info), .. }) = Address::parse("rediss://me:secret@cache", &apart)
        else {
            panic!("a server");
        };
        assert_eq!(
            (info.redis_settings().username(), info.redis_settings().password()),
            (Some("other"), Some("hidden"))
        );
        assert!(format!("{apart:?}").contains("redacted"));
    }

    #[test]
    fn refuses_what_is_not_one() {
        for url in [
            "http://a",
            "redis:a",
            "redis://",
            "redis://a,b",
            "redis://a?colour=red",
            "redis://a?prefix=a{b}",
            "redis://a/x",
            "redis+sentinel://a:1",
            "redis+sentinel://a:1/na me",
            "redis+cluster://a:1/3",
            "redis+cluster://a,,b",
            "redis+other://a",
        ] {
            assert!(parse(url).is_none(), "{url}");
        }
    }
}
