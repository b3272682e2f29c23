"""What a study says of itself."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from atft_pipeline.errors import ArtifactError
from atft_pipeline.reporting.search_table import checks_table
from atft_pipeline.reporting.study_figures import FIGURES, study_figures
from atft_pipeline.tuning.acceptance import acceptance_checks
from atft_pipeline.tuning.callbacks import TrialOutcome
from atft_pipeline.tuning.config import DRY, DimensionConfig, HpoConfig
from atft_pipeline.tuning.report import (
    parameters_text,
    returns_table,
    study_report,
    summary_lines,
    trial_table,
    winner_of,
)
from atft_pipeline.tuning.space import as_mapping, put, with_groups
from atft_pipeline.tuning.study import Worker
from tests.tuning.studies import BASE, SPACE, Script, complete, scripted, search_config

VALUES = [0.10, 0.30, -0.20, 0.20, 0.0]


def finished(folder: Path) -> tuple[Worker, HpoConfig]:
    """Slot 2 is pruned after one epoch of two, slot 4 fails; slot 1 wins."""

    def act(slot: int) -> TrialOutcome:
        if slot == 2:
            facts = {"epochs": 1, "best_rank_ic": -0.2, "best_epoch": 1, "daily_rank_ic": [-0.1, -0.3, -0.2]}
            return TrialOutcome("PRUNED", "pruned after epoch 1", (), (), facts)
        if slot == 4:
            return TrialOutcome("FAILED", "epoch 1: the loss is nan", (), (), {"epochs": 1})
        series = [VALUES[slot] + 0.1, VALUES[slot] - 0.1, VALUES[slot]]
        return complete(VALUES[slot], daily_rank_ic=series, batch_size=32, accumulation=2)

    config = search_config(5)
    made = scripted(f"sqlite:///{folder}/optuna.db", config, folder, Script(folder, act=act))
    made.run()
    return made, config


def test_the_table_holds_every_trial_with_its_state_and_point(tmp_path: Path) -> None:
    made, config = finished(tmp_path)
    table = trial_table(made.trials(), config)
    assert table["state"].to_list() == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "FAILED"]
    assert table["value"].to_list() == [0.1, 0.3, None, 0.2, None]
    assert table["reason"].to_list()[4] == "epoch 1: the loss is nan"
    assert table["training.optimizer.lr"].null_count() == 0
    assert table["model.width"].to_list()[0] == "8"


def test_the_returns_of_the_trials_stand_side_by_side(tmp_path: Path) -> None:
    days = ["2020-01-02", "2020-01-03"]

    def act(slot: int) -> TrialOutcome:
        if slot == 1:
            return TrialOutcome("FAILED", "epoch 1: the loss is nan", (), (), {"epochs": 1})
        return complete(0.1, portfolio_days=days, portfolio_returns=[0.01 * slot, -0.02])

    config = search_config(3)
    made = scripted(f"sqlite:///{tmp_path}/optuna.db", config, tmp_path, Script(tmp_path, act=act))
    made.run()
    table = returns_table(made.trials())
    assert table.columns == ["Date", "trial_0", "trial_2"]
    assert [str(day) for day in table["Date"]] == days
    assert table["trial_2"].to_list() == [0.02, -0.02]


def test_the_report_tells_trials_epochs_winner_default_and_bias(tmp_path: Path) -> None:
    made, config = finished(tmp_path)
    report = study_report(made.trials(), trial_table(made.trials(), config), config, "study", 1, None)
    assert report["trials"] == {"COMPLETE": 3, "FAILED": 1, "PRUNED": 1}
    # Three trials of two epochs, one of one, and one that failed in its first: 8 of 10.
    assert report["epochs"] == {"trained": 8, "planned": 10, "saved": pytest.approx(0.2)}
    assert report["winner"]["trial"] == 1
    assert not report["winner"]["is_default"]
    assert report["default"] == {"trial": 0, "val_rank_ic": 0.1, "winner_better_by": pytest.approx(0.2)}
    bias = report["selection_bias"]
    assert (bias["trials_tried"], bias["trials_resampled"], bias["epochs_looked_at"]) == (5, 4, 8)
    # The four series differ by their means alone: without skill, they are one trial, whose best is 0 on average.
    assert bias["expected_best_of_null_trials"] == pytest.approx(0.0, abs=0.02)
    assert bias["upper_95_of_null_trials"] <= 0.1 + 1e-9
    assert bias["share_of_draws_above_winner"] == 0
    assert report["failures"] == [{"trial": 4, "reason": "epoch 1: the loss is nan"}]
    text = "\n".join(summary_lines(report))
    assert "1 FAILED" in text
    assert "null trials" in text


def test_the_winners_yaml_is_a_whole_configuration_of_training(tmp_path: Path) -> None:
    made, config = finished(tmp_path)
    winner = winner_of(made.trials(), config)
    groups = yaml.safe_load(parameters_text(winner, config, "study"))
    assert set(groups) == {"targets", "model", "loss", "training", "batches"}
    built = with_groups(BASE, {**as_mapping(BASE), **groups})
    assert built.training.optimizer.lr == winner.params["training.optimizer.lr"]
    assert built.model.width == winner.params["model.width"]
    assert built.training.seed == BASE.training.seed + 1
    # It ran out of memory on the way: the winner goes on with what fitted.
    assert (built.batches.batch_size, built.training.accumulation) == (32, 2)


def test_a_study_without_a_completed_trial_has_no_winner(tmp_path: Path) -> None:
    config = search_config(1)
    script = Script(tmp_path, act=lambda _: TrialOutcome("FAILED", "collapsed"))
    made = scripted(f"sqlite:///{tmp_path}/optuna.db", config, tmp_path, script)
    made.run()
    with pytest.raises(
        ArtifactError, match=r"no trial of the study completed \(trial 0 FAILED: collapsed\).*hpo\.trials=2"
    ):
        winner_of(made.trials(), config)


def test_a_dry_run_is_marked(tmp_path: Path) -> None:
    made, _ = finished(tmp_path)
    dry = HpoConfig(preset="dry_run")
    assert parameters_text(made.trials()[0], dry, "study").startswith(DRY)


def test_every_figure_is_drawn(tmp_path: Path) -> None:
    made, config = finished(tmp_path)
    figures = study_figures(made.shared.study, config)
    assert set(figures) == set(FIGURES)
    assert all(len(drawn.data) > 0 for drawn in figures.values())


def test_figures_of_a_single_trial_say_what_they_need(tmp_path: Path) -> None:
    config = search_config(1)
    made = scripted(f"sqlite:///{tmp_path}/optuna.db", config, tmp_path)
    made.run()
    figures = study_figures(made.shared.study, config)
    assert "needs 3 completed trials" in figures["hpo_importance"].layout.title.text


ODD: list[tuple[str, tuple[Any, ...]]] = [
    ("batches.batch_size", ("auto", 64)),
    ("batches.batch_size", (64, "auto", 128)),
    ("model.static", (True, False)),
    ("training.optimizer.lr", (0.01, 1)),
    ("runtime.compile", ("auto", "none")),
    ("model.dropout", (0.1, 0.0, 0.5)),
]


@pytest.mark.parametrize(("path", "choices"), ODD)
def test_choices_of_any_types_reach_every_report(tmp_path: Path, path: str, choices: tuple[Any, ...]) -> None:
    space = (DimensionConfig(path=path, kind="categorical", choices=choices), SPACE[0])
    config = search_config(6, space=space[: 1 if path == SPACE[0].path else 2])
    script = Script(tmp_path, act=lambda slot: complete(0.1 * slot))
    made = scripted(f"sqlite:///{tmp_path}/optuna.db", config, tmp_path, script)
    put_default(made, path, choices[0])
    made.run()
    trials = made.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    table = trial_table(trials, config)
    assert set(table[path].to_list()) <= {None if choice is None else str(choice) for choice in choices}
    study_report(trials, table, config, "study", 1, None)
    parameters_text(winner_of(trials, config), config, "study")
    assert set(study_figures(made.shared.study, config)) == set(FIGURES)


def put_default(made: Worker, path: str, value: Any) -> None:
    mapping = as_mapping(made.base)
    put(mapping, path, value)
    made.base = with_groups(made.base, mapping)


def card(compiled: str = "full", device: str = "cuda") -> dict[str, Any]:
    return {
        "time": {"data_wait_share": 0.05},
        "compile": {"value": compiled, "reason": "asked for"},
        "device": {"value": device},
    }


@pytest.mark.parametrize(
    ("facts", "failed"),
    [
        ({}, []),
        ({"run_card": card("none")}, ["compile active"]),
        ({"run_card": card("none", "cpu")}, []),
        ({"slowest_epoch": 999.0}, ["epoch time"]),
        ({"best_rank_ic": -0.01}, ["RankIC"]),
    ],
)
def test_acceptance_checks(tmp_path: Path, facts: dict[str, Any], failed: list[str]) -> None:
    made = scripted(
        f"sqlite:///{tmp_path}/optuna.db", search_config(1), tmp_path, Script(tmp_path, act=lambda _: complete(0.1))
    )
    made.run()
    (trial,) = made.trials()
    trial.user_attrs.update({"run_card": card(), "slowest_epoch": 10.0, "best_rank_ic": 0.1} | facts)
    checks = acceptance_checks(trial)
    assert [check.name for check in checks if not check.passed] == failed
    assert [check.name for check in checks] == ["device busy", "epoch time", "RankIC", "compile active", "no crash"]
    assert checks_table(checks).row_count == 5
