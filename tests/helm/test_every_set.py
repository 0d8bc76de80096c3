"""What holds for every value set."""
import functools
import os
import pathlib
import subprocess
import tomllib

import helm_python
import kubernetes_validate.utils
import pytest
from conftest import CHART, CUSTOM_KINDS, NAMESPACE, ROOT, VALUE_SETS, render, rendered

# The schemas are large, and each object would read them again.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
KUBERNETES = kubernetes_validate.utils.all_versions()
MINORS = [version for version in dict.fromkeys(".".join(text.split(".")[:2]) for text in KUBERNETES)][-4:]


def test_there_are_enough_value_sets():
    assert len(VALUE_SETS) >= 12
    assert len(MINORS) == 4


def test_lint_finds_nothing(value_set):
    for minor in MINORS:
        report = helm_python.lint(CHART, VALUE_SETS[value_set], strict=True, namespace=NAMESPACE, kube_version=f"v{minor}.0")
        findings = [message for message in report["messages"] if message["severity"] > 1]
        assert not findings and not report["errors"], (minor, report)
        assert report["total_charts_linted"] == 1


@pytest.mark.parametrize("minor", MINORS)
def test_kubernetes_takes_every_object(value_set, minor):
    checked = 0
    for item in render(VALUE_SETS[value_set], f"v{minor}.0"):
        if (item["apiVersion"], item["kind"]) in CUSTOM_KINDS:
            continue
        # An unknown kind raises SchemaNotFoundError here; unknown fields are refused by the strict schemas.
        assert kubernetes_validate.utils.validate(item, minor, strict=True) == minor
        checked += 1
    assert checked >= 4


def pods(item):
    if item["kind"] in ("Deployment", "StatefulSet"):
        return [item["spec"]["template"]]
    return [item] if item["kind"] == "Pod" else []


def test_pods_meet_the_restricted_standard(value_set):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a bit more: no token, a read-only file system, limits."""
    found = [pod for item in rendered(value_set).objects for pod in pods(item)]
    assert found
    for pod in found:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec.get("volumes", []))
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["runAsNonRoot"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert "privileged" not in security and "hostPort" not in str(container.get("ports"))
            assert not container["image"].endswith(":latest") and (":" in container["image"] or "@" in container["image"])
            if value_set != "redis_bundled_in_memory":
                assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]


def test_names_are_unique_valid_and_in_the_namespace(value_set):
    seen = set()
    for item in rendered(value_set).objects:
        metadata = item["metadata"]
        identity = (item["apiVersion"], item["kind"], metadata["name"])
        assert identity not in seen
        seen.add(identity)
        assert metadata["namespace"] == NAMESPACE
        assert len(metadata["name"]) <= 63
        assert {"app.kubernetes.io/name", "app.kubernetes.io/instance", "helm.sh/chart"} <= set(metadata["labels"])


def matches(selector, labels):
    for key, wanted in selector.get("matchLabels", {}).items():
        if labels.get(key) != wanted:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def test_what_refers_to_something_finds_it(value_set):
    """Selectors select, ports exist, mounts have volumes, config maps and accounts are there: what Kubernetes would only show at run time."""
    found = rendered(value_set)
    workloads = found.all("Deployment") + found.all("StatefulSet")
    templates = [item["spec"]["template"] for item in workloads]
    for item in workloads:
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert matches(item["spec"]["selector"], labels)
        assert sum(matches(item["spec"]["selector"], other["metadata"]["labels"]) for other in templates) == 1
    ports = lambda template: {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
    for service in found.all("Service"):
        [selected] = [one for one in templates if matches({"matchLabels": service["spec"]["selector"]}, one["metadata"]["labels"])]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(selected)
    for item in found.all("PodDisruptionBudget"):
        assert sum(matches(item["spec"]["selector"], one["metadata"]["labels"]) for one in templates) == 1
    for item in found.all("NetworkPolicy"):
        [selected] = [one for one in templates if matches(item["spec"]["podSelector"], one["metadata"]["labels"])]
        named = {port["port"] for rule in item["spec"]["ingress"] for port in rule["ports"]}
        assert named and named <= ports(selected)
        assert set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    for item in found.all("HorizontalPodAutoscaler"):
        assert item["spec"]["scaleTargetRef"]["name"] in found.names("Deployment")
        assert "replicas" not in found.get("Deployment", item["spec"]["scaleTargetRef"]["name"])["spec"]
    for item in found.all("ServiceMonitor"):
        selected = [one for one in found.all("Service") if matches(item["spec"]["selector"], one["metadata"]["labels"])]
        assert len(selected) == len(found.all("Deployment"))
        assert all("admin" in {port["name"] for port in one["spec"]["ports"]} for one in selected)
    for template in templates:
        spec = template["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        claims = {claim["metadata"]["name"] for item in workloads for claim in item["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])}
        assert set(volumes) <= mounted <= set(volumes) | claims
        for volume in volumes.values():
            if "configMap" in volume:
                given = VALUE_SETS[value_set].get("security", {}).get("jwks", {}).get("existingConfigMap")
                assert volume["configMap"]["name"] in (*found.names("ConfigMap"), given)
        account = spec["serviceAccountName"]
        assert account in found.names("ServiceAccount") or not VALUE_SETS[value_set].get("serviceAccount", {"create": True})["create"]


def test_the_pod_outlives_its_drain(value_set):
    found = rendered(value_set)
    for role in {"server", "collector"} & {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in found.all("Deployment")}:
        pod, container = found.pod(role), found.container(role)
        grace = int(tomllib.loads(found.settings(role))["shutdown"]["grace_s"])
        wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert grace >= 30
        # A second is for the last batch, after the grace.
        assert pod["terminationGracePeriodSeconds"] >= wait + grace + 2


def binary():
    given = os.environ.get("CROSSMARKET_BINARY", ROOT / "target" / "debug" / "crossmarket")
    return pathlib.Path(given) if pathlib.Path(given).is_file() else None


def test_the_process_takes_its_settings(value_set, tmp_path):
    """The real binary reads the rendered file: every key exists and every value is allowed."""
    if binary() is None:
        pytest.skip("the crossmarket binary is not built, so the rendered settings were not read by it")
    found = rendered(value_set)
    for role in ("server", "collector"):
        try:
            settings = found.settings(role)
        except ValueError:
            continue
        # The contents of a Secret are read with them.
        (tmp_path / "clients.toml").write_text(f'[desk]\nkey_hashes = ["sha256:{"0" * 64}"]\nscopes = ["prices"]\n')
        file = tmp_path / f"{role}.toml"
        file.write_text(settings.replace("/etc/crossmarket/clients/", f"{tmp_path}/"))
        check = subprocess.run([binary(), "config", "check", "--config", file], capture_output=True, text=True, env={})
        assert check.returncode == 0, f"{settings}\n{check.stdout}{check.stderr}"
