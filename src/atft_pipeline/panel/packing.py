"""Packing whole days into batches of a fixed number of samples, on the host.

Legend: S samples of a batch, B days of a batch, n listings of the padded view by day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchPlan:
    """What a batch holds, before it is built.

    Attributes:
        seed: of the draw from days larger than a batch.
        days: day indices.
    """

    seed: tuple[int, int, int]
    days: tuple[int, ...]


@dataclass(frozen=True)
class BatchShape:
    """Sizes that all batches share where shapes are fixed.

    Attributes:
        samples: S.
        days: B.
        width: n.
    """

    samples: int
    days: int
    width: int


def pack(
    blocks: Sequence[Sequence[int]], counts: Mapping[int, int], capacity: int, most_days: int, open_batches: int
) -> list[list[int]]:
    """Fill batches with whole days: each block of days goes into the first open batch that has room for all of it.

    Args:
        blocks: days that stay together where they fit a batch; longer blocks are cut.
        counts: samples of each day, none above ``capacity``.
        capacity: most samples of a batch.
        most_days: most days of a batch.
        open_batches: batches that are filled side by side; with 1 the order of the days is kept.

    Returns:
        The days of each batch, the fullest first where several are open.
    """
    done: list[list[int]] = []
    open_now: list[tuple[list[int], int]] = []  # days, samples
    for block in blocks:
        for part in _cut(block, counts, capacity, most_days):
            size = sum(counts[day] for day in part)
            for place, (days, used) in enumerate(open_now):
                if used + size <= capacity and len(days) + len(part) <= most_days:
                    open_now[place] = ([*days, *part], used + size)
                    break
            else:
                # The fullest has the least chance to be filled further.
                if len(open_now) == open_batches:
                    done.append(open_now.pop(_fullest(open_now))[0])
                open_now.append((list(part), size))
    return done + [days for days, _ in open_now]


def _fullest(batches: list[tuple[list[int], int]]) -> int:
    return max(range(len(batches)), key=lambda place: batches[place][1])


def _cut(block: Sequence[int], counts: Mapping[int, int], capacity: int, most_days: int) -> Iterator[list[int]]:
    """Cut a block of days where it outgrows a batch."""
    part: list[int] = []
    used = 0
    for day in block:
        if part and (used + counts[day] > capacity or len(part) == most_days):
            yield part
            part, used = [], 0
        part.append(day)
        used += counts[day]
    yield part


def aligned(samples: int) -> int:
    """The next multiple of 8: matrix units of a GPU like no odd sizes."""
    return -(-samples // 8) * 8


class OnDevice(NamedTuple):
    """Where each sample of a batch comes from and goes to; see :class:`DayBatch`. ``day`` is int64 [S]."""

    days: Tensor
    first: Tensor
    row: Tensor
    slot: Tensor
    listing: Tensor
    day: Tensor


class Layout:
    """Lays a batch out on the host, in one buffer, so that one copy brings it to the device."""

    def __init__(
        self, days: Sequence[int], drawn: Sequence[npt.NDArray[np.int64]], shape: BatchShape, pad_day: int
    ) -> None:
        self._sizes = (shape.days, shape.days, shape.samples, shape.samples, shape.samples, shape.samples)
        buffer = np.zeros(sum(self._sizes), dtype=np.int64)
        places = np.split(buffer, np.cumsum(self._sizes)[:-1])
        known_days, first, row, slot, listing, day = places
        known_days.fill(-1)
        slot.fill(shape.days * shape.width)
        listing.fill(-1)
        day.fill(pad_day)
        start = 0
        for place, (number, found) in enumerate(zip(days, drawn, strict=True)):
            end = start + len(found)
            known_days[place], first[place] = number, start
            row[start:end], day[start:end], listing[start:end] = place, number, found
            # Position in the padded view by day, in which the losses see whole days.
            slot[start:end] = place * shape.width + np.arange(len(found))
            start = end
        self._buffer = torch.from_numpy(buffer)

    def to(self, device: torch.device) -> OnDevice:
        """Copy to the device, from pinned memory where that spares a wait."""
        buffer = self._buffer.pin_memory() if device.type == "cuda" else self._buffer
        return OnDevice(*torch.split(buffer.to(device, non_blocking=True), list(self._sizes)))
