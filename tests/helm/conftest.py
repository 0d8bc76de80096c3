"""What the chart tests share: the real Helm engine, the value sets, and ways to look at what was rendered."""
import functools
import json
import pathlib

import helm_python
import pytest
import yaml
from helm_python import _native

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "crossmarket"
RELEASE, NAMESPACE = "cm", "market"
VALUE_SETS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((pathlib.Path(__file__).parent / "values").glob("*.yaml"))}

# Kinds whose schemas are not Kubernetes's own: custom resources of cert-manager, the Prometheus operator and the Gateway API.
CUSTOM_KINDS = {
    ("cert-manager.io/v1", "Certificate"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
}


@functools.cache
def chart():
    return helm_python.Chart.load(CHART)


def render_texts(values, kube_version="v1.34.0"):
    """The rendered templates by path. Values against the schema are refused, as an install refuses them."""
    chart().validate_schema(values)
    options = {"name": RELEASE, "namespace": NAMESPACE, "kube_version": kube_version}
    # The package's own `render` takes no Kubernetes version; the engine does.
    return json.loads(_native.call_string("helm_render", chart()._raw(), json.dumps(values), json.dumps(options)))


def objects_of(texts):
    found = []
    for path, text in texts.items():
        if path.endswith(".yaml"):
            found += [document for document in yaml.safe_load_all(text) if document]
    return found


def render(values, kube_version="v1.34.0"):
    """The rendered objects."""
    return objects_of(render_texts(values, kube_version))


class Rendered:
    """The objects of one value set, by kind and name."""

    def __init__(self, values):
        self.values = values
        self.texts = render_texts(values)
        self.objects = objects_of(self.texts)

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def names(self, kind):
        return sorted(item["metadata"]["name"] for item in self.all(kind))

    def get(self, kind, name):
        [found] = [item for item in self.all(kind) if item["metadata"]["name"] == name]
        return found

    def pod(self, role):
        """The pod template's spec of a role: server, collector or redis."""
        for item in self.all("Deployment") + self.all("StatefulSet"):
            if item["metadata"]["labels"]["app.kubernetes.io/component"] == role:
                return item["spec"]["template"]["spec"]
        raise KeyError(role)

    def container(self, role):
        [container] = self.pod(role)["containers"]
        return container

    def settings(self, role):
        """What the process reads, as the TOML text."""
        [config] = [item for item in self.all("ConfigMap") if item["metadata"]["labels"].get("app.kubernetes.io/component") == role]
        return config["data"]["crossmarket.toml"]


@functools.cache
def rendered(name):
    return Rendered(VALUE_SETS[name])


@pytest.fixture(params=sorted(VALUE_SETS))
def value_set(request):
    return request.param
