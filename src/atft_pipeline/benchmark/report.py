"""The benchmark from its first check to its last variant."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from atft_pipeline.benchmark.checks import Check, check_no_waits, check_scores, run_tests
from atft_pipeline.benchmark.config import BenchmarkConfig
from atft_pipeline.benchmark.machine import describe, synchronize
from atft_pipeline.benchmark.measure import Measurement, flops_per_sample, measure, steps_of, trainer_of
from atft_pipeline.benchmark.switches import DEFAULT, EAGER, PLAIN, VARIANTS, Variant
from atft_pipeline.benchmark.workload import SCALES, Workload, build_workload
from atft_pipeline.config import require
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.epoch import train_epoch, validate
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.training.runtime.runtime import choose_runtime
from atft_pipeline.training.trainer import Trainer

log = logging.getLogger(__name__)

# Measured steps of a variant: their median is steady to a few per cent.
STEPS = 10
# The seconds of an epoch are extrapolated from at least so many measured steps.
EPOCH_STEPS = 60
TOP_KERNELS = 20
# Largest relative difference of a first loss from that of eager float32: dropout draws other numbers in each variant.
TOLERANCE = 0.02


@dataclass
class Report:
    """Everything that was measured, in plain types once it is a mapping."""

    scale: str
    workload: dict[str, Any]
    machine: dict[str, Any]
    checks: list[Check] = field(default_factory=list)
    variants: list[Measurement] = field(default_factory=list)
    flops_per_sample: float = 0.0
    epoch: dict[str, Any] = field(default_factory=dict)
    kernels: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_benchmark(
    settings: BenchmarkConfig,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    steps: int = STEPS,
    full: bool = False,
    checkout: Path | None = None,
) -> dict[str, Any]:
    """Measure the switches of the training on this machine.

    Args:
        settings: scale, variants, time.
        device: where to compute.
        steps: measured steps of each variant, at least 2.
        full: also the checks, a whole epoch, and the kernels that take most time.
        checkout: where the tests that need a GPU lie.

    Returns:
        Plain JSON types; :func:`atft_pipeline.reporting.benchmark_table.benchmark_table` lays them out.

    Raises:
        ConfigError: fewer than 2 steps.
        UnavailableError: a device that is not there.
    """
    require(steps >= 2, f"steps: must be at least 2, got {steps}")
    began = time.perf_counter()

    def left() -> float:
        return 60 * settings.minutes - _since(began)

    runtime = RuntimeConfig(device=device)
    here = choose_runtime(runtime).torch_device
    experiment = SCALES[settings.scale].experiment(runtime)
    workload = build_workload(SCALES[settings.scale], here)
    log.info("workload %s: %s windows, built in %.1f s", settings.scale, f"{workload.windows:,}", _since(began))
    report = Report(settings.scale, _sizes(workload), describe(here))
    if full:
        tiny = workload if settings.scale == "tiny" else build_workload(SCALES["tiny"], here)
        small = SCALES["tiny"].experiment(runtime)
        report.checks += [check_no_waits(tiny, small), *check_scores(tiny, small)]
        if checkout is not None and here.type == "cuda":
            report.checks.append(run_tests(checkout, max(min(0.3 * left(), 150), 1)))
    report.flops_per_sample = flops_per_sample(workload, experiment, Variant("flops", EAGER))
    for variant in (DEFAULT, *VARIANTS):
        if not _is_wanted(variant, settings, here):
            continue
        if report.variants and left() < _expected(variant, report.variants):
            report.left_out.append(variant.name)
            continue
        measured = max(steps, EPOCH_STEPS) if full and variant is DEFAULT else steps
        report.variants.append(measure(workload, experiment, variant, warm=2, steps=measured))
        log.info("%s", _line(report.variants[-1]))
        if full and variant is DEFAULT:
            _measure_epoch(report, workload, experiment, left())
    if any(row.name == PLAIN.name and not row.error for row in report.variants):
        report.checks.append(_check_losses(report.variants))
    report.seconds = _since(began)
    return asdict(report)


def _measure_epoch(report: Report, workload: Workload, experiment: Experiment, seconds: float) -> None:
    """Add an epoch of the default variant, whole where the seconds allow it, and its top kernels to the report."""
    # Compiled once more, from the cache: what that takes is a warm start.
    with trainer_of(workload, experiment, DEFAULT) as trainer:
        report.epoch = _epoch(trainer, workload, report.variants[0], seconds)
        log.info("an epoch takes %.1f s by the measured steps", report.epoch["extrapolated_seconds"])
        report.kernels = _kernels(trainer)


def _check_losses(rows: Sequence[Measurement]) -> Check:
    """The first losses of variants that only compute differently, against that of eager float32."""
    same = {
        variant.name
        for variant in (DEFAULT, *VARIANTS)
        if all(path.startswith(("runtime.", "training.optimizer.", "residency")) for path in variant.change)
    }
    losses = {row.name: row.loss for row in rows if row.name in same and not row.error}
    apart = {name: abs(loss / losses[PLAIN.name] - 1) for name, loss in losses.items()}
    worst = max(apart, key=lambda name: apart[name])
    detail = f"{len(apart)} variants, farthest {worst}: {100 * apart[worst]:.2f} % (limit {100 * TOLERANCE:g} %)"
    return Check("first losses against eager float32", apart[worst] < TOLERANCE, detail)


def _is_wanted(variant: Variant, settings: BenchmarkConfig, device: torch.device) -> bool:
    return variant.name in settings.only if settings.only else device.type == "cuda" or not variant.gpu


def _expected(variant: Variant, done: Sequence[Measurement]) -> float:
    """Seconds that a variant may take: twice what the default took to start, for those that compile."""
    compiles = variant.change.get("runtime.compile") != "none"
    return 2 * done[0].first_step_s + 5 if compiles else 8.0


def _epoch(trainer: Trainer, workload: Workload, base: Measurement, left: float) -> dict[str, Any]:
    """A whole epoch and its validation where the time allows; else what the measured steps foretell."""
    rows = trainer.train_batches.samples
    foretold = rows / base.samples_per_second if base.samples_per_second else float("inf")
    found: dict[str, Any] = {
        "training_windows": rows,
        "extrapolated_seconds": foretold,
        "extrapolated_from_steps": EPOCH_STEPS,
        "all_windows_seconds": foretold * workload.windows / rows,
        "complete": left > 1.5 * foretold + 2 * base.first_step_s,
    }
    if not found["complete"]:
        return found
    record = train_epoch(trainer, trainer.enter(trainer.experiment.training.plan[0]))
    synchronize(trainer.device)
    # Compilation and the first step are told apart from the epoch.
    trained = time.perf_counter() - (trainer.began + (trainer.first_step_seconds or 0.0))
    # The first validation compiles its own graph.
    validate(trainer)
    start = time.perf_counter()
    validate(trainer)
    validated = time.perf_counter() - start
    return found | {
        "seconds": trained,
        "warm_start_to_first_step_seconds": trainer.first_step_seconds,
        "loss": record["loss"],
        "data_wait_share": record["data_wait_share"],
        "validation_seconds": validated,
        "validation_row_against_training_row": (validated / trainer.validation_batches.samples) / (trained / rows),
    }


def _kernels(trainer: Trainer) -> list[dict[str, Any]]:
    """The kernels that take most device time in three steps of the default."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if trainer.device.type == "cuda":
        activities = [torch.profiler.ProfilerActivity.CUDA]
    steps = steps_of(trainer, 6)
    for _ in range(3):
        next(steps)
    synchronize(trainer.device)
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in steps:
            pass
        synchronize(trainer.device)
    on_device = trainer.device.type == "cuda"
    taken = [
        (event.key, event.self_device_time_total if on_device else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
    ]
    total = sum(spent for _, spent, _ in taken) or 1.0
    first = sorted(taken, key=lambda row: -row[1])[:TOP_KERNELS]
    return [{"name": name[:120], "share": spent / total, "calls": calls} for name, spent, calls in first]


def _line(row: Measurement) -> str:
    if row.error:
        return f"{row.name}: {row.error}"
    return (
        f"{row.name}: {row.samples_per_second:,.0f} samples/s, first step {row.first_step_s:.1f} s, loss {row.loss:.4f}"
    )


def _sizes(workload: Workload) -> dict[str, Any]:
    from atft_pipeline.model.atft_gat_fan import ATFTGATFAN  # noqa: PLC0415
    from atft_pipeline.training.build import input_spec  # noqa: PLC0415

    scale = workload.scale
    with torch.device("meta"):
        model = ATFTGATFAN(scale.model, input_spec(workload.panel.meta, scale.window))
    return {
        "listings": scale.listings,
        "days": scale.days,
        "features": scale.features,
        "window": scale.window,
        "batch_size": scale.batch_size,
        "windows": workload.windows,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _since(start: float) -> float:
    return time.perf_counter() - start
