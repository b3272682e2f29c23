"""Alpha158 by Qlib's own engine; run by the interpreter of another environment (pyqlib 0.9.7, pandas below 2.3).

Usage: python qlib_alpha158.py PRICES.parquet OUT.parquet KERNELS

PRICES has Date, Listing, Open, High, Low, Close, Volume, Vwap. Writes Qlib's values and prints the seconds of the
engine alone, without the conversion before and after.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import qlib
from qlib.config import REG_US
from qlib.contrib.data.loader import Alpha158DL
from qlib.data import D

FIELDS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume", "vwap": "Vwap"}


def write_store(prices: pd.DataFrame, root: Path) -> list[str]:
    """Write Qlib's binary store: one float32 file a field and listing, its first value the place of its first day."""
    days = np.sort(prices["Date"].unique())
    for folder in ("calendars", "instruments", "features"):
        (root / folder).mkdir(parents=True)
    text = [str(day)[:10] for day in days]
    (root / "calendars" / "day.txt").write_text("\n".join(text) + "\n")
    names = []
    lines = []
    for name, part in prices.groupby("Listing", sort=True):
        place = np.searchsorted(days, part["Date"].to_numpy())
        span = np.arange(place[0], place[-1] + 1)
        (root / "features" / name.lower()).mkdir()
        for field, column in FIELDS.items():
            values = np.full(len(span), np.nan, dtype=np.float32)
            values[place - place[0]] = part[column].to_numpy(dtype=np.float32)
            np.concatenate([[np.float32(place[0])], values]).astype("<f4").tofile(
                root / "features" / name.lower() / f"{field}.day.bin"
            )
        names.append(name)
        lines.append(f"{name}\t{text[place[0]]}\t{text[place[-1]]}")
    (root / "instruments" / "all.txt").write_text("\n".join(lines) + "\n")
    return names


def main() -> None:
    """Compute, time, write."""
    source, out, kernels = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    prices = pd.read_parquet(source)
    with tempfile.TemporaryDirectory() as folder:
        names = write_store(prices, Path(folder))
        qlib.init(provider_uri=folder, region=REG_US, kernels=kernels, joblib_backend="multiprocessing")
        fields, columns = Alpha158DL.get_feature_config(
            {"kbar": {}, "price": {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]}, "rolling": {}}
        )
        start = time.perf_counter()
        values = D.features(names, fields, freq="day")
        seconds = time.perf_counter() - start
    values.columns = columns
    table = values.reset_index().rename(columns={"instrument": "Listing", "datetime": "Date"})
    table.to_parquet(out)
    print(json.dumps({"seconds": seconds, "rows": len(table), "features": len(columns)}))


if __name__ == "__main__":
    main()
