"""The windows of one day as plain arrays, and their scores: what a served model is given and gives.

Legend: S samples of a day, L steps, F features, k neighbours, E edge attributes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.model.ensemble import Combined, Ensemble, combine
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.inference import day_by_day
from atft_pipeline.scoring.scorer import STREAMED
from atft_pipeline.training.checkpoint.model import load_model, panel_for

Windows = Mapping[str, npt.NDArray[Any]]
"""``features`` float32 [S, L, F], ``step_mask`` bool [S, L] (the listing was present), ``neighbors`` int64 [S, k]
(positions among the samples, -1 = none), ``edge_attr`` float32 [S, k, E], ``sector`` and ``market`` int64 [S]."""


def newest_windows(model: Path, panel: Panel, graphs: MonthlyGraphs) -> dict[str, npt.NDArray[Any]]:
    """The windows of the last day of a panel, as its model reads them; see :data:`Windows`."""
    _, card = load_model(model)
    tail = panel_for(card, panel).tail(card.batches.window)
    resident = ResidentPanel.load(tail, STREAMED)
    batches = day_by_day(resident, graphs.align(tail.dates), [len(tail.dates) - 1], card.batches)
    (batch,) = batches.epoch()
    step_mask, neighbors, edge_attr, sector, market = batch.context()
    arrays = {
        "features": batch.inputs(),
        "step_mask": step_mask,
        "neighbors": neighbors,
        "edge_attr": edge_attr,
        "sector": sector,
        "market": market,
    }
    return {name: value.cpu().numpy() for name, value in arrays.items()}


def first_windows(windows: Windows, count: int) -> dict[str, npt.NDArray[Any]]:
    """The first samples of a day, without neighbours that are not among them."""
    found = {name: value[:count].copy() for name, value in windows.items()}
    found["neighbors"][found["neighbors"] >= count] = -1
    return found


@torch.inference_mode()
def score_windows(network: Ensemble, windows: Windows) -> Combined:
    """Score the samples of one day on the CPU in float32, as an evaluation and a prediction do.

    Args:
        network: in evaluation mode.
        windows: of all listings of a day: an ensemble standardises over them.
    """
    given = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in windows.items()}
    mask = torch.ones(len(given["features"]), dtype=torch.bool)
    context = [given[name] for name in ("step_mask", "neighbors", "edge_attr", "sector", "market")]
    return combine([member(given["features"].float(), mask, *context) for member in network])
