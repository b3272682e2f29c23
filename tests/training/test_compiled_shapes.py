"""A compiled training meets one shape in training and one in validation, whatever the days hold."""

from pathlib import Path
from typing import Any

import pytest
import torch

from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.training.checkpoint import state
from atft_pipeline.training.config import PhaseConfig, RuntimeConfig
from atft_pipeline.training.runtime.runtime import compiled_graphs
from tests.training.runs import market, run

PHASES = (
    PhaseConfig(name="baseline", epochs=1, normaliser=False, graph=False),
    PhaseConfig(name="normaliser", epochs=1, graph=False),
    PhaseConfig(name="graph", epochs=2),
    PhaseConfig(name="fine_tune", epochs=1, lr_factor=0.5),
)
BATCHES = BatchConfig(window=5, batch_size=80, min_history=2, min_listings=3)


@pytest.mark.slow
def test_a_run_compiles_two_graphs_a_set_of_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty day sizes, four phases, validation, averaged weights, several epochs, and a resumed run."""
    panel, graphs = market(tmp_path, days=120, listings=60)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    for day in range(120):
        resident.universe[day, 15 + day % 40 :] = False
    compile_in_place = torch.nn.Module.compile

    def eagerly(module: torch.nn.Module, **settings: Any) -> None:
        # The graphs are those of a full compilation; only their code is not generated.
        compile_in_place(module, backend="eager", **{**settings, "mode": None})

    monkeypatch.setattr(ATFTGATFAN, "compile", eagerly)
    monkeypatch.setattr(state, "KEEP_STATES", 9)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    asked: dict[str, Any] = {
        "batches": BATCHES,
        "loss": LossConfig(sharpe=0.1),
        "runtime": RuntimeConfig(device="cpu", compile="full"),
        "resident": resident,
        "epochs": None,
        "phases": PHASES,
        "ema_decay": 0.9,
    }
    sizes = DayBatches(resident, None, range(80), BATCHES, shuffle=True, seed=1)
    assert len({len(sizes.samples_of(day)) for day in sizes.days}) >= 25
    whole = run(panel, graphs, tmp_path / "run", **asked)
    sets = len({(phase.normaliser, phase.graph) for phase in PHASES})
    assert compiled_graphs() == {"graphs": 2 * sets, "breaks": 0}
    # The last states gone, as after a kill: the resumed epochs take the graphs that are there.
    for folder in sorted((tmp_path / "run").glob("*/epoch-*"))[-2:]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    again = run(panel, graphs, tmp_path / "run", resume=True, **asked)
    assert [record["loss"] for record in again.history] == [record["loss"] for record in whole.history]
    # A new model is a new module: its own two graphs a set, and no more than those of the phases that were left.
    assert compiled_graphs()["graphs"] <= 4 * sets
    assert compiled_graphs()["breaks"] == 0
    torch._dynamo.reset()
