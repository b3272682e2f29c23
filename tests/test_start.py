"""Commands start quickly: what they do not use is not loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

TRACKING = ["mlflow", "sqlalchemy", "kedro_mlflow"]
# Seconds of torch, of its compiler, of the trees, of the search, of checks of tables, of figures of other libraries.
HEAVY = ["lightning", "lightgbm", "sklearn", "optuna", "matplotlib", "torch._dynamo", "torch_geometric", "scipy.stats"]
PROGRAM = """
import atexit, json, sys, time
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps([time.process_time(), sorted(sys.modules)])))
from kedro.framework.cli import main; main()
"""


def start(project: Path, *arguments: str) -> tuple[float, set[str]]:
    """Processor seconds of a command and the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seconds, modules = json.loads(done.stderr.splitlines()[-1])
    return seconds, set(modules)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "spared", "most"),
    [
        (["status"], [*HEAVY, *TRACKING, "torch", "pandera"], 4.5),
        (["lineage", "metrics"], [*HEAVY, *TRACKING, "torch", "pandera"], 4.5),
        # It scores with the trees of the evaluation too.
        (["run", "--pipeline=predict"], [*{*HEAVY} - {"lightgbm", "sklearn", "scipy.stats"}, *TRACKING], 9.0),
    ],
)
def test_a_command_loads_what_it_uses(
    finished: tuple[Path, str], command: list[str], spared: list[str], most: float
) -> None:
    """Half of the limit was measured (docs/performance.md); the rest is for slower machines."""
    project, _ = finished
    seconds, modules = start(project, *command)
    assert sorted(modules & set(spared)) == []
    assert "polars" in modules
    assert seconds < most


def test_the_configuration_is_read_without_what_computes() -> None:
    """As kedro-viz and notebooks do: the registry and the settings alone."""
    program = "import json, sys, atft_pipeline.settings, atft_pipeline.pipeline_registry as registry\n"
    program += "registry.register_pipelines(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted({*json.loads(done.stdout)} & {*HEAVY, *TRACKING, "torch", "pandera", "scipy"}) == []
