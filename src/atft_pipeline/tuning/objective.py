"""One trial: train a point, report every epoch to the pruner, and record how it ended."""

import math
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from atft_pipeline.errors import TrainingError
from atft_pipeline.lineage import hash_json
from atft_pipeline.splits.split import Split
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import fit
from atft_pipeline.tuning.callbacks import StudyCallback, TrialOutcome, TrialStart
from atft_pipeline.tuning.config import HpoConfig
from atft_pipeline.tuning.limits import Deadline
from atft_pipeline.tuning.skill import daily_skill

METRIC = "val_rank_ic"
WEIGHTS = "weights"
MARKER = "made-by-hpo.txt"
RUN = re.compile(r"[0-9a-f]{12}")
WRITTEN = re.compile(r"\.?(best|epoch)-\d{4}(-\d{8})?(\.\d+\.tmp)?")
STEP_FACTS = ("epoch", METRIC, "loss", "seconds", "samples_per_second")


@dataclass(frozen=True)
class SharedData:
    """What all trials share, loaded once.

    Attributes:
        market: panel, graphs and the panel in memory, whose test days are erased.
        split: training and validation days; it has no test days.
    """

    market: MarketData
    split: Split


Fit = Callable[..., Any]


class Objective:
    """Trains points.

    Args:
        data: shared by all trials.
        config: of the search.
        folder: of the trials' checkpoints.
        callbacks: told of every epoch.
        fit: trains; replaced in tests.
    """

    def __init__(
        self,
        data: SharedData,
        config: HpoConfig,
        folder: Path,
        callbacks: tuple[StudyCallback, ...] = (),
        fit: Fit = fit,
    ) -> None:
        self.data, self.config, self.folder = data, config, folder
        self.callbacks, self.fit = callbacks, fit
        self._shape = ""

    def __call__(
        self, trial: optuna.trial.Trial, start: TrialStart, experiment: Experiment, slowest: float | None
    ) -> TrialOutcome:
        """Train a trial.

        Args:
            trial: Optuna's.
            start: of the trial.
            experiment: its parameters, epochs and seed among them.
            slowest: seconds of the slowest epoch measured in the study.

        Returns:
            How it ended. Whatever is not the point's own fault (a programming error, a request that the machine cannot
            meet) is raised instead.
        """
        callback = TrialCallback(self, trial, start, Deadline(start.epochs, slowest))
        mark(self.checkpoints(start.number))
        try:
            result = self._train(experiment, start, callback)
            return self._complete(result.checkpoint, experiment, callback)
        except optuna.TrialPruned as stop:
            return self._ended("PRUNED", str(stop), experiment, start, callback)
        except TrainingError as error:
            return self._ended("FAILED", str(error), experiment, start, callback)

    def _train(self, experiment: Experiment, start: TrialStart, callback: "TrialCallback") -> Any:
        """Train; compiled graphs are kept from the trial before where the shapes are the same."""
        shape = hash_json([start.parameters["model"], start.parameters["batches"], experiment.batches.batch_size])
        if shape != self._shape:
            torch.compiler.reset()
            self._shape = shape
        return self.fit(
            experiment,
            self.data.market,
            self.data.split,
            self.checkpoints(start.number),
            callback=callback,
            interrupt=callback.deadline.check,
        )

    def checkpoints(self, number: int) -> Path:
        """Folder of a trial's checkpoints."""
        return self.folder / f"trial-{number:04d}"

    def _complete(self, checkpoint: Path, experiment: Experiment, callback: "TrialCallback") -> TrialOutcome:
        facts = callback.facts(experiment) | self._skill(checkpoint, experiment)
        facts[WEIGHTS] = f"{checkpoint.parent.name}/{checkpoint.name}"
        best = max(callback.history, key=lambda record: record[METRIC])
        known = {
            "rank_ic": best[METRIC],
            "sharpe": facts["sharpe"],
            "seconds": facts["epoch_seconds"],
            "parameters": callback.card.get("model", {}).get("parameters", math.nan),
        }
        names = [self.config.objective, self.config.second_objective]
        values = tuple(float(known[name]) for name in names if name != "none")
        if not all(math.isfinite(value) for value in values):
            reason = f"the objective is undefined: {dict(zip(names, values, strict=False))}"
            return TrialOutcome("FAILED", reason, (), tuple(callback.history), facts, callback.card)
        return TrialOutcome("COMPLETE", "", values, tuple(callback.history), facts, callback.card)

    def _ended(
        self, state: Any, reason: str, experiment: Experiment, start: TrialStart, callback: "TrialCallback"
    ) -> TrialOutcome:
        """An outcome without a value; what its epochs showed is kept beside it."""
        facts = callback.facts(experiment)
        best = sorted(self.checkpoints(start.number).glob("*/best-*"))
        if state == "PRUNED" and best:
            facts |= self._skill(best[-1], experiment)
        return TrialOutcome(state, reason, (), tuple(callback.history), facts, callback.card)

    def _skill(self, checkpoint: Path, experiment: Experiment) -> dict[str, Any]:
        """Skill of the kept weights by validation day."""
        market, split = self.data.market, self.data.split
        horizons = market.panel.meta.horizons
        weights = experiment.loss.for_days(horizons, len(split.train)).weights_of(horizons)
        skill = daily_skill(checkpoint, market, split.validation, experiment.runtime, weights)
        return {
            "daily_rank_ic": np.round(skill.rank_ic, 6).tolist(),
            "portfolio_days": [str(day) for day in market.panel.dates[skill.days]],
            "portfolio_returns": np.round(skill.portfolio_returns, 8).tolist(),
            "sharpe": skill.sharpe,
        }

    def delete_weights(self, number: int, *, keep: bool) -> None:
        """Drop what a finished trial need not keep: its states, and its weights unless it leads."""
        remove_trial(self.checkpoints(number), keep_best=keep)


