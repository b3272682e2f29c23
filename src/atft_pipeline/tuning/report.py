"""What a study leaves: the table of trials, the winner's parameters, and an honest account."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import yaml
from optuna.trial import FrozenTrial, TrialState

from atft_pipeline.errors import ArtifactError
from atft_pipeline.tuning.bias import selection_bias
from atft_pipeline.tuning.config import DRY, DimensionConfig, HpoConfig
from atft_pipeline.tuning.storage import DEFAULT, INTERRUPTED, REASON, WORKER, deaths, history_of, slots
from atft_pipeline.tuning.study import best_trials

STATES = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAILED",
    TrialState.RUNNING: "RUNNING",
    TrialState.WAITING: "WAITING",
}
KINDS = {"float": pl.Float64, "log": pl.Float64, "int": pl.Int64, "categorical": pl.String}
SHOWN = 3
# Draws for the selection bias: the 95th percentile is then known to about half a percent of the draws.
RESAMPLES = 2000


def state_of(trial: FrozenTrial, last: bool) -> str:
    """State of a trial; DIED is one whose worker died, and which was tried again or too often."""
    if trial.state == TrialState.FAIL and REASON not in trial.user_attrs:
        return "DIED"
    assert last or trial.state == TrialState.FAIL
    return STATES[trial.state]


def reason_of(trial: FrozenTrial, last: bool) -> str | None:
    """Why a trial is not COMPLETE."""
    if REASON in trial.user_attrs or trial.state != TrialState.FAIL:
        return trial.user_attrs.get(REASON)
    if trial.user_attrs.get(INTERRUPTED) == trial.number:
        return "interrupted"
    if not last:
        return "its worker died, and it was tried again"
    return f"its worker died, {deaths(trial)} times in all; a larger hpo.trials adds another trial"


def trial_table(trials: list[FrozenTrial], config: HpoConfig) -> pl.DataFrame:
    """Every try of every slot, one row each: state, values, reason, epochs, seconds, parameters by path."""
    last = {trial.number for _, trial in slots(trials)}
    rows = [_row(trial, config.space, last=trial.number in last) for trial in trials]
    names = ["value", "second_value"][: len(config.directions)]
    schema: dict[str, Any] = {
        "trial": pl.Int64,
        "slot": pl.Int64,
        "retry": pl.Int64,
        "state": pl.String,
        **dict.fromkeys(names, pl.Float64),
        "best_rank_ic": pl.Float64,
        "sharpe": pl.Float64,
        "best_epoch": pl.Int64,
        "epochs": pl.Int64,
        "epoch_seconds": pl.Float64,
        "seconds": pl.Float64,
        "batch_size": pl.Int64,
        "accumulation": pl.Int64,
        "reason": pl.String,
        "worker": pl.String,
        **{dimension.path: KINDS[dimension.kind] for dimension in config.space},
    }
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _row(trial: FrozenTrial, space: tuple[DimensionConfig, ...], *, last: bool) -> dict[str, Any]:
    facts = trial.user_attrs
    duration = trial.duration
    values = trial.values or []
    point = {
        dimension.path: str(value) if dimension.kind == "categorical" else value
        for dimension in space
        if (value := trial.params.get(dimension.path)) is not None
    }
    return {
        "trial": trial.number,
        "slot": facts.get("slot"),
        "retry": len(history_of(trial)),
        "state": state_of(trial, last),
        **dict(zip(["value", "second_value"], values, strict=False)),
        **{name: facts.get(name) for name in ("best_rank_ic", "sharpe", "best_epoch", "epochs", "epoch_seconds")},
        **{name: facts.get(name) for name in ("batch_size", "accumulation", WORKER)},
        "reason": reason_of(trial, last),
        "seconds": duration.total_seconds() if duration is not None else None,
        **point,
    }


def winner_of(trials: list[FrozenTrial], config: HpoConfig) -> FrozenTrial:
    """The best trial.

    Raises:
        ArtifactError: no trial has a value; with the first reasons.
    """
    last = [trial for _, trial in slots(trials)]
    best = best_trials(last, config.directions)
    if best:
        return best[0]
    ends = [f"trial {trial.number} {state_of(trial, last=True)}: {reason_of(trial, last=True)}" for trial in last]
    msg = (
        f"no trial of the study completed ({'; '.join(ends[:SHOWN])}{'; ...' if len(ends) > SHOWN else ''}); "
        "data/08_reporting/trial_table.parquet has every reason. Mend the parameters, which begins another study, "
        f"or try more points with hpo.trials={len(last) + config.size.trials}"
    )
    raise ArtifactError(msg)


def parameters_of(trial: FrozenTrial, config: HpoConfig) -> dict[str, Any]:
    """Whole groups of parameters of a trial, as the train stage takes them."""
    groups = dict(trial.user_attrs["parameters"])
    if not any(dimension.path.startswith("runtime.") for dimension in config.space):
        groups.pop("runtime")
    own = {"from_study", "resume"}
    groups["training"] = {name: value for name, value in groups["training"].items() if name not in own}
    if trial.user_attrs.get("batch_size"):
        # A trial that ran out of memory went on with smaller batches; so must the winner.
        groups["batches"] = {**groups["batches"], "batch_size": trial.user_attrs["batch_size"]}
        groups["training"] = {**groups["training"], "accumulation": trial.user_attrs["accumulation"]}
    return groups


def returns_table(trials: list[FrozenTrial]) -> pl.DataFrame:
    """Daily return of each trial's soft portfolio on the validation days: Date and ``trial_{number}``.

    Whoever judges the winner needs them: its Sharpe ratio is the best of so many. Trials without kept weights, which
    failed before they had any, have none.
    """
    columns: dict[str, Any] = {}
    days: list[str] = []
    for _, trial in slots(trials):
        facts = trial.user_attrs
        if facts.get("portfolio_returns") and facts["portfolio_days"] == (days or facts["portfolio_days"]):
            days = facts["portfolio_days"]
            columns[f"trial_{trial.number}"] = facts["portfolio_returns"]
    return pl.DataFrame({"Date": pl.Series(days, dtype=pl.String).str.to_date(), **columns})


def parameters_text(trial: FrozenTrial, config: HpoConfig, study: str) -> str:
    """The winner's parameters as YAML: a file of parameters, as it is."""
    head = DRY if config.preset == "dry_run" else ""
    head += (
        f"# Winner of study {study}: trial {trial.number}, validation {config.objective} {trial.values[0]:+.4f}.\n"
        "# Train it: kedro run --pipeline=train --params training.from_study=best\n"
        "# or copy this file to conf/local/parameters_tuned.yml.\n"
    )
    return head + yaml.safe_dump(parameters_of(trial, config), sort_keys=False, allow_unicode=True)


