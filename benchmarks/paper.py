"""A market that nobody has run here, on paper: each number from a measured piece.

``python -m benchmarks.paper [--listings 50000 --years 20 --features 500 --price 3.0]`` counts the operations of a
window by torch's own counter on the production model; the rest is from docs/performance.md, where each has its script.
"""

import argparse
from dataclasses import replace

import torch

from atft_pipeline.benchmark.measure import Variant, flops_per_sample
from atft_pipeline.benchmark.switches import EAGER
from atft_pipeline.benchmark.workload import SCALES, build_workload
from atft_pipeline.training.config import RuntimeConfig

SESSIONS = 252
HORIZONS = 4
# An H200, bf16, compiled (`python -m atft_pipeline.benchmark --gpu-report`).
H200_WINDOWS, H200_FEATURES, H200_STEPS = 130_000.0, 112, 60
# Two CPU cores: rows/s of the features, seconds of a graph month at this many listings taking part, bytes of its file.
FEATURE_ROWS, MONTH_SECONDS, MONTH_LISTINGS = 59_485.0, 0.37, 4_700
EDGE_BYTES = 20 * (4 + 3 * 4)
# A search: trials x epochs of the preset `full`, and what the median pruner saved (`python -m benchmarks.hpo`).
TRIALS, EPOCHS, SAVED = 20, 20, 0.32


def flops(features: int, steps: int) -> float:
    """Operations of a window, forward and backward, of the production model."""
    origin = SCALES["origin"]
    scale = replace(origin, listings=16, days=320, features=features, window=steps, batch_size=16)
    work = build_workload(scale, torch.device("cpu"))
    return flops_per_sample(
        work, scale.experiment(RuntimeConfig(device="cpu", compile="none")), Variant("flops", EAGER)
    )


def main() -> None:
    """Print the estimates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=50_000)
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--features", type=int, default=500)
    parser.add_argument("--price", type=float, default=1.0, help="of a GPU hour")
    options = parser.parse_args()
    days = options.years * SESSIONS
    rows, features = options.listings * days, options.features
    known = flops(H200_FEATURES, H200_STEPS)
    gib = 2**30
    day = options.listings * features * 2
    print(f"rows, every listing alive on every day      {rows / 1e6:10,.0f} million")
    print(f"panel, float16                              {rows * features * 2 / gib:10,.0f} GiB")
    print(f"labels and masks in memory                  {rows * (8 * HORIZONS + 2) / gib:10,.0f} GiB")
    print(f"one day                                     {day / 1e6:10,.1f} MB")
    months = options.years * 12
    seconds = MONTH_SECONDS * (options.listings / MONTH_LISTINGS) ** 2
    print(f"graphs, two cores                           {months * seconds / 3600:10,.1f} h ({seconds:.0f} s a month)")
    print(f"graphs, file                                {months * options.listings * EDGE_BYTES / gib:10,.1f} GiB")
    print(f"features, two cores                         {rows / FEATURE_ROWS / 3600:10,.1f} h")
    for steps in (5, 60):
        one = flops(features, steps)
        rate = H200_WINDOWS * known / one
        hours = rows / rate / 3600
        read = rate * steps * features * 2
        print(f"windows of {steps} steps")
        print(f"  operations of a window                    {one / 1e9:10,.2f} GFLOP (60 x 112: {known / 1e9:.2f})")
        print(f"  operations of an epoch                    {one * rows / 1e18:10,.2f} EFLOP")
        print(f"  windows/s of an H200, same share of it    {rate:10,.0f}")
        print(f"  hours of an epoch on one                  {hours:10,.2f}")
        print(f"  bytes into the device, days at random     {read / 1e9:10,.2f} GB/s")
        print(f"  price of an epoch                         {hours * options.price:10,.2f}")
        search = TRIALS * EPOCHS * (1 - SAVED) * hours
        print(f"  search, {TRIALS} trials x {EPOCHS} epochs, pruned       {search:10,.0f} GPU hours")


if __name__ == "__main__":
    main()
