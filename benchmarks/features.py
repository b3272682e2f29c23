"""Speed, memory and scaling of ingest and features on real prices, and alpha158 against Qlib's own engine.

Usage: python benchmarks/features.py PRICES [--qlib PYTHON] [--codes 400]

PRICES is what `ingest` reads. Every figure comes from a fresh process: `scale` runs ingest and features on a quarter,
half and all of the codes; `qlib` runs alpha158 alone on some codes, by this project and by Qlib (PYTHON is the
interpreter of an environment that has pyqlib), and compares every value from the 61st session of a listing on.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.features.alpha158 import NAMES
from atft_pipeline.features.build import build_features
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.prices.ingest import IngestConfig, ingest

FIRST_EQUAL = 61


def peak_gib() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def scale(prices: Path, parts: int) -> dict[str, Any]:
    """Ingest and features of every ``parts``-th code."""
    with tempfile.TemporaryDirectory() as folder:
        source = prices
        if parts > 1:
            scan = pl.scan_parquet(prices / "*.parquet" if prices.is_dir() else prices)
            codes = scan.select(pl.col("Code").unique().sort()).collect()["Code"].gather_every(parts)
            source = Path(folder) / "part.parquet"
            scan.filter(pl.col("Code").is_in(codes.implode())).sink_parquet(source)
        start = time.perf_counter()
        result = ingest(source, None, IngestConfig())
        read = time.perf_counter() - start
        build_features(result.prices, result.listings, FeaturesConfig(), Path(folder) / "features")
        total = time.perf_counter() - start
    rows = result.prices.height
    return {
        "rows": rows,
        "ingest_s": round(read, 1),
        "features_s": round(total - read, 1),
        "rows_per_s": round(rows / total),
        "peak_gib": round(peak_gib(), 2),
    }


def ours(source: Path, out: Path) -> dict[str, Any]:
    """alpha158 alone, not normalised, on all rows."""
    clean = pl.read_parquet(source)
    config = FeaturesConfig(groups=("alpha158",), normalisation="none", horizons=(1,), clip=1e30)
    start = time.perf_counter()
    manifest = build_features(clean, None, config, out)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "rows": manifest.rows, "features": len(manifest.features)}


def draw(prices: Path, codes: int, out: Path) -> None:
    """Clean prices of the codes with the most rows, in float32 as Qlib stores them, with an explicit vwap."""
    clean = ingest(prices, None, IngestConfig()).prices
    longest = clean.group_by("Listing").len().sort("len", "Listing", descending=[True, False]).head(codes)["Listing"]
    columns = ("Open", "High", "Low", "Close", "Volume")
    clean.filter(pl.col("Listing").is_in(longest.implode())).select(
        "Date",
        "Listing",
        "InUniverse",
        *(pl.col(name).cast(pl.Float32).cast(pl.Float64) for name in columns),
        Vwap=((pl.col("High") + pl.col("Low") + pl.col("Close")) / 3).cast(pl.Float32).cast(pl.Float64),
    ).sort("Listing", "Date").write_parquet(out)


def agreement(source: Path, mine: Path, theirs: Path) -> dict[str, Any]:
    """Compare the two value by value, on all rows and on those whose past 61 sessions have every price and volume."""
    clean = pl.read_parquet(source)
    whole = pl.all_horizontal(pl.col("Open", "High", "Low", "Close").is_not_null(), pl.col("Volume") > 0)
    clean = clean.select(
        "Date", "Listing", complete=whole.cast(pl.Int32).rolling_sum(FIRST_EQUAL).over("Listing") == FIRST_EQUAL
    )
    left = pl.read_parquet(mine / "*.parquet").with_columns(pl.col("Listing").cast(pl.String))
    right = pl.read_parquet(theirs).with_columns(pl.col("Date").cast(pl.Date), pl.col("Listing").cast(pl.String))
    joined = left.sort("Listing", "Date").with_columns(session=pl.int_range(1, pl.len() + 1).over("Listing"))
    joined = joined.join(right, on=["Date", "Listing"], suffix="_qlib", how="inner").filter(
        pl.col("session") >= FIRST_EQUAL
    )
    joined = joined.join(clean, on=["Date", "Listing"], how="left", maintain_order="left")
    complete = joined["complete"].fill_null(value=False).to_numpy()
    worst, total, off = {}, np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for name in NAMES:
        a, b = (joined[column].cast(pl.Float64).to_numpy() for column in (name, f"{name}_qlib"))
        both = np.isfinite(a) & np.isfinite(b)
        error = np.abs(a[both] - b[both]) / np.maximum(1.0, np.abs(b[both]))
        full = complete[both]
        total += (both.sum(), full.sum())
        off += ((error > 1e-3).sum(), (error[full] > 1e-3).sum())
        worst[name] = int((error[full] > 1e-3).sum())
    top = sorted(worst.items(), key=lambda item: -item[1])[:8]
    return {
        "values": total.tolist(),
        "off_by_more_than_1e-3": off.tolist(),
        "features_off_on_complete_rows": {name: count for name, count in top if count},
    }


def child(*arguments: str) -> dict[str, Any]:
    """Run this script in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--qlib", type=Path)
    parser.add_argument("--codes", type=int, default=400)
    parser.add_argument("--no-scale", action="store_true")
    parser.add_argument("--child", nargs="+")
    options = parser.parse_args()
    if options.child:
        what, *rest = options.child
        print(
            json.dumps(scale(options.prices, int(rest[0])) if what == "scale" else ours(options.prices, Path(rest[0])))
        )
        return
    if not options.no_scale:
        for parts in (4, 2, 1):
            print(f"1/{parts}", json.dumps(child(str(options.prices), "--child", "scale", str(parts))), flush=True)
    if options.qlib is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "clean.parquet"
        draw(options.prices, options.codes, source)
        script = Path(__file__).with_name("qlib_alpha158.py")
        # In turns, so that both see the same machine.
        for turn in range(2):
            mine = Path(folder) / f"mine{turn}"
            own = child(str(source), "--child", "ours", str(mine))
            theirs = Path(folder) / "qlib.parquet"
            done = subprocess.run(
                [str(options.qlib), str(script), str(source), str(theirs), "2"],
                capture_output=True,
                text=True,
                check=True,
            )
            other = json.loads(done.stdout.splitlines()[-1])
            print(
                f"alpha158, {own['rows']:,} rows: here {own['rows'] / own['seconds']:,.0f} rows/s, "
                f"Qlib {own['rows'] / other['seconds']:,.0f} rows/s, ratio {other['seconds'] / own['seconds']:.2f}",
                flush=True,
            )
        print(json.dumps(agreement(source, mine, theirs)))


if __name__ == "__main__":
    main()
