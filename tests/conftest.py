"""Shared test settings."""

from pathlib import Path

import hypothesis
import pytest
import torch
from filelock import FileLock

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from tests import WORKER
from tests.project import kedro_ok, make_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after ``kedro run`` on the committed sample market, and what the run printed; one for all workers."""
    # A worker's own folder lies in that of the session.
    base = tmp_path_factory.getbasetemp()
    project = (base if WORKER is None else base.parent) / "project"
    printed = project / "printed.txt"
    with FileLock(project.with_suffix(".lock")):
        if not printed.exists():
            project.mkdir()
            text = kedro_ok(make_project(project), "run")
            printed.write_text(text)
    return project, printed.read_text()


def pytest_configure(config: pytest.Config) -> None:
    """One torch thread: unit tests are tiny, and parallel runs share few cores."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests marked ``gpu`` only where there is a CUDA device, and the files with slow tests first.

    A slow file that one of two workers begins last would keep the other one waiting.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)
    if torch.cuda.is_available():
        return
    selected = [item for item in items if item.get_closest_marker("gpu") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


# A machine that does other work too stretches single examples; the timeout of the whole test is the limit.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")
