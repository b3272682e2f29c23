"""Shared test settings."""

from pathlib import Path

import hypothesis
import pytest
import torch

import atft_pipeline  # noqa: F401  (sets the thread limits before anything else is loaded)
from tests.project import kedro_ok, make_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after ``kedro run`` on the committed sample market, and what the run printed."""
    project = make_project(tmp_path_factory.mktemp("project"))
    return project, kedro_ok(project, "run")


def pytest_configure(config: pytest.Config) -> None:
    """One torch thread: unit tests are tiny, and parallel runs share few cores."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests marked ``gpu`` only where there is a CUDA device."""
    if torch.cuda.is_available():
        return
    selected = [item for item in items if item.get_closest_marker("gpu") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


# A machine that does other work too stretches single examples; the timeout of the whole test is the limit.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")
