"""One variant of a training, measured over some steps of the real loop."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from atft_pipeline.benchmark.machine import synchronize
from atft_pipeline.benchmark.switches import Variant
from atft_pipeline.benchmark.workload import Workload
from atft_pipeline.errors import AtftError
from atft_pipeline.training.accumulator import MetricAccumulator
from atft_pipeline.training.build import build_trainer
from atft_pipeline.training.epoch import Clock, forward, train_group
from atft_pipeline.training.experiment import Experiment, TrainingRun
from atft_pipeline.training.trainer import Trainer

GIB = 2**30


@dataclass
class Measurement:
    """What a variant costs.

    Attributes:
        name: of the variant.
        against: name of the variant that it is compared with.
        samples_per_second: median over the steps.
        step_ms: median.
        spread: of the steps' times, (third - first quartile) / median.
        first_step_s: wall time of building and of the first step: compilation, if any.
        peak_gib: most memory that tensors took on the device; ``None`` on a CPU.
        loss: of the first step.
        parts: share of the step's time by part.
        error: why it could not be measured, one line.
    """

    name: str
    against: str
    samples_per_second: float = 0.0
    step_ms: float = 0.0
    spread: float = 0.0
    first_step_s: float = 0.0
    peak_gib: float | None = None
    loss: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    error: str = ""


@contextmanager
def trainer_of(workload: Workload, base: Experiment, variant: Variant) -> Iterator[Trainer]:
    """The objects of a training of a variant, in a folder that goes afterwards."""
    data = workload.data(variant.change.get("residency", "device"))
    with tempfile.TemporaryDirectory() as folder:
        yield build_trainer(TrainingRun(variant.of(base), data, workload.split, Path(folder)))


def steps_of(trainer: Trainer, count: int) -> Iterator[tuple[float, int]]:
    """Train some steps in the real loop; yield the loss so far (on demand) and the samples of each step."""
    loss = trainer.enter(trainer.experiment.training.plan[0])
    trainer.module.train()
    sums, clock = MetricAccumulator(), Clock(trainer)
    groups = [group for epoch in range(len(trainer.epoch_ends)) for group in trainer.groups(epoch)][:count]
    plans = [plan for group in groups for plan in group]
    batches = trainer.timer.waiting(trainer.source.build_all(plans))
    for number, group in enumerate(groups):
        before = clock.samples
        train_group(trainer, loss, sums, group, batches, clock)
        # The first loss is asked for: it is compared between variants. Later ones would make the host wait.
        yield (sums.loss if number == 0 else 0.0), clock.samples - before


def measure(workload: Workload, base: Experiment, variant: Variant, *, warm: int, steps: int) -> Measurement:
    """Measure a variant; what a device cannot do, or has no memory for, is told and no error."""
    found = Measurement(variant.name, variant.against)
    with suppress_failure(found), trainer_of_timed(workload, base, variant) as (trainer, began):
        device = trainer.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        marks: list[Any] = []
        samples: list[int] = []
        for number, (loss, rows) in enumerate(steps_of(trainer, 1 + warm + steps)):
            if number == 0:
                synchronize(device)
                found.loss, found.first_step_s = loss, time.perf_counter() - began
            if number == warm:
                trainer.timer.collect()
                before = dict(trainer.timer.device_seconds or trainer.timer.seconds)
                waited = trainer.timer.seconds["data"]
            if number >= warm:
                marks.append(_mark(device))
                samples.append(rows)
        synchronize(device)
        trainer.timer.collect()
        taken = _between(marks)
        found.step_ms = statistics.median(taken)
        found.spread = _quartile_spread(taken)
        found.samples_per_second = statistics.median(
            1e3 * rows / spent for rows, spent in zip(samples[1:], taken, strict=True)
        )
        after = trainer.timer.device_seconds or trainer.timer.seconds
        total = sum(taken) / 1e3
        found.parts = {name: (value - before.get(name, 0.0)) / total for name, value in after.items() if name != "data"}
        found.parts["data wait"] = (trainer.timer.seconds["data"] - waited) / total
        found.peak_gib = torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None
    return found


@contextmanager
def trainer_of_timed(workload: Workload, base: Experiment, variant: Variant) -> Iterator[tuple[Trainer, float]]:
    """A trainer, and when its building began."""
    began = time.perf_counter()
    with trainer_of(workload, base, variant) as trainer:
        yield trainer, began


@contextmanager
def suppress_failure(found: Measurement) -> Iterator[None]:
    """Note on the measurement why it failed, for what a device may refuse."""
    try:
        yield
    except (AtftError, torch.OutOfMemoryError, ImportError, NotImplementedError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), "")
        found.error = f"{type(error).__name__}: {first[:160]}"
    finally:
        # Compiled code of this variant, and its memory, are not the next one's.
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def flops_per_sample(workload: Workload, base: Experiment, variant: Variant) -> float:
    """Floating-point operations of a sample, forward and backward, counted by torch."""
    with trainer_of(workload, base, variant) as trainer:
        loss = trainer.enter(trainer.experiment.training.plan[0])
        batch = trainer.train_batches.build(trainer.train_batches.plan()[0])
        with FlopCounterMode(display=False) as counter:
            trainer.fabric.backward(forward(trainer, batch, loss).total)
        return float(counter.get_total_flops()) / batch.real_samples


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _between(marks: list[Any]) -> list[float]:
    """Milliseconds between marks."""
    if isinstance(marks[0], float):
        return [1e3 * (later - sooner) for sooner, later in pairwise(marks)]
    return [sooner.elapsed_time(later) for sooner, later in pairwise(marks)]


def _quartile_spread(values: list[float]) -> float:
    if len(values) < 4:
        return 0.0
    first, middle, third = statistics.quantiles(values, n=4)
    return (third - first) / middle
