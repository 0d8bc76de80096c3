"""Calls every RPC of a running demo with the official Python client, knowing the API from server reflection alone.

Usage: reflection.py PATH_TO_CROSSMARKET. Starts the demo on free ports, and stops it.
"""

import signal
import subprocess
import sys
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from google.rpc import error_details_pb2

PACKAGE = "crossmarket.v1."


class Api:
    """The API as reflection describes it."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.services = [name for name in self.database.get_services() if name.startswith(PACKAGE)]

    def call(self, service, method, fields=None, timeout=10):
        descriptor = self.pool.FindServiceByName(PACKAGE + service).methods_by_name[method]
        request = message_factory.GetMessageClass(descriptor.input_type)(**(fields or {}))
        response_class = message_factory.GetMessageClass(descriptor.output_type)
        path = f"/{PACKAGE}{service}/{method}"
        codec = dict(request_serializer=lambda m: m.SerializeToString(), response_deserializer=response_class.FromString)
        if descriptor.client_streaming:
            return self.channel.stream_stream(path, **codec)(iter([request]), timeout=timeout)
        if descriptor.server_streaming:
            return self.channel.unary_stream(path, **codec)(request, timeout=timeout)
        return self.channel.unary_unary(path, **codec)(request, timeout=timeout)


def start(binary):
    process = subprocess.Popen(
        [binary, "demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        for word in line.split():
            if word.startswith("grpc="):
                return process, word.removeprefix("grpc=")
    raise SystemExit("the demo ended before it listened")


def wait_until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        time.sleep(0.1)
    raise SystemExit(f"gave up waiting until {what}")


def expect_error(call, code, field=None):
    try:
        response = call()
        if hasattr(response, "__next__"):
            next(response)
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        if field:
            status = rpc_status.from_call(error)
            fields = []
            for detail in status.details:
                request = error_details_pb2.BadRequest()
                if detail.Unpack(request):
                    fields += [violation.field for violation in request.field_violations]
            assert field in fields, (field, fields, error.details())
        return error.details()
    raise AssertionError(f"expected {code}")


def check(api):
    health = health_pb2_grpc.HealthStub(api.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    wait_until("the service is healthy", lambda: health.Check(health_pb2.HealthCheckRequest()).status == serving)
    wait_until("BTC has a price", lambda: api.call("PriceService", "GetPriceSnapshot", {"asset": "BTC"}).snapshot.price)

    full = api.call("PriceService", "GetPriceSnapshot", {"asset": "btc", "view": 2}).snapshot
    assert full.asset == "BTC" and full.simulated and full.aggregation.contributions, full
    print(f"BTC {full.price} {full.quote_currency} from {full.aggregation.venue_count} venues, simulated: {full.simulated}")

    listed = api.call("PriceService", "ListPriceSnapshots", {"page_size": 5, "order_by": "market_cap desc"})
    print("largest:", ", ".join(f"{s.asset} {s.price}" for s in listed.snapshots))
    assert listed.next_page_token

    stream = api.call("PriceService", "WatchPriceSnapshots", {"assets": ["BTC", "NOSUCHCOIN"]}, timeout=20)
    frames = [next(stream)]
    while frames[-1].state != 2:
        frames.append(next(stream))
    items = {item.item: item.state for frame in frames for item in frame.items}
    assert items.get("NOSUCHCOIN") == 3, items
    cursor = frames[-1].cursor
    stream.cancel()
    resumed = next(api.call("PriceService", "WatchPriceSnapshots", {"assets": ["BTC"], "resume_cursor": cursor}, timeout=20))
    print(f"watched {len(frames)} frames, resumed with state {resumed.state}")

    daily = {"asset": "BTC", "interval": 3}
    wait_until("BTC has a history", lambda: api.call("PriceService", "ListCandles", daily).candles)
    candles = api.call("PriceService", "ListCandles", daily)
    print(f"{len(candles.candles)} daily candles of BTC")
    venues = api.call("CatalogService", "ListVenues").venues
    feeds = api.call("CatalogService", "ListFeeds").feeds
    print(f"{len(venues)} venues, {len(feeds)} feeds")
    assert venues and feeds

    text = expect_error(
        lambda: api.call("PriceService", "GetPriceSnapshot", {"asset": "NOSUCHCOIN"}), grpc.StatusCode.NOT_FOUND
    )
    assert "NOSUCHCOIN" in text
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    expect_error(lambda: api.call("PriceService", "ListPriceSnapshots", {"page_token": "bent"}), invalid, "page_token")
    expect_error(lambda: api.call("PriceService", "ListPriceSnapshots", {"assets": ["X"] * 2000}), invalid, "assets")
    expect_error(
        lambda: api.call("PriceService", "WatchPriceSnapshots", {"resume_cursor": "bent"}), invalid, "resume_cursor"
    )

    answered, later = 0, 0
    for name in api.services:
        service = api.pool.FindServiceByName(name)
        for method in service.methods:
            try:
                response = api.call(name.removeprefix(PACKAGE), method.name, timeout=5)
                if hasattr(response, "__next__"):
                    next(response)
                    response.cancel()
                answered += 1
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    assert error.details(), f"{name}/{method.name} says nothing"
                    later += 1
                else:
                    assert error.code() in (invalid, grpc.StatusCode.NOT_FOUND), (name, method.name, error)
                    answered += 1
    print(f"every RPC was called: {answered} implemented, {later} answer UNIMPLEMENTED")
    assert answered >= 8


def main():
    process, address = start(sys.argv[1])
    try:
        with grpc.insecure_channel(address) as channel:
            check(Api(channel))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=15)
    assert code == 0, f"the demo ended with {code}"
    print("the demo ended with 0 after SIGTERM")


if __name__ == "__main__":
    main()
