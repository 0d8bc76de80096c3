"""The figures of index comparisons, altcoin season, indices and cycles, written with numpy and pandas from their definitions alone.

Series are pandas Series of floats by date. A missing day is one that the series does not have.
"""

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)
COMMON_SESSION_COUNT_MIN = 10


def joint_samples(subject, benchmark, sessions, *, end, start=None, lookback=None, weekly=False):
    """Both sides at each joint session of the window, and how many sessions (or weeks) of it have no sample."""
    sessions = sessions[sessions <= end]
    if start is not None:
        sessions = sessions[sessions >= start]
    sides = pd.DataFrame({"subject": subject.reindex(sessions), "benchmark": benchmark.reindex(sessions)}, index=sessions)
    week_of = sides.index.to_period("W-SUN")
    joint = sides.dropna()
    if weekly:
        dates = joint.index.to_series()
        joint = joint.loc[dates.groupby(joint.index.to_period("W-SUN")).max().to_list()]
    if lookback is not None:
        joint = joint.tail(lookback + 1)
        if len(joint):
            week_of, sessions = week_of[sessions >= joint.index[0]], sessions[sessions >= joint.index[0]]
    expected = week_of.nunique() if weekly else len(sessions)
    return joint, expected - len(joint)


def comparison(subject, benchmark, sessions, periods_per_year, **window):
    """All the figures, or None with fewer than 10 common sessions."""
    joint, missing_count = joint_samples(subject, benchmark, sessions, **window)
    if len(joint) < COMMON_SESSION_COUNT_MIN:
        return None
    logs = np.log(joint).diff().dropna()
    growth = joint.iloc[-1] / joint.iloc[0]
    fall = (joint / joint.cummax()).min() - 1
    beta = np.cov(logs["subject"], logs["benchmark"], ddof=1)[0, 1] / logs["benchmark"].var(ddof=1)
    year = np.sqrt(periods_per_year)
    return {
        "start": joint.index[0],
        "end": joint.index[-1],
        "observation_count": len(logs),
        "missing_count": missing_count,
        "subject_return_percent": 100 * (growth["subject"] - 1),
        "benchmark_return_percent": 100 * (growth["benchmark"] - 1),
        "relative_strength_percent": 100 * (growth["subject"] / growth["benchmark"] - 1),
        "correlation": logs["subject"].corr(logs["benchmark"]),
        "beta": beta,
        "alpha_annualized_percent": 100 * (logs["subject"].mean() - beta * logs["benchmark"].mean()) * periods_per_year,
        "tracking_error_percent": 100 * (logs["subject"] - logs["benchmark"]).std(ddof=1) * year,
        "volatility_subject_annualized_percent": 100 * logs["subject"].std(ddof=1) * year,
        "volatility_benchmark_annualized_percent": 100 * logs["benchmark"].std(ddof=1) * year,
        "max_drawdown_subject_percent": 100 * fall["subject"],
        "max_drawdown_benchmark_percent": 100 * fall["benchmark"],
    }


def percent(level, reference):
    return None if reference is None else 100 * (level - reference) / reference


def last_at_or_before(closes, date, tolerance_days):
    """The newest close at or before a date, not more than the given number of days older."""
    held = closes[(closes.index <= date) & (closes.index >= date - tolerance_days * DAY)]
    return held.iloc[-1] if len(held) else None


def session_changes(closes, date, previous_session):
    """Of an exchange-traded index: 1, 7 and 30 days and year to date, on the session of a date."""
    level = closes[date]
    year_end = pd.Timestamp(date.year - 1, 12, 31)
    references = [
        None if previous_session is None else closes.get(previous_session),
        last_at_or_before(closes, date - 7 * DAY, 7),
        last_at_or_before(closes, date - 30 * DAY, 7),
        last_at_or_before(closes, year_end, 7),
    ]
    return [percent(level, reference) for reference in references]


def continuous_changes(closes, date):
    """Of what trades around the clock, at the close of a UTC day."""
    level = closes[date]
    references = [
        last_at_or_before(closes, date - 1 * DAY, 0),
        last_at_or_before(closes, date - 7 * DAY, 1),
        last_at_or_before(closes, date - 30 * DAY, 1),
        # The day closes at midnight: on 31 December the year that has begun is the next one.
        last_at_or_before(closes, pd.Timestamp((date + DAY).year - 1, 12, 31), 0),
    ]
    return [percent(level, reference) for reference in references]


