//! Messages of the API as JSON: names and enum values as in the API, decimals as strings, times as RFC 3339, absent fields omitted.

use std::sync::LazyLock;

use super::error::CliError;
use crossmarket_api::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions, Value};

/// The API's own description, which was compiled in.
static API: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());

/// A message of package `crossmarket.v1` as a JSON object, its fields in the order of the API.
pub(super) fn json(name: &str, message: &impl Message) -> Result<String, CliError> {
    let failed = |reason: String| CliError::Failed(format!("{name} cannot be written as JSON: {reason}"));
    let dynamic = dynamic(name, message).ok_or_else(|| failed("it is not a message of the API".to_owned()))?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    dynamic.serialize_with_options(&mut serializer, &options).map_err(|error| failed(error.to_string()))?;
    String::from_utf8(text).map_err(|error| failed(error.to_string()))
}

/// The same message with its description, to read fields by name; `None` when the API has no message of that name.
pub(super) fn dynamic(name: &str, message: &impl Message) -> Option<DynamicMessage> {
    let mut dynamic = DynamicMessage::new(API.as_ref()?.get_message_by_name(&format!("crossmarket.v1.{name}"))?);
    dynamic.transcode_from(message).ok()?;
    Some(dynamic)
}

/// A field by its name, with dots between levels; `None` when it is absent.
pub(super) fn field(message: &DynamicMessage, path: &str) -> Option<Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if !message.has_field_by_name(first) {
        return None;
    }
    let value = message.get_field_by_name(first)?;
    match rest {
        None => Some(value.into_owned()),
        Some(rest) => field(value.as_message()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crossmarket_api::v1::{AllTimeHigh, LongShortKind, LongShortRatio, PriceSnapshot};

    #[test]
    fn a_price_snapshot_keeps_its_digits_and_says_whether_it_is_simulated() {
        let from = PriceSnapshot {
            asset: "BTC".to_owned(),
            price: Some("95391.010".to_owned()),
            change_24h_percent: Some(-1.5),
            simulated: true,
            ..Default::default()
        };
        let read = |snapshot| -> Value {
            serde_json::from_str(&json("PriceSnapshot", snapshot).expect("a message of the API")).expect("JSON")
        };
        let value = read(&from);
        assert_eq!((&value["asset"], &value["price"]), (&"BTC".into(), &"95391.010".into()));
        assert_eq!((&value["change_24h_percent"], &value["simulated"]), (&Value::from(-1.5), &Value::from(true)));
        assert_eq!(read(&PriceSnapshot::default())["simulated"], false);
    }

    #[test]
    fn fields_are_found_below_others() {
        let high = AllTimeHigh { drawdown_percent: Some(-3.0), ..Default::default() };
        let snapshot = |high| PriceSnapshot { all_time_high: high, ..Default::default() };
        let drawdown = |snapshot| field(&dynamic("PriceSnapshot", &snapshot)?, "all_time_high.drawdown_percent");
        assert_eq!(drawdown(snapshot(Some(high))).and_then(|value| value.as_f64()), Some(-3.0));
        assert_eq!(drawdown(snapshot(None)), None);
    }

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
