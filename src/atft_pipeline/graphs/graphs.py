"""The graphs on disk: one Arrow IPC file, one record batch a month, mapped into memory.

Legend: D days, N listings, k neighbours.

Columns: ``month`` date32 (first day of the month served), ``listing`` int32 (position on the panel's axis, 0 to N-1),
``neighbors`` FixedSizeList<int32>[k] (positions, -1 = none), ``edge_attr`` FixedSizeList<float32>[3k] (row-major
[k, 3]: signed correlation, same sector, same market). The schema metadata holds one JSON document under ``graphs``.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from atft_pipeline.panel.arrow_file import open_file, rows_of, schema_of, to_matrix

if TYPE_CHECKING:
    from torch_geometric.data import Data

EDGE_ATTRIBUTES = ("correlation", "same_sector", "same_market")


@dataclass(frozen=True)
class MonthMeta:
    """One month's graph.

    Attributes:
        month: the month it serves, ``YYYY-MM``.
        first: first session of the window, ISO date.
        last: last session of the window, ISO date; always before the month.
        listings: listings that took part.
        fingerprint: hash of the returns, sectors and markets it was computed from.
    """

    month: str
    first: str
    last: str
    listings: int
    fingerprint: str


@dataclass(frozen=True)
class GraphsMeta:
    """What the graphs say of themselves.

    Attributes:
        k: neighbours of a listing at most.
        config: the parameters, as JSON types.
        fingerprint: hash of all months' inputs and of the parameters.
        index_fingerprint: hash of the panel's listings and dates; the panel carries the same one.
        listings: [N] names, the panel's.
        dates: first and last date of the panel, ISO.
        months: one entry a month, ascending.
        lineage: what they were made from.
    """

    k: int
    config: dict[str, Any]
    fingerprint: str
    index_fingerprint: str
    listings: tuple[str, ...]
    dates: tuple[str, str]
    months: tuple[MonthMeta, ...]
    lineage: dict[str, Any]


def graphs_schema(meta: GraphsMeta) -> pa.Schema:
    """Build the schema with its metadata."""
    width = meta.k * len(EDGE_ATTRIBUTES)
    columns: list[Any] = [
        pa.field("month", pa.date32(), nullable=False),
        pa.field("listing", pa.int32(), nullable=False),
        pa.field("neighbors", rows_of(meta.k, pa.int32())),
        pa.field("edge_attr", rows_of(width, pa.float32())),
    ]
    return schema_of(columns, "graphs", {"meta": asdict(meta)})


class MonthlyGraphs:
    """Graphs mapped into memory.

    Args:
        path: the file.
        reader: an open reader over the map.
        meta: what they say of themselves.
    """

    def __init__(self, path: Path, reader: pa.ipc.RecordBatchFileReader, meta: GraphsMeta) -> None:
        self.path = path
        self.meta = meta
        self._reader = reader

    @classmethod
    def open(cls, path: Path) -> "MonthlyGraphs":
        """Map the graphs; nothing but their metadata is read.

        Raises:
            ArtifactError: the file is missing, is cut short, or has another format.
        """
        reader, document = open_file(path, "graphs")
        stored = document["meta"]
        months = tuple(MonthMeta(**entry) for entry in stored.pop("months"))
        listings, dates = tuple(stored.pop("listings")), tuple(stored.pop("dates"))
        return cls(path, reader, GraphsMeta(**stored, months=months, listings=listings, dates=dates))

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        """Pickle as the path: every process maps the file itself and shares the page cache."""
        return MonthlyGraphs.open, (self.path,)

    def __len__(self) -> int:
        """Number of months."""
        return len(self.meta.months)

    @property
    def k(self) -> int:
        """Neighbours of a listing at most."""
        return self.meta.k

    @cached_property
    def months(self) -> npt.NDArray[np.datetime64]:
        """Months served, ascending; datetime64[M]."""
        return np.array([entry.month for entry in self.meta.months], dtype="datetime64[M]")

    def batch(self, month: int) -> pa.RecordBatch:
        """The record batch of a month."""
        return self._reader.get_batch(month)

    def neighbors(self, month: int) -> npt.NDArray[np.int32]:
        """Panel positions [N, k], strongest first, -1 = none; a view of the map."""
        stored = to_matrix(self.batch(month).column("neighbors"), self.k)
        return self._to_all_listings(stored, fill=-1)

    def edge_attr(self, month: int) -> npt.NDArray[np.float32]:
        """Signed correlation, same sector, same market [N, k, 3]; zeros where there is no neighbour."""
        stored = to_matrix(self.batch(month).column("edge_attr"), self.k * len(EDGE_ATTRIBUTES))
        return self._to_all_listings(stored, fill=0).reshape(-1, self.k, len(EDGE_ATTRIBUTES))

    def align(self, panel_dates: npt.NDArray[np.datetime64]) -> "AlignedGraphs":
        """Bind the graphs to the dates [D] of a panel; whether both belong together is checked elsewhere."""
        return AlignedGraphs(self, panel_dates)

    def to_pyg(self, month: int) -> "Data":
        """One month as a torch_geometric ``Data``; edges run from the neighbour to the listing.

        Returns:
            ``edge_index`` int64 [2, E], ``edge_attr`` float32 [E, 3], ``num_nodes`` = N.
        """
        from torch_geometric.data import Data  # noqa: PLC0415  (only this view needs it)

        neighbors = torch.from_numpy(np.array(self.neighbors(month), dtype=np.int64))
        listing, slot = (neighbors >= 0).nonzero(as_tuple=True)
        return Data(
            edge_index=torch.stack([neighbors[listing, slot], listing]),
            edge_attr=torch.from_numpy(np.array(self.edge_attr(month)))[listing, slot],
            num_nodes=len(neighbors),
        )

    def _to_all_listings(self, stored: npt.NDArray[Any], fill: int) -> npt.NDArray[Any]:
        """Add rows for listings that the panel met after this month was written."""
        missing = len(self.meta.listings) - len(stored)
        if missing == 0:
            return stored
        return np.concatenate([stored, np.full((missing, stored.shape[1]), fill, dtype=stored.dtype)])


class AlignedGraphs:
    """Monthly graphs as day batches use them.

    Args:
        graphs: the graphs.
        panel_dates: dates [D] of the panel.
    """

    def __init__(self, graphs: MonthlyGraphs, panel_dates: npt.NDArray[np.datetime64]) -> None:
        self.graphs = graphs
        months = graphs.months.astype("int64")
        wanted = panel_dates.astype("datetime64[M]").astype("int64")
        index = np.searchsorted(months, wanted).clip(max=max(len(months) - 1, 0))
        served = months[index] == wanted if len(months) else np.zeros(len(wanted), dtype=bool)
        self._month_of_day: npt.NDArray[np.int64] = np.where(served, index, -1)

    @property
    def k(self) -> int:
        """Neighbours of a listing at most."""
        return self.graphs.k

    @property
    def month_of_day(self) -> npt.NDArray[np.int64]:
        """Graph that serves each day [D]; -1 = none."""
        return self._month_of_day

    def neighbors(self, month: int) -> npt.NDArray[np.int32]:
        """Panel positions [N, k], -1 = none."""
        return self.graphs.neighbors(month)

    def edge_attr(self, month: int) -> npt.NDArray[np.float32]:
        """Edge attributes [N, k, 3]."""
        return self.graphs.edge_attr(month)
