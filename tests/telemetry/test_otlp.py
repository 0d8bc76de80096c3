"""Traces and metrics as a real collector receives them from the real binary."""
import json
import re
import socket
import subprocess
import time

import pytest
from conftest import attributes_of, grpc, sample
from running import BINARY, ended_in, page, wait_for

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
ERROR = 2
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


def trace_of(receiver, span):
    """The spans above one, the nearest first."""
    above = []
    while span.parent:
        found = receiver.spans(trace=span.trace, id=span.parent)
        if not found:
            return None
        span = found[0]
        above.append(span)
    return above


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_trace_follows_a_datum_from_fetch_to_frame(running, receiver, collector, protocol):
    settings = [f"telemetry.otlp_endpoint={collector[protocol]}", f"telemetry.otlp_protocol={protocol}", "telemetry.sample_ratio=1"]
    demo, address, _, _ = running.demo(*settings)
    watch = running.start([BINARY, "watch", "BTC", "ETH", "SOL", "--json", "--server", f"http://{address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def whole():
        """A frame, and the spans from the applied batch that it delivered up to the request."""
        for frame in receiver.spans(name="frame"):
            for trace, applied in frame.links:
                for span in receiver.spans(trace=trace, id=applied):
                    above = trace_of(receiver, span)
                    if above and above[-1].name == "collect" and receiver.spans(trace=trace, name="GET") and receiver.spans(trace=trace, name="parse"):
                        return frame, [span, *above]
        return None

    frame, chain = wait_for("a whole trace", whole)
    assert [span.name for span in chain] == ["apply", "write", "aggregate", "collect"]
    applied, write, aggregate, collect = chain
    assert (applied.kind, write.kind, frame.kind) == (CONSUMER, CLIENT, PRODUCER)
    assert frame.attributes["crossmarket.state_count"] >= 1
    for name in ("GET", "parse"):
        assert collect.id in {span.parent for span in receiver.spans(trace=collect.trace, name=name)}
    [fetch, *_] = receiver.spans(trace=collect.trace, name="GET")
    assert fetch.kind == CLIENT
    assert (fetch.attributes["http.request.method"], fetch.attributes["http.response.status_code"]) == ("GET", 200)
    assert fetch.attributes["server.address"] == "127.0.0.1" and fetch.attributes["url.full"].startswith("http://127.0.0.1:")
    assert all("?" not in span.attributes["url.full"] for span in receiver.spans(name="GET")), "a query may hold a key"
    assert collect.attributes["crossmarket.venue"] and collect.attributes["crossmarket.feed"]
    assert (write.attributes["db.system.name"], write.attributes["db.operation.name"]) == ("memory", "write")
    assert write.attributes["db.operation.batch.size"] == aggregate.attributes["crossmarket.state_count"] >= applied.attributes["crossmarket.state_count"] > 0
    assert {"service.name", "service.version", "service.instance.id"} <= set(applied.resource) and applied.resource["service.name"] == "crossmarket"
    # The stream's own span ends with it, and its frames are in it.
    watch.terminate()
    [call] = wait_for("the stream's span", lambda: receiver.spans(trace=frame.trace, id=frame.parent))
    assert (call.name, call.kind) == ("crossmarket.v1.PriceService/WatchPriceSnapshots", SERVER)
    assert call.attributes["rpc.response.status_code"] == "CANCELLED"
    # Pending data is sent at the end.
    assert ended_in(demo) < 5


def test_ratios_and_index_levels_are_followed_too(running, receiver, collector):
    running.demo(f"telemetry.otlp_endpoint={collector['grpc']}", "telemetry.sample_ratio=1")

    def aggregated(feed):
        """A batch that resulted from such an answer, and was applied."""
        asked = {(span.trace, span.id) for span in receiver.spans(name="collect") if span.attributes["crossmarket.feed"] == feed}
        applied = {(span.trace, span.parent) for span in receiver.spans(name="apply")}
        written = {(span.trace, span.parent) for span in receiver.spans(name="write") if (span.trace, span.id) in applied}
        made = (batch for batch in receiver.spans(name="aggregate") if (batch.trace, batch.id) in written)
        return next((batch for batch in made if asked & {(batch.trace, batch.parent), *batch.links}), None)

    for feed, shard in (("long-short-ratios", 0), ("index-levels", 1)):
        batch = wait_for(f"a batch with {feed}", lambda: aggregated(feed))
        assert batch.attributes["crossmarket.shard"] == shard


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_call_is_recorded_as_its_caller_decided(running, receiver, collector, protocol):
    # The standard variables, and nothing of what begins here is recorded.
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                   "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0", "OTEL_SERVICE_NAME": "market"}
    demo, address, admin, log = running.demo(environment=environment, log="debug")
    unsampled = "11111111111111111111111111111111"
    assert running.get(address, TRACEPARENT=f"00-{unsampled}-{CALLER}-00").returncode == 0
    assert running.get(address, TRACEPARENT=f"00-{TRACE}-{CALLER}-01", TRACESTATE="vendor=1").returncode == 0
    channel = grpc.insecure_channel(address)
    for method, expected in (("crossmarket.v1.PriceService/GetPriceSnapshot", "INVALID_ARGUMENT"), ("no.Such/Method", "UNIMPLEMENTED")):
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/{method}")(b"", metadata=[("traceparent", f"00-{TRACE}-{CALLER}-01")], timeout=10)
        assert refused.value.code().name == expected
    spans = wait_for("three calls", lambda: found if len(found := receiver.spans(trace=TRACE, parent=CALLER)) >= 3 else None)
    assert {span.trace for span in receiver.spans()} == {TRACE}, "an unsampled caller's call is recorded nowhere, nor is what begins here"
    by_status = {span.attributes["rpc.response.status_code"]: span for span in spans}
    assert set(by_status) == {"OK", "INVALID_ARGUMENT", "UNIMPLEMENTED"}
    well = by_status["OK"]
    assert (well.name, well.kind, well.status) == ("crossmarket.v1.PriceService/GetPriceSnapshot", SERVER, 0)
    assert well.resource["service.name"] == "market"
    assert well.attributes["rpc.system.name"] == "grpc" and well.attributes["rpc.method"] == well.name
    assert well.attributes["server.address"] == "127.0.0.1" and well.attributes["server.port"] == int(address.rsplit(":")[-1])
    assert by_status["INVALID_ARGUMENT"].attributes["error.type"] == "INVALID_ARGUMENT" and by_status["INVALID_ARGUMENT"].status == 0
    assert (by_status["UNIMPLEMENTED"].name, by_status["UNIMPLEMENTED"].attributes["rpc.method"]) == ("grpc", "_OTHER")
    assert by_status["UNIMPLEMENTED"].status == ERROR
    ended = lambda: [line for line in log.read_text().splitlines() if "call ended" in line and f"trace_id={TRACE}" in line]
    lines = wait_for("three lines", lambda: found if len(found := ended()) >= 3 else None)
    assert len(lines) == 3 and all(re.search(r"span_id=[0-9a-f]{16}$", line) for line in lines)
    assert sum(f"span_id={span.id}" in "\n".join(lines) for span in spans) == 3
    # They are counted when the collector has answered, which may be after it has handed them on.
    wait_for("the count", lambda: sample(admin, "crossmarket_trace_spans_exported_total") >= 3)
    assert sample(admin, "crossmarket_trace_spans_exported_total") == 3
    assert ended_in(demo) < 5


def test_log_lines_in_json_carry_the_trace_too(running, receiver, collector):
    settings = [f"telemetry.otlp_endpoint={collector['grpc']}", "telemetry.sample_ratio=0", "telemetry.log_format=json"]
    _, address, _, log = running.demo(*settings, log="debug")
    assert running.get(address, TRACEPARENT=f"00-{TRACE}-{CALLER}-01").returncode == 0
    lines = [json.loads(line) for line in log.read_text().splitlines() if "call ended" in line]
    with_trace = [line for line in lines if line.get("trace_id")]
    assert [line["trace_id"] for line in with_trace] == [TRACE] and re.fullmatch("[0-9a-f]{16}", with_trace[0]["span_id"])
    assert len(lines) > len(with_trace), "calls that are not recorded have no ids"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_metrics_arrive_as_they_are_shown(running, receiver, collector, protocol):
    settings = [f"telemetry.otlp_endpoint={collector[protocol]}", f"telemetry.otlp_protocol={protocol}", "telemetry.otlp_metrics_interval_ms=500", "telemetry.sampler=always_off"]
    demo, address, admin, _ = running.demo(*settings)

    def counted():
        metric, resource = receiver.metrics.get("crossmarket_rpc_calls_total", (None, None))
        points = metric.sum.data_points if metric else []
        found = [point for point in points if attributes_of(point.attributes).get("rpc_method") == "GetPriceSnapshot"]
        return (metric, resource, found) if any(attributes_of(point.attributes)["code"] == "OK" for point in found) else None

    metric, resource, _ = wait_for("calls", counted)
    assert metric.sum.is_monotonic and metric.sum.aggregation_temporality == 2
    assert resource["service.name"] == "crossmarket" and resource["service.version"] and resource["service.instance.id"]
    shown = set(re.findall(r"^# TYPE (\S+)", page(admin), re.M))
    wait_for("every metric", lambda: shown <= set(receiver.metrics))
    [duration, *_] = receiver.metrics["crossmarket_rpc_duration_seconds"][0].histogram.data_points
    assert sum(duration.bucket_counts) == duration.count > 0 and len(duration.bucket_counts) == len(duration.explicit_bounds) + 1
    assert not receiver.spans()
    assert ended_in(demo) < 5


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("fault", ["dead", "black hole"])
def test_an_endpoint_that_takes_nothing_harms_nobody(running, fault, protocol):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        # Connections are made by the system and never answered.
        if fault == "black hole":
            hole.listen(64)
        endpoint = f"http://127.0.0.1:{hole.getsockname()[1]}"
        settings = [f"telemetry.otlp_endpoint={endpoint}", f"telemetry.otlp_protocol={protocol}", "telemetry.sample_ratio=1",
                    "telemetry.otlp_metrics_interval_ms=500", "telemetry.otlp_timeout_ms=500"]
        # The demo grows by itself while it loads its histories; so does one that sends nothing, which began earlier.
        _, other_address, other_admin, _ = running.demo()
        demo, address, admin, _ = running.demo(*settings)
        calls = [caller(address), caller(other_address)]
        for _ in range(300):
            for call in calls:
                call()
        wait_for("spans to be dropped", lambda: sample(admin, "crossmarket_trace_spans_dropped_total"))
        assert sample(admin, "crossmarket_trace_spans_exported_total") == 0
        assert "crossmarket_trace_spans" not in page(other_admin)
        more = sample(admin, "process_resident_memory_bytes") - sample(other_admin, "process_resident_memory_bytes")
        assert more < 32 << 20, f"{more} bytes"
        begun = time.monotonic()
        calls[0]()
        assert time.monotonic() - begun < 5
        assert ended_in(demo) < 5


def caller(address):
    get = grpc.insecure_channel(address).unary_unary("/crossmarket.v1.PriceService/GetPriceSnapshot")
    # asset = "BTC"
    return lambda: get(b"\x0a\x03BTC", timeout=5)
