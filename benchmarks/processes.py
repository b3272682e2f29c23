"""Training in two processes with a core each: what the second one is worth, and how gradients are best summed.

``python -m benchmarks.processes`` measures one process against two, in turns; ``--sum`` two processes that sum their
gradients by one all-reduce after the backward pass, as the training does, against the hooks of
DistributedDataParallel, which sum buckets while the backward pass runs. The production model, windows of noise, gloo.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from atft_pipeline.benchmark.workload import SCALES, build_workload
from atft_pipeline.process import under_torchrun
from atft_pipeline.training.accumulator import MetricAccumulator
from atft_pipeline.training.build import build_trainer
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.epoch import forward, optimizer_step, train_group
from atft_pipeline.training.experiment import TrainingRun
from atft_pipeline.training.runtime.distributed import build_fabric
from atft_pipeline.training.runtime.torchrun import joining
from atft_pipeline.training.trainer import Trainer

LISTINGS = 64
DAYS_OF_BATCH = 3


def bucket_step(trainer: Trainer, group: Any, batches: Any, loss: Any) -> int:
    """One step whose gradients DistributedDataParallel sums while it goes backward; returns the samples."""
    days, samples = sum(len(plan.days) for plan in group), 0
    for _ in trainer.share_of(group):
        batch = next(batches)
        # The hooks average: times the number of processes it is the sum.
        scale = trainer.processes.world * batch.real_days / days
        (forward(trainer, batch, loss).total * scale).backward()
        samples += batch.real_samples
    optimizer_step(trainer)
    return samples


class Samples:
    """Counts samples, as the loop's clock does."""

    samples = 0


def measure(options: argparse.Namespace) -> None:
    """In each process: time steps; rank 0 prints them."""
    os.sched_setaffinity(0, {torch.distributed.get_node_local_rank() % (os.cpu_count() or 1)})
    torch.set_num_threads(1)
    with joining() as peers, tempfile.TemporaryDirectory() as folder:
        scale = replace(SCALES[options.scale], listings=LISTINGS, days=240, batch_size=LISTINGS * DAYS_OF_BATCH)
        work = build_workload(scale, torch.device("cpu"))
        experiment = scale.experiment(RuntimeConfig(device="cpu", compile="none"))
        fabric = build_fabric("cpu", 1, "32-true")
        fabric.launch()
        trainer = build_trainer(TrainingRun(experiment, work.data("host"), work.split, Path(folder)), fabric)
        loss = trainer.enter(experiment.training.plan[0])
        if options.kind == "buckets":
            trainer.module = DistributedDataParallel(trainer.model, gradient_as_bucket_view=True)
        groups = [group for group in trainer.groups(0) if len(group) == peers.world][: options.steps + 1]
        plans = [plan for group in groups for plan in trainer.share_of(group)]
        batches, counted = iter(trainer.source.build_all(plans)), Samples()
        ends, sums = [], MetricAccumulator()
        seen = 0
        for group in groups:
            if options.kind == "buckets":
                samples = bucket_step(trainer, group, batches, loss)
            else:
                counted.samples = 0
                train_group(trainer, loss, sums, group, batches, counted)  # type: ignore[arg-type]
                samples = counted.samples
            ends.append(time.perf_counter())
            seen += samples if len(ends) > 1 else 0
        seconds = [after - before for before, after in pairwise(ends)]
        total = sum(peers.all_gather(seen))
        if peers.rank == 0:
            count = sum(parameter.numel() for parameter in trainer.model.parameters())
            found = {"seconds": statistics.median(seconds), "rate": total / sum(seconds), "parameters": count}
            print("RESULT " + json.dumps(found), flush=True)


def launched(processes: int, kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Run this file under torchrun and read what rank 0 printed."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [
            *launch,
            "-m",
            "benchmarks.processes",
            f"--kind={kind}",
            f"--steps={options.steps}",
            f"--scale={options.scale}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(lines[0].removeprefix("RESULT "))
    return found


def main() -> None:
    """Print a line a run and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sum", action="store_true")
    parser.add_argument("--kind", choices=("flat", "buckets"), default="flat")
    parser.add_argument("--scale", choices=sorted(SCALES), default="origin", help="whose model")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if under_torchrun():
        measure(options)
        return
    cases = [(2, "flat"), (2, "buckets")] if options.sum else [(1, "flat"), (2, "flat")]
    found: dict[tuple[int, str], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(options.repeats):
        for case in cases:
            found[case].append(launched(*case, options))
            one, load = found[case][-1], os.getloadavg()[0]
            speed = f"{one['seconds']:7.3f} s a step  {one['rate']:7.1f} windows/s"
            print(f"{case[0]} x {case[1]:<8} {speed}, load {load:.1f}", flush=True)
    first, second = (statistics.median(one["rate"] for one in found[case]) for case in cases)
    print(f"{found[cases[0]][0]['parameters']:,.0f} parameters; second case / first: {second / first:.2f}")


if __name__ == "__main__":
    main()
