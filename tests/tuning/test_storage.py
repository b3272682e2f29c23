"""Slots: exactly one result each, whatever is killed. SQLite by one worker, a real PostgreSQL by four."""

import os
import signal
import time
from collections import Counter
from contextlib import nullcontext
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from atft_pipeline.errors import ArtifactError
from atft_pipeline.reporting.search_table import TrialLog
from atft_pipeline.tuning import database, study
from atft_pipeline.tuning.callbacks import TrialOutcome
from atft_pipeline.tuning.database import BROKEN, explained, open_storage
from atft_pipeline.tuning.report import trial_table
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.space import default_point
from atft_pipeline.tuning.storage import DEFAULT, REASON, SharedStudy, history_of, slots
from tests.tuning.postgres import cluster, server
from tests.tuning.script_worker import QUICK, exit_code, start, start_together
from tests.tuning.studies import BASE, SPACE, Script, complete, scripted, search_config


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BEAT", QUICK[0])
    monkeypatch.setattr(database, "GRACE", QUICK[1])


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/optuna.db"


def trials_of(url: str) -> list[FrozenTrial]:
    """The trials of the study; none where no worker has made it yet."""
    storage = open_storage(url)
    try:
        with quiet():
            return optuna.load_study(study_name="study", storage=storage).get_trials(deepcopy=False)
    except KeyError:
        return []
    finally:
        storage.engine.dispose()


def running_of(url: str, pid: int) -> list[FrozenTrial]:
    return [
        trial
        for trial in trials_of(url)
        if trial.state == TrialState.RUNNING and str(trial.user_attrs.get("worker", "")).endswith(f":{pid}")
    ]


def wait_until_running(url: str, process: ForkServerProcess, seconds: float = 90) -> FrozenTrial:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.is_alive(), "the worker ended before it was killed"
        found = running_of(url, process.pid)
        # With its point: a trial that is killed before it has one is retried too, but shows nothing to compare.
        if found and found[0].params:
            return found[0]
        # Looking is work too, and the workers share these cores.
        time.sleep(0.5)
    pytest.fail("the worker claimed no trial")


def test_a_study_holds_its_slots_and_the_default_is_the_first(tmp_path: Path) -> None:
    config = search_config(4)
    made = scripted(sqlite(tmp_path), config, tmp_path)
    made.run()
    trials = trials_of(sqlite(tmp_path))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert trials[0].user_attrs[DEFAULT]
    assert trials[0].params == {"training.optimizer.lr": 0.01, "model.graph.layers": 1, "model.width": 8}
    assert len({str(trial.params) for trial in trials}) == 4
    assert made.shared.claim({}) is None


def test_a_study_goes_on_with_more_trials_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    scripted(sqlite(tmp_path / "a"), search_config(6), tmp_path).run()
    scripted(sqlite(tmp_path / "b"), search_config(3), tmp_path).run()
    scripted(sqlite(tmp_path / "b"), search_config(6), tmp_path).run()
    whole, resumed = ([trial.params for trial in trials_of(sqlite(tmp_path / name))] for name in "ab")
    # The sampler learns from a fifth of the planned trials on, which is 2 for both.
    assert resumed == whole


def test_a_study_made_from_something_else_is_refused(tmp_path: Path) -> None:
    config = search_config()
    scripted(sqlite(tmp_path), config, tmp_path)
    storage = open_storage(sqlite(tmp_path))
    with pytest.raises(ArtifactError, match=r"study study was made from another panel.*hpo\.study"):
        SharedStudy(storage, "study", "another", config)


def test_optunas_own_limit_lets_workers_run_more_trials() -> None:
    """Why there are slots: if this fails, Optuna looks before a trial, too, and much of ``tuning.storage`` can go."""
    storage = optuna.storages.InMemoryStorage()
    for _ in range(2):  # the second worker joins a study that has its trials
        with quiet():
            study = optuna.create_study(study_name="study", storage=storage, load_if_exists=True)
            study.optimize(lambda _: 0.0, callbacks=[MaxTrialsCallback(3, states=None)])
    assert len(study.trials) == 3 + 1


def test_a_stale_trial_is_retried_with_its_point_and_then_given_up(tmp_path: Path) -> None:
    """Claims that nobody keeps alive: two retries, then the slot counts as failed and the study can end."""
    config = search_config(1)
    made = scripted(sqlite(tmp_path), config, tmp_path)
    for retry in range(3):
        claim = made.shared.claim({"training.optimizer.lr": 0.02})
        assert claim is not None
        assert (claim.slot, claim.retry) == (0, retry)
        claim.trial.suggest_float("training.optimizer.lr", 1e-4, 1e-1, log=True)
        assert made.shared.claim({}) is None
        made.shared.study.tell(claim.trial.number, state=TrialState.FAIL)  # as the heartbeat does, without a reason
    assert made.shared.claim({}) is None
    assert made.shared.finished()
    trials = trials_of(sqlite(tmp_path))
    assert [trial.params["training.optimizer.lr"] for trial in trials] == [0.02] * 3
    assert [history_of(trial) for trial in trials] == [[], [0], [0, 1]]
    assert trial_table(trials, config)["state"].to_list() == ["DIED"] * 3


