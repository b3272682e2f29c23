"""Nodes of the stage ``evaluate``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.config import to_mapping
from atft_pipeline.errors import ArtifactError
from atft_pipeline.evaluation.baselines import choose_ridge
from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.batches import BatchConfig, DayBatches
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.panel.splits import SplitConfig, single_split
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.pipelines.scoring import score_frame
from atft_pipeline.progress import track
from atft_pipeline.training.checkpoint import load_model, panel_for
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.inference import score_days
from atft_pipeline.training.runtime import choose_runtime

Block = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def score_test(
    model: Path,
    panel: Panel,
    graphs: MonthlyGraphs,
    split: Params[SplitConfig],
    residency: Params[ResidencyConfig],
    runtime: Params[RuntimeConfig],
) -> pl.DataFrame:
    """Score the test days with the trained model: Date, Listing, ``score_{h}``, ``return_{h}``."""
    check_compatible(panel.meta, graphs.meta, panel.listings)
    network, card = load_model(model)
    panel = panel_for(card, panel)
    chosen = choose_runtime(runtime.root)
    resident = ResidentPanel.load(panel, residency.root, chosen.torch_device)
    days = single_split(panel.dates, split.root, panel.meta.label_span).test
    scores = score_days(network, resident, graphs.align(panel.dates), days, card.batches, chosen)
    frame = score_frame(scores, panel, card.model.heads.quantiles)
    returns = resident.returns.cpu().numpy()[scores.day, scores.listing]
    return frame.with_columns(
        pl.Series(f"return_{horizon}", returns[:, place]).fill_nan(None)
        for place, horizon in enumerate(panel.meta.horizons)
    )


def score_baselines(
    panel: Panel,
    split: Params[SplitConfig],
    batches: Params[BatchConfig],
    residency: Params[ResidencyConfig],
    evaluation: Params[EvaluationConfig],
) -> pl.DataFrame:
    """Fit ridge on the training days' rows, choose its penalty on the validation days, score the test days."""
    parts = single_split(panel.dates, split.root, panel.meta.label_span)
    resident = ResidentPanel.load(panel, residency.root)
    training, validation, test = (
        DayBatches(resident, None, days, batches.root, shuffle=False, seed=0)
        for days in (parts.train, parts.validation, parts.test)
    )
    ridge = choose_ridge(blocks(training, "ridge"), blocks(validation, "ridge validation"), evaluation.root.ridge)
    frames = []
    names = np.array(panel.listings, dtype=object)
    for day in test.days:
        listing = test.samples_of(day).numpy()
        score = ridge.predict(last_step(test, day)).astype(np.float32)
        columns = {f"ridge_{horizon}": score[:, place] for place, horizon in enumerate(panel.meta.horizons)}
        keys = {"Date": np.repeat(panel.dates[day], len(listing)), "Listing": names[listing]}
        frames.append(pl.DataFrame(keys | columns, schema_overrides={"Listing": pl.String}))
    return pl.concat(frames)


def blocks(batches: DayBatches, label: str) -> Iterator[Block]:
    """Yield each day's last-step features [n, F] and targets [n, Q] on the model's own rows."""
    for day in track(batches.days, label):
        listing = batches.samples_of(day)
        yield last_step(batches, day), batches.resident.targets[day, listing].numpy()


def last_step(batches: DayBatches, day: int) -> npt.NDArray[np.float32]:
    """Features [n, F] of a day's samples on that day."""
    view = batches.resident.panel.day(day)
    rows = np.searchsorted(view.listing, batches.samples_of(day).numpy())
    features: npt.NDArray[np.float32] = view.features[rows].astype(np.float32)
    return features


def collect_scores(
    model_scores: pl.DataFrame, baseline_scores: pl.DataFrame, panel: Panel, oracle: Path | None
) -> pl.DataFrame:
    """Put the model's, the baselines' and, where it is known, the oracle's scores side by side on the same rows."""
    keys = ["Date", "Listing"]
    if model_scores.height != baseline_scores.height:
        msg = (
            f"the model scored {model_scores.height} rows and the baselines {baseline_scores.height}; the batches "
            "parameters changed since training; train again with: kedro run --pipeline=train"
        )
        raise ArtifactError(msg)
    table = model_scores.join(baseline_scores, on=keys, how="inner", maintain_order="left", validate="1:1")
    details = pl.DataFrame(
        {
            "Listing": list(panel.listings),
            "Code": list(panel.codes),
            "sector": [panel.meta.sectors[number] for number in panel.sector],
            "market": [panel.meta.markets[number] for number in panel.market],
        }
    )
    table = table.join(details, on="Listing", how="left", maintain_order="left", validate="m:1")
    if oracle is None:
        return table
    known = pl.read_parquet(oracle)
    return table.join(known, on=["Date", "Code"], how="left", maintain_order="left", validate="m:1")


def evaluate_scores(
    predictions: pl.DataFrame, config: Params[EvaluationConfig]
) -> tuple[dict[str, Any], go.Figure, go.Figure]:
    """Metrics with their errors, and the two figures."""
    result = evaluate(predictions, config.root)
    metrics = {**result.metrics, "config": to_mapping(config.root)}
    return metrics, result.figures["cumulative_rank_ic"], result.figures["decile_returns"]
