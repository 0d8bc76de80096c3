"""Checks IndexService against numpy and pandas: imports the recorded histories into a service that asks no venue, and calls it.

Usage: index_service.py PATH_TO_CROSSMARKET. Windows and dates are drawn at random, from the seed that is printed.
"""

import os
import random
import re
import subprocess
import sys
import tempfile

import grpc
import pandas as pd
from google.protobuf import duration_pb2, timestamp_pb2  # noqa: F401  known to the pool before reflection asks for them

import calendar_new_york as calendar
import definitions
import histories
from index_figures import same
from reflection import Api, wait_until

DAY = definitions.DAY
NEW_YORK = "America/New_York"


def instant(time):
    return {"seconds": int(pd.Timestamp(time, tz="UTC").timestamp())}


def moment(timestamp):
    return pd.Timestamp(timestamp.seconds, unit="s", tz="UTC")


def day_of(timestamp, at_session_close):
    """The day of a sample: its session's date in New York, or the UTC day that ends with it."""
    time = moment(timestamp)
    if at_session_close:
        return time.tz_convert(NEW_YORK).normalize().tz_localize(None)
    return (time - DAY).tz_localize(None)


def end_of(date):
    return instant(date + DAY)


def value(message, field):
    return getattr(message, field) if message.HasField(field) else None


