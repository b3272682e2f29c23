"""Score and rank the newest days of a panel.

Nothing but the windows of these days is read, and each day is scored by itself: the scores are those that an evaluation
gives for the same day, bit for bit.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.baselines.frames import last_step
from atft_pipeline.baselines.saved import AGAIN, FittedBaselines
from atft_pipeline.errors import ArtifactError, DataError
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.lineage import FileHashes
from atft_pipeline.panel.panel import Panel
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import date_range
from atft_pipeline.scoring.config import PredictConfig
from atft_pipeline.scoring.scorer import Scorer, listing_details
from atft_pipeline.training.checkpoint.model import MODEL_CARD, ModelCard, load_model, panel_for
from atft_pipeline.training.checkpoint.origin import check_market
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData

log = logging.getLogger(__name__)

UPDATE = "update with: kedro run --pipeline=update"
USUAL = 20


def score_newest(
    model: Path,
    panel: Panel,
    graphs: MonthlyGraphs,
    settings: PredictConfig,
    runtime: RuntimeConfig,
    fitted: FittedBaselines | None = None,
) -> pl.DataFrame:
    """Score and rank the newest days.

    Args:
        model: folder of a trained model.
        panel: with the newest days at its end.
        graphs: of the same panel.
        settings: how many days.
        runtime: device and precision.
        fitted: baselines of an evaluation; those that were not fitted on what the model was trained on are left out.

    Returns:
        Date, Code, Listing; ``score_{h}`` and ``rank_{h}`` (1 = best of its day) by horizon; the disagreement of an
        ensemble's members, quantiles where the model has them; with baselines what :func:`beside` adds; and the
        lineage, equal on all rows: ``model_version`` (of the training run), ``model`` (hash of its weights),
        ``trained_on`` (fingerprint of its panel), ``panel``, ``graphs``.

    Raises:
        ArtifactError: model, panel and graphs do not belong together, or graphs that end too early.
        DataError: a day with too few listings.
    """
    network, card = load_model(model)
    whole, panel = panel, panel_for(card, panel)
    check_graphs(panel, graphs)
    check_market(card.origin, card.panel, panel)
    check_listings(panel, settings)
    tail = panel.tail(card.batches.window - 1 + settings.days)
    days = range(len(tail.dates))[-settings.days :]
    frame = Scorer.on(network, card, MarketData(tail, graphs), runtime).frame(days)
    unscored = sorted({*tail.dates[list(days)].tolist()} - {*frame["Date"].unique()})
    if unscored:
        msg = (
            f"{unscored[0]}: fewer than {card.batches.min_listings} listings of the universe have "
            f"{card.batches.min_history} sessions of history; check the prices of that day, or lower predict.days"
        )
        raise DataError(msg)
    ranks = [
        pl.col(f"score_{h}").rank("ordinal", descending=True).over("Date").cast(pl.Int64).alias(f"rank_{h}")
        for h in card.horizons
    ]
    lineage = {
        "model_version": version_of(model),
        "model": json.loads((model / MODEL_CARD).read_text(encoding="utf-8"))["weights"],
        "trained_on": card.panel,
        "panel": panel.meta.fingerprint,
        "graphs": graphs.meta.fingerprint,
    }
    codes = listing_details(panel).select("Listing", "Code")
    table = frame.join(codes, on="Listing", how="left", maintain_order="left").with_columns(*ranks)
    benchmark = () if fitted is None else beside(table, whole, card, fitted)
    table = table.with_columns(*benchmark)
    ordered = [f"{kind}_{h}" for h in card.horizons for kind in ("score", "rank")]
    return (
        table.select(
            "Date",
            "Code",
            "Listing",
            *ordered,
            pl.selectors.starts_with("disagreement_", "quantile_"),
            *(column.name for column in benchmark),
        )
        .with_columns(pl.lit(value).alias(name) for name, value in lineage.items())
        .sort("Date", f"rank_{card.horizons[0]}")
    )


def beside(table: pl.DataFrame, panel: Panel, card: ModelCard, fitted: FittedBaselines) -> tuple[pl.Series, ...]:
    """Scores of the best baseline, as the evaluation chose it on its validation days, and its mean with the model.

    Args:
        table: Date, Listing and ``score_{h}`` of the model.
        panel: with all features.
        card: of the model.
        fitted: the baselines.

    Returns:
        For each horizon ``benchmark_{h}``; ``benchmark_name_{h}``, which one it is; and ``model+benchmark_{h}``, the
        mean of both ranks of the day, from 0 (worst) to 1. Nothing where the baselines do not belong to the model.
    """
    if (fitted.panel, fitted.train) != (card.panel, card.origin.train):
        log.warning("the benchmark is left out: the newest evaluation was of another training; %s", AGAIN)
        return ()
    if (fitted.features, fitted.horizons) != (panel.meta.feature_names, panel.meta.horizons):
        log.warning("the benchmark is left out: it was fitted on other features than the panel has; %s", AGAIN)
        return ()
    place = {name: number for number, name in enumerate(panel.listings)}
    rows = table.select("Date", pl.col("Listing").replace_strict(place, return_dtype=pl.Int64))
    parts = []
    for (date,), listings in rows.group_by("Date", maintain_order=True):
        day = int(np.searchsorted(panel.dates, np.datetime64(str(date))))
        features = last_step(panel, day, listings["Listing"].to_numpy())
        parts.append(fitted.baselines.scores(features, panel)["benchmark"])
    scores = np.concatenate(parts)
    found = []
    for number, horizon in enumerate(panel.meta.horizons):
        benchmark = pl.Series(f"benchmark_{horizon}", scores[:, number])
        name = fitted.baselines.card["benchmark"][str(horizon)]
        both = table.select("Date", model=f"score_{horizon}", benchmark=benchmark).select(
            pl.mean_horizontal(
                (pl.col(column).rank().over("Date") - 1) / (pl.len().over("Date") - 1).clip(lower_bound=1)
                for column in ("model", "benchmark")
            )
        )
        names = pl.Series(f"benchmark_name_{horizon}", [name] * len(table))
        found += [benchmark, names, both.to_series().alias(f"model+benchmark_{horizon}")]
    return tuple(found)


def check_graphs(panel: Panel, graphs: MonthlyGraphs) -> None:
    """Refuse graphs of another panel, and graphs that end before the month of the newest day.

    Raises:
        ArtifactError: with both months and the command that mends it.
    """
    newest = panel.dates[-1]
    last = graphs.meta.months[-1].month if graphs.meta.months else "nothing"
    if not graphs.meta.months or graphs.months[-1] < newest.astype("datetime64[M]"):
        msg = f"the graphs end with {last}, but the newest day is {newest}; {UPDATE}"
        raise ArtifactError(msg)
    check_compatible(panel.meta, graphs.meta, panel.listings)


def check_listings(panel: Panel, settings: PredictConfig) -> None:
    """Refuse a day whose prices have not all arrived.

    Raises:
        DataError: with the day, its listings and the usual number.
    """
    rows = panel.index.rows
    for day in range(len(rows))[-settings.days :]:
        before = rows[max(0, day - USUAL) : day]
        usual = median(before) if before else rows[day]
        if rows[day] < settings.min_delivered * usual:
            msg = (
                f"{panel.dates[day]} has {rows[day]} listings, usually there are {usual:.0f}: its prices look "
                f"unfinished; when they are complete, rebuild with: kedro run --pipeline=data "
                f"(or lower predict.min_delivered, now {settings.min_delivered:g})"
            )
            raise DataError(msg)


def check_prices(panel: Panel, quality: Mapping[str, Any], given: Path | None, settings: PricesConfig) -> None:
    """Refuse a panel that does not know the newest prices, be it further days or revised ones.

    Args:
        panel: to be scored.
        quality: report of the stage that cleaned the prices: where they lay and how far they went.
        given: prices that the run names; ``None`` = those that were cleaned.
        settings: names of their columns.

    Raises:
        ArtifactError: with the dates and the command that mends it.
    """
    read, cleaned = (str(quality.get(part, quality)["last"]) for part in ("input", "output"))
    newest = str(panel.dates[-1])
    if cleaned > newest:
        msg = (
            f"the clean prices go to {cleaned}, the panel ends on {newest}; rebuild it with: kedro run --pipeline=data"
        )
        raise ArtifactError(msg)
    path = given or Path(quality["source"])
    if not path.exists():
        log.warning("%s is gone: whether there are newer prices is not checked", path)
        return
    found = str(date_range(path, settings)[1])
    named = f" --params prices={given}" if given else ""
    if found > read:
        msg = f"{path} goes to {found}, but prices were read to {read} (the panel ends on {newest}); {UPDATE}{named}"
        raise ArtifactError(msg)
    if quality.get("contents", "") not in ("", FileHashes(None).of(path)):
        msg = (
            f"{path} goes to {found}, but its prices are not those that were read: days were revised; rebuild with: "
            f"kedro run --pipeline=data{named}"
        )
        raise ArtifactError(msg)


def version_of(artifact: Path) -> str:
    """Version of an artifact that lies at ``name/<version>/name``, else its path."""
    return artifact.parent.name if artifact.parent.parent.name == artifact.name else str(artifact)