def study_report(
    trials: list[FrozenTrial],
    table: pl.DataFrame,
    config: HpoConfig,
    study: str,
    block: int,
    test: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The account of a study.

    Args:
        trials: all tries.
        table: of them, see :func:`trial_table`.
        config: of the search.
        study: its name.
        block: longest horizon, in sessions.
        test: of the winner on the test days, ``None`` where it was not evaluated.

    Raises:
        ArtifactError: no trial completed.
    """
    last = [trial for _, trial in slots(trials)]
    winner = winner_of(trials, config)
    first = next((trial for trial in last if trial.user_attrs.get(DEFAULT)), None)
    planned = sum(int(trial.user_attrs.get("planned", 0)) for trial in last)
    trained = sum(int(trial.user_attrs.get("epochs") or 0) for trial in last)
    rank_ic = float(winner.user_attrs["best_rank_ic"])
    saved = 1 - trained / planned if planned else 0.0
    return {
        "study": study,
        "objective": config.objective,
        "second_objective": config.second_objective,
        "trials": dict(sorted(table.group_by("state").len().iter_rows())),
        "epochs": {"trained": trained, "planned": planned, "saved": saved},
        "winner": {
            "trial": winner.number,
            "is_default": bool(winner.user_attrs.get(DEFAULT)),
            "values": list(winner.values),
            "val_rank_ic": rank_ic,
            "best_epoch": winner.user_attrs["best_epoch"],
            "parameters": winner.params,
        },
        "default": _default(first, rank_ic),
        "pareto_front": [
            {"trial": trial.number, "values": list(trial.values)} for trial in best_trials(last, config.directions)
        ],
        "selection_bias": _bias(last, config, rank_ic, block),
        "test": dict(test) if test is not None else None,
        "failures": [
            {"trial": row["trial"], "reason": row["reason"]}
            for row in table.filter(pl.col("state").is_in(["FAILED", "DIED"])).iter_rows(named=True)
        ],
    }


def _default(trial: FrozenTrial | None, rank_ic: float) -> dict[str, Any] | None:
    if trial is None or trial.user_attrs.get("best_rank_ic") is None:
        return None
    own = float(trial.user_attrs["best_rank_ic"])
    return {"trial": trial.number, "val_rank_ic": own, "winner_better_by": rank_ic - own}


def _bias(trials: list[FrozenTrial], config: HpoConfig, rank_ic: float, block: int) -> dict[str, Any]:
    series = [trial.user_attrs["daily_rank_ic"] for trial in trials if trial.user_attrs.get("daily_rank_ic")]
    days = max(len(one) for one in series)
    daily = np.array([one for one in series if len(one) == days])
    found = selection_bias(daily, rank_ic, block=block, draws=RESAMPLES, seed=config.seed)
    return {
        "trials_tried": len(trials),
        "epochs_looked_at": sum(int(trial.user_attrs.get("epochs") or 0) for trial in trials),
        "trials_resampled": found.trials,
        "expected_best_of_null_trials": found.expected_best,
        "upper_95_of_null_trials": found.upper,
        "share_of_draws_above_winner": found.share_above,
        "block_sessions": found.block,
        "validation_days": found.days,
    }


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The report in a few lines."""
    winner, bias, epochs = report["winner"], report["selection_bias"], report["epochs"]
    states = ", ".join(f"{count} {state}" for state, count in report["trials"].items())
    lines = [
        f"trials: {states}; {epochs['trained']} of {epochs['planned']} epochs trained, {epochs['saved']:.0%} saved",
        f"winner: trial {winner['trial']}"
        + (" (the default configuration: nothing better was found)" if winner["is_default"] else "")
        + f", validation RankIC {winner['val_rank_ic']:+.4f}"
        + (f", default {report['default']['val_rank_ic']:+.4f}" if report["default"] else ", default without a result"),
        f"selection bias: the best of {bias['trials_resampled']} null trials (without skill) would show "
        f"{bias['expected_best_of_null_trials']:+.4f} (95 % below {bias['upper_95_of_null_trials']:+.4f}) on these "
        f"{bias['validation_days']} days",
    ]
    lines += [f"trial {row['trial']} has no result: {row['reason']}" for row in report["failures"][:SHOWN]]
    test = report["test"]
    if test and "rank_ic" in test:
        parts = " ".join(f"{h}d {v['rank_ic']:+.4f}±{v['se']:.4f}" for h, v in test["horizons"].items())
        lines.append(f"winner on the test, look {test['looks']}: RankIC {test['rank_ic']:+.4f} ({parts})")
    elif test:
        lines.append(f"winner on the test: not evaluated, {test['note']}")
    return [*lines, "train it with: kedro run --pipeline=train --params training.from_study=best"]