def test_a_trial_that_failed_with_a_reason_is_not_retried(tmp_path: Path) -> None:
    made = scripted(sqlite(tmp_path), search_config(1), tmp_path)
    claim = made.shared.claim({})
    assert claim is not None
    claim.trial.set_user_attr(REASON, "collapsed")
    made.shared.study.tell(claim.trial.number, state=TrialState.FAIL)
    assert made.shared.claim({}) is None
    assert len(trials_of(sqlite(tmp_path))) == 1


def test_a_claim_that_died_before_its_mark_is_found(tmp_path: Path) -> None:
    made = scripted(sqlite(tmp_path), search_config(1), tmp_path)
    with quiet():
        made.shared.study.ask()  # a worker that was killed inside of claim
    made.run()
    assert [trial.state for trial in trials_of(sqlite(tmp_path))] == [TrialState.FAIL, TrialState.COMPLETE]
    assert made.shared.finished()


def test_a_trial_that_died_before_it_had_a_point_gets_one_of_its_own(tmp_path: Path) -> None:
    """Its retry has a number already; drawn by the count of trials, it would be the twin of the next one."""
    made = scripted(sqlite(tmp_path), search_config(3, sampler="random"), tmp_path)
    made.work(made.shared.claim(default_point(BASE, SPACE)))  # type: ignore[arg-type]
    assert made.shared.claim({}) is not None
    with quiet():
        made.shared.study.tell(1, state=TrialState.FAIL)
    made.run()
    check_slots(trials_of(sqlite(tmp_path)), 3)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    trials = 4
    victim = start(url, tmp_path, trials, seconds=1.0)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        found = trials_of(url)
        if len(found) == 3 and found[-1].state == TrialState.RUNNING and running_of(url, victim.pid):
            break
        time.sleep(0.3)
    victim.kill()
    victim.join()
    before = trials_of(url)
    assert [trial.state for trial in before] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    assert exit_code(start(url, tmp_path, trials, seconds=0.0), 120) == 0
    after = trials_of(url)
    assert [(trial.values, trial.params) for trial in after[:2]] == [(t.values, t.params) for t in before[:2]]
    check_slots(after, trials)
    retry = next(trial for trial in after if history_of(trial) == [2])
    assert retry.params == before[2].params


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_workers_on_postgresql_and_one_is_killed(tmp_path: Path) -> None:
    trials = 10
    with server() as url:
        workers = start_together(url, tmp_path, trials, seconds=1.5, count=4)
        victim = workers[0]
        dead = wait_until_running(url, victim, seconds=150)
        victim.kill()
        victim.join()
        assert [exit_code(process, 200) for process in workers[1:]] == [0, 0, 0]
        found = trials_of(url)
        check_slots(found, trials)
        died = found[dead.number]
        assert died.state == TrialState.FAIL
        assert REASON not in died.user_attrs
        (retry,) = [trial for trial in found if dead.number in history_of(trial)]
        assert retry.state == TrialState.COMPLETE
        assert retry.params == died.params
        assert retry.user_attrs["slot"] == dead.number
        done_by = {str(trial.user_attrs["worker"]) for trial in found if trial.state == TrialState.COMPLETE}
        assert {f":{process.pid}" for process in workers[1:]} <= {f":{name.split(':')[-1]}" for name in done_by}
        assert len(found) == trials + 1


def check_slots(found: list[FrozenTrial], trials: int) -> None:
    """No trial lost, none doubled: each slot has one result, and no two slots have the same point."""
    assert len(slots(found)) == trials
    done = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert Counter(trial.user_attrs["slot"] for trial in done) == Counter(range(trials))
    assert len({str(sorted(trial.params.items())) for trial in done}) == trials


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_workers_that_start_together_on_nothing_lose_nothing(tmp_path: Path, where: str) -> None:
    with nullcontext(sqlite(tmp_path)) if where == "sqlite" else server() as url:
        workers = start_together(url, tmp_path, trials=6, seconds=0.05, count=3)
        assert [exit_code(process, 100) for process in workers] == [0, 0, 0]
        check_slots(trials_of(url), 6)


