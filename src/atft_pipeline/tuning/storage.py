"""Where a study lies, and how workers share it.

A study holds a fixed number of **slots**. A worker claims one under a lock that all workers of the storage share; a
trial whose worker died is failed by Optuna's heartbeat and its slot is given to a retry of the same point, by Optuna's
own retry callback. So a study ends with exactly one result in each slot, whatever is killed.

``Study.optimize`` with ``MaxTrialsCallback`` and the heartbeat of ``RDBStorage`` does not promise that. It counts after
a trial, so a worker that joins a finished study adds to it (``test_optunas_own_limit_lets_workers_run_more_trials``). A
worker with nothing to do ends, so that nobody is left when the last trial of another one dies
(``test_four_workers_on_postgresql_and_one_is_killed``). Ctrl-C counts as a death, of which a slot survives few
(``test_interrupts_exhaust_no_slot_and_kills_leave_a_reason``). And a study that was stopped goes on with other random
numbers (``test_a_study_goes_on_with_more_trials_as_if_it_had_never_stopped``).
"""

import os
import socket
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from atft_pipeline.errors import ArtifactError
from atft_pipeline.tuning import database
from atft_pipeline.tuning.config import HpoConfig
from atft_pipeline.tuning.database import BROKEN, HEARTBEAT, exclusive, started_within
from atft_pipeline.tuning.samplers import build_pruner, build_sampler, quiet

REASON = "reason"
CLAIMED = "claimed"
WORKER = "worker"
INTERRUPTED = "interrupted"
DEATHS = "deaths"
FINGERPRINT = "fingerprint"
DEFAULT = "default"
RETRIES = 2
"""Times that a trial whose worker died is tried again: a point that kills three workers kills any."""


@dataclass(frozen=True)
class Claim:
    """A slot of the study that this worker holds.

    Attributes:
        trial: Optuna's trial.
        slot: 0 for the default configuration; a retry has its original's.
        retry: which try this is, 0 for the first.
    """

    trial: Trial
    slot: int
    retry: int


class SharedStudy:
    """A study that several workers may work on.

    Args:
        storage: where it lies.
        name: of the study.
        fingerprint: of everything that makes two values comparable.
        config: of the search.

    Raises:
        ArtifactError: a study of this name exists and was made from something else.
    """

    def __init__(self, storage: RDBStorage, name: str, fingerprint: str, config: HpoConfig) -> None:
        self.storage = storage
        self.name = name
        self.config = config
        with self.exclusive(), quiet():
            self.study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=list(config.directions),
                load_if_exists=True,
                pruner=build_pruner(config),
            )
            known = self.study.user_attrs.get(FINGERPRINT)
            trials = self.study.get_trials(deepcopy=False)
            if known is None and trials:
                msg = f"study {name} is not of this project, though of this name: give another hpo.study"
                raise ArtifactError(msg)
            if known is None:
                self.study.set_user_attr(FINGERPRINT, fingerprint)
            elif known != fingerprint:
                msg = (
                    f"study {name} was made from another panel, split, space or other parameters (fingerprint "
                    f"{known[:8]}, now {fingerprint[:8]}); its values cannot be compared: give another hpo.study"
                )
                raise ArtifactError(msg)
        self._study_id = storage.get_study_id_from_name(name)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the lock that all workers of the study share; a worker that dies lets go of it."""
        return exclusive(self.storage.engine, self.name)

    def claim(self, default: dict[str, object]) -> Claim | None:
        """Take the next free slot, ``None`` where there is none now.

        Args:
            default: the point of slot 0.
        """
        with self.exclusive(), quiet():
            self._revive()
            trials = self.study.get_trials(deepcopy=False)
            waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
            taken = len(slots(trials))
            if taken >= self.config.size.trials and not waiting:
                return None
            if not trials:
                self.study.enqueue_trial(default, user_attrs={DEFAULT: True})
            # By the number that Optuna gives next. A retry has one already, and may have died before it had a point.
            self.study.sampler = build_sampler(self.config, min(waiting, default=len(trials)))
            trial = self.study.ask()
            self.storage.record_heartbeat(self._id(trial.number))
            trial.set_user_attr(CLAIMED, trial.number)
            trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
            history = history_of(self.study.trials[trial.number])
            first = history[0] if history else trial.number
            order = [found[0] for found in slots(self.study.get_trials(deepcopy=False))]
            return Claim(trial, order.index(first), len(history))

    def finished(self) -> bool:
        """Every slot has its result."""
        trials = [last for _, last in slots(self.study.get_trials(deepcopy=False))]
        return len(trials) >= self.config.size.trials and all(trial.state.is_finished() for trial in trials)

    def beat(self, claim: Claim) -> "Heartbeat":
        """Signs of life of a claimed trial, for as long as the returned context is open."""
        return Heartbeat(self.storage, self._id(claim.trial.number), database.BEAT)

    def running(self, number: int) -> bool:
        """The trial is still its worker's: nobody gave it up meanwhile."""
        return self.storage.get_trial(self._id(number)).state == TrialState.RUNNING

    def give_back(self, number: int) -> None:
        """End a trial that was interrupted; its slot is free again, and no death counts against it."""
        with self.exclusive(), quiet():
            if self.running(number):
                self.storage.set_trial_user_attr(self._id(number), INTERRUPTED, number)
                self.study.tell(number, state=TrialState.FAIL)

    def _revive(self) -> None:
        """Fail the trials whose worker is dead and queue their points again. Call it under the lock."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # Claimed under the lock that we hold, yet without the mark that ends a claim: died in between.
            if trial.user_attrs.get(CLAIMED) != trial.number:
                self.study.tell(trial.number, state=TrialState.FAIL)
        if not started_within(self.storage.engine, database.GRACE):
            optuna.storages.fail_stale_trials(self.study)
        trials = self.study.get_trials(deepcopy=True)
        retried = {number for trial in trials for number in history_of(trial)}
        for trial in trials:
            died = trial.state == TrialState.FAIL and REASON not in trial.user_attrs and trial.number not in retried
            if died and deaths(trial) <= RETRIES:
                trial.user_attrs[DEATHS] = deaths(trial)
                RetryHeartbeatStaleTrialCallback()(self.study, trial)

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def history_of(trial: FrozenTrial) -> list[int]:
    """Numbers of the dead trials that a trial retries, the first one first."""
    with quiet():
        return RetryHeartbeatStaleTrialCallback.retry_history(trial)


def deaths(trial: FrozenTrial) -> int:
    """How many tries of a dead trial's slot died with their worker, its own among them."""
    own = trial.user_attrs.get(INTERRUPTED) != trial.number
    return int(trial.user_attrs.get(DEATHS, len(history_of(trial)))) + own


def slots(trials: list[FrozenTrial]) -> list[tuple[int, FrozenTrial]]:
    """The slots of a study in order: number of the first trial of each, and the last try of it."""
    last: dict[int, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda found: found.number):
        history = history_of(trial)
        last[history[0] if history else trial.number] = trial
    return sorted(last.items())


class Heartbeat:
    """A thread that records signs of life of a trial.

    Args:
        storage: where.
        trial_id: of the trial.
        interval: seconds between two.
    """

    def __init__(self, storage: RDBStorage, trial_id: int, interval: int) -> None:
        self._storage = storage
        self._trial_id = trial_id
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=HEARTBEAT)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._storage.record_heartbeat(self._trial_id)
            except BROKEN:
                # The next beat tries again; a database away for longer than the grace costs this trial, not the study.
                continue
