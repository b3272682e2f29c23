"""A training that would train nothing is refused: before its first step if that can be known, else after an epoch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from atft_pipeline.errors import ConfigError, TrainingError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses import composite
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import HeadsConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.training.config import AugmentationConfig, PhaseConfig
from atft_pipeline.training.health import refuse_standstill, weight_sums
from tests.training.runs import MODEL, market, run


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs]:
    return market(tmp_path_factory.mktemp("market"), days=80)


HEAD = HeadsConfig(quantiles=(0.1, 0.9))
NONE = {"huber": 0.0, "rank_ic": 0.0, "ic": 0.0}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"accumulation": 1000}, ConfigError, r"training.accumulation: must not exceed the \d+ batches of an epoch"),
        ({"accumulation": 2, "max_batches": 1}, ConfigError, "must not exceed the 1 batches of an epoch, got 2"),
        ({"loss": LossConfig(quantile=1.0)}, ConfigError, "loss.quantile: the model has no quantile head"),
        ({"loss": LossConfig(student_t=1.0)}, ConfigError, "loss.student_t: the model has no Student-t head"),
        ({"model": HEAD}, ConfigError, r"model.heads.quantiles: loss.quantile weighs 0, so .* untrained"),
        ({"late": {"quantile": 1.0}}, ConfigError, "phase late: loss.quantile: the model has no quantile head"),
        ({"late": NONE}, ConfigError, "phase late: loss_weights: at least one weight of"),
        (
            {"late": {"turnover_cost": 2.0}},
            ConfigError,
            "phase late: loss_weights.turnover_cost: must be from 0 to 1, got 2",
        ),
        ({"late": {"turnover_cost": 0.1}}, ConfigError, "phase late: loss_weights.turnover_cost: 0.1 is charged to"),
    ],
)
def test_it_is_refused(
    planted: tuple[Panel, MonthlyGraphs],
    tmp_path: Path,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    if "late" in settings:
        late = PhaseConfig(name="late", epochs=1, loss_weights=settings["late"])
        settings = {"epochs": None, "phases": (PhaseConfig(name="first", epochs=1), late)}
    if "model" in settings:
        settings = {"model": type(MODEL)(**{**vars(MODEL), "heads": settings["model"]})}
    with pytest.raises(error, match=message):
        run(*planted, tmp_path, **{"epochs": 1, **settings})


def test_too_few_listings_a_day_are_refused(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composite, "MIN_LISTINGS", 29)
    sparse = AugmentationConfig(listing_dropout=0.9)
    message = "epoch 1: the loss is exactly 0, nothing was trained; look at training.augmentation.listing_dropout"
    with pytest.raises(TrainingError, match=message):
        run(*planted, tmp_path, epochs=1, augmentation=sparse)
    run(*planted, tmp_path, epochs=1)


def test_a_weight_that_the_loss_does_not_know_is_refused() -> None:
    for name in ("hubber", "horizon_weights"):
        with pytest.raises(ConfigError, match=f"loss_weights: no weight or number of the loss is called {name}"):
            PhaseConfig(loss_weights={name: 1.0})
    with pytest.raises(ConfigError, match=r"loss_weights\.mse: is no longer a parameter; use loss\.huber"):
        PhaseConfig(loss_weights={"mse": 1.0})


def test_quantiles_may_be_trained_by_a_single_phase(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    phases = (PhaseConfig(name="first", epochs=1), PhaseConfig(name="late", epochs=1, loss_weights={"quantile": 1.0}))
    model = type(MODEL)(**{**vars(MODEL), "heads": HEAD})
    assert len(run(*planted, tmp_path, model=model, epochs=None, phases=phases).history) == 2


def test_weights_that_did_not_move_are_an_error() -> None:
    model = nn.Linear(3, 1)
    before = weight_sums(model)
    with pytest.raises(TrainingError, match="epoch 2: no weight has moved, nothing was trained"):
        refuse_standstill(0.5, before, model, 2)
    with torch.no_grad():
        model.bias += 1e-3
    refuse_standstill(0.5, before, model, 2)
    refuse_standstill(-0.5, before, model, 2)
    with pytest.raises(TrainingError, match="the loss is exactly 0"):
        refuse_standstill(0.0, before, model, 2)
