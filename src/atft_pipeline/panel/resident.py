"""The panel in memory: dense, half precision, on the device, on the host, or left on disk.

Legend: D days, N listings, F features, Q horizons, B days of a batch, n listings of a day, L steps of a window.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from atft_pipeline.config import config, require, within
from atft_pipeline.errors import UnavailableError
from atft_pipeline.panel.panel import Panel
from atft_pipeline.progress import track

GIB = 2**30


@config
class ResidencyConfig:
    """Where the panel lives while it is used.

    Attributes:
        mode: ``device``, ``host`` (pinned where there is a GPU), ``mmap`` (streamed from the map), or ``auto``.
        device_budget: GiB of device memory that ``auto`` may fill.
        host_budget: GiB of host memory that ``auto`` may fill.
        workers: processes that build the batches of a streamed panel; 0 = this process. For ``mmap`` only.
        prefetch: batches that each worker keeps ready.
    """

    mode: Literal["auto", "device", "host", "mmap"] = "auto"
    device_budget: float = within(40.0, 0, 100000.0)
    host_budget: float = within(12.0, 0, 100000.0)
    workers: int = within(0, 0, 256)
    prefetch: int = within(4, 1, 64)

    def __post_init__(self) -> None:
        require(
            self.workers == 0 or self.mode == "mmap",
            f"workers: build the batches of a streamed panel only: set mode to mmap or workers to 0, got "
            f"{self.workers} with {self.mode}",
        )


@dataclass(frozen=True)
class Choice:
    """A choice made at run time and its reason; both go on the run card."""

    value: str
    reason: str


def choose_residency(size: int, config: ResidencyConfig, device: torch.device) -> Choice:
    """Choose where a dense panel of ``size`` bytes lives.

    Raises:
        UnavailableError: ``device`` was asked for and there is only a CPU.
    """
    gib = size / GIB
    if config.mode == "device" and device.type == "cpu":
        msg = "residency.mode: device was asked for, but the run uses the CPU; use host or auto"
        raise UnavailableError(msg)
    if config.mode != "auto":
        return Choice(config.mode, f"asked for ({gib:.2f} GiB dense)")
    if device.type != "cpu" and gib <= config.device_budget:
        return Choice("device", f"{gib:.2f} GiB fit the device budget of {config.device_budget:g} GiB")
    if gib <= config.host_budget:
        return Choice("host", f"{gib:.2f} GiB fit the host budget of {config.host_budget:g} GiB")
    return Choice("mmap", f"{gib:.2f} GiB exceed the host budget of {config.host_budget:g} GiB")


class ResidentPanel:
    """Labels and masks dense in memory, features dense or streamed.

    Attributes:
        panel: the panel on disk.
        choice: residency and its reason.
        targets: float32 [D, N, Q], NaN where missing.
        returns: float32 [D, N, Q], NaN where missing.
        universe: bool [D, N].
        present: bool [D, N].
        sector: int64 [N].
        market: int64 [N].
    """

    def __init__(self, panel: Panel, choice: Choice, device: torch.device, *, pin: bool) -> None:
        self.panel = panel
        self.choice = choice
        days, listings, features = panel.shape
        horizons = len(panel.meta.horizons)
        place = device if choice.value == "device" else torch.device("cpu")
        self.device = place
        dtype = torch.float16 if panel.meta.dtype == "float16" else torch.float32
        self.targets = torch.full((days, listings, horizons), torch.nan)
        self.returns = torch.full((days, listings, horizons), torch.nan)
        self.universe = torch.zeros(days, listings, dtype=torch.bool)
        self.present = torch.zeros(days, listings, dtype=torch.bool)
        dense = None if choice.value == "mmap" else torch.zeros(days, listings, features, dtype=dtype)
        for day in track(range(days), "load panel"):
            view = panel.day(day, features=dense is not None)
            rows = view.listing
            self.targets[day].numpy()[rows] = view.targets
            self.returns[day].numpy()[rows] = view.returns
            self.universe[day].numpy()[rows] = view.universe
            self.present[day].numpy()[rows] = True
            if dense is not None:
                dense[day].numpy()[rows] = view.features
        self.sector = torch.from_numpy(panel.sector.copy())
        self.market = torch.from_numpy(panel.market.copy())
        for name in ("targets", "returns", "universe", "present", "sector", "market"):
            setattr(self, name, getattr(self, name).to(place))
        self._features = None if dense is None else self._settle(dense, place, pin=pin)
        self._stream = None if dense is not None else DayCache(panel, dtype)

    @classmethod
    def load(cls, panel: Panel, config: ResidencyConfig, device: torch.device | str = "cpu") -> "ResidentPanel":
        """Load a panel where the configuration says, or where it fits.

        Raises:
            UnavailableError: an explicit residency that this machine cannot give.
        """
        device = torch.device(device)
        days, listings, features = panel.shape
        size = days * listings * features * (2 if panel.meta.dtype == "float16" else 4)
        return cls(panel, choose_residency(size, config, device), device, pin=device.type == "cuda")

    @staticmethod
    def _settle(dense: Tensor, place: torch.device, *, pin: bool) -> Tensor:
        if place.type != "cpu":
            return dense.to(place)
        return dense.pin_memory() if pin else dense

    @property
    def features(self) -> Tensor:
        """Dense features [D, N, F].

        Raises:
            UnavailableError: the panel is streamed.
        """
        if self._features is None:
            msg = "the panel is streamed (residency mmap): there are no dense features in memory"
            raise UnavailableError(msg)
        return self._features

    def windows(self, days: Tensor, listing: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Gather the windows that end at each day.

        Args:
            days: int64 [B], each at least ``steps - 1``.
            listing: int64 [B, n] positions in the listing axis, none negative.
            steps: L.

        Returns:
            Features [B, n, L, F] in the panel's precision, and whether the listing was present, bool [B, n, L]; steps
            at which it was not hold zeros.
        """
        batch, rows = listing.shape
        offset = torch.arange(1 - steps, 1, device=days.device)
        listings = self.present.shape[1]
        index = ((days[:, None, None] + offset[:, None]) * listings + listing[:, None, :]).reshape(-1)
        present = self.present.view(-1).index_select(0, index).view(batch, steps, rows).transpose(1, 2)
        if self._stream is not None:
            stream = self._stream
            pairs = zip(days.tolist(), listing, strict=True)
            return torch.stack([stream.windows(day, part, steps) for day, part in pairs]), present
        # One gather of whole feature rows, step by step: it reads each day in long runs, as fast as a copy. The result
        # lies as [B, L, n, F] in memory and is seen as [B, n, L, F]; the conversion to float32 puts it in order.
        width = self.features.shape[2]
        flat = self.features.view(-1, width).index_select(0, index)
        return flat.view(batch, steps, rows, width).transpose(1, 2), present


