"""Runs the real binary against a real OpenTelemetry collector (rotel), which hands on what it took to a receiver that the tests read."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent import futures

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from running import BINARY, Running, page, wait_for  # noqa: E402

grpc = pytest.importorskip("grpc", reason="grpcio is not installed, so no traces were looked at")
pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto is not installed, so no traces were looked at")
rotel = pytest.importorskip("rotel", reason="rotel is not installed, so no traces were looked at")

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.metrics.v1 import metrics_pb2  # noqa: E402

# A collector that works hands on within a fraction of a second.
START_ATTEMPTS, START_PATIENCE_S = 4, 15
ROTEL = pathlib.Path(rotel.__file__).with_name("rotel-agent")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def attributes_of(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


class Span:
    """A span as it came."""

    def __init__(self, span, resource):
        self.name, self.kind, self.resource = span.name, span.kind, resource
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.attributes, self.status = attributes_of(span.attributes), span.status.code


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self):
        self.lock, self.held, self.metrics = threading.Lock(), [], {}
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        metrics = type("Metrics", (metrics_service_pb2_grpc.MetricsServiceServicer,), {"Export": lambda _, request, context: self.measured(request)})
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        with self.lock:
            for part in request.resource_spans:
                resource = attributes_of(part.resource.attributes)
                self.held += [Span(span, resource) for scope in part.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def measured(self, request):
        with self.lock:
            for part in request.resource_metrics:
                resource = attributes_of(part.resource.attributes)
                for scope in part.scope_metrics:
                    for metric in scope.metrics:
                        self.metrics[metric.name] = (metric, resource)
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def spans(self, **wanted):
        with self.lock:
            return [span for span in self.held if all(getattr(span, name) == value for name, value in wanted.items())]


class Market(Running):
    """The demo, and calls of it."""

    def demo(self, *settings, environment=None, log="warn"):
        """Starts the demo; returns its process, where it answers gRPC, the admin port's address, and its log file."""
        given = [part for setting in settings for part in ("--set", setting)]
        started = self.service("demo", *given, environment=environment, log=log)
        wait_for("a price", lambda: self.get(started[1]).returncode == 0)
        return started

    def get(self, address, **variables):
        command = [BINARY, "get", "BTC", "--server", f"http://{address}", "--timeout", "5s"]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})


def sample(address, name):
    """The sum of a metric's samples."""
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page(address), re.M)
    return sum(map(float, found))


@pytest.fixture
def running(tmp_path):
    running = Market(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.stop(None)


@pytest.fixture
def collector(running, receiver):
    """A running rotel: its endpoint by protocol. Now and then one comes up that answers UNAVAILABLE for good, or finds its ports taken; then it is started
    again, for it is not what is tested."""
    for _ in range(START_ATTEMPTS):
        grpc_port, http_port = free_port(), free_port()
        process = running.start(
            [ROTEL, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}", "--otlp-http-endpoint", f"127.0.0.1:{http_port}",
             "--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{receiver.port}", "--otlp-exporter-protocol", "grpc",
             "--disable-batching"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        endpoints = {"grpc": f"http://127.0.0.1:{grpc_port}", "http/protobuf": f"http://127.0.0.1:{http_port}"}
        if hands_on(endpoints, receiver):
            return endpoints
        process.kill()
    raise AssertionError("rotel hands nothing on")


def hands_on(endpoints, receiver):
    """Whether a metric that is sent in either way arrives within a while."""
    until = time.monotonic() + START_PATIENCE_S
    for protocol, send in (("grpc", send_by_grpc), ("http/protobuf", send_by_http)):
        name = f"probe.{protocol}"
        value = metrics_pb2.NumberDataPoint(as_int=1, time_unix_nano=time.time_ns())
        metric = metrics_pb2.Metric(name=name, gauge=metrics_pb2.Gauge(data_points=[value]))
        scope = metrics_pb2.ScopeMetrics(metrics=[metric])
        request = metrics_service_pb2.ExportMetricsServiceRequest(resource_metrics=[metrics_pb2.ResourceMetrics(scope_metrics=[scope])])
        while name not in receiver.metrics:
            if time.monotonic() > until:
                return False
            try:
                send(endpoints[protocol], request)
            except (grpc.RpcError, OSError):
                pass
            time.sleep(0.1)
    return True


def send_by_grpc(endpoint, request):
    with grpc.insecure_channel(endpoint.removeprefix("http://")) as channel:
        metrics_service_pb2_grpc.MetricsServiceStub(channel).Export(request, timeout=2)


def send_by_http(endpoint, request):
    headers = {"content-type": "application/x-protobuf"}
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/v1/metrics", request.SerializeToString(), headers), timeout=2).close()


def pytest_collection_modifyitems(items):
    if not BINARY.is_file():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="the crossmarket binary is not built, so no traces were looked at"))
