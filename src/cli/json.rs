//! JSON of what is not a message of the API ([`super::message`] writes those): settings and decoded observations.

use std::fmt::{self, Write};

/// A JSON value that keeps the order of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// `null`.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number; one that is not finite prints as `null`.
    Number(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Object),
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Number(number) => write!(f, "{}", serde_json::Value::from(*number)),
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::List(items) => {
                f.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Self::Object(object) => object.fmt(f),
        }
    }
}

/// A JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object(Vec<(&'static str, Json)>);

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (index, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}\"{key}\":{value}", if index == 0 { "" } else { "," })?;
        }
        f.write_char('}')
    }
}

impl Object {
    /// Adds a value.
    pub(super) fn put(&mut self, key: &'static str, value: Json) {
        self.0.push((key, value));
    }

    /// Adds a text.
    pub(super) fn text(&mut self, key: &'static str, value: impl Into<String>) {
        self.put(key, Json::Text(value.into()));
    }

    /// Adds a text if there is one.
    pub(super) fn text_if(&mut self, key: &'static str, value: Option<impl ToString>) {
        if let Some(text) = value {
            self.text(key, text.to_string());
        }
    }

    /// Adds a number if there is one.
    pub(super) fn number_if(&mut self, key: &'static str, value: Option<f64>) {
        if let Some(number) = value {
            self.put(key, Json::Number(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_odd_numbers_are_null() {
        let mut object = Object::default();
        object.text("text", "a\"b\\\n\u{1b}");
        object.number_if("number", Some(f64::NAN));
        object.put("list", Json::List(vec![Json::Null, Json::Integer(-3)]));
        let read: serde_json::Value = serde_json::from_str(&object.to_string()).expect("JSON");
        assert_eq!(read["text"], "a\"b\\\n\u{1b}");
        assert!(read["number"].is_null());
        assert_eq!(read["list"][1], -3);
    }
}