class Served:
    """A service on imported histories, and the same histories read by pandas."""

    def __init__(self, binary, files, read):
        self.binary, self.read = binary, read
        self.folder = tempfile.TemporaryDirectory()
        self.store = f"embedded:{self.folder.name}/data"
        for code, path in files.items():
            subprocess.run([binary, "import", code, path, "--store", self.store], check=True, capture_output=True, text=True)
        self.series = {code: read(code, path) for code, path in files.items()}

    def __enter__(self):
        shown = subprocess.run([self.binary, "config", "show"], check=True, capture_output=True, text=True).stdout
        venues = sorted(set(re.findall(r"venues\.([a-z0-9-]+)\.enabled", shown)))
        assert len(venues) > 5, shown
        config = os.path.join(self.folder.name, "no-venues.toml")
        with open(config, "w") as file:
            file.write("[venues]\n" + "".join(f"{venue}.enabled = false\n" for venue in venues))
        self.log = open(os.path.join(self.folder.name, "log"), "w")
        arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", self.store, "--config", config]
        self.process = subprocess.Popen([self.binary, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        address = next(word.removeprefix("grpc=") for word in line.split() if word.startswith("grpc="))
        self.api = Api(grpc.insecure_channel(address))
        wait_until("histories are served", lambda: self.call("GetCycles", index="BTC").cycles.observation_count > 0)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()
        self.folder.cleanup()

    def call(self, method, **fields):
        return self.api.call("IndexService", method, fields, timeout=60)


def is_exchange_traded(code):
    return code in histories.EXCHANGE_TRADED


def series_of(served, code):
    """The closes of a code or a quotient."""
    above, _, below = code.partition("/")
    closes = served.series[above]
    return (closes / served.series[below]).dropna() if below else closes


def compare(served, draw, count):
    codes = list(served.series) + ["ETH/BTC", "RUT/BTC"]
    done = 0
    while done < count:
        subject, benchmark = draw.sample(codes, 2)
        sides = series_of(served, subject), series_of(served, benchmark)
        first, last = max(side.index[0] for side in sides), min(side.index[-1] for side in sides)
        if first >= last:
            continue
        traded = [is_exchange_traded(code) for code in f"{subject}/{benchmark}".split("/")]
        end = first + draw.randrange((last - first).days + 1) * DAY
        start = end - draw.choice([9, 14, 40, 400, 4000]) * DAY
        sessions = calendar.sessions(first - 400 * DAY, end) if any(traded) else pd.date_range(first - 400 * DAY, end)
        lookback = draw.choice([None, 10, 90, 252, 1000])
        weekly = draw.random() < 0.3
        periods = 52 if weekly else 252 if any(traded) else 365
        window = dict(end=end, weekly=weekly, **({"lookback": lookback} if lookback else {"start": start}))
        expected = definitions.comparison(*sides, sessions, periods, **window)
        request = dict(benchmark=benchmark, subjects=[subject], end_time=end_of(end), include_points=True)
        request |= {"lookback_observations": lookback} if lookback else {"start_time": instant(start + DAY / 2)}
        request |= {"frequency": 2 if weekly else 1}
        done += 1
        try:
            check_comparison(served, request, expected, all(traded), any(traded))
        except AssertionError:
            print("in", request, "expected", expected)
            raise


def check_comparison(served, request, expected, both_traded, any_traded):
    if expected is None:
        try:
            served.call("CompareIndices", **request)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
            return
        raise AssertionError("answered with fewer than 10 common sessions")
    (found,) = served.call("CompareIndices", **request).comparisons
    assert (found.calendar, found.alignment) == (2 if any_traded else 1, 1 if both_traded else 2), found
    for name, wanted in expected.items():
        if name in ("start", "end"):
            got = day_of(getattr(found, name + "_time"), both_traded)
            assert got == wanted, (name, got, wanted)
        elif name == "observation_count":
            assert found.observation_count == wanted == len(found.points) - 1, (found.observation_count, wanted)
        elif name == "missing_count":
            # Those before the first sample of a dated window are counted from the side that begins first.
            assert "start_time" in request or found.missing_count == wanted, (found.missing_count, wanted)
        else:
            same(value(found, name), wanted, name)
    last = found.points[-1]
    same(last.subject, 100 + expected["subject_return_percent"], "last point")
    same(last.ratio, 100 + expected["relative_strength_percent"], "last ratio")


def snapshots(served):
    for code in [*served.series, "ETH/BTC", "RUT/BTC"]:
        traded = any(map(is_exchange_traded, code.split("/")))
        closes = series_of(served, code)
        date, previous = closes.index[-1], closes.index[-2]
        found = served.call("GetIndexSnapshot", index=code, view=2).snapshot
        same(float(found.level), closes.iloc[-1], (code, "level"))
        expected = definitions.session_changes(closes, date, previous) if traded else definitions.continuous_changes(closes, date)
        for span, wanted in zip(("1d", "7d", "30d", "ytd"), expected):
            same(value(found, f"change_{span}_percent"), wanted, (code, span))
        level, high_date, drawdown, is_new = definitions.record_high(closes, date)
        high = found.all_time_high
        same(float(high.level), level, (code, "all-time high"))
        assert day_of(high.time, traded) == high_date, (code, moment(high.time), high_date)
        same(value(high, "drawdown_percent"), drawdown, (code, "drawdown"))
        assert high.is_new == is_new, code


def today(ticker):
    """The ticker that the asset has today: answers have that one, whatever the history was imported as."""
    return {"TON": "GRAM"}.get(ticker, ticker)


def seasons(served, caps, draw, count):
    coins = {code: closes for code, closes in served.series.items() if code in caps}
    first, last = coins["BTC"].index[0], coins["BTC"].index[-1]
    reasons = {"InsufficientHistory": 5, "NoData": 7, "NoMarketCap": 8}
    for _ in range(count):
        date = first + draw.randrange((last - first).days + 1) * DAY
        size, days = draw.choice([3, 5, 10, 50]), draw.choice([7, 30, 90, 365])
        score, btc, constituents, excluded = definitions.altcoin_season(coins, caps, date, size, days)
        found = served.call("GetAltcoinSeason", universe_size=size, window_days=days, as_of=end_of(date)).season
        what = (date, size, days)
        assert value(found, "score") == score, (what, value(found, "score"), score)
        same(value(found, "btc_return_percent"), btc, what)
        got = [(one.asset, one.market_cap_rank, one.beat_btc) for one in found.constituents]
        assert got == [(today(ticker), rank, beats) for ticker, rank, _, beats in constituents], (what, got, constituents)
        for one, (ticker, _, wanted, _) in zip(found.constituents, constituents):
            same(one.return_percent, wanted, (what, ticker))
        got = sorted((one.asset, one.reason) for one in found.excluded)
        assert got == sorted((today(ticker), reasons[reason]) for ticker, reason in excluded), (what, got, excluded)
    points, token = [], ""
    while True:
        page = served.call("ListAltcoinSeasonHistory", universe_size=10, page_size=400, page_token=token)
        points += page.points
        token = page.next_page_token
        if not token:
            break
    expected = [(date, definitions.altcoin_season(coins, caps, date, 10, 90)[0]) for date in pd.date_range(first + 90 * DAY, last)]
    got = [(day_of(point.time, False), point.score) for point in points]
    assert got == [(date, score) for date, score in expected if score is not None], (len(got), len(expected))


def cycles(served):
    for code in [*served.series, "ETH/BTC"]:
        closes = series_of(served, code)
        for reversal, tolerance in ((100, 10), (20, 3)):
            found = served.call("GetCycles", index=code, reversal_percent=reversal, level_tolerance_percent=tolerance).cycles
            points = definitions.turning_points(closes, reversal)
            rises = definitions.rallies(points)
            assert found.observation_count == len(closes), (code, found.observation_count, len(closes))
            assert len(found.completed) == len(rises), (code, len(found.completed), len(rises))
            pairs = [pair for pair in zip(points, points[1:]) if pair[0][2]]
            for cycle, wanted, (trough, peak) in zip(found.completed, rises, pairs):
                same(cycle.rally_percent, wanted, (code, "rally"))
                for time, (date, _, _) in ((cycle.trough_time, trough), (cycle.peak_time, peak)):
                    assert day_of(time, is_exchange_traded(code)) == date, (code, moment(time), date)
            same(value(found, "extension_percent"), definitions.extension_percent(rises), (code, "extension"))
            got = [*reversed(found.supports), *found.resistances]
            around = definitions.levels(points, tolerance)
            assert [level.touch_count for level in got] == [touches for _, touches in around], code
            for level, (wanted, _) in zip(got, around):
                same(float(level.level), wanted, (code, "level"))


def cap_indices(served, caps):
    """The sums that the service computes from the market caps and keeps as histories of its own."""
    for code, wanted in definitions.cap_sums(caps).items():
        points = []

        def read(code=code, points=points):
            points[:] = served.call("ListIndexHistory", index=code, page_size=10_000).points
            return len(points) > 0

        wait_until(f"{code} has a history", read)
        dates = [pd.Timestamp(point.time.seconds, unit="s") for point in points]
        assert dates == list(wanted.index), (code, len(dates), len(wanted), dates[:1], dates[-1:])
        for point, level in zip(points, wanted):
            same(float(point.level), level, (code, point.time))


def main():
    folder = histories.shared()
    if folder is None:
        return
    binary = sys.argv[1]
    seed = int(os.environ.get("SEED", "20260115"))
    print(f"seed {seed}")
    draw = random.Random(seed)
    indices, coins, long = histories.index_files(folder), histories.coin_files(folder), histories.long_coin_files(folder)

    def read(code, path):
        if code not in indices:
            return histories.closes_of_coin(path)
        # A file may have rows of days without a session.
        closes = histories.closes_of_index(path)
        return closes[closes.index.isin(calendar.sessions(closes.index[0], closes.index[-1]))]

    with Served(binary, {**indices, **coins}, read) as served:
        caps = {code: histories.market_caps_of_coin(path) for code, path in coins.items()}
        snapshots(served)
        compare(served, draw, 150)
        seasons(served, caps, draw, 60)
        cycles(served)
        cap_indices(served, caps)
    with Served(binary, {**indices, **long}, read) as served:
        snapshots(served)
        compare(served, draw, 150)
        cycles(served)
    print("snapshots, comparisons, altcoin season, cycles and sums of market caps agree with numpy and pandas to 1e-9")


if __name__ == "__main__":
    main()