def record_high(closes, date):
    """Level, date, drawdown in per cent, and whether it is the newest: over the closes up to a date. None without an earlier close."""
    held = closes[closes.index <= date]
    if len(held) < 2:
        return None
    high_date = held.idxmax()  # the first of equal ones
    return held[high_date], high_date, 100 * (held.iloc[-1] - held[high_date]) / held[high_date], high_date == held.index[-1]


def altcoin_season(closes, market_caps, date, universe_size, window_days):
    """Score, Bitcoin's return, constituents by rank (ticker, rank, return, beats) and what was left out, with the reason."""
    start = date - window_days * DAY
    caps = {ticker: caps.get(date) for ticker, caps in market_caps.items()}
    ranking = sorted((ticker for ticker, cap in caps.items() if cap is not None), key=lambda ticker: (-caps[ticker], ticker))

    def growth(ticker):
        first, last = closes[ticker].get(start), closes[ticker].get(date)
        return None if first is None or last is None else last / first

    bitcoin = growth("BTC")
    constituents, excluded, places = [], [], 0
    for rank, ticker in enumerate(ranking, 1):
        if ticker == "BTC" or places >= universe_size:
            continue
        own = growth(ticker)
        if own is not None:
            places += 1
            if bitcoin is not None:
                constituents.append((ticker, rank, 100 * (own - 1), bool(own > bitcoin)))
        else:
            is_young = start < closes[ticker].index[0] <= date
            places += is_young
            excluded.append((ticker, "InsufficientHistory" if is_young else "NoData"))
    for ticker, caps_of_ticker in market_caps.items():
        if ticker not in ranking and len(caps_of_ticker) and closes[ticker].index[0] <= date:
            excluded.append((ticker, "NoMarketCap"))
    beat = sum(beats for *_, beats in constituents)
    score = 100 * beat / len(constituents) if constituents else None
    return score, None if bitcoin is None else 100 * (bitcoin - 1), constituents, excluded


def cap_sums(market_caps, awaited_days=30, largest=125, top=10):
    """TOTAL, TOTAL2, TOTAL3, OTHERS and BTC.D by date; a date on which a constituent's market cap is missing has none."""
    frame = pd.DataFrame(market_caps).sort_index()
    frame = frame.reindex(pd.date_range(frame.index[0], frame.index[-1]))
    newest = frame.index[-1]
    known = frame.ffill()
    for ticker in frame:
        last = frame[ticker].last_valid_index()
        if (newest - last) / DAY > awaited_days:
            known.loc[known.index > last, ticker] = np.nan
    rows = {}
    for date, row in frame.iterrows():
        caps = sorted(((cap, ticker) for ticker, cap in row.dropna().items()), key=lambda pair: (-pair[0], pair[1]))[:largest]
        least = caps[largest - 1][0] if len(caps) >= largest else 0
        holes = known.loc[date][row.isna()].dropna()
        if not caps or (len(holes) and holes.max() > least):
            continue
        tickers = dict((ticker, cap) for cap, ticker in caps)
        total = sum(tickers.values())
        rows[date] = {
            "TOTAL": total,
            "TOTAL2": total - tickers.get("BTC", 0),
            "TOTAL3": total - tickers.get("BTC", 0) - tickers.get("ETH", 0),
            "OTHERS": sum(cap for cap, _ in caps[top:]),
            "BTC.D": 100 * tickers["BTC"] / total if "BTC" in tickers else np.nan,
        }
    sums = pd.DataFrame.from_dict(rows, orient="index")
    return {name: sums[name][sums[name] > 0] for name in sums}


def capped(weights, most):
    """Weights with a most for each; what is above is shared out in proportion, again and again."""
    weights = weights / weights.sum()
    most = max(most, 1 / len(weights))
    fixed = pd.Series(False, index=weights.index)
    while (weights > most * (1 + 1e-15)).any():
        fixed |= weights > most * (1 + 1e-15)
        rest = weights[~fixed]
        weights = weights.where(~fixed, most)
        if len(rest):
            weights[~fixed] = rest / rest.sum() * (1 - most * fixed.sum())
    return weights


