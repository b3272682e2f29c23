"""Where a study lies, and how workers share it.

A study holds a fixed number of **slots**. A worker claims one under a lock that all workers of the storage share; a
trial whose worker died is failed by Optuna's heartbeat and its slot is given to a retry of the same point. So a study
ends with exactly one result in each slot, whatever is killed.
"""

import fcntl
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.tuning.config import HeartbeatConfig, HpoConfig
from atft_pipeline.tuning.samplers import build_pruner, build_sampler, quiet

REASON = "reason"
CLAIMED = "claimed"
WORKER = "worker"
FINGERPRINT = "fingerprint"
DEFAULT = "default"


def hidden(url: str) -> str:
    """The address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def open_storage(url: str, heartbeat: HeartbeatConfig) -> RDBStorage:
    """Open a storage; a SQLite file and its folder are made where they do not exist.

    Args:
        url: of SQLAlchemy, such as ``sqlite:///data/optuna/optuna.db`` or ``postgresql+psycopg://user:pw@host/db``.
        heartbeat: of running trials.

    Raises:
        ConfigError: the address is no address, or has no driver.
        ArtifactError: nobody answers there.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        msg = "the storage's url is no address; write it as postgresql+psycopg://user:password@host:port/database"
        raise ConfigError(msg) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    retry = RetryHeartbeatStaleTrialCallback
    try:
        with quiet():
            return RDBStorage(
                url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=heartbeat.interval,
                grace_period=heartbeat.grace,
                heartbeat_stale_trial_callback=retry(max_retry=heartbeat.retries),
            )
    except (NoSuchModuleError, ImportError) as error:
        msg = f"{hidden(url)}: no driver for this database is installed; use postgresql+psycopg:// or sqlite:///"
        raise ConfigError(msg) from error
    except OperationalError as error:
        msg = f"{hidden(url)}: the database does not answer; is it running, and are user and password right?"
        raise ArtifactError(msg) from error


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
            if known is None:
                self.study.set_user_attr(FINGERPRINT, fingerprint)
            elif known != fingerprint:
                msg = (
                    f"study {name} was made from another panel, split, space or other parameters (fingerprint "
                    f"{known[:8]}, now {fingerprint[:8]}); its values cannot be compared: give another hpo.study"
                )
                raise ArtifactError(msg)
        self._study_id = storage.get_study_id_from_name(name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock that all workers share; a worker that dies lets go of it."""
        engine = self.storage.engine
        key = int.from_bytes(hashlib.blake2b(self.name.encode(), digest_size=8).digest(), "big", signed=True)
        if engine.dialect.name == "postgresql":
            with engine.connect() as connection:
                connection.execute(text("select pg_advisory_lock(:key)"), {"key": key})
                try:
                    yield
                finally:
                    connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})
            return
        with Path(f"{engine.url.database}.lock").open("a", encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def claim(self, default: dict[str, object]) -> Claim | None:
        """Take the next free slot, ``None`` where there is none now.

        Args:
            default: the point of slot 0.
        """
        with self.exclusive(), quiet():
            self._revive()
            trials = self.study.get_trials(deepcopy=False)
            waiting = any(trial.state == TrialState.WAITING for trial in trials)
            taken = len(slots(trials))
            if taken >= self.config.size.trials and not waiting:
                return None
            if not trials:
                self.study.enqueue_trial(default, user_attrs={DEFAULT: True})
            self.study.sampler = build_sampler(self.config, len(trials))
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
        return Heartbeat(self.storage, self._id(claim.trial.number), self.config.heartbeat.interval)

    def _revive(self) -> None:
        """Fail the trials whose worker is dead and queue their points again. Call it under the lock."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # Claimed under the lock that we hold, yet without the mark that ends a claim: died in between.
            if trial.user_attrs.get(CLAIMED) != trial.number:
                self.study.tell(trial.number, state=TrialState.FAIL)
        optuna.storages.fail_stale_trials(self.study)
        # A worker may die between failing a trial and queueing its retry.
        trials = self.study.get_trials(deepcopy=True)
        retried = {number for trial in trials for number in history_of(trial)}
        for trial in trials:
            if trial.state == TrialState.FAIL and REASON not in trial.user_attrs and trial.number not in retried:
                again = self.storage.get_heartbeat_stale_trial_callback()
                assert again is not None
                again(self.study, trial)

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def history_of(trial: FrozenTrial) -> list[int]:
    """Numbers of the dead trials that a trial retries, the first one first."""
    with quiet():
        return RetryHeartbeatStaleTrialCallback.retry_history(trial)


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
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

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
            except (StorageInternalError, OperationalError):
                # The next beat tries again; a database away for longer than the grace costs this trial, not the study.
                continue
