"""Monthly graphs beside the panel, and their restriction to the samples of a batch.

Legend: D days and N listings of the panel, S samples of a batch, B days of a batch, k neighbours.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atft_pipeline.panel.packing import OnDevice
from atft_pipeline.panel.resident import ResidentPanel


class NeighborSource(Protocol):
    """Graphs as day batches see them, aligned with the panel's axes."""

    @property
    def k(self) -> int:
        """Neighbours of a listing."""
        ...

    @property
    def month_of_day(self) -> npt.NDArray[np.int64]:
        """Graph that serves each day [D], -1 = none yet."""
        ...

    def neighbors(self, month: int) -> npt.NDArray[np.int32]:
        """Panel positions [N, k], -1 = none."""
        ...

    def edge_attr(self, month: int) -> npt.NDArray[np.float32]:
        """Edge attributes [N, k, 3]."""
        ...


class DayGraphs:
    """All months' graphs as tensors beside the panel.

    Args:
        graphs: aligned with the panel.
        resident: says where the tensors lie.
    """

    def __init__(self, graphs: NeighborSource, resident: ResidentPanel) -> None:
        month = np.asarray(graphs.month_of_day, dtype=np.int64)
        self.used = np.unique(month[month >= 0])
        place = {int(number): row for row, number in enumerate(self.used)}
        listings, k = len(resident.sector), graphs.k
        neighbors = torch.full((len(self.used) + 1, listings, k), -1, dtype=torch.int32)
        edge_attr = torch.zeros(len(self.used) + 1, listings, k, 3)
        for number, row in place.items():
            neighbors[row] = torch.from_numpy(np.array(graphs.neighbors(number)))
            edge_attr[row] = torch.from_numpy(np.array(graphs.edge_attr(number)))
        # The last row is the graph without edges, for days before the first graph.
        rows = [place.get(int(number), len(self.used)) for number in month]
        self.row_of_day = torch.tensor(rows, dtype=torch.int64).to(resident.device)
        self.neighbors = neighbors.to(resident.device)
        self.edge_attr = edge_attr.to(resident.device)

    def restrict(self, layout: OnDevice, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours [S, k] as positions in the batch, and their attributes; edges out of a day are cut."""
        days, last = len(layout.days), self.neighbors.shape[1]
        device = mask.device
        # For each day and listing the position of its sample; the last column swallows padding and missing edges.
        cell = layout.row * (last + 1) + layout.listing.where(mask, last)
        positions = torch.arange(len(mask), device=device)
        place = torch.full((days * (last + 1),), -1, dtype=torch.int64, device=device).scatter(0, cell, positions)
        place.view(days, last + 1)[:, last] = -1
        graph, column = self.row_of_day[layout.day], layout.listing.clamp(min=0)
        wanted = self.neighbors[graph, column].long()
        found = place[layout.row[:, None] * (last + 1) + wanted.where(wanted >= 0, last)]
        found = found.where(mask[:, None], -1)
        return found, self.edge_attr[graph, column].where(found[..., None] >= 0, 0.0)
