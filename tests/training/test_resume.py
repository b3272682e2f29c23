"""Runs that are killed, interrupted or cut short continue as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atft_pipeline.errors import Interrupted, TrainingError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.training.checkpoint import state
from atft_pipeline.training.trainer import Trainer
from tests.project import ROOT
from tests.training.runs import market, run, weights

SETTINGS = {"epochs": 6, "patience": 0, "ema_decay": 0.9}
LOSS = LossConfig(sharpe=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs, Path]:
    folder = tmp_path_factory.mktemp("market")
    return *market(folder), folder


def script(root: Path, resume: bool, pause: float) -> str:
    """A process that trains, saves after every step, and takes its time."""
    return (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from atft_pipeline.errors import Interrupted, TrainingError\n"
        "from atft_pipeline.graphs.graphs import MonthlyGraphs\n"
        "from atft_pipeline.panel.panel import Panel\n"
        "from tests.training.test_resume import LOSS, SETTINGS\n"
        "from tests.training import runs\n"
        "from atft_pipeline.training import trainer\n"
        "trainer.SAVE_MINUTES = 0.0\n"
        f"root = Path({str(root)!r})\n"
        "panel, graphs = Panel.open(root / 'panel.arrow'), MonthlyGraphs.open(root / 'graphs.arrow')\n"
        "def pausing(seen=[]):\n"
        "    if not seen: print('ready', flush=True); seen.append(1)\n"
        f"    time.sleep({pause})\n"
        "try:\n"
        f"    runs.run(panel, graphs, root / 'killed', loss=LOSS, interrupt=pausing,\n"
        f"        resume={resume}, **SETTINGS)\n"
        "except Interrupted as stopped:\n"
        "    print(stopped); sys.exit(130)\n"
    )


def start(root: Path, *, resume: bool, pause: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", script(root, resume, pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(made: tuple[Panel, MonthlyGraphs, Path]) -> None:
    """Killed ten times, within epochs and within the writing of states: the final weights are those of a whole run."""
    panel, graphs, root = made
    whole = run(panel, graphs, root / "whole", loss=LOSS, **SETTINGS)
    rng = random.Random(5)
    for kill in range(10):
        resume = bool(list((root / "killed").glob("*/epoch-*")))
        process = start(root, resume=resume, pause=0.02)
        time.sleep(rng.uniform(0.0, 0.8))
        assert process.poll() is None, f"the run ended before kill {kill}; let it pause longer"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    states = sorted(path.name for path in (root / "killed").glob("*/epoch-*"))
    assert states
    resumed = run(panel, graphs, root / "killed", loss=LOSS, resume=True, **SETTINGS)
    assert [record["epoch"] for record in resumed.history] == [1, 2, 3, 4, 5, 6]
    after, before = weights(resumed), weights(whole)
    assert all(torch.equal(after[name], before[name]) for name in before)
    for one, other in zip(resumed.history, whole.history, strict=True):
        assert one["val_rank_ic"] == other["val_rank_ic"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


@pytest.mark.slow
def test_ctrl_c_saves_the_step_and_says_how_to_continue(
    made: tuple[Panel, MonthlyGraphs, Path], tmp_path: Path
) -> None:
    panel, graphs, root = made
    for name in ("panel.arrow", "graphs.arrow"):
        (tmp_path / name).symlink_to(root / name)
    process = start(tmp_path, resume=False, pause=0.05)
    while not list((tmp_path / "killed").glob("*/epoch-0001-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted in epoch 2 after step" in printed
    assert "training.resume=true" in printed
    resumed = run(panel, graphs, tmp_path / "killed", loss=LOSS, resume=True, **SETTINGS)
    whole = run(panel, graphs, tmp_path / "whole", loss=LOSS, **SETTINGS)
    after, before = weights(resumed), weights(whole)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("moment", ["middle", "last"])
def test_an_interrupt_within_an_epoch_resumes_bit_for_bit(
    made: tuple[Panel, MonthlyGraphs, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    panel, graphs, _ = made
    original = Trainer.after_step

    def stop_in_the_middle(self: Trainer, *arguments: object) -> None:
        step = 2 if moment == "middle" else self.epoch_steps
        self.stop = (self.state.epoch, self.state.done) == (1, step)
        original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "after_step", stop_in_the_middle)
        with pytest.raises(Interrupted, match="epoch 2 after step"):
            run(panel, graphs, tmp_path / "a", loss=LOSS, epochs=3)
    resumed = run(panel, graphs, tmp_path / "a", loss=LOSS, epochs=3, resume=True)
    whole = run(panel, graphs, tmp_path / "b", loss=LOSS, epochs=3)
    after, before = weights(resumed), weights(whole)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert resumed.history[1]["loss_sharpe"] == pytest.approx(whole.history[1]["loss_sharpe"], rel=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_the_best_models_are_kept_and_no_others(
    made: tuple[Panel, MonthlyGraphs, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    panel, graphs, _ = made
    monkeypatch.setattr(state, "KEEP_BEST", count)
    result = run(panel, graphs, tmp_path, epochs=5, patience=0)
    ranked = sorted(result.history, key=lambda record: -record["val_rank_ic"])[:count]
    kept = {path.name for path in tmp_path.glob("*/best-*")}
    assert kept == {f"best-{record['epoch']:04d}" for record in ranked}
    assert result.checkpoint.name == f"best-{ranked[0]['epoch']:04d}"
    assert [epoch for epoch, _ in result.run_card["result"]["kept"]] == [record["epoch"] for record in ranked]


def test_a_second_training_of_the_same_parameters_leaves_the_first_alone(
    made: tuple[Panel, MonthlyGraphs, Path],
) -> None:
    panel, _, root = made
    folder = root / "together"

    def second() -> None:
        with pytest.raises(TrainingError, match=r"is in use: process \d+ \(training\) .*; wait for it, or change"):
            run(panel, None, folder, epochs=1)

    first = run(panel, None, folder, epochs=1, interrupt=second)
    assert (first.checkpoint / "model.json").is_file()
    again = run(panel, None, folder, epochs=1)
    assert weights(again).keys() == weights(first).keys()
