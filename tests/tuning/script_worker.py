"""Workers in processes of their own. They start from one process that has imported everything: seconds, not minutes."""

import multiprocessing
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from atft_pipeline.tuning import database
from tests.tuning.studies import Script, scripted, search_config

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
QUICK = (1, 3)
"""Seconds between signs of life and until a worker counts as dead: the tests wait for both."""
GATES: list[Barrier] = []
"""Kept: one that is collected before its processes have come up is gone."""


def work(url: str, folder: Path, trials: int, seconds: float, gate: Barrier | None) -> None:
    database.BEAT, database.GRACE = QUICK
    if gate is not None:
        gate.wait()
    worker = scripted(url, search_config(trials), folder, Script(folder, seconds))
    worker.run()
    worker.shared.storage.engine.dispose()


def start(url: str, folder: Path, trials: int, seconds: float, gate: Barrier | None = None) -> ForkServerProcess:
    """Start a worker; ``kill`` sends it SIGKILL."""
    process = CONTEXT.Process(target=work, args=(url, folder, trials, seconds, gate), daemon=True)
    process.start()
    return process


def start_together(url: str, folder: Path, trials: int, seconds: float, count: int) -> list[ForkServerProcess]:
    """Start workers that open the study at the same moment."""
    gate = CONTEXT.Barrier(count)
    GATES.append(gate)
    return [start(url, folder, trials, seconds, gate) for _ in range(count)]


def exit_code(process: ForkServerProcess, timeout: float) -> int | None:
    process.join(timeout)
    return process.exitcode
