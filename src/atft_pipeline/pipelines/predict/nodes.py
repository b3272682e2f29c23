"""Node of the stage ``predict``."""

from pathlib import Path

import numpy as np
import polars as pl

from atft_pipeline.config import config, require
from atft_pipeline.graphs.compat import check_compatible
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.pipelines.scoring import score_frame
from atft_pipeline.training.checkpoint import load_model, panel_for
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.inference import score_days
from atft_pipeline.training.runtime import choose_runtime


@config
class PredictConfig:
    """What is predicted.

    Attributes:
        days: newest days to score.
    """

    days: int = 1

    def __post_init__(self) -> None:
        require(self.days >= 1, f"days must be at least 1, got {self.days}")


def score_newest(
    model: Path, panel: Panel, graphs: MonthlyGraphs, predict: Params[PredictConfig], runtime: Params[RuntimeConfig]
) -> pl.DataFrame:
    """Score and rank the newest days.

    Returns:
        Date, Listing, Code, ``score_{h}``, ``rank_{h}`` (1 = best of its day), quantiles where the model has them, and
        the fingerprints of model and panel.
    """
    check_compatible(panel.meta, graphs.meta, panel.listings)
    network, card = load_model(model)
    panel = panel_for(card, panel)
    # The newest days need no more than one window: they are streamed, the rest of the panel stays on disk.
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
    days = np.arange(len(panel.dates))[-predict.root.days :].tolist()
    scores = score_days(network, resident, graphs.align(panel.dates), days, card.batches, choose_runtime(runtime.root))
    frame = score_frame(scores, panel, card.model.heads.quantiles)
    ranks = [
        pl.col(f"score_{h}").rank("ordinal", descending=True).over("Date").alias(f"rank_{h}") for h in card.horizons
    ]
    codes = pl.DataFrame({"Listing": list(panel.listings), "Code": list(panel.codes)})
    return (
        frame.join(codes, on="Listing", how="left", maintain_order="left")
        .with_columns(*ranks, model=pl.lit(card.panel), panel=pl.lit(panel.meta.fingerprint))
        .sort("Date", "rank_" + str(card.horizons[0]))
    )
