"""Reads the recorded histories with pandas: closes and market caps by date, as the definitions take them.

Nothing here is shared with the service's importer. Rows without a close are missing, and a market cap of 0 is one that the source did not have.
"""

import os
from pathlib import Path

import pandas as pd

# The New York calendar decides over these; their sessions are the dates that they have.
EXCHANGE_TRADED = ["RUT", "SPX", "IXIC", "VIX"]

# Coin by coin, the file of the daily market caps; tickers by the coin's name there.
MARKET_CAP_FILES = {
    "BTC": "bitcoin", "ETH": "ethereum", "BNB": "binance-coin", "SOL": "solana", "XMR": "monero", "XRP": "ripple", "ADA": "cardano",
    "DOGE": "dogecoin", "TRX": "tron", "LINK": "chainlink", "AVAX": "avalanche", "DOT": "polkadot", "XLM": "stellar", "TON": "toncoin",
    "HBAR": "hedera-hashgraph",
}  # fmt: skip

INDEX_FILES = {"RUT": "RUT_daily", "SPX": "SPX_daily", "IXIC": "IXIC_daily", "VIX": "VIX_daily"}


def shared():
    """The folder of the recorded data, or None with a line that says so."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("CROSSMARKET_SHARED_DATA", root.parent / "shared" / "data")) / "history"
    if folder.is_dir():
        return folder
    print(f"skipped: no recorded histories at {folder}")
    return None


def index_files(folder):
    """The file of each exchange-traded index, the largest where there are several; editions of a file have other dates in their names."""
    found = {code: list((folder / "indices").glob(f"{start}*.csv")) for code, start in INDEX_FILES.items()}
    return {code: max(files, key=lambda path: path.stat().st_size) for code, files in found.items() if files}


def coin_files(folder):
    """The file of each coin with market caps."""
    found = {code: sorted((folder / "marketcap_daily").glob(f"{name}_*.csv")) for code, name in MARKET_CAP_FILES.items()}
    return {code: files[0] for code, files in found.items() if files}


def long_coin_files(folder):
    """The file of each coin whose closes go further back."""
    return {path.name.split("-USD")[0]: path for path in sorted((folder / "yahoo_coins_daily").glob("*-USD_*.csv"))}


def read(path, date_column, value_column):
    """One column by date, without what is missing, 0 or less."""
    frame = pd.read_csv(path)
    frame.columns = [name.lower() for name in frame.columns]
    values = pd.Series(frame[value_column].to_numpy(dtype=float), index=pd.to_datetime(frame[date_column]))
    values = values[values > 0].sort_index()
    return values[~values.index.duplicated(keep="last")]


def closes_of_index(path):
    values = read(path, "date", "close")
    return values[values.index.day_of_week < 5]


def closes_of_coin(path):
    return read(path, "date" if "USD" in path.name else "start", "close")


def market_caps_of_coin(path):
    return read(path, "start", "market cap")
