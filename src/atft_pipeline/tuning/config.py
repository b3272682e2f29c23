"""Parameters of the search."""

import math
import re
from typing import Any, Literal, NamedTuple

from atft_pipeline.config import config, require, within
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.training.config import RuntimeConfig, TargetsConfig, TrainingConfig

Scalar = bool | int | float | str | None
Direction = Literal["maximize", "minimize"]
PRESETS = {"quick": (5, 5), "medium": (10, 10), "full": (20, 20), "dry_run": (1, 2)}
"""Trials and epochs by name."""
GROUPS: dict[str, type[Any]] = {
    "targets": TargetsConfig,
    "model": ModelConfig,
    "loss": LossConfig,
    "training": TrainingConfig,
    "batches": BatchConfig,
    "runtime": RuntimeConfig,
}
"""The groups of an experiment that a trial may change: all but where the panel lies in memory, which trials share."""
DRY = "# Dry run: nothing was searched.\n"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LARGEST = 2**31
"""Numbers beyond it are no setting, and strain the samplers."""


@config
class DimensionConfig:
    """One dimension of the search space.

    Attributes:
        path: dotted path of the parameter, such as ``training.optimizer.lr``; a number picks an entry of a list.
        kind: ``float``, ``log`` (a float whose logarithm is uniform), ``int`` or ``categorical``.
        low: lowest value of a number.
        high: highest value of a number, itself included.
        choices: values of a ``categorical``.
    """

    path: str
    kind: Literal["float", "log", "int", "categorical"]
    low: float | None = within(None, -LARGEST, LARGEST)
    high: float | None = within(None, -LARGEST, LARGEST)
    choices: tuple[Scalar, ...] = ()

    def __post_init__(self) -> None:
        require("." in self.path, f"path: must lead into a group, such as training.optimizer.lr, got {self.path}")
        if self.kind == "categorical":
            distinct = {(type(choice), choice) for choice in self.choices}
            require(
                len(distinct) == len(self.choices) >= 2 and self.low is None and self.high is None,
                f"{self.path}: categorical takes at least two different choices and no low or high",
            )
            endless = [choice for choice in self.choices if isinstance(choice, float) and not math.isfinite(choice)]
            require(not endless, f"{self.path}: choices must be finite, got {endless}")
            return
        require(
            self.low is not None and self.high is not None and self.low < self.high and not self.choices,
            f"{self.path}: {self.kind} takes low < high and no choices, got {self.low}, {self.high}",
        )
        assert self.low is not None
        assert self.high is not None
        require(self.kind != "log" or self.low > 0, f"{self.path}: low of log must be positive, got {self.low}")
        whole = math.floor(self.low) == self.low and math.floor(self.high) == self.high
        require(self.kind != "int" or whole, f"{self.path}: low and high of int must be whole numbers")


class Size(NamedTuple):
    """Trials of a study and epochs of a trial (``None`` = as the training says)."""

    trials: int
    epochs: int | None


@config
class HpoConfig:
    """The search.

    Attributes:
        preset: ``quick`` (5 trials x 5 epochs), ``medium`` (10 x 10), ``full`` (20 x 20), ``dry_run`` (1 x 2, with
            acceptance checks) or ``custom`` (``trials`` and ``epochs`` as given).
        trials: trials of the study, in place of the preset's.
        epochs: epochs of a trial, in place of the preset's; of ``custom``, ``null`` takes those of the training, which
            may then have phases.
        study: name of the study, never a path; ``null`` names it after the preset and a fingerprint of panel, split,
            parameters and space, so that whatever changes them begins another one.
        seed: of the sampler. Trial n trains with ``training.seed + n``; trial 0 is the default configuration.
        objective: what is maximised: mean validation RankIC over the horizons (``rank_ic``), or the Sharpe ratio a day
            of the soft portfolio at the shortest horizon (``sharpe``), both of the epoch that is kept.
        second_objective: searched for as well; the study then keeps the Pareto front and prunes nothing. ``seconds``
            (of an epoch) and ``parameters`` (of the model) are minimised.
        space: dimensions.
        sampler: who proposes the points: ``tpe`` (multivariate, with the constant liar, so that parallel workers do not
            propose the same), ``cmaes`` (Hansen, 2016; numbers only, choices are drawn at random) or ``random``.
        pruner: who stops a trial before its last epoch, by the validation RankIC of each epoch: ``median`` (below the
            median of the other trials at the same epoch), ``hyperband`` (Li et al., JMLR 2018) or ``none``.
    """

    preset: Literal["quick", "medium", "full", "dry_run", "custom"] = "quick"
    trials: int | None = within(None, 1, 1_000_000)
    epochs: int | None = within(None, 1, 10_000)
    study: str | None = None
    seed: int = within(1, 0, 2**31 - 1)
    objective: Literal["rank_ic", "sharpe"] = "rank_ic"
    second_objective: Literal["none", "rank_ic", "sharpe", "seconds", "parameters"] = "none"
    space: tuple[DimensionConfig, ...] = ()
    sampler: Literal["tpe", "cmaes", "random"] = "tpe"
    pruner: Literal["median", "hyperband", "none"] = "median"

    def __post_init__(self) -> None:
        require(self.preset != "custom" or self.trials is not None, "trials: must be given with preset custom")
        require(
            self.study is None or NAME.fullmatch(self.study) is not None,
            f"study: must be a name of at most 100 letters, digits, dots, dashes and underscores that begins with a "
            f"letter or a digit, not a path, got {self.study!r}",
        )
        paths = [dimension.path for dimension in self.space]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        require(not twice, f"space: {', '.join(twice)} appears more than once")
        if self.second_objective != "none":
            require(
                self.pruner == "none" and self.sampler != "cmaes",
                "second_objective: set pruner to none, and sampler to tpe or random",
            )
            require(self.second_objective != self.objective, f"second_objective: equals objective {self.objective}")

    @property
    def size(self) -> Size:
        """Trials and epochs, from the preset unless they are given."""
        trials, epochs = PRESETS.get(self.preset, (self.trials or 1, None))
        return Size(self.trials or trials, self.epochs or epochs)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Optuna's direction of each objective."""
        if self.second_objective == "none":
            return ("maximize",)
        return ("maximize", "minimize" if self.second_objective in {"seconds", "parameters"} else "maximize")
