//! Values as the layers gave them, and what may be printed of them.

/// Replaces a secret.
pub(super) const REDACTED: &str = "[redacted]";

/// A value as a layer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// A scalar, as text.
    Text(String),
    /// A list of scalars.
    List(Vec<String>),
    /// Something nested, which no setting takes.
    Nested,
}

impl Raw {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.trim()) } else { None }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join(", "),
            Self::Nested => "a nested value".to_owned(),
        }
    }
}

/// A text with the password of a URL's user part taken out.
pub(super) fn redact_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{tail}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_passwords() {
        assert_eq!(redact_url("redis://user:pa@ss@host:6379/0"), "redis://[redacted]@host:6379/0");
        assert_eq!(redact_url("redis://host/0"), "redis://host/0");
        assert_eq!(redact_url("embedded:./data"), "embedded:./data");
    }
}
