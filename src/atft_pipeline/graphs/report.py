"""How stable and how meaningful the graphs are: one row of numbers a month.

Legend: N listings, k neighbours.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atft_pipeline.graphs.graphs import MonthlyGraphs


@dataclass(frozen=True)
class MonthReport:
    """One month's graph in numbers; fractions are NaN where there is nothing to count.

    Attributes:
        month: the month served, ``YYYY-MM``.
        listings: listings that took part.
        edges: directed edges.
        mean_degree: neighbours of a listing that took part.
        max_in_degree: times that the most wanted listing is a neighbour.
        isolated_fraction: listings without a neighbour among those that took part.
        turnover: edges that the month before did not have, among the edges whose two ends took part in both months.
        sector_homophily: edges within one known sector.
        market_homophily: edges within one known market.
        negative_fraction: edges with a negative correlation.
        mean_strength: mean absolute correlation of the edges.
    """

    month: str
    listings: int
    edges: int
    mean_degree: float
    max_in_degree: int
    isolated_fraction: float
    turnover: float
    sector_homophily: float
    market_homophily: float
    negative_fraction: float
    mean_strength: float


def report_months(graphs: MonthlyGraphs) -> list[MonthReport]:
    """Count every month of the graphs, in order."""
    rows: list[MonthReport] = []
    before: npt.NDArray[np.int32] | None = None
    for number, entry in enumerate(graphs.meta.months):
        neighbors = graphs.neighbors(number)
        rows.append(
            _count(entry.month, entry.listings, neighbors, graphs.edge_attr(number), edge_turnover(before, neighbors))
        )
        before = neighbors
    return rows


def edge_turnover(before: npt.NDArray[np.int32] | None, after: npt.NDArray[np.int32]) -> float:
    """Fraction of new edges [N, k] among those between listings that had neighbours or were neighbours before.

    Returns:
        0 (all edges were there) to 1 (none was); NaN without an earlier month or a common edge.
    """
    if before is None:
        return float("nan")
    listings = len(after)
    known = np.zeros(listings, dtype=bool)
    known[np.flatnonzero((before >= 0).any(axis=1))] = True
    known[before[before >= 0]] = True
    old, new = _edge_keys(before), _edge_keys(after)
    comparable = new[known[new // listings] & known[new % listings]]
    if len(comparable) == 0:
        return float("nan")
    return float(1 - np.isin(comparable, old, assume_unique=True).mean())


def _edge_keys(neighbors: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """One number for each directed edge: listing * N + neighbour."""
    listing, slot = np.nonzero(neighbors >= 0)
    keys: npt.NDArray[np.int64] = listing * len(neighbors) + neighbors[listing, slot].astype(np.int64)
    return keys


def _count(
    month: str,
    listings: int,
    neighbors: npt.NDArray[np.int32],
    edge_attr: npt.NDArray[np.float32],
    turnover: float,
) -> MonthReport:
    found = neighbors >= 0
    edges = int(found.sum())
    connected = int(found.any(axis=1).sum())
    attributes = edge_attr[found].astype(np.float64)  # [edges, 3]
    strength, same_sector, same_market = attributes.T
    return MonthReport(
        month=month,
        listings=listings,
        edges=edges,
        mean_degree=edges / listings if listings else float("nan"),
        max_in_degree=int(np.bincount(neighbors[found]).max()) if edges else 0,
        isolated_fraction=1 - connected / listings if listings else float("nan"),
        turnover=turnover,
        sector_homophily=_mean(same_sector),
        market_homophily=_mean(same_market),
        negative_fraction=_mean(strength < 0),
        mean_strength=_mean(np.abs(strength)),
    )


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
