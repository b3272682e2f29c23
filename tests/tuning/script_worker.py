"""Workers in processes of their own. They start from one process that has imported everything: seconds, not minutes."""

import multiprocessing
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from tests.tuning.studies import Script, scripted, search_config


def work(url: str, folder: Path, trials: int, seconds: float) -> None:
    worker = scripted(url, search_config(trials), folder, Script(folder, seconds))
    worker.run()
    worker.shared.storage.engine.dispose()


def start(url: str, folder: Path, trials: int, seconds: float) -> ForkServerProcess:
    """Start a worker; ``kill`` sends it SIGKILL."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=(url, folder, trials, seconds), daemon=True)
    process.start()
    return process


def exit_code(process: ForkServerProcess, timeout: float) -> int | None:
    process.join(timeout)
    return process.exitcode
