"""What a machine is like, and what a training would choose on it."""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from atft_pipeline import THREADS
from atft_pipeline.errors import UnavailableError
from atft_pipeline.panel.panel import Panel
from atft_pipeline.process import available_cores, available_memory
from atft_pipeline.training.experiment import Experiment

GIB = 2**30
PACKAGE = "atft-pipeline"
# Below these a run of the sample market fails.
LEAST_MEMORY, LEAST_DISK = 2 * GIB, GIB
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        subject: what was looked at.
        state: ``ok``, ``note`` (worth knowing), or ``problem`` (something will fail).
        value: what was found.
        told: the reason, or what to do.
    """

    subject: str
    state: State
    value: str
    told: str = ""


def environment(project: Path) -> Iterator[Finding]:
    """Python, the packages against what the project requires, and against the versions that were tested.

    Args:
        project: its folder, with ``constraints.txt`` where the project was cloned.
    """
    yield Finding("Python", "ok", sys.version.split()[0], sys.executable)
    missing = sorted(unmet(PACKAGE))
    if missing:
        yield Finding("packages", "problem", f"{len(missing)} do not fit", f"{', '.join(missing)}; run: make install")
    else:
        yield Finding("packages", "ok", version("torch"), "torch; every requirement is met")
    constraints = project / "constraints.txt"
    if constraints.is_file():
        other = sorted(untested(constraints.read_text(encoding="utf-8")))
        told = f"{', '.join(other[:4])}{' and others' if len(other) > 4 else ''}"
        state: State = "note" if other else "ok"
        yield Finding("tested versions", state, f"{len(other)} others" if other else "all", told or "constraints.txt")


def unmet(package: str) -> Iterator[str]:
    """Requirements of a package that are absent or of a version that does not fit; extras are not looked at."""
    for line in requires(package) or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement} is not installed"
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement}, {found} is installed"


def untested(constraints: str) -> Iterator[str]:
    """Installed packages of another version than the constraints name; a local version such as +cu130 is the same."""
    for line in constraints.splitlines():
        pin = PIN.match(line)
        if pin is None:
            continue
        try:
            found = version(pin[1])
        except PackageNotFoundError:
            continue
        if found.partition("+")[0] != pin[2].partition("+")[0]:
            yield f"{pin[1]} {found} (tested: {pin[2]})"


def machine(project: Path) -> Iterator[Finding]:
    """Cores and threads, memory, and the disk of the project."""
    cores = available_cores()
    over = cores < THREADS
    told = "more threads than cores wait for each other: unset OMP_NUM_THREADS" if over else "OMP_NUM_THREADS sets them"
    yield Finding("threads", "note" if over else "ok", f"{THREADS} for {cores} cores", told)
    memory = available_memory()
    short = memory < LEAST_MEMORY
    yield Finding(
        "memory",
        "problem" if short else "ok",
        f"{memory / GIB:.1f} GiB free",
        f"a run of the sample market needs {LEAST_MEMORY / GIB:.0f}" if short else "",
    )
    disk = shutil.disk_usage(project)
    full = disk.free < LEAST_DISK
    yield Finding(
        "disk",
        "problem" if full else "ok",
        f"{disk.free / GIB:.1f} GiB free of {disk.total / GIB:.0f}",
        "make room, for example with: kedro prune" if full else str(project),
    )


def choices(experiment: Experiment, panel: Panel | None) -> Iterator[Finding]:
    """What a training under these parameters takes of the machine, each with its reason.

    Args:
        experiment: of the configuration.
        panel: that it would train on, ``None`` where there is none yet.
    """
    # Loads torch, which the rest of a report does not need.
    from atft_pipeline.panel.resident import choose_residency, dense_size  # noqa: PLC0415
    from atft_pipeline.training.runtime.runtime import choose_runtime  # noqa: PLC0415

    try:
        runtime = choose_runtime(experiment.runtime)
        for name in ("device", "precision", "compile", "attention", "deterministic"):
            choice = getattr(runtime, name)
            yield Finding(f"runtime.{name}", "ok", choice.value, choice.reason)
        if panel is not None:
            place = choose_residency(dense_size(panel), experiment.residency, runtime.torch_device)
            yield Finding("residency.mode", "ok", place.value, place.reason)
    except UnavailableError as error:
        yield Finding("runtime", "problem", "not available", str(error))
    size = experiment.batches.batch_size
    told = "a training measures which is fastest" if size == "auto" else "samples, whole days"
    yield Finding("batches.batch_size", "ok", str(size), told)
