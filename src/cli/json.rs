//! JSON of what commands print: keys in the order of the API, names as in the API, decimals as strings, times as RFC 3339, absent left out.

use std::fmt::{self, Write};

use prost_types::{Duration, Timestamp};

use super::numbers::instant;
use crossmarket_api::v1;

/// A JSON value that keeps the order of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
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
            Self::Boolean(boolean) => write!(f, "{boolean}"),
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

    fn integer(&mut self, key: &'static str, value: impl Into<i64>) {
        self.put(key, Json::Integer(value.into()));
    }

    fn time_if(&mut self, key: &'static str, value: Option<&Timestamp>) {
        self.text_if(key, value.and_then(instant));
    }

    fn span_if(&mut self, key: &'static str, value: Option<&Duration>) {
        self.text_if(key, value.map(span));
    }

    fn texts(&mut self, key: &'static str, values: &[String]) {
        if !values.is_empty() {
            self.put(key, Json::List(values.iter().cloned().map(Json::Text).collect()));
        }
    }

    fn objects<T>(&mut self, key: &'static str, values: &[T], convert: fn(&T) -> Object) {
        if !values.is_empty() {
            self.put(key, Json::List(values.iter().map(|value| Json::Object(convert(value))).collect()));
        }
    }
}

/// `1.5s`, as in Protobuf's own JSON.
fn span(span: &Duration) -> String {
    let whole = format!("{}.{:09}", span.seconds, span.nanos.unsigned_abs());
    format!("{}s", whole.trim_end_matches('0').trim_end_matches('.'))
}

/// An asset's snapshot.
pub(super) fn snapshot(from: &v1::PriceSnapshot) -> Object {
    let mut object = Object::default();
    object.text("asset", &from.asset);
    object.text_if("name", from.name.as_ref());
    object.put("simulated", Json::Boolean(from.simulated));
    object.text("quote_currency", &from.quote_currency);
    object.text_if("price", from.price.as_ref());
    object.number_if("change_1h_percent", from.change_1h_percent);
    object.number_if("change_24h_percent", from.change_24h_percent);
    object.number_if("change_7d_percent", from.change_7d_percent);
    object.number_if("change_30d_percent", from.change_30d_percent);
    object.number_if("change_ytd_percent", from.change_ytd_percent);
    object.text_if("high_24h", from.high_24h.as_ref());
    object.text_if("low_24h", from.low_24h.as_ref());
    object.text_if("high_7d", from.high_7d.as_ref());
    object.text_if("low_7d", from.low_7d.as_ref());
    object.number_if("range_24h_percent", from.range_24h_percent);
    object.number_if("volatility_24h_percent", from.volatility_24h_percent);
    object.number_if("volatility_30d_annualized_percent", from.volatility_30d_annualized_percent);
    object.number_if("rsi_14d", from.rsi_14d);
    object.text_if("volume_24h", from.volume_24h.as_ref());
    object.text_if("market_cap", from.market_cap.as_ref());
    if let Some(rank) = from.market_cap_rank {
        object.integer("market_cap_rank", rank);
    }
    object.text_if("circulating_supply", from.circulating_supply.as_ref());
    if let Some(high) = &from.all_time_high {
        object.put("all_time_high", Json::Object(all_time_high(high)));
    }
    object.texts("categories", &from.categories);
    object.time_if("event_time", from.event_time.as_ref());
    object.time_if("receive_time", from.receive_time.as_ref());
    object.time_if("publish_time", from.publish_time.as_ref());
    if let Some(freshness) = &from.freshness {
        let mut part = Object::default();
        part.text("state", freshness.state().as_str_name());
        part.span_if("budget", freshness.budget.as_ref());
        part.time_if("stale_since_time", freshness.stale_since_time.as_ref());
        object.put("freshness", Json::Object(part));
    }
    object.integer("revision", from.revision);
    if let Some(part) = &from.aggregation {
        object.put("aggregation", Json::Object(aggregation(part)));
    }
    object.objects("derivations", &from.derivations, derivation);
    object
}

fn all_time_high(from: &v1::AllTimeHigh) -> Object {
    let mut object = Object::default();
    object.text("price", &from.price);
    object.time_if("time", from.time.as_ref());
    object.number_if("drawdown_percent", from.drawdown_percent);
    object.text("source", &from.source);
    object
}

