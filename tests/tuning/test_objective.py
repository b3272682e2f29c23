"""A trial ends honestly: a score only where it completed, its reason otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import TrialState

from atft_pipeline.errors import ConfigError, Interrupted, TrainingError
from atft_pipeline.training.config import OptimizerConfig, PhaseConfig, TrainingConfig
from atft_pipeline.training.loop import fit
from atft_pipeline.tuning import samplers
from atft_pipeline.tuning.callbacks import TrialOutcome, TrialStart
from atft_pipeline.tuning.config import DimensionConfig
from atft_pipeline.tuning.limits import Deadline, TimeLimitError
from atft_pipeline.tuning.objective import MARKER, SharedData, mark, planned, remove_trial
from atft_pipeline.tuning.report import parameters_of, trial_table
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.space import as_mapping
from atft_pipeline.tuning.study import best_trials
from tests.training.runs import run
from tests.training.test_memory import small_memory
from tests.tuning.studies import BASE, Script, load, scripted, search_config, worker


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> SharedData:
    return load(tmp_path_factory.mktemp("market"))[0]


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []
        self.outcomes: list[TrialOutcome] = []

    def on_trial(self, _trial: TrialStart, /) -> None: ...

    def on_epoch(self, trial: TrialStart, record: Mapping[str, Any], /) -> None:
        self.epochs.append((trial.number, record["epoch"]))

    def on_outcome(self, _trial: TrialStart, outcome: TrialOutcome, /) -> None:
        self.outcomes.append(outcome)


def failing(error: Exception) -> Any:
    """A trainer that fails from the second trial on."""
    calls = []

    def trainer(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise error
        return fit(*arguments, **options)

    return trainer


def test_the_default_trial_equals_a_training_of_the_default(shared_data: SharedData, tmp_path: Path) -> None:
    """The shared panel, without its test days, gives the same numbers as a training of its own."""
    recorder = Recorder()
    worker(shared_data, search_config(1), tmp_path, callbacks=(recorder,)).run()
    same = {"epochs": 2, "optimizer": BASE.training.optimizer}
    own = run(shared_data.market.panel, shared_data.market.graphs, tmp_path / "own", **same)
    (outcome,) = recorder.outcomes
    assert outcome.state == "COMPLETE", outcome.facts
    assert outcome.values == (own.run_card["result"]["val_rank_ic"],)
    # The kept weights, scored again day by day, say the same.
    daily = outcome.facts["daily_rank_ic"]
    assert sum(daily) / len(daily) == pytest.approx(outcome.values[0], abs=1e-4)
    # The portfolio's returns belong to the validation days, and their ratio is the Sharpe ratio of the trial.
    assert len(outcome.facts["portfolio_days"]) == len(daily)
    earned = np.array(outcome.facts["portfolio_returns"])
    assert earned.mean() / earned.std(ddof=1) == pytest.approx(outcome.facts["sharpe"], abs=1e-4)
    assert outcome.run_card["optimizer"]["class"] == "torch.optim.adamw.AdamW"


def test_trials_differ_in_seed_and_are_repeatable(shared_data: SharedData, tmp_path: Path) -> None:
    values = []
    for name in "ab":
        (tmp_path / name).mkdir()
        made = worker(shared_data, search_config(3, epochs=1), tmp_path / name)
        made.run()
        trials = made.trials()
        values.append([trial.value for trial in trials])
        assert [trial.user_attrs["parameters"]["training"]["seed"] for trial in trials] == [1, 2, 3]
    assert values[0] == values[1]


def test_a_trial_that_lags_is_pruned_while_it_trains(
    shared_data: SharedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trial learns; a median of one and a rate that learns nothing end the others after an epoch."""
    recorder = Recorder()
    monkeypatch.setattr(samplers, "startup_trials", lambda _: 1)
    monkeypatch.setattr(samplers, "WARMUP", 1)
    config = search_config(2, epochs=4, pruner="median")
    made = worker(shared_data, config, tmp_path, callbacks=(recorder,))
    made.work(made.shared.claim({"training.optimizer.lr": 1e-2, "model.graph.layers": 1, "model.width": 8}))  # type: ignore[arg-type]
    made.shared.study.enqueue_trial({"training.optimizer.lr": 1e-4, "model.graph.layers": 0, "model.width": 8})
    made.work(made.shared.claim({}))  # type: ignore[arg-type]
    good, bad = recorder.outcomes
    assert (good.state, len(good.history)) == ("COMPLETE", 4)
    assert bad.state == "PRUNED"
    assert len(bad.history) < 4
    assert "pruned after epoch" in bad.reason
    assert bad.values == ()
    assert bad.run_card["result"]["epochs"] == len(bad.history)
    assert len(bad.facts["daily_rank_ic"]) == len(good.facts["daily_rank_ic"])
    frozen = made.trials()[1]
    assert frozen.state == TrialState.PRUNED
    assert list(frozen.intermediate_values) == [record["epoch"] for record in bad.history]


