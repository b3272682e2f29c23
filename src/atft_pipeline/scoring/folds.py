"""The folds one after the other: train, score, keep; and all of them stitched into one table."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from atft_pipeline.config import to_mapping
from atft_pipeline.evaluation.evaluate import EvaluationConfig
from atft_pipeline.evaluation.grid import Grid, horizons_of, score_columns
from atft_pipeline.evaluation.summary import number
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.lineage import code_fingerprint, hash_json
from atft_pipeline.losses.composite import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.scoring.fold_store import FoldRecord, FoldStore
from atft_pipeline.scoring.frames import Rows, lightgbm_frame, listing_details, ridge_frame, score_frame
from atft_pipeline.scoring.inference import score_days
from atft_pipeline.splits.schemes import Fold
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.stats.significance import estimate
from atft_pipeline.training.checkpoint.model import ModelCard, load_model
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.loop import train
from atft_pipeline.training.runtime.runtime import choose_runtime

log = logging.getLogger(__name__)

# Raised whenever a fold's folder holds something else, so that folders of both kinds never mix.
FORMAT = 1


@dataclass(frozen=True)
class FoldSettings:
    """The parameters of every fold."""

    model: ModelConfig
    loss: LossConfig
    training: TrainingConfig
    batches: BatchConfig
    residency: ResidencyConfig
    runtime: RuntimeConfig
    evaluation: EvaluationConfig


class FoldCallback(Protocol):
    """Whoever wants to hear of each fold."""

    def on_fold(self, record: FoldRecord) -> None:
        """Hear of a fold that is on disk."""


def run_folds(
    panel: Panel,
    graphs: MonthlyGraphs | None,
    folds: Sequence[Fold],
    settings: FoldSettings,
    folder: Path,
    *,
    warm_start: bool = False,
    callback: FoldCallback | None = None,
) -> tuple[pl.DataFrame, list[FoldRecord]]:
    """Train and score every fold that is not on disk yet; the panel is loaded once.

    Args:
        panel: features and labels.
        graphs: of the same panel, ``None`` for a model without graph.
        folds: of a scheme.
        settings: parameters of every fold.
        folder: where finished folds are kept; a run that was killed continues there.
        warm_start: begin each fold with the weights of the one before.
        callback: hears of each fold.

    Returns:
        The stitched predictions (Date, Listing, ``score_{h}``, quantiles, ``return_{h}``, ``ridge_{h}``,
        ``lightgbm_{h}``, Code, sector, market, fold, path), and one record a fold.

    Raises:
        ArtifactError: graphs of another panel, or a damaged fold.
    """
    if graphs is not None:
        check_compatible(panel.meta, graphs.meta, panel.listings)
    runner = _Runner(panel, graphs, settings)
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

    def __init__(self, panel: Panel, graphs: MonthlyGraphs | None, settings: FoldSettings) -> None:
        self.panel, self.graphs, self.settings = panel, graphs, settings
        self.runtime = choose_runtime(settings.runtime)
        self.code = code_fingerprint("atft_pipeline.training.loop")

    @cached_property
    def resident(self) -> ResidentPanel:
        """The panel in memory, with the features that the model reads."""
        seen = self.panel.select(self.settings.batches.features)
        return ResidentPanel.load(seen, self.settings.residency, self.runtime.torch_device)

    @cached_property
    def whole(self) -> ResidentPanel:
        """The panel with all features, for baselines, which read one day at a time."""
        return ResidentPanel.load(self.panel, ResidencyConfig(mode="mmap"))

    def fingerprint(self, fold: Fold, initial: FoldStore | None) -> str:
        """Hash of all that decides a fold's contents."""
        settings, split = self.settings, fold.split
        parts = (settings.model, settings.loss, settings.batches, settings.runtime, settings.evaluation.ridge)
        trees = settings.evaluation.lightgbm
        return hash_json(
            [
                FORMAT,
                self.panel.meta.fingerprint,
                self.graphs.meta.fingerprint if self.graphs is not None else "",
                [list(split.train), list(split.validation), list(split.test)],
                [to_mapping(part) for part in parts],
                to_mapping(trees) if trees.enabled else "",
                settings.evaluation.min_listings,
                to_mapping(replace(settings.training, resume=False)),
                initial.fingerprint if initial is not None else "",
            ]
        )

    def run(self, fold: Fold, store: FoldStore, initial: FoldStore | None) -> FoldRecord:
        """Train, score and keep one fold."""
        began = time.perf_counter()
        settings = self.settings
        trained = train(
            self.panel,
            self.graphs,
            fold.split,
            settings.model,
            settings.loss,
            replace(settings.training, resume=store.started),
            settings.batches,
            settings.residency,
            settings.runtime,
            checkpoint_dir=store.working,
            resident=self.resident,
            initial=initial.folder if initial is not None else None,
        )
        network, card = load_model(trained.checkpoint)
        predictions = self._score(fold, network, card)
        split = fold.split
        record = FoldRecord(
            fold=fold.number,
            fingerprint=store.fingerprint,
            train=_ends(self.panel, split.train),
            train_days=len(split.train),
            validation=_ends(self.panel, split.validation),
            test=_ends(self.panel, split.test),
            test_days=predictions["Date"].n_unique(),
            rows=predictions.height,
            rank_ic=rank_ics(predictions, settings.evaluation.min_listings),
            best_epoch=int(card.training["epoch"]),
            warm=initial is not None,
            seconds=time.perf_counter() - began,
            code=self.code,
        )
        store.write(record, trained.checkpoint, predictions, trained.history)
        return record

    def _score(self, fold: Fold, network: ATFTGATFAN, card: ModelCard) -> pl.DataFrame:
        """Scores of model and baselines, and the returns, on the fold's test days."""
        panel, resident, settings = self.panel, self.resident, self.settings
        graphs = self.graphs.align(panel.dates) if self.graphs is not None else None
        scores = score_days(network, resident, graphs, fold.split.test, card.batches, self.runtime)
        returns = resident.returns.cpu().numpy()[scores.day, scores.listing]
        frame = score_frame(scores, panel, card.model.heads.quantiles).with_columns(
            pl.Series(f"return_{horizon}", returns[:, place]).fill_nan(None)
            for place, horizon in enumerate(panel.meta.horizons)
        )
        evaluation = settings.evaluation
        rows = Rows(self.whole, fold.split, settings.batches, settings.loss.neutral_to)
        baselines = [ridge_frame(rows, evaluation.ridge)]
        if evaluation.lightgbm.enabled:
            baselines.append(lightgbm_frame(rows, evaluation.lightgbm)[0])
        for table in baselines:
            frame = frame.join(table, on=["Date", "Listing"], how="left", maintain_order="left", validate="1:1")
        return frame


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
