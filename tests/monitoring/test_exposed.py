"""The real binary exposes exactly the metrics of docs/metrics.md, and every query of the alerts and the dashboard names some of them."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from running import BINARY, ROOT, Running, page, wait_for  # noqa: E402

pytestmark = [
    pytest.mark.skipif(not BINARY.is_file(), reason="the crossmarket binary is not built, so its metrics were not looked at"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not on this machine, so the metrics of roles were not looked at"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine, so the metrics of certificates were not looked at"),
]


@pytest.fixture
def running(tmp_path):
    running = Running(tmp_path)
    yield running
    running.stop()


def redis(running):
    port = 20_000 + os.getpid() % 20_000
    running.start(["redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
    return f"redis://127.0.0.1:{port}"


def certificate(directory):
    """A certificate that signs itself and its key."""
    files = directory / "tls.crt", directory / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]],
                   check=True, capture_output=True)
    return files


def test_the_binary_exposes_what_is_documented(running, tmp_path):
    public, private = certificate(tmp_path)
    tls = ["--set", f"security.tls.certificate_file={public}", "--set", f"security.tls.key_file={private}"]
    # Spans are counted where there is somewhere to send them; nobody takes them there.
    _, grpc, demo, _ = running.service("demo", *tls, "--set", "telemetry.otlp_endpoint=http://127.0.0.1:1")
    store = redis(running)
    _, _, collector, _ = running.service("serve", "--role", "collector", "--store", store)
    _, _, server, _ = running.service("serve", "--role", "server", "--store", store)
    wait_for("a price", lambda: subprocess.run([BINARY, "get", "BTC", "--server", f"https://{grpc}", "--ca", public], capture_output=True).returncode == 0)
    # A feed tells of itself every few seconds; the demo has venues that do not answer for some instruments.
    shown = ("crossmarket_ready 1", "crossmarket_feed_age_seconds{", "crossmarket_feed_rejections_total{")
    wait_for("feeds that tell of themselves", lambda: all(text in page(demo) for text in shown))
    wait_for("the lease", lambda: re.search(r'crossmarket_lease_held\{shard="0"\} 1', page(collector)))
    files = []
    for name, address in (("all", demo), ("collector", collector), ("server", server)):
        text = page(address)
        files.append(tmp_path / f"{name}.metrics")
        files[-1].write_text(text)
        assert f'role="{name}"' in text
        # A server has no lease, and says nothing rather than 0.
        assert ("crossmarket_lease_held" in text) == (name != "server")
        assert text.count("\n") < 5_000, "labels are bounded"
        if shutil.which("promtool"):
            lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            assert lint.returncode == 0, lint.stdout + lint.stderr
    result = subprocess.run([sys.executable, ROOT / "scripts" / "dashboard", "--exposed", *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
