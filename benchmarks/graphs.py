"""Time and memory of the monthly graphs on real prices.

Usage: python benchmarks/graphs.py PRICES [--out FILE] [--threads 2] [--device cpu] [--report FILE]

PRICES is a Parquet file or a folder of them with Date, Code, Close and, if known, Exchange. Prints one JSON document.
"""

import argparse
import json
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.graphs.report import report_months


def read_returns(prices: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], tuple[str, ...], npt.NDArray[Any]]:
    """Read returns [D, N], dates [D], codes [N] and market ids [N]."""
    source = prices / "*.parquet" if prices.is_dir() else prices
    lazy = pl.scan_parquet(source)
    exchange = "Exchange" if "Exchange" in lazy.collect_schema().names() else None
    table = (
        lazy.select("Date", "Code", "Close", market=pl.col(exchange) if exchange else pl.lit(None, pl.String))
        .filter(pl.col("Close") > 0)
        .sort("Code", "Date")
        .with_columns(change=pl.col("Close") / pl.col("Close").shift(1).over("Code") - 1)
        .collect()
    )
    codes = table.group_by("Code").agg(pl.col("market").last()).sort("Code")
    dates = table.select(pl.col("Date").unique().sort()).to_series()
    day = np.searchsorted(dates.to_numpy(), table["Date"].to_numpy())
    names = codes["Code"].to_list()
    place = {name: number for number, name in enumerate(names)}
    column = table["Code"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    returns = np.full((len(dates), len(names)), np.nan, dtype=np.float32)
    returns[day, column] = table["change"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    market = codes["market"].cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1
    return returns, dates.to_numpy().astype("datetime64[D]"), tuple(names), market


def peak_gib() -> float:
    """Peak resident memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Build all months once, then once more from the earlier file, and look one month up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--out", type=Path, help="keep the graphs here")
    parser.add_argument("--report", type=Path, help="write the table of the months here, as CSV")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "auto"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    returns, dates, codes, market = read_returns(arguments.prices)
    loaded = peak_gib()
    config = GraphConfig(device=arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder) / "graphs.arrow"
        # The data carry no sectors: ids by the first letter stand in, so that the sector minimum is exercised.
        sector = np.array([ord(code.split("_")[-1][0]) % 11 + 1 for code in codes], dtype=np.int64)
        inputs = (returns, dates, codes, sector, market, config, "benchmark")
        start = time.perf_counter()
        meta = build_graphs(*inputs, out, {})
        whole = time.perf_counter() - start
        start = time.perf_counter()
        build_graphs(*inputs, Path(folder) / "extended.arrow", {}, previous=out)
        again = time.perf_counter() - start
        start = time.perf_counter()
        graphs = MonthlyGraphs.open(out)
        opened = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(100):
            graphs.neighbors(len(graphs) - 1)
        lookup = (time.perf_counter() - start) / 100
        size = out.stat().st_size
        if arguments.report:
            pl.DataFrame(report_months(graphs)).write_csv(arguments.report, float_precision=3)
    active = [entry.listings for entry in meta.months]
    figures = {
        "days": len(dates),
        "listings": len(codes),
        "months": len(active),
        "listings_taking_part": [min(active), int(np.median(active)), max(active)],
        "build_s": round(whole, 2),
        "build_s_per_month": round(whole / len(active), 3),
        "all_months_reused_s": round(again, 2),
        "open_ms": round(opened * 1e3, 2),
        "lookup_us": round(lookup * 1e6, 1),
        "file_mib": round(size / 2**20, 1),
        "peak_gib": round(peak_gib(), 2),
        "peak_gib_after_loading": round(loaded, 2),
        "threads": arguments.threads,
        "device": arguments.device,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
