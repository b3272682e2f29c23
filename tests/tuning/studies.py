"""Small searches for the tests."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from atft_pipeline.config import from_mapping
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import Split, single_split
from atft_pipeline.training.config import OptimizerConfig, RuntimeConfig, TargetsConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.tuning.callbacks import StudyCallback, TrialOutcome
from atft_pipeline.tuning.config import DimensionConfig, HpoConfig
from atft_pipeline.tuning.database import open_storage
from atft_pipeline.tuning.guard import blank_test_days, without_test
from atft_pipeline.tuning.objective import Objective, SharedData
from atft_pipeline.tuning.space import with_groups
from atft_pipeline.tuning.storage import SharedStudy
from atft_pipeline.tuning.study import Worker, study_fingerprint
from tests.panel.market import FEATURES
from tests.project import ROOT
from tests.training.runs import BATCHES, MODEL, SPLIT, market

BASE = Experiment(
    model=MODEL,
    loss=LossConfig(),
    training=TrainingConfig(epochs=2, optimizer=OptimizerConfig(lr=1e-2)),
    batches=BATCHES,
    runtime=RuntimeConfig(device="cpu"),
)
SPACE = (
    DimensionConfig(path="training.optimizer.lr", kind="log", low=1e-4, high=1e-1),
    DimensionConfig(path="model.graph.layers", kind="int", low=0, high=2),
    DimensionConfig(path="model.width", kind="categorical", choices=(8, 12, 16)),
)


def search_config(trials: int = 3, epochs: int = 2, **changes: Any) -> HpoConfig:
    settings = {"space": SPACE, "pruner": "none"}
    return HpoConfig(preset="custom", trials=trials, epochs=epochs, **(settings | changes))


def load(folder: Path, **options: Any) -> tuple[SharedData, Split]:
    """A tiny market as trials see it, and the whole split."""
    panel, graphs = market(folder, **options)
    whole = single_split(panel.dates, SPLIT, panel.meta.label_span)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    blank_test_days(resident, whole)
    return SharedData(MarketData(panel, graphs, resident), without_test(whole, panel)), whole


def worker(
    shared_data: SharedData,
    config: HpoConfig,
    folder: Path,
    *,
    base: Experiment = BASE,
    callbacks: tuple[StudyCallback, ...] = (),
    **options: Any,
) -> Worker:
    """A worker on a study in a SQLite file."""
    fingerprint = study_fingerprint(shared_data, base, config)
    shared = SharedStudy(open_storage(f"sqlite:///{folder}/optuna.db"), "study", fingerprint, config)
    objective = Objective(shared_data, config, folder / "checkpoints", callbacks, **options)
    return Worker(shared, base, config, objective, callbacks)


class Script:
    """An objective without training: every epoch sleeps; what a point is worth is a function of it."""

    def __init__(
        self, folder: Path, seconds: float = 0.0, act: Callable[[int], TrialOutcome | None] | None = None
    ) -> None:
        self.folder, self.seconds, self.act = folder, seconds, act

    def __call__(self, _trial: Any, start: Any, _experiment: Experiment, _slowest: float | None) -> TrialOutcome:
        for _ in range(start.epochs):
            time.sleep(self.seconds)
        found = self.act(start.slot) if self.act else None
        return found or complete(-abs(float(start.point["training.optimizer.lr"]) - 0.01))

    def delete_weights(self, number: int, *, keep: bool) -> None: ...


def complete(value: float, **facts: Any) -> TrialOutcome:
    known = {"best_rank_ic": value, "best_epoch": 1, "epochs": 2, "daily_rank_ic": [value, value / 2, 0.0]}
    return TrialOutcome("COMPLETE", "", (value,), (), {**known, **facts}, {})


def scripted(
    url: str, config: HpoConfig, folder: Path, script: Script | None = None, callbacks: tuple[Any, ...] = ()
) -> Worker:
    """A worker that trains nothing."""
    shared = SharedStudy(open_storage(url), "study", "fingerprint", config)
    return Worker(shared, BASE, config, script or Script(folder), callbacks)  # type: ignore[arg-type]


def read_settings(environment: str) -> tuple[Experiment, tuple[DimensionConfig, ...]]:
    """Experiment and search space of an environment of the project, as Kedro would merge them."""
    groups: dict[str, Any] = {}
    sizes = yaml.safe_load((ROOT / "conf/base/globals.yml").read_text())["models"]
    for file in [*sorted((ROOT / "conf/base").glob("parameters*.yml")), *parameters_of(environment)]:
        groups |= yaml.safe_load(file.read_text()) or {}
    groups["model"] = sizes["small" if environment == "base" else "production"]
    names = ("targets", "model", "loss", "training", "batches", "runtime")
    space = from_mapping(HpoConfig, groups["hpo"]).space
    return with_groups(Experiment(), {name: groups.get(name) or {} for name in names}), space


def parameters_of(environment: str) -> Iterable[Path]:
    return [] if environment == "base" else sorted((ROOT / "conf" / environment).glob("parameters*.yml"))


def scaled(settings: Experiment, space: tuple[DimensionConfig, ...]) -> tuple[Experiment, tuple[DimensionConfig, ...]]:
    """The same dimensions for a tiny market: narrower, with smaller batches and shorter windows."""
    divisors: Mapping[str, int] = {"model.width": 16, "batches.batch_size": 128}
    narrow = settings.model.width if settings.model.width < 64 else settings.model.width // 16
    small = replace(
        settings,
        model=replace(
            settings.model,
            width=narrow,
            selection=replace(settings.model.selection, hidden=8),
            encoder=replace(settings.model.encoder, heads=2, layers=1),
            graph=replace(settings.model.graph, heads=4),
        ),
        batches=replace(BATCHES, batch_size=max(32, settings.batches.batch_size // 128)),
        # The tiny market has other features; what the targets are neutral to is one of them.
        loss=replace(settings.loss, horizon_weights={}),
        targets=TargetsConfig(neutral_to=FEATURES[: len(settings.targets.neutral_to)]),
        runtime=RuntimeConfig(device="cpu"),
    )
    dimensions = [
        replace(dimension, choices=tuple(choice // divisors[dimension.path] for choice in dimension.choices))  # type: ignore[operator, misc]
        if dimension.path in divisors
        else dimension
        for dimension in space
    ]
    return small, tuple(dimensions)
