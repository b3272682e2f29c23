"""Batches as training and evaluation build them, against rows of the panel.

Legend: n samples of a day, L steps, F features, Q horizons, k neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from atft_pipeline.audit.finding import Finding, Tally
from atft_pipeline.audit.stored import Stored
from atft_pipeline.errors import ConfigError
from atft_pipeline.graphs.graphs import AlignedGraphs
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel

Residency = Literal["device", "host", "mmap"]
ITEMS = ("listings", "features", "steps", "targets", "neighbours")
# Days on both sides of a window that are loaded with it, so that a window that is off shows other values.
MARGIN = 3


@dataclass(frozen=True)
class Samples:
    """One day's samples as a model reads them.

    Attributes:
        listing: [n].
        features: [n, L, F], 0 where a listing was absent.
        steps: bool [n, L].
        targets: [n, Q], 0 where missing.
        neighbours: [n, k] places within the day, -1 = none.
    """

    listing: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    steps: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]
    neighbours: npt.NDArray[np.int64]


def check_windows(stored: Stored, places: list[int]) -> Iterator[Finding]:
    """Build the batch of each drawn day in every residency that this machine has.

    Args:
        stored: panel and graphs.
        places: drawn days, as indices of the panel's days.
    """
    panel = stored.panel.select(stored.batches.features)
    modes: list[tuple[Residency, str]] = [("host", "cpu"), ("mmap", "cpu")]
    if torch.cuda.is_available():
        modes.append(("device", "cuda"))
    for mode, device in modes:
        tally = Tally(*ITEMS)
        for place in places:
            first = place - stored.batches.window + 1 - MARGIN
            if first < 0:
                continue
            part = panel.between(first, min(place + 1 + MARGIN, len(panel.dates)))
            resident = ResidentPanel.load(part, ResidencyConfig(mode=mode), device)
            day = place - first
            built = build_samples(resident, stored.graphs.align(part.dates), day, stored.batches)
            own = read_samples(part, stored, day)
            for item, count, size in _differences(built, own):
                tally.add(item, size, count, f"{panel.dates[place]} {mode}")
        yield from tally.findings("windows", "all", f" {mode}")


def build_samples(resident: ResidentPanel, graphs: AlignedGraphs, day: int, config: BatchConfig) -> Samples | None:
    """One day through the batches of training and evaluation; ``None`` where the day has no samples."""
    try:
        # The least a day may hold is a matter of learning, not of what its windows show.
        lone = replace(config, batch_size=1, min_listings=1)
        batches = DayBatches(resident, graphs, [day], lone, shuffle=False, seed=0)
    except ConfigError:
        return None
    batch = next(iter(batches.epoch()))
    kept = (batch.listing.reshape(-1) >= 0).cpu().numpy()
    features, steps = batch.features.cpu().float().numpy(), batch.step_mask.cpu().numpy()
    targets, neighbours = batch.targets.cpu().numpy(), batch.neighbors.cpu().numpy()
    return Samples(
        batch.listing.reshape(-1).cpu().numpy()[kept],
        features.reshape(len(kept), *features.shape[-2:])[kept],
        steps.reshape(len(kept), -1)[kept],
        targets.reshape(len(kept), -1)[kept],
        neighbours.reshape(len(kept), -1)[kept],
    )


def read_samples(panel: Panel, stored: Stored, day: int) -> Samples | None:
    """The same day from rows of the panel and edges of the graphs, one by one."""
    length = stored.batches.window
    listings, width = panel.shape[1], panel.shape[2]
    features = np.zeros((length, listings, width), dtype=np.float32)
    steps = np.zeros((length, listings), dtype=bool)
    for step in range(length):
        view = panel.day(day - length + 1 + step)
        features[step, view.listing] = view.features
        steps[step, view.listing] = True
    today = panel.day(day)
    enough = steps.sum(axis=0)[today.listing] >= stored.batches.min_history
    rows = today.universe & enough
    chosen = today.listing[rows].astype(np.int64)
    if not len(chosen):
        return None
    return Samples(
        chosen,
        features[:, chosen].transpose(1, 0, 2),
        steps[:, chosen].T,
        np.nan_to_num(today.targets[rows], nan=0.0),
        _neighbours(panel, stored, day, chosen),
    )


def _neighbours(panel: Panel, stored: Stored, day: int, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Neighbours [n, k] in the graph of the day's month, as places among the day's samples."""
    month = np.flatnonzero(stored.graphs.months == panel.dates[day].astype("datetime64[M]"))
    if not month.size:
        return np.full((len(chosen), stored.graphs.k), -1, dtype=np.int64)
    edges = np.asarray(stored.graphs.neighbors(int(month[0])))[chosen]
    place = {int(listing): row for row, listing in enumerate(chosen)}
    return np.array([[place.get(int(source), -1) for source in row] for row in edges], dtype=np.int64)


def _differences(built: Samples | None, own: Samples | None) -> Iterator[tuple[str, int, int]]:
    """Item, values that differ, values compared."""
    if built is None or own is None:
        one = built or own
        yield "listings", 0 if one is None else len(one.listing), 0 if one is None else len(one.listing)
        return
    same = np.array_equal(built.listing, own.listing)
    yield "listings", 0 if same else max(1, len(set(built.listing) ^ set(own.listing))), len(own.listing)
    if same:
        yield "features", int((built.features != own.features).sum()), own.features.size
        yield "steps", int((built.steps != own.steps).sum()), own.steps.size
        yield "targets", int((built.targets != own.targets).sum()), own.targets.size
        yield "neighbours", int((built.neighbours != own.neighbours).sum()), own.neighbours.size
