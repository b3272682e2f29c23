"""The folds one after the other: train, score, keep; and all of them stitched into one table."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from atft_pipeline.baselines.frames import Rows, fit_baselines, weak_fits
from atft_pipeline.code_hashes import CodeHashes
from atft_pipeline.config import to_mapping
from atft_pipeline.evaluation.evaluate import EvaluationConfig
from atft_pipeline.evaluation.grid import Grid, horizons_of, score_columns
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.lineage import hash_json
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.fold_store import FoldRecord, FoldStore
from atft_pipeline.scoring.scorer import STREAMED, Scorer, listing_details, side_by_side
from atft_pipeline.splits.split import Fold
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.stats.report import number
from atft_pipeline.stats.significance import estimate
from atft_pipeline.training.ensemble import fit_ensemble
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.memory import release_memory
from atft_pipeline.training.runtime.runtime import choose_runtime

log = logging.getLogger(__name__)

# Raised whenever a fold's folder holds something else, so that folders of both kinds never mix.
FORMAT = 2


class FoldCallback(Protocol):
    """Called for each fold."""

    def on_fold(self, record: FoldRecord) -> None:
        """With the record of a fold that is on disk."""


def run_folds(
    experiment: Experiment,
    data: MarketData,
    folds: Sequence[Fold],
    evaluation: EvaluationConfig,
    folder: Path,
    *,
    warm_start: bool = False,
    callback: FoldCallback | None = None,
) -> tuple[pl.DataFrame, list[FoldRecord]]:
    """Train and score every fold that is not on disk yet; the panel is loaded once.

    Args:
        experiment: parameters of every fold's training.
        data: panel and graphs.
        folds: of a scheme; a single split is a scheme of one fold.
        evaluation: the baselines that each fold fits, and the least listings of a day's RankIC.
        folder: where finished folds are kept; a run that was killed continues there.
        warm_start: begin each fold with the weights of the one before.
        callback: called for each fold.

    Returns:
        The stitched predictions (Date, Listing, ``score_{h}``, quantiles, ``return_{h}``, ``ridge_{h}``,
        ``lightgbm_{h}``, ``ridge+lightgbm_{h}``, ``benchmark_{h}``, Code, sector, market, fold, path), and one
        record a fold.

    Raises:
        ArtifactError: graphs of another panel, or a damaged fold.
    """
    panel = data.panel
    if data.graphs is not None:
        check_compatible(panel.meta, data.graphs.meta, panel.listings)
    runner = _Runner(experiment, data, evaluation)
    stores: list[FoldStore] = []
    for fold in folds:
        initial = stores[-1] if warm_start and stores else None
        stores.append(FoldStore(folder, runner.fingerprint(fold, initial)))
    records: list[FoldRecord] = []
    for place, (fold, store) in enumerate(zip(folds, stores, strict=True)):
        record = store.read()
        log.info("fold %d of %d  %s", fold.number, len(folds), _days(panel, fold, done=record is not None))
        if record is None:
            record = runner.run(fold, store, stores[place - 1] if warm_start and place else None)
        elif record.code != runner.code:
            log.warning("fold %d was trained by other code; remove %s to train it again", fold.number, store.folder)
        # The same days may be another fold of another scheme.
        record = replace(record, fold=fold.number)
        records.append(record)
        log.info("fold %d of %d  %s", fold.number, len(folds), _result(record, _left(record, folds, stores, place)))
        if callback is not None:
            callback.on_fold(record)
    return stitch(panel, folds, stores), records


def stitch(panel: Panel, folds: Sequence[Fold], stores: Sequence[FoldStore]) -> pl.DataFrame:
    """Put the folds' predictions below one another, with the number of the fold and the path of each row."""
    parts = []
    for fold, store in zip(folds, stores, strict=True):
        path = pl.DataFrame({"Date": panel.dates[list(fold.split.test)], "path": list(fold.path)})
        parts.append(
            store.predictions()
            .join(path, on="Date", how="left", maintain_order="left", validate="m:1")
            .with_columns(fold=pl.lit(fold.number, dtype=pl.Int64))
        )
    table = pl.concat(parts).join(listing_details(panel), on="Listing", how="left", maintain_order="left")
    return table.sort("path", "Date", maintain_order=True)


