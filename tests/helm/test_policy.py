"""What checkov's policies for Kubernetes say, beside the assertions of test_every_set."""
import json
import pathlib
import subprocess

import pytest
import yaml
from conftest import ROOT, VALUE_SETS, render

CHECKOV = ROOT / "target" / "tools" / "checkov" / "bin" / "checkov"

# Policies that the chart does not follow, each with the reason.
SKIPPED = {
    "CKV_K8S_11": "no CPU limits: throttling would be latency, and requests already share a node fairly",
    "CKV_K8S_15": "IfNotPresent: images have versions; image.pullPolicy may say Always",
    "CKV_K8S_43": "a digest is known where the image is pushed: image.digest",
    "CKV_K8S_8": "only the test's pod has no probes: it is one call and ends",
    "CKV_K8S_9": "as above",
    "CKV2_K8S_6": "only the test's pod has no policy of its own",
}


def failures(directory, *arguments):
    command = [CHECKOV, "--directory", directory, "--framework", "kubernetes", "--skip-download", "--output", "json", *arguments]
    report = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert report["summary"]["passed"] > 100 and report["summary"]["parsing_errors"] == 0
    return {(one["check_id"], one["resource"].split(".")[0]) for one in report["results"]["failed_checks"]}


@pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed, so its policies were not asked")
def test_checkov_finds_nothing_but_what_is_meant(tmp_path: pathlib.Path):
    for name in ("minimal", "production", "tls_mutual"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all(render(VALUE_SETS[name])))
    found = failures(tmp_path)
    assert {check for check, _ in found} == set(SKIPPED)
    assert {kind for check, kind in found if check in ("CKV_K8S_8", "CKV_K8S_9")} == {"Pod"}
