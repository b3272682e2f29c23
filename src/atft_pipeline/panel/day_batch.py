"""A batch of whole days.

Legend: S samples, B days, n listings of the padded view by day, L steps, F features, Q horizons, k neighbours, E edge
attributes.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class DayBatch:
    """Whole days packed one after the other into S samples; padding stands at the end.

    Attributes:
        days: int64 [B], -1 for a day that only pads the batch.
        first: int64 [B] position of each day's first sample; 0 for a day that pads.
        row: int64 [S] place of the sample's day in ``days``; 0 for padding.
        slot: int64 [S] place of the sample in the padded view by day, ``B n`` for padding; see :meth:`by_day`.
        listing: int64 [S], ascending within a day, -1 = padding.
        features: [S, L, F] in the panel's precision.
        step_mask: bool [S, L], True = the listing was present.
        mask: bool [S], True = a sample.
        targets: float32 [S, Q], 0 where missing.
        returns: float32 [S, Q], 0 where missing.
        label_mask: bool [S, Q], True = the label is complete.
        neighbors: int64 [S, k] positions in the batch, -1 = none; always of the same day.
        edge_attr: float32 [S, k, E].
        sector: int64 [S].
        market: int64 [S].
        width: listings n of the padded view by day.
        real_days: days that do not pad.
        real_samples: samples that do not pad.
    """

    days: Tensor
    first: Tensor
    row: Tensor
    slot: Tensor
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
    width: int
    real_days: int
    real_samples: int

    def to(self, device: torch.device) -> "DayBatch":
        """Move every tensor; from pinned memory without waiting."""
        return self._map(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> "DayBatch":
        """Copy every tensor into pinned memory, from which a GPU reads without making the host wait."""
        return self._map(Tensor.pin_memory)

    def tensors(self) -> list[Tensor]:
        """Every tensor of the batch."""
        return [value for item in fields(self) if isinstance(value := getattr(self, item.name), Tensor)]

    def _map(self, function: Callable[[Tensor], Tensor]) -> "DayBatch":
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        mapped: dict[str, Any] = {
            name: function(value) if isinstance(value, Tensor) else value for name, value in values.items()
        }
        return DayBatch(**mapped)

    def inputs(self) -> Tensor:
        """Features as the model takes them: float32 [S, L, F], contiguous, in one pass."""
        return self.features.to(torch.float32, memory_format=torch.contiguous_format)

    def context(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the model takes after features and mask, in its order."""
        return self.step_mask, self.neighbors, self.edge_attr, self.sector, self.market

    def by_day(self, value: Tensor) -> Tensor:
        """Spread values [S, ...] over the padded view by day [B, n, ...]; places without a sample hold 0.

        A copy by index: its backward pass is a gather, so gradients come back in a fixed order on every device.
        """
        places = len(self.days) * self.width
        flat = value.new_zeros(places + 1, *value.shape[1:]).index_copy(0, self.slot, value)
        return flat[:-1].view(len(self.days), self.width, *value.shape[1:])
