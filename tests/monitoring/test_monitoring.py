"""Alert rules and dashboard: they parse, fire when they should and only then, name real metrics, and are explained."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "helm" / "crossmarket" / "files"
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on this machine, so the alert rules were not run")


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_the_rules_fire_when_they_should():
    run(PROMTOOL, "check", "rules", FILES / "alerts.yaml")
    run(PROMTOOL, "test", "rules", ROOT / "tests" / "monitoring" / "alerts_test.yaml")


@needs_promtool
def test_every_query_of_the_dashboard_parses(tmp_path):
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 40
    rules = [{"record": f"panel:{index}", "expr": text.replace("$__rate_interval", "5m").replace("$namespace", ".*")} for index, text in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(PROMTOOL, "check", "rules", file)


def test_every_alert_is_seen_to_fire_and_to_be_still():
    tests = yaml.safe_load((ROOT / "tests" / "monitoring" / "alerts_test.yaml").read_text())["tests"]
    seen = {(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]}
    assert seen == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}


def test_every_alert_is_explained():
    headings = re.findall(r"^### (Crossmarket\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.M)
    assert sorted(headings) == sorted(rule["alert"] for rule in RULES)
    assert all(rule["labels"]["severity"] in ("critical", "warning", "info") and rule["annotations"]["summary"] for rule in RULES)


def test_alerts_that_wait_for_their_metrics_are_named():
    later = set(re.findall(r"^\| `([a-z_]+)` \| \w+, later \|", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    waiting = [rule["alert"] for rule in RULES if {re.sub("_bucket$", "", name) for name in re.findall(r"crossmarket_[a-z_]+", rule["expr"])} & later]
    told = re.findall(r"cannot fire until a version exposes them:\n((?:Crossmarket.*\n)+)", (ROOT / "docs" / "operations.md").read_text())
    assert re.findall(r"Crossmarket\w+", "".join(told)) == sorted(waiting)


def test_queries_name_what_there_is():
    run(sys.executable, ROOT / "scripts" / "dashboard", "--check")


def test_panels_do_not_overlap():
    taken = set()
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_compose_has_its_parts_and_files():
    services = compose()["services"]
    assert {"server-1", "server-2", "collector-1", "collector-2", "redis", "otel", "prometheus", "grafana"} <= set(services)
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose()["volumes"], (name, volume)
        for port in service.get("ports", []):
            # Grafana lets anybody in, Redis has no password: nothing but loopback is for this.
            assert port.startswith("127.0.0.1:"), (name, port)
    scraped = yaml.safe_load((ROOT / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {target.split(":")[0] for job in scraped for static in job["static_configs"] for target in static["targets"]}
    assert targets == {name for name, service in services.items() if service.get("build") == "."}


@needs_promtool
def test_compose_s_prometheus_is_configured(tmp_path):
    # Where they lie in the container.
    for source in (ROOT / "compose" / "prometheus.yaml", FILES / "alerts.yaml"):
        shutil.copy(source, tmp_path)
    run(PROMTOOL, "check", "config", tmp_path / "prometheus.yaml")
