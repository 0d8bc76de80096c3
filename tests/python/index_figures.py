"""Checks the analytics of indices against numpy and pandas over the recorded histories.

Usage: index_figures.py PATH_TO_EXAMPLE_INDEX_FIGURES. Windows and dates are drawn at random, from the seed that is printed.
"""

import json
import os
import random
import subprocess
import sys

import pandas as pd

import definitions
import histories

EPOCH = pd.Timestamp(1970, 1, 1)
RELATIVE = 1e-9


def number(date):
    return (date - EPOCH).days


def date_of(day):
    return EPOCH + day * definitions.DAY


def same(found, expected, what):
    """Equal to 1e-9 relative; figures that are absent must be absent on both sides."""
    if expected is None or (isinstance(expected, float) and pd.isna(expected)):
        assert found is None, (what, found, expected)
        return
    assert found is not None, (what, found, expected)
    assert abs(found - expected) <= RELATIVE * max(abs(expected), 1e-4), (what, found, expected)


class Jobs:
    """Jobs with what is expected of each, run in one go."""

    def __init__(self, series):
        self.series, self.jobs = series, []

    def add(self, check, **job):
        self.jobs.append((job, check))

    def run(self, example):
        series = {name: {number(date): value for date, value in values.items()} for name, values in self.series.items()}
        text = json.dumps({"series": series, "jobs": [job for job, _ in self.jobs]})
        output = subprocess.run([example], input=text, capture_output=True, text=True, check=True).stdout
        lines = output.splitlines()
        assert len(lines) == len(self.jobs), (len(lines), len(self.jobs))
        for line, (job, check) in zip(lines, self.jobs):
            try:
                check(json.loads(line))
            except AssertionError:
                print("in", {name: value for name, value in job.items()})
                raise
        return len(lines)


def check_comparison(expected):
    def check(found):
        if expected is None:
            assert "common sessions" in found["error"], found
            return
        for name, value in expected.items():
            if name in ("start", "end"):
                assert found[name] == number(value), (name, found[name], value)
            elif name.endswith("count"):
                assert found[name] == value, (name, found[name], value)
            else:
                same(found[name], value, name)

    return check


def compare(jobs, draw, count):
    """Any two series over a window drawn at random."""
    names = [name for name in jobs.series if ":" not in name]
    for _ in range(count):
        subject, benchmark = draw.sample(names, 2)
        exchange = [name for name in (benchmark, subject) if name in histories.EXCHANGE_TRADED]
        sides = jobs.series[subject], jobs.series[benchmark]
        first, last = max(side.index[0] for side in sides), min(side.index[-1] for side in sides)
        if first >= last:
            continue
        end = first + draw.randrange((last - first).days + 10) * definitions.DAY
        start = end - draw.choice([5, 14, 40, 400, 4000]) * definitions.DAY
        sessions = jobs.series[exchange[0]].index if exchange else pd.date_range(start, end)
        lookback = draw.choice([None, 10, 30, 90, 252, 1000]) if exchange else None
        weekly = draw.random() < 0.3
        periods = 52 if weekly else 252 if exchange else 365
        window = dict(end=end, weekly=weekly, **({"lookback": lookback} if lookback else {"start": start}))
        expected = definitions.comparison(*sides, sessions, periods, **window)
        jobs.add(
            check_comparison(expected), kind="compare", subject=subject, benchmark=benchmark, weekly=weekly,
            sessions_of=exchange[0] if exchange else None, lookback=lookback, start=number(start), end=number(end), periods_per_year=periods,
        )  # fmt: skip


def level_of(jobs, draw, count):
    """Changes, year to date, all-time high and drawdown at dates drawn at random."""
    names = [name for name in jobs.series if ":" not in name]
    for _ in range(count):
        name = draw.choice(names)
        closes = jobs.series[name]
        place = draw.randrange(len(closes))
        date, previous = closes.index[place], closes.index[place - 1] if place else None
        session = definitions.session_changes(closes, date, previous)
        continuous = definitions.continuous_changes(closes, date)
        record = definitions.record_high(closes, date)

        def check(found, session=session, continuous=continuous, record=record):
            for name, expected in (("session", session), ("continuous", continuous)):
                for span, got, value in zip(("1d", "7d", "30d", "ytd"), found[name], expected):
                    same(got, value, (name, span))
            if record is None:
                assert found["record"] is None, found
                return
            level, day, drawdown, is_new = found["record"]
            same(level, record[0], "all-time high")
            assert date_of(day) == record[1], ("all-time high", date_of(day), record[1])
            same(drawdown, record[2], "drawdown")
            assert is_new == record[3], found

        jobs.add(check, kind="level", series=name, day=number(date), previous_session=None if previous is None else number(previous))


def seasons(jobs, coins, draw, count):
    """Altcoin season on days drawn at random: the same constituents in the same order, the same score."""
    closes, caps = ({name: jobs.series[name + suffix] for name in coins} for suffix in ("", ":cap"))
    first, last = closes["BTC"].index[0], closes["BTC"].index[-1]
    for _ in range(count):
        date = first + draw.randrange((last - first).days + 1) * definitions.DAY
        universe_size, window_days = draw.choice([3, 5, 10, 50]), draw.choice([1, 7, 30, 90, 365])
        score, btc, constituents, excluded = definitions.altcoin_season(closes, caps, date, universe_size, window_days)

        def check(found, score=score, btc=btc, constituents=constituents, excluded=excluded):
            assert found["score"] == score, (found["score"], score)
            same(found["btc_return_percent"], btc, "btc_return_percent")
            assert [(one[0], one[1], one[3]) for one in found["constituents"]] == [(one[0], one[1], one[3]) for one in constituents]
            for one, expected in zip(found["constituents"], constituents):
                same(one[2], expected[2], one[0])
            assert sorted(map(tuple, found["excluded"])) == sorted(excluded), (found["excluded"], excluded)

        jobs.add(check, kind="season", assets=coins, universe_size=universe_size, window_days=window_days, as_of=number(date))


