"""values.yaml, its schema, its README and the templates agree; what is wrong is refused."""
import copy
import json
import re
import subprocess
import sys

import helm_python
import pytest
import yaml
from conftest import CHART, ROOT, VALUE_SETS, chart, render_texts

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def definition(schema):
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return schema


def closed(schema):
    return definition(schema).get("additionalProperties") is False


def walk(values, schema, path=()):
    """Every object with a closed schema, as (path, values, schema)."""
    yield path, values, definition(schema)
    for key, value in values.items():
        inner = definition(schema)["properties"].get(key)
        if isinstance(value, dict) and inner is not None and closed(inner):
            yield from walk(value, inner, path + (key,))


OBJECTS = list(walk(VALUES, SCHEMA))
LEAVES = [path + (key,) for path, values, schema in OBJECTS for key, value in values.items()
          if not (isinstance(value, dict) and closed(schema["properties"][key]))]


def nest(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def refused(values):
    try:
        chart().validate_schema(values)
    except helm_python.HelmError:
        return True
    return False


def test_schema_and_values_have_the_same_keys():
    for path, values, schema in OBJECTS:
        # `global` is Helm's own; a resources block may leave parts out.
        described = set(schema["properties"]) - ({"global"} if not path else set())
        assert set(values) <= described, path
        assert path[-1:] == ("resources",) or described == set(values), (path, described ^ set(values))


@pytest.mark.parametrize("path", [path for path, _, _ in OBJECTS], ids=lambda path: ".".join(path) or "top")
def test_unknown_keys_are_refused(path):
    assert not refused({})
    assert refused(nest(path + ("nonsense",), 1))


@pytest.mark.parametrize("values", [
    {"shards": 0}, {"shards": 65}, {"shards": "2"}, {"shards": 1.5},
    {"image": {"pullPolicy": "Sometimes"}}, {"image": {"digest": "sha256:abc"}}, {"image": {"repository": ""}},
    {"server": {"replicas": -1}}, {"server": {"topologySpread": True}}, {"server": {"readiness": "always"}},
    {"server": {"resources": {"limits": {"memory": "a lot"}}}}, {"server": {"extraEnv": [{"value": "x"}]}},
    {"server": {"podDisruptionBudget": {"maxUnavailable": "101%"}}},
    {"server": {"autoscaling": {"minReplicas": 0}}}, {"server": {"autoscaling": {"targetCPUUtilizationPercentage": 500}}},
    # A drain shorter than half a minute cuts streams that could have ended by themselves.
    {"shutdown": {"graceSeconds": 5}},
    # A password in a URL would end up in a ConfigMap.
    {"redis": {"url": "redis://:password@redis:6379"}}, {"redis": {"url": "http://redis"}}, {"redis": {"url": "embedded:./data"}},
    {"telemetry": {"otlpEndpoint": "collector:4317"}}, {"telemetry": {"logFormat": "xml"}},
    {"telemetry": {"otlpProtocol": "http/json"}}, {"telemetry": {"sampler": "sometimes"}}, {"telemetry": {"sampleRatio": 1.5}},
    {"service": {"port": 70000}}, {"service": {"type": "ExternalName"}},
    {"tls": {"certManager": {"enabled": True}}}, {"tls": {"certManager": {"duration": "90 days"}}},
    {"grpcRoute": {"enabled": True}}, {"ingress": {"host": "https://example.com"}},
    {"networkPolicy": {"egress": {"venuePorts": ["https"]}}}, {"networkPolicy": {"clientCidrs": ["203.0.113.7"]}}, {"config": {"grpc.listen": "0.0.0.0:1"}}, {"config": {"grpc": 7}},
    {"monitoring": {"prometheusRule": {"disabledAlerts": ["OtherAlert"]}}},
], ids=str)
def test_bad_values_are_refused(values):
    assert refused(values)


@pytest.mark.parametrize("values, message", [
    ({"redis": {"bundled": {"enabled": False}}}, "need a Redis that they share"),
    ({"tls": {"enabled": True}}, "tls.enabled needs tls.existingSecret or tls.certManager.enabled"),
])
def test_what_does_not_fit_together_is_refused_with_a_reason(values, message):
    with pytest.raises(helm_python.HelmError, match=re.escape(message)):
        render_texts(values)


def test_collectors_may_reach_every_venue():
    """Every address in the venues' sources is on a port that the network policy lets out, and no other port is open."""
    text = "".join(path.read_text() for path in sorted((ROOT / "crates" / "venues" / "src").rglob("*.rs")))
    addresses = re.findall(r"\b(?:https|wss)://([^/\s\"]+)", text)
    assert len(addresses) > 40
    ports = {int(address.partition(":")[2] or 443) for address in addresses}
    assert ports == set(VALUES["networkPolicy"]["egress"]["venuePorts"])


def merged(base, change):
    result = copy.deepcopy(base)
    for key, value in change.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


ALTERNATIVES = {
    "image.digest": "sha256:" + "0" * 64, "image.pullPolicy": "Always", "image.pullSecrets": ["registry"],
    "telemetry.logFormat": "text", "telemetry.otlpEndpoint": "http://other:1", "telemetry.otlpProtocol": "http/protobuf",
    "telemetry.sampler": "always_on", "telemetry.sampleRatio": 0.5, "service.type": "NodePort",
    "redis.url": "redis://other:1", "tls.certManager.duration": "1h", "tls.certManager.renewBefore": "1m", "tls.certManager.dnsNames": ["other.example.com"],
    "config": {"universe": {"size": 9}}, "monitoring.serviceMonitor.interval": "7s", "monitoring.prometheusRule.disabledAlerts": ["CrossmarketVenueDown"],
    "ingress.host": "other.example.com", "grpcRoute.hostnames": ["other.example.com"], "redis.bundled.persistence.size": "9Gi",
    "server.topologySpread": "required", "collector.topologySpread": "required", "server.readiness": "fresh",
    "networkPolicy.clientCidrs": ["192.0.2.0/24"],
    "networkPolicy.egress.redisPorts": [1], "networkPolicy.egress.venuePorts": [1],
}


def alternative(path):
    value = VALUES
    for key in path:
        value = value[key]
    if ".".join(path) in ALTERNATIVES:
        return ALTERNATIVES[".".join(path)]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "other"
    if path[-1] in ("requests", "limits"):
        return {"cpu": "7m"}
    return {"other": "value"} if isinstance(value, dict) else [{"name": "other"}]


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_does_something(path):
    """A value that changes nothing in any set is a promise that is not kept."""
    value = alternative(path)
    alternatives = [True, False] if isinstance(value, bool) else [value]
    changes = [nest(path, one) for one in alternatives]
    changed = (outcome(values) != outcome(merged(values, change)) for values in VALUE_SETS.values() for change in changes
               if not refused(merged(values, change)))
    assert any(changed)


def outcome(values):
    """What the templates make of values; that they refuse them with a reason is an outcome, too."""
    try:
        return render_texts(values)
    except helm_python.HelmError as error:
        return str(error)


def test_the_readme_is_current():
    subprocess.run([sys.executable, ROOT / "scripts" / "chart", "--check"], check=True)


def test_the_chart_packs_and_loads_again(tmp_path):
    archive = helm_python.package(CHART, destination=tmp_path)
    with helm_python.Chart.load(archive) as packed:
        assert packed.metadata["apiVersion"] == "v2"
        assert packed.schema == SCHEMA
        assert packed.render({}, name="a", namespace="b")
