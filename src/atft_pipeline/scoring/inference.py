"""Scores of whole days, each day by itself, so that a day's scores depend on no other day.

Legend: R rows (samples), Q horizons, P quantiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from atft_pipeline.model.ensemble import Combined, Ensemble, combine
from atft_pipeline.model.output import Explanation
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.day_graphs import NeighborSource
from atft_pipeline.panel.prefetch import source_of
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.progress import track
from atft_pipeline.training.runtime.runtime import Runtime, use_attention


@dataclass(frozen=True)
class Scores:
    """Scores of all samples, ordered by day and listing.

    Attributes:
        day: int64 [R] day index of the panel.
        listing: int64 [R] listing index of the panel.
        score: float32 [R, Q].
        disagreement: deviation of the scores of an ensemble's members, float32 [R, Q], or ``None`` for a single model.
        quantiles: float32 [R, Q, P], or ``None`` for a model without them.
    """

    day: npt.NDArray[np.int64]
    listing: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    disagreement: npt.NDArray[np.float32] | None
    quantiles: npt.NDArray[np.float32] | None


@torch.inference_mode()
def explain_days(
    model: Ensemble,
    resident: ResidentPanel,
    graphs: NeighborSource | None,
    days: Sequence[int],
    config: BatchConfig,
    runtime: Runtime,
) -> dict[str, Any]:
    """Read what the model looks at on some days.

    Args: as :func:`score_days`.

    Returns:
        ``features`` {name: mean selection weight, 1 = an equal share}; ``lags`` [L] attention from the oldest step on;
        ``gate`` mean openness of the graph's gates; ``edges`` [k] attention on the nearest neighbour, the next one and
        so on; each with ``<name>_sd``, the deviation of the days' means; ``days``, how many were read. Of an ensemble
        the mean over its members.
    """
    device = runtime.torch_device
    model = model.to(device).eval()
    batches = day_by_day(resident, graphs, days, config)
    rows: dict[str, list[torch.Tensor]] = {}
    for batch in track(batches.epoch(), "explain days", total=len(batches)):
        here = batch.to(device)
        read: dict[str, list[torch.Tensor]] = {}
        for member in model:
            with runtime.computing():
                found = member.explain(here.inputs(), here.mask, *here.context())
            for name, value in _means(found, here).items():
                read.setdefault(name, []).append(value.float().cpu())
        for name, values in read.items():
            rows.setdefault(name, []).append(torch.stack(values).mean(dim=0))
    mean = {name: torch.stack(values).mean(dim=0) for name, values in rows.items()}
    deviation = {name: torch.stack(values).std(dim=0, correction=0) for name, values in rows.items()}
    document: dict[str, Any] = {"days": len(batches)}
    for suffix, table in (("", mean), ("_sd", deviation)):
        named = zip(resident.panel.meta.feature_names, table["features"].tolist(), strict=True)
        document[f"features{suffix}"] = dict(named)
        document |= {f"{name}{suffix}": value.tolist() for name, value in table.items() if name != "features"}
    return document


def _means(found: Explanation, batch: DayBatch) -> dict[str, torch.Tensor]:
    """Means over the samples of a day."""
    read = {"features": found.features.mean(dim=0), "lags": found.lags.mean(dim=0)}
    if found.gates is not None and found.edges is not None:
        has_neighbors = (batch.neighbors >= 0).any(dim=-1)
        read["gate"] = found.gates[has_neighbors].mean()
        read["edges"] = found.edges[has_neighbors].mean(dim=0)
    return read


@torch.inference_mode()
def score_days(
    model: Ensemble,
    resident: ResidentPanel,
    graphs: NeighborSource | None,
    days: Sequence[int],
    config: BatchConfig,
    runtime: Runtime,
) -> Scores:
    """Score every sample of some days.

    Args:
        model: in evaluation mode; the scores of an ensemble's members are averaged, see :func:`combine`.
        resident: the panel in memory.
        graphs: aligned with the panel, ``None`` for a model without graph.
        days: day indices; those without enough history or samples are left out.
        config: the window and sample rules of the training.
        runtime: device and precision.

    Returns:
        One row a sample.

    Raises:
        RuntimeError: a module is in training mode, so that dropout would be on.
    """
    if any(module.training for module in model.modules()):
        msg = "score_days: the model is in training mode; call eval() first"
        raise RuntimeError(msg)
    device = runtime.torch_device
    model = model.to(device)
    for member in model:
        use_attention(member, runtime)
    batches = day_by_day(resident, graphs, days, config)
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Combined]] = []
    plans = batches.plan()
    built = source_of(batches, device).build_all(plans)
    for plan, batch in zip(plans, track(built, "score days", total=len(plans)), strict=True):
        here = batch.to(device)
        with runtime.computing():
            outputs = [member(here.inputs(), here.mask, *here.context()) for member in model]
        listing = here.listing.cpu().numpy()
        day = np.full(len(listing), plan.days[0], dtype=np.int64)
        parts.append((day, listing, combine(outputs).cpu()))
    order = np.argsort([int(part[0][0]) for part in parts], kind="stable")
    parts = [parts[place] for place in order]
    disagreement = [part[2].disagreement for part in parts if part[2].disagreement is not None]
    quantiles = [part[2].quantiles for part in parts if part[2].quantiles is not None]
    return Scores(
        day=np.concatenate([part[0] for part in parts]),
        listing=np.concatenate([part[1] for part in parts]),
        score=torch.cat([part[2].score for part in parts]).numpy(),
        disagreement=torch.cat(disagreement).numpy() if disagreement else None,
        quantiles=torch.cat(quantiles).numpy() if quantiles else None,
    )


def day_by_day(
    resident: ResidentPanel, graphs: NeighborSource | None, days: Sequence[int], config: BatchConfig
) -> DayBatches:
    """One day a batch and nothing padded: its shapes, hence its bits, are the same whatever else is scored."""
    return DayBatches(resident, graphs, days, replace(config, batch_size=1), shuffle=False, seed=0)