class DayCache:
    """Windows streamed from the map: the days of a window are read once each and kept while they are near.

    Args:
        panel: the panel on disk.
        dtype: precision of the windows.
        capacity: days kept.
    """

    def __init__(self, panel: Panel, dtype: torch.dtype, capacity: int = 128) -> None:
        self._panel = panel
        self._dtype = dtype
        self._capacity = capacity
        self._days: OrderedDict[int, tuple[Tensor, Tensor]] = OrderedDict()

    def windows(self, day: int, listing: Tensor, steps: int) -> Tensor:
        """Windows [n, L, F] of one day."""
        out = torch.zeros(len(listing), steps, self._panel.shape[2], dtype=self._dtype)
        for step in range(steps):
            position, features = self._read(day - steps + 1 + step)
            row = position[listing]
            found = row >= 0
            out[found, step] = features[row[found]]
        return out

    def _read(self, day: int) -> tuple[Tensor, Tensor]:
        if day in self._days:
            self._days.move_to_end(day)
            return self._days[day]
        view = self._panel.day(day)
        position = torch.full((self._panel.shape[1],), -1, dtype=torch.int64)
        position[torch.from_numpy(view.listing.astype(np.int64))] = torch.arange(len(view.listing))
        entry = position, torch.from_numpy(np.array(view.features))
        self._days[day] = entry
        while len(self._days) > self._capacity:
            self._days.popitem(last=False)
        return entry
