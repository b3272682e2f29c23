"""Day batches: whole days, static shapes, no worker processes.

Legend: B days of a batch, n listings padded, L steps, F features, Q horizons, k neighbours, E edge attributes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atft_pipeline.config import config, require, within
from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.resident import ResidentPanel


@config
class BatchConfig:
    """Shape of the batches.

    Attributes:
        features: names or patterns (``K*``) of the panel's features that the model reads; baselines read all of them.
        window: steps L of a window.
        batch_size: samples of a batch, filled with whole days; ``auto`` measures which size trains fastest.
        bucket: the listings of a day are padded to a multiple of this, so that shapes are few.
        min_history: sessions, the day itself among them, on which a listing must be present inside the window.
        min_listings: days with fewer samples are left out; a cross-section of one ranks nothing.
        consecutive: days in a row that stay together when the days are shuffled, for terms that compare a day with the
            one before.
    """

    features: tuple[str, ...] = ("*",)
    window: int = within(20, 1, 1000)
    batch_size: int | Literal["auto"] = within(1024, 1, 2**20)
    bucket: int = within(64, 1, 65_536)
    min_history: int = within(10, 1, 1000)
    min_listings: int = within(10, 1, 10_000)
    consecutive: int = within(1, 1, 1000)

    def __post_init__(self) -> None:
        require(bool(self.features), "features: must name at least one feature or pattern")
        require(
            self.min_history <= self.window,
            f"min_history: must not exceed window {self.window}, got {self.min_history}",
        )

    @property
    def size(self) -> int:
        """Samples of a batch, once they are known.

        Raises:
            ConfigError: ``auto`` was not measured yet.
        """
        if self.batch_size == "auto":
            msg = "batches.batch_size: auto is measured by a training; give a number here"
            raise ConfigError(msg)
        return self.batch_size


@dataclass(frozen=True)
class DayBatch:
    """Tensors of B days.

    Attributes:
        days: int64 [B], -1 for a day that only pads the batch.
        listing: int64 [B, n], -1 = padding.
        features: [B, n, L, F] in the panel's precision.
        step_mask: bool [B, n, L], True = the listing was present.
        mask: bool [B, n], True = a sample.
        targets: float32 [B, n, Q], 0 where missing.
        returns: float32 [B, n, Q], 0 where missing.
        label_mask: bool [B, n, Q], True = the label is complete.
        neighbors: int64 [B, n, k] positions within the day, -1 = none.
        edge_attr: float32 [B, n, k, E].
        sector: int64 [B, n].
        market: int64 [B, n].
        real_days: days that do not pad.
        real_samples: samples.
    """

    days: Tensor
    listing: Tensor
    features: Tensor
    step_mask: Tensor
    mask: Tensor
    targets: Tensor
    returns: Tensor
    label_mask: Tensor
    neighbors: Tensor
    edge_attr: Tensor
    sector: Tensor
    market: Tensor
    real_days: int
    real_samples: int

    def to(self, device: torch.device) -> "DayBatch":
        """Move every tensor; from pinned memory without waiting."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        return DayBatch(**moved)

    def inputs(self) -> Tensor:
        """Features as the model takes them: float32 [B, n, L, F], contiguous, in one pass."""
        return self.features.to(torch.float32, memory_format=torch.contiguous_format)

    def context(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the model takes after features and mask, in its order."""
        return self.step_mask, self.neighbors, self.edge_attr, self.sector, self.market

    def pin_memory(self) -> "DayBatch":
        """Copy every tensor into pinned memory; torch's loader calls this."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        pinned: dict[str, Any] = {
            name: value.pin_memory() if isinstance(value, Tensor) else value for name, value in values.items()
        }
        return DayBatch(**pinned)


@dataclass(frozen=True)
class BatchPlan:
    """What a batch holds, before it is built.

    Attributes:
        seed: of the draw from days larger than a batch.
        days: day indices.
        width: listings n to which each day is padded.
        capacity: days B to which the batch is padded.
    """

    seed: tuple[int, int, int]
    days: tuple[int, ...]
    width: int
    capacity: int


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