def mark(folder: Path) -> None:
    """Make the folder of a trial and mark it as the search's own; one that holds something already stays without."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MARKER).write_text("The search made this folder, and removes it when another trial leads.\n")


def remove_trial(folder: Path, *, keep_best: bool) -> None:
    """Remove what a training wrote below a marked folder; what anybody else put there stays.

    Args:
        folder: of the trial.
        keep_best: remove its states alone.
    """
    if folder.is_symlink() or not (folder / MARKER).is_file():
        return
    for run in _folders(folder, RUN):
        for written in _folders(run, WRITTEN):
            if not (keep_best and written.name.startswith("best-")):
                shutil.rmtree(written, ignore_errors=True)
        with suppress(OSError):
            run.rmdir()
    if {path.name for path in folder.iterdir()} == {MARKER}:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path, names: re.Pattern[str]) -> list[Path]:
    found = [path for path in parent.iterdir() if names.fullmatch(path.name)]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


class TrialCallback:
    """Callback of a trial's training: passes its epochs on, reports them to Optuna, and ends what the pruner ends."""

    def __init__(self, owner: Objective, trial: optuna.trial.Trial, start: TrialStart, deadline: Deadline) -> None:
        self.owner, self.trial, self.start, self.deadline = owner, trial, start, deadline
        self.history: list[Mapping[str, Any]] = []
        self.card: Mapping[str, Any] = {}
        self._reported: set[int] = set()

    def on_restart(self) -> None:
        """Forget the epochs of an attempt that ran out of memory."""
        self.history.clear()

    def on_epoch(self, record: Mapping[str, Any]) -> None:
        """Pass an epoch on; prune.

        Raises:
            TrainingError: the validation RankIC is no number.
            TrialPruned: the pruner gives the trial up.
        """
        self.history.append(record)
        self.deadline.measure(float(record["seconds"]))
        for callback in self.owner.callbacks:
            callback.on_epoch(self.start, record)
        value, epoch = float(record[METRIC]), int(record["epoch"])
        if not math.isfinite(value):
            msg = f"epoch {epoch}: the validation RankIC is {value}"
            raise TrainingError(msg)
        if self.owner.config.second_objective != "none" or epoch >= self.start.epochs:
            return
        if epoch not in self._reported:
            self._reported.add(epoch)
            self.trial.report(value, step=epoch)
        if self.trial.should_prune():
            best = max(record[METRIC] for record in self.history)
            msg = f"pruned after epoch {epoch} of {self.start.epochs}, best RankIC {best:+.4f}"
            raise optuna.TrialPruned(msg)

    def on_run_card(self, card: Mapping[str, Any]) -> None:
        """Keep what was active."""
        self.card = card

    def facts(self, experiment: Experiment) -> dict[str, Any]:
        """What is kept beside the trial."""
        seconds = [float(record["seconds"]) for record in self.history]
        best = max(self.history, key=lambda record: record[METRIC], default=None)
        size = self.card.get("data", {}).get("batch_size", experiment.batches.batch_size)
        return {
            "epochs": len(self.history),
            "epoch_seconds": float(np.median(seconds)) if seconds else None,
            "slowest_epoch": max(seconds, default=None),
            "best_epoch": None if best is None else best["epoch"],
            "best_rank_ic": None if best is None else best[METRIC],
            # What fitted, once an epoch is done: measured in place of ``auto``, halved where memory ran out.
            "batch_size": None if size == "auto" else size,
            "accumulation": self.card.get("accumulation", experiment.training.accumulation),
            "history": [{name: record[name] for name in STEP_FACTS if name in record} for record in self.history],
        }


def planned(experiment: Experiment, epochs: int | None, seed: int) -> Experiment:
    """The experiment with the trial's epochs and seed.

    Args:
        experiment: of the point.
        epochs: of the preset, which phases share as they share their own; ``None`` = as the training says.
        seed: added to the training's.
    """
    seed = (experiment.training.seed + seed) % 2**32
    training = replace(experiment.training, seed=seed, resume=False, from_study=None)
    if epochs is not None:
        training = training.with_epochs(epochs)
    return replace(experiment, training=training)
