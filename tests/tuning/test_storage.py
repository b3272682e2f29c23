"""Slots: exactly one result each, whatever is killed. SQLite by one worker, a real PostgreSQL by four."""

import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.tuning.config import HeartbeatConfig
from atft_pipeline.tuning.report import trial_table
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.storage import DEFAULT, REASON, SharedStudy, history_of, open_storage, slots
from tests.tuning.postgres import server
from tests.tuning.script_worker import exit_code, start
from tests.tuning.studies import scripted, search_config


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/optuna.db"


def trials_of(url: str) -> list[FrozenTrial]:
    with quiet():
        storage = optuna.storages.RDBStorage(url)
        try:
            return optuna.load_study(study_name="study", storage=storage).get_trials(deepcopy=False)
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
        try:
            found = running_of(url, process.pid)
        except KeyError:
            found = []
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
    storage = open_storage(sqlite(tmp_path), config.heartbeat)
    with pytest.raises(ArtifactError, match=r"study study was made from another panel.*hpo\.study"):
        SharedStudy(storage, "study", "another", config)


def test_an_address_without_a_server_is_one_clear_line() -> None:
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/none"
    with pytest.raises(ArtifactError, match="does not answer") as caught:
        open_storage(url, HeartbeatConfig())
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="is no address"):
        open_storage("not an address", HeartbeatConfig())
    with pytest.raises(ConfigError, match="no driver"):
        open_storage("oracle_of_delphi://host/db", HeartbeatConfig())


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


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    trials = 4
    victim = start(url, tmp_path, trials, seconds=1.0)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        found = trials_of(url) if (tmp_path / "optuna.db.lock").exists() and victim.is_alive() else []
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
        scripted(url, search_config(trials), tmp_path).shared.storage.engine.dispose()  # makes the tables
        workers = [start(url, tmp_path, trials, seconds=1.5) for _ in range(4)]
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
        assert len({trial.user_attrs["worker"] for trial in found if trial.state == TrialState.COMPLETE}) == 3
        assert len(found) == trials + 1


def check_slots(found: list[FrozenTrial], trials: int) -> None:
    """No trial lost, none doubled: each slot has one result, and no two slots have the same point."""
    assert len(slots(found)) == trials
    done = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert Counter(trial.user_attrs["slot"] for trial in done) == Counter(range(trials))
    assert len({str(sorted(trial.params.items())) for trial in done}) == trials
