//! Messages of the API as JSON: names and enum values as in the API, decimals as strings, times as RFC 3339, absent left out.

use std::sync::LazyLock;

use super::error::CliError;
use crossmarket_api::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// The API's own description, which was compiled in.
static API: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// A message of package `crossmarket.v1` as a JSON object, its fields in the order of the API.
pub(super) fn json(name: &str, message: &impl Message) -> Result<String, CliError> {
    let failed = |reason: String| CliError::Failed(format!("{name} cannot be written as JSON: {reason}"));
    let descriptor = API.as_ref().and_then(|api| api.get_message_by_name(&format!("crossmarket.v1.{name}")));
    let descriptor = descriptor.ok_or_else(|| failed("it is not a message of the API".to_owned()))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(|error| failed(error.to_string()))?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    dynamic.serialize_with_options(&mut serializer, &options).map_err(|error| failed(error.to_string()))?;
    String::from_utf8(text).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crossmarket_api::v1::{LongShortKind, LongShortRatio};

    #[test]
    fn absent_is_left_out_and_what_is_there_is_not() {
        let ratio = LongShortRatio {
            asset: "BTC".to_owned(),
            kind: LongShortKind::GlobalAccount.into(),
            ratio: Some(1.25),
            open_interest: Some("1200000.50".to_owned()),
            event_time: Some(prost_types::Timestamp { seconds: 1_768_478_400, nanos: 0 }),
            revision: 7,
            ..Default::default()
        };
        let text = json("LongShortRatio", &ratio).expect("a message of the API");
        assert!(text.starts_with("{\"asset\":\"BTC\",\"kind\":"), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["kind"], "LONG_SHORT_KIND_GLOBAL_ACCOUNT");
        assert_eq!((&value["ratio"], &value["revision"]), (&Value::from(1.25), &Value::from(7)));
        assert_eq!(
            (&value["open_interest"], &value["event_time"]),
            (&"1200000.50".into(), &"2026-01-15T12:00:00Z".into())
        );
        assert_eq!(value["simulated"], false);
        assert!(value.get("rsi_14d").is_none() && value.get("market_cap_rank").is_none(), "{value}");
    }
}
