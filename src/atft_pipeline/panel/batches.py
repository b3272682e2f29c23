"""Day batches: whole days packed into a fixed number of samples, no worker processes.

Legend: S samples of a batch, B days of a batch, n listings of the padded view by day, L steps, F features, Q horizons,
k neighbours, E edge attributes.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.day_graphs import DayGraphs, NeighborSource
from atft_pipeline.panel.packing import BatchPlan, BatchShape, Layout, OnDevice, aligned, pack
from atft_pipeline.panel.resident import ResidentPanel

# Batches that are filled side by side when days are shuffled: enough to find each day a place, few enough for a mix.
OPEN_BATCHES = 16
# Most places of the padded view by day for each sample.
SPARSE = 4


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
        fixed: pad every batch to one shape, as compiled code and CUDA graphs want it. Otherwise nothing is padded.

    Attributes:
        graphs: as given.

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
        fixed: bool = False,
    ) -> None:
        self.resident = resident
        self.config = config
        self.shuffle = shuffle
        self.seed = seed
        self.fixed = fixed
        valid = samples_of_days(resident, config)
        counts = valid.sum(axis=1)
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
        self._listing: dict[int, npt.NDArray[np.int64]] = {day: np.flatnonzero(valid[day]) for day in kept}
        self.graphs = graphs
        self._graphs = DayGraphs(graphs, resident) if graphs is not None else None
        self._largest = max(len(listing) for listing in self._listing.values())

    @property
    def samples(self) -> int:
        """Samples of all days, before any subsampling."""
        return sum(len(listing) for listing in self._listing.values())

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.plan())

    def epoch(self, epoch: int = 0) -> Iterator[DayBatch]:
        """Yield the batches of an epoch; the same (seed, epoch) gives the same batches, bit for bit."""
        return self.build_all(self.plan(epoch))

    def build_all(self, plans: Sequence[BatchPlan]) -> Iterator[DayBatch]:
        """Build batches one after the other, each when it is asked for."""
        return map(self.build, plans)

    def plan(self, epoch: int = 0) -> list[BatchPlan]:
        """List what each batch of an epoch holds."""
        packed = self._packed(epoch, self._capacity)
        return [BatchPlan((self.seed, epoch, number), tuple(days)) for number, days in enumerate(packed)]

    def samples_of(self, day: int) -> npt.NDArray[np.int64]:
        """Listings [n] that are samples on a day, ascending."""
        return self._listing[day]

    def _packed(self, epoch: int, capacity: int) -> list[list[int]]:
        """Days of each batch of an epoch, with at most ``capacity`` samples in each."""
        blocks = [[day] for day in self.days]
        if self.shuffle:
            blocks = self._shuffled(np.random.default_rng([self.seed, epoch]))
        counts = {day: min(len(self._listing[day]), capacity) for day in self.days}
        return pack(blocks, counts, capacity, self._most_days(capacity), OPEN_BATCHES if self.shuffle else 1)

    def _shuffled(self, rng: np.random.Generator) -> list[list[int]]:
        """The days in a new order, as blocks of ``consecutive`` whose borders move too."""
        length, order = self.config.consecutive, list(self.days)
        if length == 1:
            return [[int(day)] for day in rng.permutation(order)]
        first = int(rng.integers(length))
        blocks = [order[:first]] if first else []
        blocks += [order[start : start + length] for start in range(first, len(order), length)]
        return [blocks[place] for place in rng.permutation(len(blocks))]

    def _best_capacity(self) -> int:
        """Samples of a batch, at most ``batch_size``, at which the fewest places of an epoch stay empty."""
        size = self.config.size
        best, fewest = size, size * len(self._packed(0, size))
        for candidate in range(size, 3 * size // 4, -max(1, size // 32)):
            # Smaller ones would cut listings from days that fit, or be another batch size than was asked for.
            if candidate < min(self._largest, size):
                break
            packed = self._packed(0, candidate)
            used = max(sum(len(self._listing[day]) for day in days) for days in packed)
            used = min(aligned(used), size)
            if used * len(packed) < fewest:
                best, fewest = used, used * len(packed)
        return best

    def _most_days(self, capacity: int) -> int:
        """Days B that a batch may hold: the padded view by day stays within a few times the samples themselves."""
        return max(1, SPARSE * capacity // min(self._largest, capacity))

    @cached_property
    def _capacity(self) -> int:
        """Most samples of a batch; asked for when a batch is, since ``auto`` may not be known before."""
        return self._best_capacity() if self.shuffle else max(self.config.size, self._largest)

    @cached_property
    def shape(self) -> BatchShape:
        """The sizes of every batch where ``fixed`` is on, else the largest that may come."""
        return BatchShape(self._capacity, self._most_days(self._capacity), min(self._largest, self._capacity))

    def build(self, plan: BatchPlan) -> DayBatch:
        """Build one batch; it depends on its plan alone, in whatever order or thread it is built."""
        rng = np.random.default_rng(plan.seed)
        drawn = [self._draw(day, rng) for day in plan.days]
        counts = [len(listing) for listing in drawn]
        shape = self.shape if self.fixed else BatchShape(sum(counts), len(counts), max(counts))
        layout = Layout(plan.days, drawn, shape, pad_day=self.days[0])
        return self._gather(layout.to(self.resident.device), shape, len(counts), sum(counts))

    def _draw(self, day: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """The listings of a day, or as many of them as a batch holds."""
        listing = self._listing[day]
        if len(listing) <= self._capacity:
            return listing
        return listing[np.sort(rng.choice(len(listing), size=self._capacity, replace=False))]

    def _gather(self, layout: OnDevice, shape: BatchShape, days: int, samples: int) -> DayBatch:
        resident, listing = self.resident, layout.listing
        mask = listing >= 0
        # Padding reads a true row and is masked afterwards, so that one gather serves all.
        day, column = layout.day, listing.clamp(min=0)
        targets = resident.targets[day, column]
        label_mask = torch.isfinite(targets) & mask[:, None]
        features, present = resident.windows(day, column, self.config.window)
        neighbors, edge_attr = self._edges(layout, mask)
        return DayBatch(
            days=layout.days,
            first=layout.first,
            row=layout.row,
            slot=layout.slot,
            listing=listing,
            features=features,
            step_mask=present & mask[:, None],
            mask=mask,
            targets=targets.where(label_mask, 0.0),
            returns=resident.returns[day, column].where(label_mask, 0.0).nan_to_num(0.0),
            label_mask=label_mask,
            neighbors=neighbors,
            edge_attr=edge_attr,
            sector=resident.sector[column].where(mask, 0),
            market=resident.market[column].where(mask, 0),
            width=shape.width,
            real_days=days,
            real_samples=samples,
        )

    def _edges(self, layout: OnDevice, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self._graphs is None:
            count, device = len(mask), mask.device
            return (
                torch.zeros(count, 0, dtype=torch.int64, device=device),
                torch.zeros(count, 0, 3, device=device),
            )
        return self._graphs.restrict(layout, mask)


def samples_of_days(resident: ResidentPanel, config: BatchConfig) -> npt.NDArray[np.bool_]:
    """Which listings are samples on a day [D, N]: in the universe, with enough history in the window."""
    # On the host: a batch is laid out without asking the device.
    present, universe = resident.present.cpu(), resident.universe.cpu()
    known: npt.NDArray[np.bool_] = (
        present & universe & (_history(present, config.window) >= config.min_history)
    ).numpy()
    return known


def _history(present: Tensor, window: int) -> Tensor:
    """Sessions [D, N] on which a listing was present within the window that ends at each day."""
    total = present.to(torch.int32).cumsum(dim=0)
    before = torch.zeros_like(total)
    before[window:] = total[:-window]
    return total - before
