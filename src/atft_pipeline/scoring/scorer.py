"""A trained model that scores days of a panel: how training's folds, evaluation, prediction, search and audit score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.model.ensemble import Ensemble
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.inference import Scores, explain_days, score_days
from atft_pipeline.training.checkpoint.model import ModelCard, load_model, panel_for
from atft_pipeline.training.checkpoint.origin import check_market
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData
from atft_pipeline.training.runtime.runtime import choose_runtime

STREAMED = ResidencyConfig(mode="mmap")
"""Few days are read: labels are in memory, features stay on the disk."""


@dataclass(frozen=True)
class Scorer:
    """A trained model and the panel that it scores.

    Attributes:
        network: the model, or the ensemble of them, in evaluation mode.
        card: what it was trained on.
        data: the panel with the model's features, its graphs, and where its values lie.
        runtime: device and precision, as the training has them.
    """

    network: Ensemble
    card: ModelCard
    data: MarketData
    runtime: RuntimeConfig

    @classmethod
    def open(
        cls, model: Path, data: MarketData, runtime: RuntimeConfig, residency: ResidencyConfig = STREAMED
    ) -> "Scorer":
        """Load a model for a panel.

        Args:
            model: folder of the model.
            data: with at least the model's features; a panel in memory is used where it has just these.
            runtime: device and precision.
            residency: where a panel lies that is not in memory yet.

        Raises:
            ArtifactError: model, panel and graphs do not belong together.
        """
        if data.graphs is not None:
            check_compatible(data.panel.meta, data.graphs.meta, data.panel.listings)
        network, card = load_model(model)
        panel = panel_for(card, data.panel)
        check_market(card.origin, card.panel, panel)
        return cls.on(network, card, MarketData(panel, data.graphs, data.resident), runtime, residency)

    @classmethod
    def on(
        cls,
        network: Ensemble,
        card: ModelCard,
        data: MarketData,
        runtime: RuntimeConfig,
        residency: ResidencyConfig = STREAMED,
    ) -> "Scorer":
        """A loaded model on a panel of its features; nothing is checked."""
        device = choose_runtime(runtime).torch_device
        resident = data.resident or ResidentPanel.load(data.panel, residency, device)
        return cls(network, card, MarketData(data.panel, data.graphs, resident), runtime)

    @property
    def resident(self) -> ResidentPanel:
        """The panel's values."""
        assert self.data.resident is not None
        return self.data.resident

    def scores(self, days: Sequence[int]) -> Scores:
        """Scores of every sample of some days; see :func:`score_days`."""
        runtime = choose_runtime(self.runtime)
        return score_days(self.network, self.resident, self.data.aligned, days, self.card.batches, runtime)

    def explain(self, days: Sequence[int]) -> dict[str, Any]:
        """What the model looks at on some days; see :func:`explain_days`."""
        runtime = choose_runtime(self.runtime)
        return explain_days(self.network, self.resident, self.data.aligned, days, self.card.batches, runtime)

    def frame(self, days: Sequence[int], labels: Sequence[str] = (), *, quantiles: bool = True) -> pl.DataFrame:
        """Scores of some days as a table.

        Args:
            days: day indices.
            labels: ``return`` and ``target``, to be laid beside the scores; null where unknown.
            quantiles: with the quantiles of a model that has them.

        Returns:
            Date, Listing, ``score_{h}``, ``disagreement_{h}`` of an ensemble, ``quantile_{h}_{level}``, ``return_{h}``
            and ``target_{h}``, by day and listing.
        """
        scores, panel = self.scores(days), self.data.panel
        values = {"return": self.resident.returns, "target": self.resident.targets}
        columns = []
        for name in labels:
            known = values[name].cpu().numpy()[scores.day, scores.listing]
            columns += [pl.Series(f"{name}_{h}", known[:, q]).fill_nan(None) for q, h in enumerate(panel.meta.horizons)]
        levels = self.card.model.heads.quantiles if quantiles else ()
        return score_frame(scores, panel, levels).with_columns(*columns)


def score_frame(scores: Scores, panel: Panel, levels: Sequence[float]) -> pl.DataFrame:
    """Lay scores out as a table.

    Args:
        scores: of the model.
        panel: names the days, listings and horizons.
        levels: quantile levels to show, where the model has quantiles.

    Returns:
        Date, Listing, ``score_{h}``, ``disagreement_{h}`` of an ensemble and ``quantile_{h}_{level}``, one row a
        sample, by day and listing.
    """
    columns: dict[str, object] = {
        "Date": panel.dates[scores.day],
        "Listing": np.array(panel.listings, dtype=object)[scores.listing],
    }
    for place, horizon in enumerate(panel.meta.horizons):
        columns[f"score_{horizon}"] = scores.score[:, place]
        if scores.disagreement is not None:
            columns[f"disagreement_{horizon}"] = scores.disagreement[:, place]
        if scores.quantiles is not None:
            for number, level in enumerate(levels):
                columns[f"quantile_{horizon}_{level:g}"] = scores.quantiles[:, place, number]
    return pl.DataFrame(columns, schema_overrides={"Listing": pl.String})


def side_by_side(scores: pl.DataFrame, baselines: pl.DataFrame) -> pl.DataFrame:
    """Put the baselines' scores beside the model's, on the same rows.

    Raises:
        ArtifactError: the baselines scored other rows.
    """
    if scores.height != baselines.height:
        msg = (
            f"the model scored {scores.height} rows and the baselines {baselines.height}; the batches "
            "parameters changed since training; train again with: kedro run --pipeline=train"
        )
        raise ArtifactError(msg)
    return scores.join(baselines, on=["Date", "Listing"], how="inner", maintain_order="left", validate="1:1")


def listing_details(panel: Panel) -> pl.DataFrame:
    """Listing, Code, sector, market of the panel's listings."""
    return pl.DataFrame(
        {
            "Listing": list(panel.listings),
            "Code": list(panel.codes),
            "sector": [panel.meta.sectors[number] for number in panel.sector],
            "market": [panel.meta.markets[number] for number in panel.market],
        }
    )


def with_oracle(predictions: pl.DataFrame, oracle: Path | None) -> pl.DataFrame:
    """The predictions beside the oracle's, where it is known: the best score there can be, of a synthetic market."""
    if oracle is None:
        return predictions
    known = pl.read_parquet(oracle)
    return predictions.join(known, on=["Date", "Code"], how="left", maintain_order="left", validate="m:1")
