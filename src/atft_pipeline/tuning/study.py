"""The search: claim a slot, train its point, tell how it ended, until every slot has its result."""

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from atft_pipeline.config import to_mapping
from atft_pipeline.errors import AtftError, Interrupted, TrainingError
from atft_pipeline.lineage import hash_json
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.tuning import database
from atft_pipeline.tuning.callbacks import StudyCallback, TrialOutcome, TrialStart
from atft_pipeline.tuning.config import HpoConfig
from atft_pipeline.tuning.database import BROKEN
from atft_pipeline.tuning.objective import Objective, SharedData, planned
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.space import apply, as_mapping, default_point, suggest
from atft_pipeline.tuning.storage import REASON, Claim, SharedStudy, slots

log = logging.getLogger(__name__)
OPTUNA_STATE = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}
WAIT = 1.0
ATTEMPTS = 5
"""Times in a row that a statement may break off before the worker ends."""
GO_ON = (
    "interrupted; the trials that ended are kept and the one that ran is tried again: go on with the same "
    "kedro run --pipeline=hpo"
)
TAKEN = "no sign of life for longer than {} seconds: another worker tries it again, what it found here is dropped"


def study_fingerprint(data: SharedData, base: Experiment, config: HpoConfig) -> str:
    """Hash of everything that makes the values of two trials comparable; where and how fast they run does not."""
    days = [list(data.split.train), list(data.split.validation)]
    parameters = as_mapping(planned(base, config.size.epochs, 0))
    aims = [config.objective, config.second_objective, config.seed]
    sources = [data.market.panel.meta.fingerprint, data.market.graphs_fingerprint]
    return hash_json([*sources, days, parameters, to_mapping(config.space), aims])


def study_name(config: HpoConfig, fingerprint: str) -> str:
    """Name of the study: the one that was given, or preset and fingerprint."""
    return config.study or f"{config.preset}-{fingerprint[:8]}"


