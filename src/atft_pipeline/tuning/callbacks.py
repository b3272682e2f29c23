"""Callbacks of a search: what they are told of its trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from atft_pipeline.tuning.config import Scalar

State = Literal["COMPLETE", "PRUNED", "FAILED"]


@dataclass(frozen=True)
class TrialStart:
    """A trial that begins.

    Attributes:
        number: Optuna's number.
        slot: place in the study, 0 = the default configuration.
        retry: which try of the slot, 0 = the first.
        point: value by dimension.
        parameters: all parameters of the trial, by group.
        epochs: planned epochs.
    """

    number: int
    slot: int
    retry: int
    point: Mapping[str, Scalar]
    parameters: Mapping[str, Any]
    epochs: int


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended.

    Attributes:
        state: COMPLETE, PRUNED or FAILED.
        reason: why it is not COMPLETE; empty otherwise.
        values: of the objectives; empty unless COMPLETE (a failed trial has no score).
        history: one record an epoch.
        facts: what is kept beside the trial: seconds an epoch, best epoch, daily RankIC and the like.
        run_card: what was active; empty where no epoch was trained.
    """

    state: State
    reason: str = ""
    values: tuple[float, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    run_card: Mapping[str, Any] = field(default_factory=dict)


class StudyCallback(Protocol):
    """Called while a search runs."""

    def on_trial(self, trial: TrialStart, /) -> None:
        """A trial begins."""

    def on_epoch(self, trial: TrialStart, record: Mapping[str, Any], /) -> None:
        """An epoch of a trial ended, with its numbers."""

    def on_outcome(self, trial: TrialStart, outcome: TrialOutcome, /) -> None:
        """A trial ended."""
