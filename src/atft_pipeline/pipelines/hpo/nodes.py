"""Nodes of the stage ``hpo``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.errors import TrainingError
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.tuning.config import HpoConfig

if TYPE_CHECKING:
    import polars as pl
    from optuna.trial import FrozenTrial

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel
    from atft_pipeline.tuning.objective import SharedData
    from atft_pipeline.tuning.storage import SharedStudy


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedStudy:
    """A study in which every slot has its result.

    Attributes:
        name: of the study.
        fingerprint: of what makes its values comparable.
        folder: of its trials' weights on this machine.
    """

    name: str
    fingerprint: str
    folder: Path


@configured
def search(
    panel: Panel,
    graphs: MonthlyGraphs,
    checkpoints: Path,
    storage: str,
    split: SplitConfig,
    experiment: Experiment,
    hpo: HpoConfig,
) -> FinishedStudy:
    """Work on the study until every trial of it has ended, here or in other workers.

    Raises:
        ConfigError: the space holds an invalid point, or training and validation touch the test.
        ArtifactError: the database of the study is away or damaged.
    """
    from atft_pipeline.pipelines.hpo.tracking import MlflowTrials
    from atft_pipeline.reporting.search_table import LiveTable, TrialLog
    from atft_pipeline.tuning.database import BROKEN, explained, hidden
    from atft_pipeline.tuning.objective import Objective
    from atft_pipeline.tuning.space import check_space
    from atft_pipeline.tuning.study import Worker, study_fingerprint, study_name

    config = hpo
    check_space(experiment, config.space)
    data = load_shared_data(panel.select(experiment.batches.features), graphs, split, experiment)
    fingerprint = study_fingerprint(data, experiment, config)
    name = study_name(config, fingerprint)
    folder = checkpoints / "hpo" / name
    shared = shared_study(storage, name, fingerprint, config)
    log.info("study %s: %d trials in %s", name, config.size.trials, hidden(storage))
    live, tracked = LiveTable(name, config.size.trials), MlflowTrials()
    callbacks = (TrialLog(), live, tracked)
    worker = Worker(shared, experiment, config, Objective(data, config, folder, callbacks), callbacks)
    try:
        with live.showing(), explained(storage, BROKEN):
            worker.run()
    finally:
        tracked.close("KILLED")
    return FinishedStudy(name, fingerprint, folder)


def load_shared_data(panel: Panel, graphs: MonthlyGraphs, split: SplitConfig, experiment: Experiment) -> SharedData:
    """Load the panel once for all trials, without its test days."""
    from atft_pipeline.panel.resident import ResidentPanel
    from atft_pipeline.splits.split import single_split
    from atft_pipeline.training.runtime.runtime import choose_runtime
    from atft_pipeline.tuning.guard import blank_test_days, without_test
    from atft_pipeline.tuning.objective import SharedData

    whole = single_split(panel.dates, split, panel.meta.label_span)
    apart = without_test(whole, panel)
    resident = ResidentPanel.load(panel, experiment.residency, choose_runtime(experiment.runtime).torch_device)
    blank_test_days(resident, whole)
    return SharedData(MarketData(panel, graphs, resident), apart)


def shared_study(storage: str, name: str, fingerprint: str, config: HpoConfig) -> SharedStudy:
    """Open the database and join the study."""
    from atft_pipeline.tuning.database import explained, open_storage
    from atft_pipeline.tuning.storage import SharedStudy

    opened = open_storage(storage)
    with explained(storage):
        return SharedStudy(opened, name, fingerprint, config)


@configured
def tabulate_study(finished: FinishedStudy, storage: str, hpo: HpoConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Table of every trial and the daily returns of their portfolios, however the trials ended."""
    from atft_pipeline.tuning.database import explained
    from atft_pipeline.tuning.report import returns_table, trial_table

    shared = shared_study(storage, finished.name, finished.fingerprint, hpo)
    with explained(storage):
        trials = shared.study.get_trials(deepcopy=False)
    return trial_table(trials, hpo), returns_table(trials)


@configured
def report_study(
    finished: FinishedStudy,
    table: pl.DataFrame,
    panel: Panel,
    graphs: MonthlyGraphs,
    storage: str,
    split: SplitConfig,
    runtime: RuntimeConfig,
    hpo: HpoConfig,
) -> dict[str, Any]:
    """Tell what the study found; evaluate its winner on the test days, once.

    Returns:
        ``parameters`` of the winner as YAML, ``report`` as plain JSON types, and the figures by name.

    Raises:
        ArtifactError: no trial completed. The table, which is saved before, tells why.
        TrainingError: a dry run failed an acceptance check.
    """
    from atft_pipeline.pipelines.hpo.tracking import log_study
    from atft_pipeline.reporting.study_figures import study_figures
    from atft_pipeline.splits.split import single_split
    from atft_pipeline.tuning.database import explained
    from atft_pipeline.tuning.final_look import look_at_test
    from atft_pipeline.tuning.report import parameters_text, study_report, summary_lines, winner_of

    config = hpo
    dry = config.preset == "dry_run"
    shared = shared_study(storage, finished.name, finished.fingerprint, config)
    with explained(storage):
        trials = shared.study.get_trials(deepcopy=False)
        if dry:
            _accept(trials)
        winner = winner_of(trials, config)
        whole = single_split(panel.dates, split, panel.meta.label_span)
        folder = finished.folder / f"trial-{winner.number:04d}"
        test = None if dry else look_at_test(shared, winner, folder, MarketData(panel, graphs), whole, runtime)
        figures = study_figures(shared.study, config)
    report = study_report(trials, table, config, finished.name, max(panel.meta.horizons), test)
    parameters = parameters_text(winner, config, finished.name)
    log_study(report, parameters, figures)
    for line in [] if dry else summary_lines(report):
        log.info(line)
    return {"parameters": parameters, "report": report, **figures}


def _accept(trials: list[FrozenTrial]) -> None:
    """Print the acceptance checks of a dry run.

    Raises:
        TrainingError: one of them failed.
    """
    from atft_pipeline.reporting.console import show
    from atft_pipeline.reporting.search_table import checks_table
    from atft_pipeline.tuning.acceptance import acceptance_checks
    from atft_pipeline.tuning.storage import slots

    checks = acceptance_checks(slots(trials)[0][1])
    show(checks_table(checks))
    failed = [check.name for check in checks if not check.passed]
    if failed:
        msg = f"dry run: {', '.join(failed)} failed"
        raise TrainingError(msg)
