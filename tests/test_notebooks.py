"""The notebooks run on a finished run, assert what they show, and are committed without what they gave."""

from pathlib import Path

import pytest

from tests import notebooks
from tests.project import ROOT

# Of a finished run; the one on trials is run where there is a search (tests/test_commands.py).
OF_A_RUN = ("explore_prices", "explore_panel", "look_at_a_run", "scores_to_portfolio")
ALL = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_every_notebook_is_run() -> None:
    assert sorted([*OF_A_RUN, "compare_trials"]) == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_notebook_asserts_and_is_committed_without_outputs(name: str) -> None:
    code = [cell for cell in notebooks.read(name).cells if cell.cell_type == "code"]
    assert any("assert " in cell.source for cell in code)
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_notebooks_of_a_run(finished: tuple[Path, str]) -> None:
    cells = notebooks.run(finished[0], *OF_A_RUN)
    kinds = [kind for cell in cells for output in cell.outputs for kind in output.get("data", {})]
    assert kinds.count("application/vnd.plotly.v1+json") >= 7
    printed = "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")
    assert "RankIC 0." in printed
