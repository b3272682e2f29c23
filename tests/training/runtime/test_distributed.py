"""Several processes are one large batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atft_pipeline.errors import TrainingError, UnavailableError
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.training.config import OptimizerConfig, PhaseConfig, RuntimeConfig
from atft_pipeline.training.runtime.distributed import ProcessGroup
from tests.training.runs import MODEL, market, run, weights

STILL: dict[str, Any] = {
    "model": replace(MODEL, dropout=0.0, graph=replace(MODEL.graph, dropout=0.0)),
    "loss": LossConfig(rank_ic=0.0, sharpe=0.0),
    "optimizer": OptimizerConfig(name="sgd", lr=1e-2),
    "patience": 0,
}


def test_a_process_takes_every_other_batch() -> None:
    assert ProcessGroup(1, 3).shard(list(range(8))) == [1, 4, 7]
    assert ProcessGroup().all_gather("alone") == ["alone"]
    model = torch.nn.Linear(2, 1)
    assert ProcessGroup().sum_gradients(model, stop=True)
    assert model.weight.grad is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_equal_one_that_accumulates(tmp_path: Path) -> None:
    """The union of two processes' days is one batch of all of them; the graph is off at first, so some never learn."""
    panel, graphs = market(tmp_path, days=90)
    phases = (PhaseConfig(name="plain", epochs=1, graph=False), PhaseConfig(name="full", epochs=1))
    common = {**STILL, "phases": phases, "epochs": None}
    alone = run(panel, graphs, tmp_path / "one", accumulation=2, **common)
    both = run(panel, graphs, tmp_path / "two", runtime=RuntimeConfig(device="cpu", devices=2), **common)
    assert both.run_card["device"]["processes"] == 2
    for (name, one), two in zip(weights(alone).items(), weights(both).values(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4, msg=name)
    for one_record, two_record in zip(alone.history, both.history, strict=True):
        assert two_record["loss"] == pytest.approx(one_record["loss"], rel=1e-4)
        assert two_record["val_rank_ic"] == pytest.approx(one_record["val_rank_ic"], abs=1e-4)
    assert len(list((tmp_path / "two").glob("*/epoch-0002"))) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_error_in_a_process_is_the_one_line_that_it_is_alone(tmp_path: Path) -> None:
    panel, graphs = market(tmp_path, days=90)
    with pytest.raises(TrainingError, match=r"the loss is nan"):
        run(
            panel,
            graphs,
            tmp_path / "run",
            runtime=RuntimeConfig(device="cpu", devices=2),
            **{**STILL, "optimizer": OptimizerConfig(name="sgd", lr=1e3), "clip_norm": 0.0},
        )


def test_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from atft_pipeline.training.runtime.distributed import build_fabric

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UnavailableError, match="2 were asked for, but there are 1 GPUs"):
        build_fabric("cuda", 2, "32-true")