def rank_ics(predictions: pl.DataFrame, min_listings: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean daily RankIC of every score at every horizon, with its Newey-West error."""
    grid = Grid.of(predictions)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for horizon in horizons_of(predictions):
        returns = grid.to_days(predictions[f"return_{horizon}"])
        for name, column in score_columns(predictions, horizon).items():
            value = estimate(rank_ic(grid.to_days(predictions[column]), returns, min_listings), horizon)
            found.setdefault(str(horizon), {})[name] = {
                "mean": number(value.mean),
                "se": number(value.se),
                "n_days": value.n_days,
            }
    return found


class _Runner:
    """Trains and scores folds on one resident panel, which is loaded when the first fold needs it."""

    def __init__(self, experiment: Experiment, data: MarketData, evaluation: EvaluationConfig) -> None:
        self.experiment, self.data, self.evaluation = experiment, data, evaluation
        self.code = CodeHashes(None).of("atft_pipeline.training.ensemble")

    @cached_property
    def loaded(self) -> MarketData:
        """The data with the panel in memory, in the features that the model reads."""
        panel = self.data.panel.select(self.experiment.batches.features)
        device = choose_runtime(self.experiment.runtime).torch_device
        resident = ResidentPanel.load(panel, self.experiment.residency, device)
        return MarketData(self.data.panel, self.data.graphs, resident)

    @cached_property
    def labels(self) -> ResidentPanel:
        """The panel with all features, for baselines, which read one day at a time."""
        return ResidentPanel.load(self.data.panel, STREAMED)

    def fingerprint(self, fold: Fold, initial: FoldStore | None) -> str:
        """Hash of all that decides a fold's contents."""
        experiment, evaluation, split = self.experiment, self.evaluation, fold.split
        groups = (experiment.targets, experiment.model, experiment.loss, experiment.batches, experiment.runtime)
        trees = evaluation.lightgbm
        return hash_json(
            [
                FORMAT,
                self.data.panel.meta.fingerprint,
                self.data.graphs_fingerprint,
                [list(split.train), list(split.validation), list(split.test)],
                [to_mapping(group) for group in groups],
                to_mapping(trees) if trees.enabled else "",
                evaluation.min_listings,
                to_mapping(replace(experiment.training, resume=False)),
                initial.fingerprint if initial is not None else "",
            ]
        )

    def run(self, fold: Fold, store: FoldStore, initial: FoldStore | None) -> FoldRecord:
        """Train, score and keep one fold."""
        began = time.perf_counter()
        training = replace(self.experiment.training, resume=store.started)
        trained = fit_ensemble(
            replace(self.experiment, training=training),
            self.loaded,
            fold.split,
            store.working,
            initial=initial.folder if initial is not None else None,
        )
        scorer = Scorer.open(trained.checkpoint, self.loaded, self.experiment.runtime)
        # The baselines' rows need the room of the training's batches, and the next fold's batches that of the rows.
        release_memory()
        rows = Rows(self.labels, fold.split, self.experiment.batches, self.experiment.targets)
        baselines = fit_baselines(rows, self.evaluation.lightgbm)
        frame = baselines.frame(rows.parts[2], benchmark=True)
        predictions = side_by_side(scorer.frame(fold.split.test, ["return"]), frame)
        panel, split = self.data.panel, fold.split
        record = FoldRecord(
            fold=fold.number,
            fingerprint=store.fingerprint,
            train=_ends(panel, split.train),
            train_days=len(split.train),
            validation=_ends(panel, split.validation),
            test=_ends(panel, split.test),
            test_days=predictions["Date"].n_unique(),
            rows=predictions.height,
            rank_ic=rank_ics(predictions, self.evaluation.min_listings),
            benchmark=baselines.card["benchmark"],
            weak=weak_fits(baselines.card),
            best_epoch=int(scorer.card.members[0].training["epoch"]),
            warm=initial is not None,
            seconds=time.perf_counter() - began,
            code=self.code,
        )
        store.write(record, trained.checkpoint, predictions, trained.history)
        del rows, baselines, frame, predictions
        release_memory()
        return record


def _ends(panel: Panel, days: Sequence[int]) -> tuple[str, str]:
    return str(panel.dates[days[0]]), str(panel.dates[days[-1]])


def _days(panel: Panel, fold: Fold, *, done: bool) -> str:
    """What a fold trains and tests, for the log."""
    train, test = _ends(panel, fold.split.train), _ends(panel, fold.split.test)
    state = "on disk" if done else "training"
    return f"{state}: {len(fold.split.train)} days {train[0]} to {train[1]}, test {test[0]} to {test[1]}"


def _result(record: FoldRecord, left: float) -> str:
    """A fold's RankIC by horizon, and how long the others will take."""
    parts = []
    for horizon, scores in record.rank_ic.items():
        value = scores["model"]
        parts.append(f"{horizon}d {_signed(value['mean'])}±{_signed(value['se'])[1:]}")
    end = f", about {left:.0f} s to go" if left else ""
    return f"RankIC {'  '.join(parts)}  {record.seconds:.0f} s{end}"


def _signed(value: float | None) -> str:
    return " –" if value is None else f"{value:+.4f}"


def _left(record: FoldRecord, folds: Sequence[Fold], stores: Sequence[FoldStore], place: int) -> float:
    """Seconds that the folds after this one will take, by their training days; those on disk take none."""
    later = zip(folds[place + 1 :], stores[place + 1 :], strict=True)
    days = sum(len(fold.split.train) for fold, store in later if not store.folder.exists())
    return record.seconds / record.train_days * days


def as_rows(records: Sequence[FoldRecord]) -> list[Mapping[str, Any]]:
    """Records as plain JSON types."""
    return [to_mapping(record) for record in records]