def test_a_failed_trial_has_a_reason_and_no_score(shared_data: SharedData, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = failing(TrainingError("epoch 1: the loss is nan"))
    made = worker(shared_data, search_config(3, epochs=1), tmp_path, callbacks=(recorder,), fit=trainer)
    made.run()
    assert [outcome.state for outcome in recorder.outcomes] == ["COMPLETE", "FAILED", "FAILED"]
    frozen = made.trials()[1]
    assert frozen.state == TrialState.FAIL
    assert frozen.values is None
    assert frozen.user_attrs["reason"] == "epoch 1: the loss is nan"
    assert made.shared.study.best_trial.number == 0


def test_a_diverged_training_fails_its_trial_alone(shared_data: SharedData, tmp_path: Path) -> None:
    wild = replace(BASE, training=TrainingConfig(epochs=2, clip_norm=0.0, optimizer=OptimizerConfig(lr=1e-2)))
    made = worker(shared_data, search_config(2), tmp_path, base=wild)
    made.work(made.shared.claim({"training.optimizer.lr": 1e-2, "model.graph.layers": 0, "model.width": 8}))  # type: ignore[arg-type]
    claim = made.shared.claim({})
    assert claim is not None
    start = TrialStart(claim.trial.number, 1, 0, {}, as_mapping(wild), 2)
    broken = replace(wild, training=replace(wild.training, optimizer=OptimizerConfig(lr=1e3)))
    outcome = made.objective(claim.trial, start, broken, None)
    assert outcome.state == "FAILED"
    assert "loss is" in outcome.reason or "collapsed" in outcome.reason


@pytest.mark.parametrize("error", [ValueError("a bug"), ConfigError("a point that should not exist")])
def test_a_programming_error_stops_the_study_loudly(shared_data: SharedData, tmp_path: Path, error: Exception) -> None:
    made = worker(shared_data, search_config(4, epochs=1), tmp_path, fit=failing(error))
    with pytest.raises(type(error), match=str(error)):
        made.run()
    states = [trial.state for trial in made.trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL]
    assert "stopped the study" in made.trials()[1].user_attrs["reason"]


@pytest.mark.parametrize(
    ("stop", "line"),
    [(KeyboardInterrupt(), "^$"), (Interrupted("resume the training"), "go on with the same kedro run")],
)
def test_an_interrupted_trial_is_tried_again(tmp_path: Path, stop: BaseException, line: str) -> None:
    def interrupt(slot: int) -> TrialOutcome | None:
        if slot == 1:
            raise stop
        return None

    url = f"sqlite:///{tmp_path}/optuna.db"
    made = scripted(url, search_config(3), tmp_path, Script(tmp_path, act=interrupt))
    with pytest.raises(type(stop), match=line):
        made.run()
    scripted(url, search_config(3), tmp_path).run()
    assert [trial.state for trial in made.trials()] == [TrialState.COMPLETE] * 3
    assert [trial.number for trial in made.trials()] == [0, 2, 3]


def test_a_trial_goes_on_in_the_batches_that_fit(
    shared_data: SharedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = small_memory(monkeypatch, 16)
    recorder = Recorder()
    made = worker(shared_data, search_config(1, epochs=1), tmp_path, callbacks=(recorder,))
    made.run()
    assert tried == [(64, 1), (32, 2), (16, 4)]
    assert recorder.outcomes[0].state == "COMPLETE"
    assert (recorder.outcomes[0].facts["batch_size"], recorder.outcomes[0].facts["accumulation"]) == (16, 4)


def test_memory_that_never_suffices_fails_that_trial_alone(
    shared_data: SharedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 1)
    made = worker(shared_data, search_config(2, epochs=1), tmp_path)
    made.run()
    assert [trial.state for trial in made.trials()] == [TrialState.FAIL] * 2
    assert made.trials()[0].user_attrs["reason"].startswith("out of memory with batches.batch_size 8, halved from 64")


def test_the_time_limit_comes_from_the_first_measured_epoch() -> None:
    now = [0.0]
    deadline = Deadline(5, None, clock=lambda: now[0])
    now[0] = 1e6
    deadline.check()  # nothing was measured yet, so there is nothing to compare with
    deadline = Deadline(5, None, clock=lambda: now[0])
    deadline.measure(10.0)
    deadline.measure(99.0)
    now[0] += 150.0
    deadline.check()
    now[0] += 0.1
    with pytest.raises(TimeLimitError, match=r"limit 150\.0 s \(3 x 5 epochs x 10\.0 s, measured in its first\)"):
        deadline.check()


def test_a_first_epoch_is_limited_by_the_slowest_one_of_the_study() -> None:
    now = [0.0]
    deadline = Deadline(5, 3.0, clock=lambda: now[0])
    now[0] = 30.1
    with pytest.raises(TimeLimitError, match="10 x the slowest epoch"):
        deadline.check()


def test_a_trial_over_its_time_stops_inside_an_epoch(shared_data: SharedData, tmp_path: Path) -> None:
    class Stuck(Recorder):
        """Hears the epochs, and makes the second one take for ever."""

        def on_epoch(self, trial: TrialStart, record: Mapping[str, Any], /) -> None:
            super().on_epoch(trial, record)
            callback.deadline._start -= 1e6

    recorder = Stuck()
    made = worker(shared_data, search_config(1, epochs=3), tmp_path, callbacks=(recorder,))
    original = made.objective._train

    def watch(settings: Any, start: Any, heard: Any) -> Any:
        nonlocal callback
        callback = heard
        return original(settings, start, heard)

    callback: Any = None
    made.objective._train = watch  # type: ignore[method-assign]
    made.run()
    assert made.trials()[0].state == TrialState.FAIL
    assert made.trials()[0].user_attrs["reason"].startswith("time limit")
    assert recorder.epochs == [(0, 1)]


def test_compiled_graphs_are_kept_between_trials_of_equal_shape(
    shared_data: SharedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[int] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    made = worker(shared_data, search_config(4, epochs=1), tmp_path)
    study = made.shared.study
    for width, rate, expected in [(8, 1e-2, 1), (8, 3e-2, 1), (16, 1e-2, 2)]:
        study.enqueue_trial({"training.optimizer.lr": rate, "model.graph.layers": 1, "model.width": width})
        made.work(made.shared.claim({}))  # type: ignore[arg-type]
        assert len(resets) == expected


def test_only_the_leader_keeps_its_weights(shared_data: SharedData, tmp_path: Path) -> None:
    made = worker(shared_data, search_config(3, epochs=1), tmp_path)
    made.run()
    best = made.shared.study.best_trial.number
    assert [path.name for path in made.objective.folder.glob("trial-*")] == [f"trial-{best:04d}"]
    assert not list(made.objective.folder.glob("*/*/epoch-*"))
    assert list(made.objective.folder.glob("*/*/best-*"))


def test_nothing_is_removed_that_the_search_did_not_write(shared_data: SharedData, tmp_path: Path) -> None:
    """Folders with the names of trials, or of anything else, that were there before or got something since."""
    made = worker(shared_data, search_config(3, epochs=1), tmp_path)
    folder = made.objective.folder
    outside = tmp_path / "outside"
    theirs = [
        folder / "trial-0000/notes.txt",
        folder / "trial-0001/0123456789ab/best-0001/weights",
        folder / "trial-0002/made-by-hpo.txt/deep",
        folder / "trial-0009/notes.txt",
        folder / "trial-x/notes.txt",
        outside / "0123456789ab/best-0001/weights",
    ]
    for path in theirs:
        path.parent.mkdir(parents=True)
        path.write_text("precious")
    (folder / "trial-0004").symlink_to(outside)
    made.run()
    assert all(path.read_text() == "precious" for path in theirs)


def test_a_file_beside_the_weights_of_a_trial_stays(tmp_path: Path) -> None:
    marked = tmp_path / "trial-0000"
    mark(marked)
    for name in ["best-0001/model.json", "epoch-0002-00000003/state", ".best-0002.77.tmp/part", "plot.png", "best/of"]:
        path = marked / "0123456789ab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (marked / "notes").mkdir()
    for link in (marked / "0123456789ab/best-0005", marked / "0123456789ac"):
        link.symlink_to(marked / "0123456789ab/best")
    remove_trial(marked, keep_best=True)
    kept = {"best-0001", "best", "best-0005", "plot.png"}
    assert {path.name for path in (marked / "0123456789ab").iterdir()} == kept
    remove_trial(marked, keep_best=False)
    assert {path.name for path in marked.iterdir()} == {"0123456789ab", "0123456789ac", MARKER, "notes"}
    assert {path.name for path in (marked / "0123456789ab").iterdir()} == kept - {"best-0001"}


def test_a_measured_batch_size_is_written_down_and_its_report_is_made(shared_data: SharedData, tmp_path: Path) -> None:
    """``auto`` among the choices: the table of the trials has a number for each, and the winner trains with it."""

    def measures(*arguments: Any, **options: Any) -> Any:
        experiment, *rest = arguments
        measured = experiment.with_batch_size(32) if experiment.batches.batch_size == "auto" else experiment
        return fit(measured, *rest, **options)

    size = DimensionConfig(path="batches.batch_size", kind="categorical", choices=("auto", 64))
    config = search_config(3, epochs=1, space=(size,))
    made = worker(shared_data, config, tmp_path, fit=measures)
    made.run()
    table = trial_table(made.trials(), config)
    assert set(table.select("batches.batch_size", "batch_size").rows()) <= {("auto", 32), ("64", 64)}
    assert "auto" in table["batches.batch_size"].to_list()
    for trial in made.trials():
        assert parameters_of(trial, config)["batches"]["batch_size"] in {32, 64}


def test_a_second_objective_leaves_a_pareto_front(shared_data: SharedData, tmp_path: Path) -> None:
    made = worker(shared_data, search_config(3, epochs=1, second_objective="parameters"), tmp_path)
    made.run()
    trials = made.trials()
    assert all(len(trial.values) == 2 and trial.values[1] > 100 for trial in trials)
    with quiet():
        front = {trial.number for trial in made.shared.study.best_trials}
    assert {trial.number for trial in best_trials(trials, ("maximize", "minimize"))} == front


def test_sharpe_is_an_objective(shared_data: SharedData, tmp_path: Path) -> None:
    made = worker(shared_data, search_config(1, epochs=1, objective="sharpe"), tmp_path)
    made.run()
    (trial,) = made.trials()
    assert trial.value == trial.user_attrs["sharpe"]
    assert trial.value > 0


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_every_sampler_and_pruner_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: Any, pruner: Any
) -> None:
    monkeypatch.setattr(samplers, "startup_trials", lambda _: 1)
    config = search_config(5, sampler=sampler, pruner=pruner)
    made = scripted(f"sqlite:///{tmp_path}/optuna.db", config, tmp_path)
    made.run()
    assert len(made.trials()) == 5
    names = {"tpe": "TPESampler", "cmaes": "CmaEsSampler", "random": "RandomSampler"}
    assert type(made.shared.study.sampler).__name__ == names[sampler]
    prune = {"median": "MedianPruner", "hyperband": "HyperbandPruner", "none": "NopPruner"}
    assert type(made.shared.study.pruner).__name__ == prune[pruner]


def test_phases_of_a_training_share_the_epochs_of_a_preset() -> None:
    phased = replace(BASE, training=TrainingConfig(epochs=None, phases=(PhaseConfig(epochs=2), PhaseConfig(epochs=2))))
    assert [phase.epochs for phase in planned(phased, 20, 0).training.plan] == [10, 10]
    assert planned(phased, None, 0).training.phases == phased.training.phases
