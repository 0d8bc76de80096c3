"""What each value set is there for. Every set of tests/helm/values has a check of its name here."""
import json
import tomllib

import pytest
from conftest import VALUE_SETS, Rendered, rendered

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def settings(found, role):
    return tomllib.loads(found.settings(role))


def volume(found, role, name):
    return next((one for one in found.pod(role).get("volumes", []) if one["name"] == name), None)


def env(found, role):
    return {one["name"]: one for one in found.container(role).get("env", [])}


def redis_ports(found, role="server"):
    egress = found.get("NetworkPolicy", f"cm-crossmarket-{role}")["spec"]["egress"]
    return [port["port"] for port in egress[1]["ports"]]


@check
def minimal(found):
    assert found.names("Deployment") == ["cm-crossmarket-collector", "cm-crossmarket-server"]
    assert found.names("Service") == ["cm-crossmarket", "cm-crossmarket-collector", "cm-crossmarket-redis", "cm-crossmarket-server-headless"]
    assert found.get("Service", "cm-crossmarket-server-headless")["spec"]["clusterIP"] == "None"
    assert settings(found, "server")["store"]["url"] == "redis://cm-crossmarket-redis:6379"
    assert settings(found, "collector")["store"]["url"] == "redis://cm-crossmarket-redis:6379"
    assert found.container("server")["args"][:3] == ["serve", "--role", "server"]
    assert found.container("collector")["args"][:3] == ["serve", "--role", "collector"]
    assert found.container("server")["readinessProbe"]["grpc"] == {"port": 50051, "service": "crossmarket.v1.CatalogService"}
    assert found.container("server")["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
    assert found.container("collector")["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert found.container("server")["lifecycle"]["preStop"]["sleep"]["seconds"] == 5
    for name in found.names("Deployment"):
        rolling = found.get("Deployment", name)["spec"]["strategy"]["rollingUpdate"]
        assert rolling == {"maxSurge": 1, "maxUnavailable": 0}
    behavior = found.get("HorizontalPodAutoscaler", "cm-crossmarket-server")["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]
    # Nothing that needs custom resource definitions, and no way in from outside.
    assert {item["kind"] for item in found.objects} == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"}
    [test] = found.all("Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert test["spec"]["containers"][0]["args"] == ["get", "BTC", "--server", "http://cm-crossmarket:50051"]
    # Servers do not reach the venues, and the bundled store reaches nobody.
    reached = lambda role: str(found.get("NetworkPolicy", f"cm-crossmarket-{role}")["spec"]["egress"])
    assert "ipBlock" not in reached("server") and "ipBlock" in reached("collector")
    assert found.get("NetworkPolicy", "cm-crossmarket-redis")["spec"]["egress"] == []
    notes = found.texts["crossmarket/templates/NOTES.txt"]
    assert "crossmarket get BTC" in notes and "helm test cm --namespace market" in notes and "for trials" in notes


@check
def production(found):
    for role in ("server", "collector"):
        assert found.container(role)["image"].startswith("images/crossmarket@sha256:0123")
        assert found.pod(role)["imagePullSecrets"] == [{"name": "registry"}]
        assert settings(found, role)["collector"]["shards"] == "4"
        assert settings(found, role)["store"] == {
            "url": "redis+sentinel://sentinel-0:26379,sentinel-1:26379,sentinel-2:26379/mymaster",
            "username": "crossmarket", "password_file": "/etc/crossmarket/redis/password"}
        assert volume(found, role, "redis")["secret"]["secretName"] == "market-redis"
        telemetry = settings(found, role)["telemetry"]
        assert (telemetry["otlp_endpoint"], telemetry["otlp_protocol"]) == ("http://collector.observability:4317", "grpc")
        assert (telemetry["sampler"], float(telemetry["sample_ratio"])) == ("parentbased_traceidratio", 0.001)
        assert "k8s.pod.name=$(POD_NAME)" in env(found, role)["OTEL_RESOURCE_ATTRIBUTES"]["value"]
        assert settings(found, role)["grpc"]["connections_max"] == "1000000"
        assert {26379, 6379} == set(redis_ports(found, role))
        assert [4317] == [port["port"] for port in found.get("NetworkPolicy", f"cm-crossmarket-{role}")["spec"]["egress"][-1]["ports"]]
    assert found.names("StatefulSet") == []
    assert found.pod("server")["terminationGracePeriodSeconds"] == 75
    assert all(one["whenUnsatisfiable"] == "DoNotSchedule" for one in found.pod("server")["topologySpreadConstraints"])
    assert found.pod("server")["priorityClassName"] == "serving"
    assert found.pod("collector")["nodeSelector"] == {"pool": "egress"}
    assert found.pod("collector")["tolerations"][0]["key"] == "egress"
    metrics = found.get("HorizontalPodAutoscaler", "cm-crossmarket-server")["spec"]["metrics"]
    assert metrics[1]["pods"]["metric"]["name"] == "crossmarket_streams_open"
    assert metrics[1]["pods"]["target"] == {"type": "AverageValue", "averageValue": "2000"}
    assert found.get("PodDisruptionBudget", "cm-crossmarket-server")["spec"]["maxUnavailable"] == "25%"
    callers = found.get("NetworkPolicy", "cm-crossmarket-server")["spec"]["ingress"][0]["from"]
    assert {"namespaceSelector": {"matchLabels": {"team": "trading"}}} in callers
    [rule] = found.all("PrometheusRule")
    alerts = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert "CrossmarketTracesDropped" not in [one["alert"] for one in alerts]
    assert all(one["labels"]["team"] == "market-data" and one["labels"]["severity"] for one in alerts)
    assert found.get("ServiceMonitor", "cm-crossmarket")["metadata"]["labels"]["release"] == "prometheus"
    assert found.all("Certificate")[0]["spec"]["issuerRef"]["kind"] == "ClusterIssuer"
    assert all(item["metadata"]["labels"]["team"] == "market-data" for item in found.objects)


def has_tls(found, secret):
    container = found.container("server")
    assert volume(found, "server", "tls")["secret"]["secretName"] == secret
    tls = settings(found, "server")["security"]["tls"]
    assert (tls["certificate_file"], tls["key_file"]) == ("/etc/crossmarket/tls/tls.crt", "/etc/crossmarket/tls/tls.key")
    # A mount by subPath would never see a renewed certificate.
    assert not [one for one in container["volumeMounts"] if one["name"] == "tls" and "subPath" in one]
    # Native gRPC probes speak no TLS.
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz?stale=ok" and "grpc" not in container["readinessProbe"]
    assert "security" not in settings(found, "collector") and volume(found, "collector", "tls") is None
    assert found.get("Service", "cm-crossmarket")["spec"]["ports"][0]["appProtocol"] == "https"


def is_tested(found):
    """The hook of `helm test`, if it is made; the notes tell of it then."""
    pods = found.all("Pod")
    assert bool(pods) == ("helm test" in found.texts["crossmarket/templates/NOTES.txt"])
    return pods[0]["spec"] if pods else None


@check
def tls_secret(found):
    has_tls(found, "server-certificate")
    assert "client_ca_file" not in settings(found, "server")["security"]["tls"]
    assert found.all("Certificate") == []
    notes = found.texts["crossmarket/templates/NOTES.txt"]
    assert "server-certificate has the name localhost" in notes and "--certificate" not in notes
    hook = is_tested(found)
    assert hook["containers"][0]["args"] == ["get", "BTC", "--server", "https://cm-crossmarket:50051", "--ca", "/etc/crossmarket/tls/ca.crt"]
    assert hook["volumes"][0]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


@check
def tls_mutual(found):
    has_tls(found, "server-certificate")
    assert settings(found, "server")["security"]["tls"]["client_ca_file"] == "/etc/crossmarket/client-ca/ca.crt"
    assert volume(found, "server", "client-ca")["secret"]["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]
    assert is_tested(found) is None
    notes = found.texts["crossmarket/templates/NOTES.txt"]
    assert "--certificate FILE --key FILE" in notes and "--cert FILE --key FILE" in notes


@check
def clients(found):
    security = settings(found, "server")["security"]
    assert security == {"clients_file": "/etc/crossmarket/clients/clients.toml"}
    assert volume(found, "server", "clients")["secret"]["items"] == [{"key": "who.toml", "path": "clients.toml"}]
    assert "security" not in settings(found, "collector") and volume(found, "collector", "clients") is None
    # A mount by subPath would never see changed clients.
    assert not [one for one in found.container("server")["volumeMounts"] if one["name"] == "clients" and "subPath" in one]
    # Probes have no credentials, and need none.
    assert "grpc" in found.container("server")["readinessProbe"]
    assert is_tested(found) is None and "--api-key" in found.texts["crossmarket/templates/NOTES.txt"]


@check
def clients_and_tokens(found):
    security = settings(found, "server")["security"]
    assert security["jwt"] == {"jwks_file": "/etc/crossmarket/jwks/jwks.json", "issuer": "https://issuer.example", "audience": "crossmarket", "algorithms": ["ES256"]}
    assert security["clients_file"] and volume(found, "server", "jwks")["configMap"]["name"] == "issuer"
    assert not [one for one in found.container("server")["volumeMounts"] if one["name"] == "jwks" and "subPath" in one]
    [variable] = is_tested(found)["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "test-client", "key": "api-key"}


@check
def clients_in_settings(found):
    assert list(settings(found, "server")["security"]["clients"]) == ["desk"] and "security" not in settings(found, "collector")
    assert is_tested(found) is None and "--api-key" in found.texts["crossmarket/templates/NOTES.txt"]


@check
def tokens(found):
    assert set(settings(found, "server")["security"]) == {"jwt"} and volume(found, "server", "clients") is None
    notes = found.texts["crossmarket/templates/NOTES.txt"]
    assert is_tested(found) is None and "--token" in notes and "--api-key" not in notes
    # A key helps nobody where there are no clients.
    assert is_tested(Rendered(found.values | {"tests": {"apiKey": {"existingSecret": "test-client"}}})) is None


@check
def tls_cert_manager(found):
    has_tls(found, "cm-crossmarket-tls")
    [certificate] = found.all("Certificate")
    assert certificate["spec"]["secretName"] == "cm-crossmarket-tls"
    assert {"cm-crossmarket.market.svc", "cm-crossmarket-server-headless.market.svc.cluster.local", "*.example.com"} <= set(certificate["spec"]["dnsNames"])
    # What the notes say to call through a port-forward.
    assert "--server https://localhost:50051" in found.texts["crossmarket/templates/NOTES.txt"] and "localhost" in certificate["spec"]["dnsNames"]
    assert found.all("Ingress")[0]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPCS"


@check
def redis_external(found):
    assert found.all("StatefulSet") == []
    assert settings(found, "server")["store"] == {"url": "redis://redis.data:6380/2"}
    assert redis_ports(found) == [6380]


@check
def redis_external_password(found):
    assert settings(found, "collector")["store"] == {
        "url": "rediss://redis.data:6380", "username": "market", "password_file": "/etc/crossmarket/redis/password",
        "tls_ca_file": "/etc/crossmarket/redis-ca/ca.crt"}
    assert volume(found, "collector", "redis-ca")["secret"]["items"] == [{"key": "ca.pem", "path": "ca.crt"}]
    assert volume(found, "collector", "redis")["secret"]["items"] == [{"key": "pass", "path": "password"}]
    assert "kubernetes.io/metadata.name" in str(found.get("NetworkPolicy", "cm-crossmarket-server")["spec"]["egress"][1]["to"])
    template = found.get("Deployment", "cm-crossmarket-server")["spec"]["template"]
    assert "checksum/redis-secret" in template["metadata"]["annotations"]


@check
def redis_secret_url(found):
    assert "store" not in settings(found, "server")
    for role in ("server", "collector"):
        assert env(found, role)["CROSSMARKET__STORE__URL"]["valueFrom"]["secretKeyRef"] == {"name": "redis-url", "key": "uri"}
    assert found.all("StatefulSet") == [] and redis_ports(found) == [6379, 26379]


@check
def redis_sentinel(found):
    assert redis_ports(found) == [26379, 26380, 6379]


@check
def redis_cluster(found):
    assert redis_ports(found) == [7000, 7001, 7002]
    assert settings(found, "server")["collector"]["shards"] == "8"


@check
def redis_bundled_in_memory(found):
    spec = found.get("StatefulSet", "cm-crossmarket-redis")["spec"]
    assert "volumeClaimTemplates" not in spec
    assert volume(found, "redis", "data")["emptyDir"] == {}
    arguments = found.container("redis")["args"]
    assert arguments[arguments.index("--appendonly") + 1] == "no"
    assert arguments[arguments.index("--maxmemory-policy") + 1] == "noeviction"


@check
def servers_only(found):
    assert found.names("Deployment") == ["cm-crossmarket-server"]
    assert "collector" not in str([found.names(kind) for kind in ("Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy")])
    assert "does not collect" in found.texts["crossmarket/templates/NOTES.txt"]


@check
def no_autoscaling(found):
    assert found.all("HorizontalPodAutoscaler") == []
    assert found.get("Deployment", "cm-crossmarket-server")["spec"]["replicas"] == 5


@check
def no_network_policy(found):
    assert found.all("NetworkPolicy") == []
    assert "everybody who reaches the pods can call them" in found.texts["crossmarket/templates/NOTES.txt"]


@check
def no_disruption_budgets(found):
    assert found.all("PodDisruptionBudget") == []
    assert "topologySpreadConstraints" not in found.pod("server")


@check
def service_account_given(found):
    assert found.all("ServiceAccount") == []
    assert {found.pod(role)["serviceAccountName"] for role in ("server", "collector", "redis")} == {"market"}
    assert "market-data-server" in found.names("Deployment")
    assert found.get("Service", "market-data")["spec"]["selector"]["app.kubernetes.io/name"] == "md"


@check
def monitoring(found):
    [monitor], [rule] = found.all("ServiceMonitor"), found.all("PrometheusRule")
    assert monitor["spec"]["endpoints"] == [{"port": "admin", "path": "/metrics", "interval": "15s"}]
    assert len([one for group in rule["spec"]["groups"] for one in group["rules"]]) >= 20
    # Prometheus's own templates come through Helm's untouched.
    assert "{{ $labels.venue }}" in str(rule)
    dashboard = found.get("ConfigMap", "cm-crossmarket-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["crossmarket.json"])["panels"]


@check
def ingress(found):
    [item] = found.all("Ingress")
    assert item["metadata"]["annotations"]["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPC"
    assert item["spec"]["tls"] == [{"hosts": ["market.example.com"], "secretName": "market-certificate"}]
    back_end = item["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert back_end == {"name": "cm-crossmarket", "port": {"name": "grpc"}}
    assert found.get("Service", "cm-crossmarket")["metadata"]["annotations"] == {"example.com/note": "yes"}
    assert "https://market.example.com" in found.texts["crossmarket/templates/NOTES.txt"]


@check
def gateway(found):
    [route] = found.all("GRPCRoute")
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "cm-crossmarket", "port": 443}]}]
    assert found.get("Service", "cm-crossmarket")["spec"]["type"] == "LoadBalancer"
    callers, scrapers = found.get("NetworkPolicy", "cm-crossmarket-server")["spec"]["ingress"]
    assert callers["from"][1:] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}},
        {"ipBlock": {"cidr": "203.0.113.0/24"}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]
    assert "ipBlock" not in str(scrapers) + str(found.get("NetworkPolicy", "cm-crossmarket-collector")["spec"]["ingress"])
    assert "may call it" not in found.texts["crossmarket/templates/NOTES.txt"]
    closed = Rendered(found.values | {"networkPolicy": {}}).texts["crossmarket/templates/NOTES.txt"]
    assert "through the Service of type LoadBalancer" in closed and "networkPolicy.clientCidrs" in closed
    assert found.all("Pod")[0]["spec"]["containers"][0]["args"][-1] == "http://cm-crossmarket:443"


@check
def all_off(found):
    assert {item["kind"] for item in found.objects} == {"ConfigMap", "Deployment", "Service"}
    assert found.pod("server")["serviceAccountName"] == "default"
    assert "lifecycle" not in found.container("server")
    assert found.container("server")["readinessProbe"]["grpc"] == {"port": 50051, "service": ""}


@check
def settings_set(found):
    read = settings(found, "server")
    assert read["universe"] == {"size": "5000", "assets": ["BTC", "XMR"]}
    # Helm's numbers are floating point; 1e+06 would be refused.
    assert read["grpc"]["connections_max"] == "1000000" and read["grpc"]["listen"] == "0.0.0.0:50051"
    assert read["venues"]["okx"]["enabled"] == "false" and read["venues"]["binance-usdm"]["rest_url"] == "https://example.com/api"
    assert read["telemetry"] == {"log": "info,crossmarket_collector=debug", "log_format": "text"}
    assert env(found, "server")["RUST_BACKTRACE"]["value"] == "1" and env(found, "collector") == {}


CHECKS["settings"] = CHECKS.pop("settings_set")


def test_every_set_has_a_check():
    assert set(CHECKS) == set(VALUE_SETS)


def test_the_set_is_as_it_should_be(value_set):
    CHECKS[value_set](rendered(value_set))


@pytest.mark.parametrize("change", [
    {"telemetry": {"log": "debug"}},
    {"config": {"universe": {"size": 7}}},
    {"shards": 2},
    {"redis": {"url": "redis://elsewhere"}},
])
def test_changed_settings_are_new_pods(change):
    annotation = lambda values, role: Rendered(values).get("Deployment", f"cm-crossmarket-{role}")["spec"]["template"]["metadata"]["annotations"]
    for role in ("server", "collector"):
        assert annotation({}, role)["checksum/config"] != annotation(change, role)["checksum/config"]
        assert annotation({}, role) == annotation({"monitoring": {"dashboard": {"enabled": True}}}, role)
