"""Time and memory of the data stages at several times the real prices: synthetic copies with new codes.

``python -m benchmarks.scale PRICES --times 1 2 4 [--every 8]``: each stage is a fresh process. A copy has the same bars
with prices scaled by a factor of its own, so that no two listings are equal; ``--every`` takes every n-th code.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from atft_pipeline.features.build import build_features
from atft_pipeline.features.columns import FeaturesConfig
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.panel.build import PanelConfig, build_panel
from atft_pipeline.panel.panel import Panel
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.returns import daily_returns


def multiply(prices: Path, every: int, times: int, out: Path) -> int:
    """Write raw prices of every n-th code, so many times over; return their rows."""
    lazy = pl.scan_parquet(prices / "*.parquet" if prices.is_dir() else prices)
    codes = lazy.select(pl.col("Code").unique().sort()).collect()["Code"].gather_every(every)
    out.mkdir()
    rows = 0
    for copy in range(times):
        factor = 1.0 + 0.01 * copy
        bars = [pl.col(name) * factor for name in ("Open", "High", "Low", "Close")]
        named = pl.concat_str(pl.col("Code"), pl.lit(f"-{copy}")) if copy else pl.col("Code")
        part = lazy.filter(pl.col("Code").is_in(codes.implode())).with_columns(*bars, Code=named).collect()
        part.write_parquet(out / f"copy-{copy}.parquet")
        rows += part.height
    return rows


def run_ingest(folder: Path) -> None:
    """Raw to clean prices."""
    result = ingest(folder / "raw", None, IngestConfig())
    result.prices.write_parquet(folder / "clean.parquet")
    result.listings.write_parquet(folder / "listings.parquet")


def run_features(folder: Path) -> None:
    """Clean prices to the feature table."""
    listings = pl.read_parquet(folder / "listings.parquet")
    build_features(pl.read_parquet(folder / "clean.parquet"), listings, FeaturesConfig(), folder / "features")


def run_panel(folder: Path) -> None:
    """Feature table to panel."""
    listings = pl.read_parquet(folder / "listings.parquet").to_arrow()
    build_panel(folder / "features", listings, folder / "panel.arrow", PanelConfig())


def run_graphs(folder: Path) -> None:
    """Clean prices to graphs."""
    panel = Panel.open(folder / "panel.arrow")
    returns = daily_returns(pl.read_parquet(folder / "clean.parquet"), panel.dates, panel.listings)
    index, out = panel.meta.index_fingerprint, folder / "graphs.arrow"
    axes = (panel.dates, panel.listings, panel.sector, panel.market)
    build_graphs(returns, *axes, GraphConfig(), index, out, {})


STAGES: dict[str, Callable[[Path], None]] = {
    "ingest": run_ingest,
    "features": run_features,
    "panel": run_panel,
    "graphs": run_graphs,
}


def measured(stage: str, folder: Path) -> dict[str, float]:
    """Run one stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", str(folder), "--stage", stage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line a stage and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--stage", choices=STAGES)
    options = parser.parse_args()
    if options.stage:
        begun, used = time.perf_counter(), time.process_time()
        STAGES[options.stage](options.prices)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"clock": time.perf_counter() - begun, "cpu": time.process_time() - used, "gib": peak}))
        return
    print(f"{'times':>5} {'rows':>11}  {'stage':<9} {'clock s':>8} {'CPU s':>8} {'peak GiB':>9}")
    for times in options.times:
        with tempfile.TemporaryDirectory() as name:
            rows = multiply(options.prices, options.every, times, Path(name) / "raw")
            for stage in STAGES:
                one = measured(stage, Path(name))
                numbers = f"{one['clock']:8.1f} {one['cpu']:8.1f} {one['gib']:9.2f}"
                print(f"{times:5d} {rows:11,d}  {stage:<9} {numbers}", flush=True)


if __name__ == "__main__":
    main()