class DayBatches:
    """The batches of some days.

    Args:
        resident: the panel in memory.
        graphs: monthly graphs aligned with the panel, or ``None`` for a model without graph.
        days: day indices to draw from; days whose window would begin before the panel, and days with too few samples,
            are left out (``dropped`` counts them).
        config: shapes.
        shuffle: a new order of the days each epoch, from (seed, epoch); also lets a day larger than a batch be
            subsampled. Without it every sample of every day appears, in order.
        seed: of the order.

    Raises:
        ConfigError: no day is left.
    """

    def __init__(
        self,
        resident: ResidentPanel,
        graphs: NeighborSource | None,
        days: Sequence[int],
        config: BatchConfig,
        *,
        shuffle: bool,
        seed: int,
    ) -> None:
        self.resident = resident
        self.config = config
        self.shuffle = shuffle
        self.seed = seed
        history = _history(resident.present, config.window)
        valid = resident.present & resident.universe & (history >= config.min_history)
        counts = valid.sum(dim=1).tolist()
        kept = [day for day in days if day >= config.window - 1 and counts[day] >= config.min_listings]
        if not kept:
            whole = [counts[day] for day in days if day >= config.window - 1]
            found = (
                f"the fullest of them has {max(whole)}" if whole else "all of them lie before the first whole window"
            )
            msg = (
                f"no day of {len(days)} has {config.min_listings} samples with a window of {config.window} sessions: "
                f"{found}; give prices of more listings or days, or lower batches.min_listings or batches.window"
            )
            raise ConfigError(msg)
        self.days = tuple(kept)
        self.dropped = len(days) - len(kept)
        self._listing = {day: valid[day].nonzero().squeeze(1) for day in kept}
        self._graphs = _GraphTensors(graphs, resident) if graphs is not None else None

    @property
    def samples(self) -> int:
        """Samples of all days, before any subsampling."""
        return sum(len(listing) for listing in self._listing.values())

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._plan(np.array(self.days)))

    def epoch(self, epoch: int = 0) -> Iterator[DayBatch]:
        """Yield the batches of an epoch; the same (seed, epoch) gives the same batches, bit for bit."""
        return self.build_all(self.plan(epoch))

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Build batches one after the other, each when it is asked for."""
        return map(self.build, plans)

    def plan(self, epoch: int = 0) -> list[BatchPlan]:
        """List what each batch of an epoch holds."""
        order = np.array(self.days)
        if self.shuffle:
            order = self._shuffled(order, np.random.default_rng([self.seed, epoch]))
        return [
            BatchPlan((self.seed, epoch, number), tuple(days), width, capacity)
            for number, (width, capacity, days) in enumerate(self._plan(order))
        ]

    def _shuffled(self, order: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """A new order of the days, in blocks of ``consecutive`` whose borders move too."""
        length = self.config.consecutive
        if length == 1:
            return rng.permutation(order)
        first = rng.integers(length)
        blocks = [order[:first]] if first else []
        blocks += [order[start : start + length] for start in range(first, len(order), length)]
        return np.concatenate([blocks[place] for place in rng.permutation(len(blocks))])

    def build(self, plan: BatchPlan) -> DayBatch:
        """Build one batch; it depends on its plan alone, in whatever order or process it is built."""
        return self.assemble(plan.days, plan.width, plan.capacity, np.random.default_rng(plan.seed))

    def samples_of(self, day: int) -> Tensor:
        """Listings [n] that are samples on a day, ascending."""
        return self._listing[day]

    def _plan(self, order: npt.NDArray[np.int64]) -> list[tuple[int, int, list[int]]]:
        """Group days of equal bucket into batches: (listings n, days B, the days). Few shapes, all static."""
        plan: list[tuple[int, int, list[int]]] = []
        open_batches: dict[int, list[int]] = {}
        for day in order.tolist():
            width = self._width(len(self._listing[day]))
            capacity = max(1, self.config.size // width)
            group = open_batches.setdefault(width, [])
            group.append(day)
            if len(group) == capacity:
                plan.append((width, capacity, open_batches.pop(width)))
        plan += [(width, max(1, self.config.size // width), days) for width, days in sorted(open_batches.items())]
        return plan

    def _width(self, samples: int) -> int:
        if self.shuffle:
            samples = min(samples, self.config.size)
        return -(-samples // self.config.bucket) * self.config.bucket

    def assemble(self, days: Sequence[int], width: int, capacity: int, rng: np.random.Generator) -> DayBatch:
        """Build one batch of ``capacity`` days, the missing ones empty, each padded to ``width`` listings."""
        resident = self.resident
        device = resident.device
        listing = torch.full((capacity, width), -1, dtype=torch.int64)
        samples = 0
        for place, number in enumerate(days):
            found = self._listing[number]
            limit = self.config.size if self.shuffle else width
            if len(found) > limit:
                picked = np.sort(rng.choice(len(found), size=limit, replace=False))
                found = found[torch.from_numpy(picked).to(found.device)]
            listing[place, : len(found)] = found
            samples += len(found)
        listing = listing.to(device)
        mask = listing >= 0
        real = torch.full((capacity,), -1, dtype=torch.int64)
        real[: len(days)] = torch.tensor(list(days))
        real = real.to(device)
        # Padding reads a true row and is masked afterwards, so that one gather serves all.
        day = real.where(real >= 0, torch.as_tensor(self.days[0], device=device))
        column = listing.clamp(min=0)
        window = self.config.window
        targets = resident.targets[day[:, None], column]
        label_mask = torch.isfinite(targets) & mask[:, :, None]
        neighbors, edge_attr = self._edges(day, listing, mask)
        features, present = resident.windows(day, column, window)
        return DayBatch(
            days=real,
            listing=listing,
            features=features,
            step_mask=present & mask[:, :, None],
            mask=mask,
            targets=targets.where(label_mask, 0.0),
            returns=resident.returns[day[:, None], column].where(label_mask, 0.0).nan_to_num(0.0),
            label_mask=label_mask,
            neighbors=neighbors,
            edge_attr=edge_attr,
            sector=resident.sector[column].where(mask, 0),
            market=resident.market[column].where(mask, 0),
            real_days=len(days),
            real_samples=samples,
        )

    def _edges(self, day: Tensor, listing: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self._graphs is None:
            shape = (*listing.shape, 0)
            return (
                torch.zeros(shape, dtype=torch.int64, device=listing.device),
                torch.zeros((*shape, 3), device=listing.device),
            )
        return self._graphs.restrict(day, listing, mask)


class _GraphTensors:
    """All months' graphs as tensors beside the panel, and their restriction to the listings of a day."""

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

    def restrict(self, day: Tensor, listing: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours [B, n, k] as positions within the day, and their attributes; edges out of the day are cut."""
        batch, width = listing.shape
        device = listing.device
        place = torch.full((batch, self.neighbors.shape[1] + 1), -1, dtype=torch.int64, device=device)
        row = torch.arange(batch, device=device)[:, None]
        last = self.neighbors.shape[1]
        place[row, listing.where(mask, last)] = torch.arange(width, device=device).expand(batch, width)
        place[:, last] = -1
        graph = self.row_of_day[day][:, None]
        column = listing.clamp(min=0)
        wanted = self.neighbors[graph, column].long()
        found = place[row[:, :, None], wanted.where(wanted >= 0, last)]
        found = found.where(mask[:, :, None], -1)
        return found, self.edge_attr[graph, column].where(found[..., None] >= 0, 0.0)


def _history(present: Tensor, window: int) -> Tensor:
    """Sessions [D, N] on which a listing was present within the window that ends at each day."""
    total = present.to(torch.int32).cumsum(dim=0)
    before = torch.zeros_like(total)
    before[window:] = total[:-window]
    return total - before