fn aggregation(from: &v1::PriceAggregation) -> Object {
    let mut object = Object::default();
    object.text("method", from.method().as_str_name());
    object.integer("venue_count", from.venue_count);
    object.integer("candidate_count", from.candidate_count);
    object.integer("required_venue_count", from.required_venue_count);
    object.number_if("dispersion_percent", from.dispersion_percent);
    object.number_if("outlier_limit_percent", from.outlier_limit_percent);
    object.objects("contributions", &from.contributions, contribution);
    object
}

fn contribution(from: &v1::PriceContribution) -> Object {
    let mut object = Object::default();
    object.text("venue", &from.venue);
    object.text("instrument", &from.instrument);
    object.text("venue_symbol", &from.venue_symbol);
    object.text("status", from.status().as_str_name());
    object.text_if("price", from.price.as_ref());
    object.put("weight", Json::Number(from.weight));
    object.text_if("observed_price", from.observed_price.as_ref());
    object.text("quote_asset", &from.quote_asset);
    object.text_if("conversion_rate", from.conversion_rate.as_ref());
    object.text_if("volume_24h", from.volume_24h.as_ref());
    object.number_if("deviation_percent", from.deviation_percent);
    object.time_if("event_time", from.event_time.as_ref());
    object.time_if("receive_time", from.receive_time.as_ref());
    object.put("simulated", Json::Boolean(from.simulated));
    object
}

fn derivation(from: &v1::Derivation) -> Object {
    let mut object = Object::default();
    object.text("field", &from.field);
    object.text("method", &from.method);
    object.objects("parameters", &from.parameters, |parameter| {
        let mut object = Object::default();
        object.text("name", &parameter.name);
        object.text("value", &parameter.value);
        object
    });
    object.objects("inputs", &from.inputs, |input| {
        let mut object = Object::default();
        object.text("name", &input.name);
        object.text_if("value", input.value.as_ref());
        object.text("unit", &input.unit);
        object.time_if("time", input.time.as_ref());
        object.text("source", &input.source);
        object
    });
    object.integer("observation_count", from.observation_count);
    object.integer("missing_count", from.missing_count);
    object.time_if("start_time", from.start_time.as_ref());
    object.time_if("end_time", from.end_time.as_ref());
    object.text("source", &from.source);
    object.put("estimated", Json::Boolean(from.estimated));
    object
}

/// A frame of a watch stream.
pub(super) fn watch_frame(from: &v1::WatchPriceSnapshotsResponse) -> Object {
    let mut object = Object::default();
    object.text("state", from.state().as_str_name());
    object.text("cursor", &from.cursor);
    object.integer("conflated_count", from.conflated_count);
    object.time_if("publish_time", from.publish_time.as_ref());
    object.put("simulated", Json::Boolean(from.snapshots.iter().any(|snapshot| snapshot.simulated)));
    object.objects("items", &from.items, |item| {
        let mut object = Object::default();
        object.text("item", &item.item);
        object.text("state", item.state().as_str_name());
        if !item.message.is_empty() {
            object.text("message", &item.message);
        }
        object
    });
    if let Some(configuration) = &from.configuration {
        let mut part = Object::default();
        part.span_if("min_interval", configuration.min_interval.as_ref());
        part.span_if("heartbeat_interval", configuration.heartbeat_interval.as_ref());
        part.text("view", configuration.view().as_str_name());
        part.integer("matched_count", configuration.matched_count);
        part.put("resumed", Json::Boolean(configuration.resumed));
        object.put("configuration", Json::Object(part));
    }
    object.put("snapshots", Json::List(from.snapshots.iter().map(|item| Json::Object(snapshot(item))).collect()));
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_left_out_and_simulated_never() {
        let from = v1::PriceSnapshot {
            asset: "BTC".to_owned(),
            quote_currency: "USD".to_owned(),
            price: Some("95391.010".to_owned()),
            change_24h_percent: Some(-1.5),
            event_time: Some(Timestamp { seconds: 1_768_478_400, nanos: 250_000_000 }),
            revision: 7,
            simulated: true,
            ..Default::default()
        };
        let text = snapshot(&from).to_string();
        let expected = r#"{"asset":"BTC","simulated":true,"quote_currency":"USD","price":"95391.010","change_24h_percent":-1.5,"event_time":"2026-01-15T12:00:00.25Z","revision":7}"#;
        assert_eq!(text, expected);
        let plain = snapshot(&v1::PriceSnapshot::default()).to_string();
        assert!(plain.contains("\"simulated\":false"), "{plain}");
    }

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

    #[test]
    fn spans_are_seconds() {
        assert_eq!(span(&Duration { seconds: 90, nanos: 0 }), "90s");
        assert_eq!(span(&Duration { seconds: 0, nanos: 250_000_000 }), "0.25s");
    }
}