def basket(closes, market_caps, base, until, weight_max=None):
    """A basket from 1,000 on, rebalanced at the close of the last day of each month: by growth of the weights, without units or divisor."""
    prices, caps = pd.DataFrame(closes), pd.DataFrame(market_caps)
    levels, weights, before = {}, None, None
    for date in pd.date_range(base, until):
        row = prices.loc[date]
        if weights is None:
            levels[date] = 1000.0
        else:
            grown = weights * (row / before)[weights.index]
            levels[date] = levels[date - DAY] * grown.sum()
            weights = grown / grown.sum()
        if weights is None or (date + DAY).day == 1:
            held = row.dropna().index if weight_max is None else row.dropna().index.intersection(caps.loc[date].dropna().index)
            sizes = pd.Series(1.0, index=held) if weight_max is None else caps.loc[date][held]
            weights = capped(sizes, 1.0 if weight_max is None else weight_max)
        before = row
    return pd.Series(levels)


def turning_points(closes, reversal_percent):
    """The zigzag's turning points (date, level, is a trough), found by looking ahead from each extreme instead of keeping a state."""
    factor = 1 + reversal_percent / 100
    values, dates = closes.to_numpy(), closes.index
    points, start, seeks_trough = [], 0, None
    while True:
        held = values[start:]
        lows, highs = np.minimum.accumulate(held), np.maximum.accumulate(held)
        rises = np.nonzero(held >= lows * factor)[0] if seeks_trough in (None, True) else []
        falls = np.nonzero(held <= highs / factor)[0] if seeks_trough in (None, False) else []
        rise, fall = (first[0] if len(first) else len(held) for first in (rises, falls))
        confirmed = min(rise, fall)
        if confirmed == len(held):
            return points
        is_trough = rise < fall
        before = held[: confirmed + 1]
        at = start + int(before.argmin() if is_trough else before.argmax())
        points.append((dates[at], values[at], is_trough))
        start, seeks_trough = start + confirmed, not is_trough


def rallies(points):
    return [100 * (peak[1] / trough[1] - 1) for trough, peak in zip(points, points[1:]) if trough[2]]


def extension_percent(rises):
    if len(rises) < 2:
        return None
    before, last = (1 + rise / 100 for rise in rises[-2:])
    extended = 100 * (last * (last / before) ** 2 - 1)
    return extended if extended > 0 else None


def levels(points, tolerance_percent):
    """Level and touches, from the lowest up: each gathers what lies within the tolerance above its lowest point."""
    rest, found = sorted(level for _, level, _ in points), []
    while rest:
        gathered = [level for level in rest if level <= rest[0] * (1 + tolerance_percent / 100)]
        found.append((float(np.median(gathered)), len(gathered)))
        rest = rest[len(gathered) :]
    return found


def inverse_heads_and_shoulders(closes, reversal_percent, tolerance_percent):
    """Five turning points each, what came of them and when, the neckline then, and the target: by trying every head."""
    points = turning_points(closes, reversal_percent)
    found = []
    for at, (head_date, head, is_trough) in enumerate(points):
        if not is_trough or at < 2 or at + 2 >= len(points):
            continue
        (left, left_level, _), (peak, peak_level, _) = points[at - 2], points[at - 1]
        (later_peak, later_peak_level, _), (right, right_level, _) = points[at + 1], points[at + 2]
        spread = lambda one, other: 100 * abs(one / ((one + other) / 2) - 1)
        if not (head < left_level and head < right_level):
            continue
        if spread(left_level, right_level) > tolerance_percent or spread(peak_level, later_peak_level) > tolerance_percent:
            continue
        slope = (later_peak_level - peak_level) / ((later_peak - peak) / DAY)
        line = lambda date: peak_level + slope * ((date - peak) / DAY)
        if left_level >= line(left) or right_level >= line(right):
            continue
        after = closes[closes.index > right]
        timely = after[after.index <= right + (right - left)]
        necklines = pd.Series([line(date) for date in timely.index], index=timely.index, dtype=float)
        above, below = timely[timely > necklines], timely[timely < head]
        decided = min([*above.index[:1], *below.index[:1]], default=None)
        if decided is not None:
            outcome = "broken out" if decided in above.index else "failed"
        else:
            outcome = "expired" if len(after) > len(timely) else "forming"
        last = decided if decided is not None else timely.index[-1] if len(timely) else right
        target = line(last) + line(head_date) - head if outcome in ("forming", "broken out") else None
        found.append(([left, peak, head_date, later_peak, right], outcome, decided, line(last), target))
    return found
