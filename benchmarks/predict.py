"""How long the daily update and the newest scores take, end to end, as a user types them.

Makes a synthetic market (4,000 listings, 300 sessions), builds everything but its last day, trains a model for one
batch, then adds the last day: ``kedro run --pipeline=update`` and ``kedro run --pipeline=predict``. Seconds of the
whole process, and without starting it (the run's own clock).

    python benchmarks/predict.py [--listings 4000] [--sessions 300] [--size small] [--repeats 3]
"""

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from atft_pipeline.synthetic.market import SampleMarketConfig, generate

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "from kedro.framework.cli import main; main()"


def make_project(folder: Path) -> None:
    """Copy what a run needs."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "src").mkdir()


def kedro(folder: Path, pipeline: str, *parameters: str) -> tuple[float, float, float]:
    """Run a stage; seconds of the process, of the run inside it, and of CPU."""
    given = ["--params", ",".join(parameters)] if parameters else []
    command = [sys.executable, "-c", PROGRAM, "run", "--env=production", f"--pipeline={pipeline}", *given]
    start, used = time.perf_counter(), cpu_seconds()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    inside = re.search(r"done in ([\d.]+) s", done.stderr)
    assert inside is not None
    return seconds, float(inside[1]), cpu_seconds() - used


def cpu_seconds() -> float:
    """CPU that finished child processes have used; on a busy machine it says more than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("listings", 4000), ("sessions", 300), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--size", default="small")
    parser.add_argument("--folder", type=Path, help="keep the project here, to look at it")
    options = parser.parse_args()
    market = generate(SampleMarketConfig(listings=options.listings, sessions=options.sessions))
    last = market.prices["Date"].unique().sort()[-1]
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        make_project(folder)
        prices = folder / "prices.parquet"
        market.listings.write_parquet(folder / "listings.parquet")
        market.prices.filter(pl.col("Date") < last).write_parquet(prices)
        given, size = f"prices={prices}", f"size={options.size}"
        short = ("split.embargo=5", "training.max_batches=1", "runtime.device=cpu")
        rows = {"data": [kedro(folder, "data", given)], "train": [kedro(folder, "train", size, *short)]}
        market.prices.write_parquet(prices)
        rows["update"] = [kedro(folder, "update", given)]
        rows["predict"] = [kedro(folder, "predict", given) for _ in range(options.repeats)]
    print(f"{options.listings} listings, {options.sessions} sessions, model {options.size}")
    for stage, seconds in rows.items():
        if stage == "train":
            continue
        whole, inside, used = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"{stage:<8} {whole:6.1f} s as typed ({used:.1f} s of CPU), {inside:6.1f} s without starting the process")


if __name__ == "__main__":
    main()
