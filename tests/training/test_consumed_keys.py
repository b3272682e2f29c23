"""Every key of the configuration is read by the code of a training; a key that nothing reads would be a lie."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import (
    EncoderConfig,
    GraphAttentionConfig,
    HeadsConfig,
    ModelConfig,
    NormaliserConfig,
    SelectionConfig,
)
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.resident import GIB, choose_residency
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.config import (
    AugmentationConfig,
    OptimizerConfig,
    PhaseConfig,
    RuntimeConfig,
    ScheduleConfig,
    TargetsConfig,
    TrainingConfig,
)
from tests.training.runs import BATCHES, MODEL, market, run

CLASSES = (
    AugmentationConfig,
    BatchConfig,
    EncoderConfig,
    GraphAttentionConfig,
    HeadsConfig,
    LossConfig,
    ModelConfig,
    NormaliserConfig,
    OptimizerConfig,
    PhaseConfig,
    ResidencyConfig,
    RuntimeConfig,
    ScheduleConfig,
    SelectionConfig,
    SplitConfig,
    TargetsConfig,
    TrainingConfig,
)
# Copying or checking a value is not reading it.
COPIES = {"to_mapping", "__post_init__", "replace", "__eq__", "__hash__", "__repr__", "_replace", "_share", "<genexpr>"}
# Read where the stage is wired.
ELSEWHERE = {("TrainingConfig", "from_study")}


def test_every_key_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[tuple[str, str]] = set()

    def watched(kind: type) -> Any:
        names = {field.name for field in dataclasses.fields(kind)}
        original = kind.__getattribute__

        def getattribute(self: Any, name: str) -> Any:
            if name in names and sys._getframe(1).f_code.co_name not in COPIES:
                read.add((kind.__name__, name))
            return original(self, name)

        return getattribute

    for kind in CLASSES:
        monkeypatch.setattr(kind, "__getattribute__", watched(kind))
    panel, graphs = market(tmp_path, days=80)
    heads = HeadsConfig(quantiles=(0.1, 0.5, 0.9), student_t=True)
    schedules = ("warmup_cosine", "cosine_restarts", "one_cycle", "constant")
    kinds = ("fan", "san", "multi_window", "none")
    for place, (schedule, kind) in enumerate(zip(schedules, kinds, strict=True)):
        model = dataclasses.replace(
            MODEL,
            heads=heads,
            normaliser=NormaliserConfig(kind=kind),
            encoder=EncoderConfig(heads=2),  # type: ignore[arg-type]
        )
        run(
            panel,
            graphs,
            tmp_path / str(place),
            model=model,
            batches=BATCHES,
            loss=LossConfig(sharpe=0.1, turnover_cost=0.001, quantile=0.1, student_t=0.1),
            epochs=None,
            phases=(PhaseConfig(epochs=1, augmentation=AugmentationConfig(noise=0.1)),),
            schedule=ScheduleConfig(name=schedule),  # type: ignore[arg-type]
        )
    run(panel, graphs, tmp_path / "single", epochs=2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (8 * GIB, 8 * GIB))
    assert choose_residency(3 * GIB, ResidencyConfig(), torch.device("cuda")).value == "device"
    assert choose_residency(5 * GIB, ResidencyConfig(), torch.device("cuda")).value == "host"
    wanted = {(kind.__name__, field.name) for kind in CLASSES for field in dataclasses.fields(kind)}
    assert wanted - read - ELSEWHERE == set()
