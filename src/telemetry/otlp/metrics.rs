//! Converts a page of metrics to OTLP: the same names, labels and buckets as on the admin port.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use smol_str::SmolStr;

use crossmarket_telemetry::registry::{Distribution, Kind, Page, Samples, Value};

/// The page, counted since `begun`, taken at `now`.
pub(super) fn request(
    page: &Page,
    resource: &ResourceAttributesWithSchema,
    begun: SystemTime,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let times = (nanos(begun), nanos(now));
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let metrics = page.metrics().iter().map(|samples| metric_of(samples, times)).collect();
    let resource = Resource { attributes: resource.attributes.0.clone(), ..Default::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }];
    let resource_metrics = ResourceMetrics { resource: Some(resource), scope_metrics, ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn metric_of(samples: &Samples, times: (u64, u64)) -> Metric {
    let described = samples.metric;
    let cumulative = AggregationTemporality::Cumulative.into();
    let numbers =
        || samples.samples.iter().filter_map(|(labels, value)| number(described.labels, labels, value, times));
    let data = match described.kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers().collect() }),
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Histogram(_) => {
            let points = samples.samples.iter().filter_map(|(labels, value)| match value {
                Value::Distribution(held) => Some(distribution(described.labels, labels, held, times)),
                Value::Whole(_) | Value::Number(_) => None,
            });
            metric::Data::Histogram(Histogram { data_points: points.collect(), aggregation_temporality: cumulative })
        }
    };
    Metric {
        name: described.name.to_owned(),
        description: described.help.to_owned(),
        unit: unit(described.name).to_owned(),
        data: Some(data),
        ..Default::default()
    }
}

fn unit(name: &str) -> &'static str {
    if name.ends_with("_seconds") || name.ends_with("_seconds_total") {
        "s"
    } else if name.ends_with("_bytes") {
        "By"
    } else {
        "1"
    }
}

fn number(names: &[&str], labels: &[SmolStr], value: &Value, (begun, now): (u64, u64)) -> Option<NumberDataPoint> {
    let value = match value {
        Value::Whole(value) => number_data_point::Value::AsInt(i64::try_from(*value).unwrap_or(i64::MAX)),
        Value::Number(value) => number_data_point::Value::AsDouble(*value),
        Value::Distribution(_) => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes(names, labels),
        start_time_unix_nano: begun,
        time_unix_nano: now,
        value: Some(value),
        ..Default::default()
    })
}

fn distribution(
    names: &[&str],
    labels: &[SmolStr],
    held: &Distribution,
    (begun, now): (u64, u64),
) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(names, labels),
        start_time_unix_nano: begun,
        time_unix_nano: now,
        count: held.counts.iter().sum(),
        sum: Some(held.sum),
        bucket_counts: held.counts.clone(),
        explicit_bounds: held.bounds.to_vec(),
        ..Default::default()
    }
}

fn attributes(names: &[&str], labels: &[SmolStr]) -> Vec<KeyValue> {
    let attribute = |(name, value): (&&str, &SmolStr)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_string())) }),
        ..Default::default()
    };
    names.iter().zip(labels).map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crossmarket_telemetry::metrics::{READY, RPC_CALLS, RPC_DURATION};
    use crossmarket_telemetry::registry::{Family, Histogram as Spans, Row as _};

    #[test]
    fn a_page_is_sent_as_it_is_shown() {
        let mut page = Page::default();
        page.add(&READY, &[], 1.0);
        page.add(RPC_CALLS.metric(), &["S", "M", "OK"], 3);
        let spans = Family::<Spans>::new(RPC_DURATION.metric());
        spans.with(&["S", "M"]).observe(Duration::from_millis(1));
        spans.collect(&mut page);
        let begun = UNIX_EPOCH + Duration::from_secs(1);
        let sent = request(&page, &ResourceAttributesWithSchema::default(), begun, begun + Duration::from_secs(1));
        let [ready, calls, durations] = sent.resource_metrics[0].scope_metrics[0].metrics.as_slice() else {
            panic!("three metrics: {sent:?}")
        };
        assert_eq!((ready.name.as_str(), ready.unit.as_str()), ("crossmarket_ready", "1"));
        let Some(metric::Data::Gauge(gauge)) = &ready.data else { panic!("a gauge: {ready:?}") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(1.0)));
        let Some(metric::Data::Sum(sum)) = &calls.data else { panic!("a sum: {calls:?}") };
        let [point] = sum.data_points.as_slice() else { panic!("a point: {sum:?}") };
        assert!(sum.is_monotonic && point.attributes.len() == 3 && point.attributes[2].key == "code");
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 2_000_000_000));
        let Some(metric::Data::Histogram(held)) = &durations.data else { panic!("a histogram: {durations:?}") };
        let [point] = held.data_points.as_slice() else { panic!("a point: {held:?}") };
        assert_eq!((point.count, point.bucket_counts.len()), (1, point.explicit_bounds.len() + 1));
        assert_eq!(durations.unit, "s");
    }
}