def check_points(expected):
    def check(found):
        assert [day for day, _ in found] == [number(date) for date in expected.index], (len(found), len(expected))
        for (day, value), wanted in zip(found, expected):
            same(value, wanted, date_of(day))

    return check


def cap_indices(jobs, coins):
    caps = {name: jobs.series[name + ":cap"] for name in coins}
    expected = definitions.cap_sums(caps)

    def check(found):
        for name, series in expected.items():
            check_points(series)(found[name])
        assert found.keys() == expected.keys(), (found.keys(), expected.keys())

    jobs.add(check, kind="caps", assets=coins, **{"from": -100_000, "until": 100_000})
    # A hole in the largest is a day without a sum, not a fall.
    hole = {**caps, "BTC": caps["BTC"].drop(caps["BTC"].index[100])}
    assert len(definitions.cap_sums(hole)["TOTAL"]) == len(expected["TOTAL"]) - 1


def baskets(jobs, coins, draw, count):
    closes, caps = ({name: jobs.series[name + suffix] for name in coins} for suffix in ("", ":cap"))
    last = closes["BTC"].index[-1]
    for _ in range(count):
        base = last - draw.randrange(100, 700) * definitions.DAY
        chosen = [name for name in draw.sample(coins, 6) if caps[name].index[0] < base]
        weight_max = draw.choice([None, 0.25, 0.4, 1.0])
        expected = definitions.basket({n: closes[n] for n in chosen}, {n: caps[n] for n in chosen}, base, last, weight_max)
        jobs.add(check_points(expected), kind="basket", assets=chosen, weight_max=weight_max, base=number(base), until=number(last))


def cycles(jobs):
    for name, closes in list(jobs.series.items()):
        for reversal, tolerance in ((100, 10), (20, 3), (7.5, 1)):
            points = definitions.turning_points(closes, reversal)
            rises, around = definitions.rallies(points), definitions.levels(points, tolerance)

            def check(found, points=points, rises=rises, around=around, current=closes.iloc[-1]):
                got = [(date_of(day), trough) for day, _, trough in found["turning_points"]]
                assert got == [(day, trough) for day, _, trough in points], (got, points)
                for (_, level, _), (_, wanted, _) in zip(found["turning_points"], points):
                    same(level, wanted, "turning point")
                assert len(found["rallies"]) == len(rises)
                for got, wanted in zip(found["rallies"], rises):
                    same(got, wanted, "rally")
                same(found["extension_percent"], definitions.extension_percent(rises), "extension")
                got = found["supports"][::-1] + found["resistances"]
                assert [count for _, count in got] == [count for _, count in around], (got, around)
                for (level, _), (wanted, _) in zip(got, around):
                    same(level, wanted, "level")
                assert all(level <= current for level, _ in found["supports"])
                assert all(level > current for level, _ in found["resistances"])

            jobs.add(check, kind="cycles", series=name, reversal_percent=reversal, tolerance_percent=tolerance)


def patterns(jobs):
    total = 0
    for name, closes in list(jobs.series.items()):
        for reversal, tolerance in ((4, 1.5), (8, 3), (2.5, 0.5)):
            expected = definitions.inverse_heads_and_shoulders(closes, reversal, tolerance)
            total += len(expected)

            def check(found, expected=expected):
                assert len(found) == len(expected), (len(found), len(expected))
                for got, (points, outcome, decided, neckline, target) in zip(found, expected):
                    assert [date_of(day) for day in got["points"]] == points, (got, points)
                    assert got["outcome"] == outcome, (got, outcome)
                    assert got["decided"] == (None if decided is None else number(decided)), (got, decided)
                    same(got["neckline"], neckline, "neckline")
                    same(got["target"], target, "target")

            jobs.add(check, kind="patterns", series=name, reversal_percent=reversal, tolerance_percent=tolerance)
    assert total > 100, total


def main():
    folder = histories.shared()
    if folder is None:
        return
    seed = int(os.environ.get("SEED", "20260115"))
    print(f"seed {seed}")
    draw = random.Random(seed)
    indices = {code: histories.closes_of_index(path) for code, path in histories.index_files(folder).items()}
    coins = {code: histories.closes_of_coin(path) for code, path in histories.coin_files(folder).items()}
    caps = {f"{code}:cap": histories.market_caps_of_coin(path) for code, path in histories.coin_files(folder).items()}
    long = {f"{code} since {s.index[0].year}": s for code, s in
            ((code, histories.closes_of_coin(path)) for code, path in histories.long_coin_files(folder).items())}  # fmt: skip
    jobs = Jobs({**indices, **coins, **caps, **long})
    compare(jobs, draw, 600)
    level_of(jobs, draw, 600)
    seasons(jobs, list(coins), draw, 400)
    cap_indices(jobs, list(coins))
    baskets(jobs, list(coins), draw, 12)
    cycles(jobs)
    patterns(jobs)
    count = jobs.run(sys.argv[1])
    print(f"{count} results over {len(jobs.series)} series agree with numpy and pandas to {RELATIVE}")


if __name__ == "__main__":
    main()