@dataclass
class Worker:
    """One process that works on a study.

    Attributes:
        shared: the study.
        base: the experiment of the train stage.
        config: of the search.
        objective: trains points.
        callbacks: told of every trial.
    """

    shared: SharedStudy
    base: Experiment
    config: HpoConfig
    objective: Objective
    callbacks: tuple[StudyCallback, ...] = ()

    def run(self) -> None:
        """Work until every slot of the study has its result.

        Raises:
            Interrupted: Ctrl-C in a training, whose slot is free again.
            SQLAlchemyError: the database stays away or is damaged, see :func:`explained`.
            Exception: a programming error in a trial; the trial is failed with it, and nothing is caught.
        """
        default = default_point(self.base, self.config.space)
        broken = 0
        while True:
            try:
                claim = self.shared.claim(dict(default))
                if claim is not None:
                    self.work(claim)
                elif self.shared.finished():
                    return
                else:
                    # Others still train. If one of them dies, its slot comes back.
                    time.sleep(WAIT)
                broken = 0
            except Interrupted as stopped:
                raise Interrupted(GO_ON) from stopped
            except UpdateFinishedTrialError:
                # Another worker took the trial over while this one slept; the callbacks were told.
                continue
            except BROKEN:
                # A statement was cut off; the next one waits for a server that restarts.
                broken += 1
                if broken == ATTEMPTS:
                    raise
                log.warning("the database of the study broke off; trying again")
                time.sleep(WAIT)

    def work(self, claim: Claim) -> None:
        """Run a claimed trial to its end and tell it."""
        trial = claim.trial
        with ExitStack() as ending:
            ending.enter_context(self.shared.beat(claim))
            with quiet():
                point = suggest(trial, self.config.space)
            experiment = planned(apply(self.base, point), self.config.size.epochs, claim.slot)
            epochs = sum(phase.epochs for phase in experiment.training.plan)
            start = TrialStart(trial.number, claim.slot, claim.retry, point, as_mapping(experiment), epochs)
            ending.push(partial(self._abandon, start))
            trial.set_user_attr("slot", claim.slot)
            trial.set_user_attr("parameters", start.parameters)
            trial.set_user_attr("planned", epochs)
            for callback in self.callbacks:
                callback.on_trial(start)
            outcome = self.objective(trial, start, experiment, slowest_epoch(self.trials()))
            self.tell(start, outcome)

    def _abandon(
        self, start: TrialStart, _kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        """Let no trial stay open when an error or an interrupt ends it; the error goes on."""
        if isinstance(error, UpdateFinishedTrialError):
            self._notify(start, TrialOutcome("FAILED", TAKEN.format(database.GRACE)))
        elif isinstance(error, BROKEN):
            # Nothing can be told now. Without signs of life the slot comes back.
            self._notify(start, TrialOutcome("FAILED", "the database broke off; the trial is tried again"))
        elif isinstance(error, Exception):
            with suppress(UpdateFinishedTrialError, *BROKEN):
                self.tell(start, TrialOutcome("FAILED", stop_reason(error)))
        elif error is not None:
            with suppress(*BROKEN):
                self.shared.give_back(start.number)

    def tell(self, start: TrialStart, outcome: TrialOutcome) -> None:
        """Write an outcome into the study, tell the callbacks, and drop weights that do not lead.

        Raises:
            UpdateFinishedTrialError: the trial was given up meanwhile, because its worker gave no sign of life.
        """
        number = start.number
        with self.shared.exclusive(), quiet():
            write_facts(self.shared, number, outcome)
            values = list(outcome.values) if outcome.state == "COMPLETE" else None
            self.shared.study.tell(number, values, state=OPTUNA_STATE[outcome.state])
        self._notify(start, outcome)

    def _notify(self, start: TrialStart, outcome: TrialOutcome) -> None:
        for callback in self.callbacks:
            callback.on_outcome(start, outcome)
        with suppress(*BROKEN):
            self._delete_weights(start.number)

    def _delete_weights(self, ended: int) -> None:
        trials = self.shared.study.get_trials(deepcopy=False)
        leaders = {trial.number for trial in best_trials(self.trials(), self.config.directions)}
        for folder in self.objective.folder.glob("trial-*"):
            digits = folder.name.removeprefix("trial-")
            if not digits.isdecimal():
                continue
            other = int(digits)
            over = other < len(trials) and trials[other].state.is_finished()
            if other == ended or (other not in leaders and over):
                self.objective.delete_weights(other, keep=other in leaders)

    def trials(self) -> list[FrozenTrial]:
        """The last try of every slot, in order."""
        return [trial for _, trial in slots(self.shared.study.get_trials(deepcopy=False))]


def write_facts(shared: SharedStudy, number: int, outcome: TrialOutcome) -> None:
    """Keep reason and facts beside a running trial."""
    facts: Mapping[str, Any] = {**outcome.facts, "run_card": dict(outcome.run_card)}
    trial_id = shared.storage.get_trial_id_from_study_id_trial_number(
        shared.storage.get_study_id_from_name(shared.name), number
    )
    if outcome.state != "COMPLETE":
        facts = {**facts, REASON: outcome.reason}
    for name, value in facts.items():
        shared.storage.set_trial_user_attr(trial_id, name, value)


def stop_reason(error: Exception) -> str:
    """Reason of a trial that stopped the study."""
    kind = "" if isinstance(error, AtftError) and not isinstance(error, TrainingError) else f"{type(error).__name__}: "
    return f"stopped the study: {kind}{error}"


def best_trials(trials: list[FrozenTrial], directions: tuple[str, ...]) -> list[FrozenTrial]:
    """The best trial, or the Pareto front ordered by the first objective.

    Args:
        trials: of the study; those without a value are passed over.
        directions: ``maximize`` or ``minimize`` of each objective.
    """
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    signs = [1 if direction == "maximize" else -1 for direction in directions]
    value = {trial.number: [sign * found for sign, found in zip(signs, trial.values, strict=True)] for trial in done}

    def beaten(trial: FrozenTrial) -> bool:
        own = value[trial.number]
        others = (value[other.number] for other in done if other.number != trial.number)
        return any(all(a >= b for a, b in zip(found, own, strict=True)) and found != own for found in others)

    front = sorted(
        (trial for trial in done if not beaten(trial)), key=lambda found: (-value[found.number][0], found.number)
    )
    return front if len(directions) > 1 else front[:1]


def slowest_epoch(trials: list[FrozenTrial]) -> float | None:
    """Seconds of the slowest epoch measured in the study, ``None`` before the first trial."""
    seconds = [trial.user_attrs.get("slowest_epoch") for trial in trials if trial.state.is_finished()]
    return max((value for value in seconds if value is not None), default=None)