def test_a_worker_that_slept_past_its_grace_drops_its_result_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the first worker is busy with slot 1, a second one finds it stale, takes it over and finishes it."""
    other = scripted(sqlite(tmp_path), search_config(3), tmp_path)
    woken: list[int] = []

    def sleep(slot: int) -> TrialOutcome | None:
        if slot == 1 and not woken:
            woken.append(slot)
            with quiet():
                other.shared.study.tell(1, state=TrialState.FAIL)
            other.run()
            return complete(9.0)
        return None

    made = scripted(sqlite(tmp_path), search_config(3), tmp_path, Script(tmp_path, act=sleep), (TrialLog(),))
    with caplog.at_level("INFO"):
        made.run()
    found = trials_of(sqlite(tmp_path))
    check_slots(found, 3)
    assert all(trial.value != 9.0 for trial in found if trial.state == TrialState.COMPLETE)
    (line,) = [record.getMessage() for record in caplog.records if "trial 1 FAILED" in record.getMessage()]
    assert "no sign of life for longer than 3 seconds" in line


def test_a_callback_of_a_trial_that_was_taken_over_ends_the_training(tmp_path: Path) -> None:
    made = scripted(sqlite(tmp_path), search_config(2), tmp_path)

    class Slept(Script):
        def __call__(self, trial: Any, start: Any, settings: Any, slowest: float | None) -> TrialOutcome:
            if not start.retry and start.slot == 0:
                with quiet():
                    made.shared.study.tell(trial.number, state=TrialState.FAIL)
                trial.report(0.5, step=1)
            return super().__call__(trial, start, settings, slowest)

    made.objective = Slept(tmp_path)  # type: ignore[assignment]
    made.run()
    check_slots(trials_of(sqlite(tmp_path)), 2)


def test_interrupts_exhaust_no_slot_and_kills_leave_a_reason(tmp_path: Path) -> None:
    config = search_config(1)  # two retries
    stops = iter(range(5))

    def interrupt(_: int) -> TrialOutcome | None:
        if next(stops, None) is not None:
            raise KeyboardInterrupt
        return None

    made = scripted(sqlite(tmp_path), config, tmp_path, Script(tmp_path, act=interrupt))
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            made.run()
    for _ in range(3):
        claim = made.shared.claim({})
        assert claim is not None
        made.shared.study.tell(claim.trial.number, state=TrialState.FAIL)
    assert made.shared.claim({}) is None
    table = trial_table(trials_of(sqlite(tmp_path)), config)
    assert table["reason"].to_list()[:6] == ["interrupted"] * 5 + ["its worker died, and it was tried again"]
    assert table["reason"].to_list()[-1] == ("its worker died, 3 times in all; a larger hpo.trials adds another trial")
    # The advice works.
    scripted(sqlite(tmp_path), search_config(2), tmp_path).run()
    assert [trial.state for _, trial in slots(trials_of(sqlite(tmp_path)))] == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.slow
def test_a_server_that_restarts_within_a_trial_ends_no_worker(tmp_path: Path) -> None:
    with cluster() as made:
        workers = start_together(made.url, tmp_path, trials=3, seconds=0.5, count=2)
        wait_until_running(made.url, workers[0])
        for _ in range(2):
            time.sleep(0.3)
            made.stop()
            time.sleep(0.5)
            made.start()
        assert [exit_code(process, 100) for process in workers] == [0, 0]
        check_slots(trials_of(made.url), 3)


@pytest.mark.slow
def test_a_server_that_stays_away_ends_the_worker_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 1.0)
    monkeypatch.setattr(study, "ATTEMPTS", 1)
    with cluster() as made:

        def stop(slot: int) -> TrialOutcome | None:
            if slot == 1:
                made.stop()
            return None

        first = scripted(made.url, search_config(3), tmp_path, Script(tmp_path, act=stop))
        with pytest.raises(ArtifactError, match="the database does not answer"):
            search(first, made.url)
        first.shared.storage.engine.dispose()
        made.start()
        again = scripted(made.url, search_config(3), tmp_path)
        again.run()
        again.shared.storage.engine.dispose()
        check_slots(trials_of(made.url), 3)


@pytest.mark.slow
def test_an_outage_longer_than_the_grace_takes_no_trial_from_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "GRACE", 2)
    config = search_config(1)
    with cluster() as made:
        own, other = (scripted(made.url, config, tmp_path).shared for _ in range(2))
        assert own.claim({}) is not None
        made.stop()
        time.sleep(2.5)
        made.start()
        assert other.claim({}) is None
        time.sleep(2.5)
        retry = other.claim({})
        assert retry is not None
        assert retry.retry == 1
        for shared in (own, other):
            shared.storage.engine.dispose()


def search(worker: study.Worker, url: str) -> None:
    with explained(url, BROKEN):
        worker.run()


@pytest.mark.slow
def test_a_worker_that_is_halted_past_its_grace_goes_on_when_it_wakes(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    workers = start_together(url, tmp_path, trials=2, seconds=1.5, count=2)
    halted = wait_until_running(url, workers[0])
    os.kill(workers[0].pid, signal.SIGSTOP)
    try:
        assert exit_code(workers[1], 100) == 0
    finally:
        os.kill(workers[0].pid, signal.SIGCONT)
    assert exit_code(workers[0], 100) == 0
    found = trials_of(url)
    check_slots(found, 2)
    assert found[halted.number].state == TrialState.FAIL
    assert any(halted.number in history_of(trial) for trial in found)
