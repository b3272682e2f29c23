"""The panel in memory: dense, half precision, on the device, on the host, or left on disk.

Legend: D days, N listings, F features, Q horizons, S samples of a batch, n listings of a day, L steps of a window.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atft_pipeline.errors import UnavailableError
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.progress import track

GIB = 2**30
# Share of the device's free memory that mode auto fills: activations and gradients of the training need the rest.
DEVICE_SHARE = 0.5
# GiB of host memory that mode auto fills: half of a machine with 24. Name a mode where yours is another.
HOST_GIB = 12.0


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
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] / GIB
        if gib <= DEVICE_SHARE * free:
            return Choice("device", f"{gib:.2f} GiB of {free:.1f} GiB that are free on the device")
    if gib <= HOST_GIB:
        return Choice("host", f"{gib:.2f} GiB fit the host budget of {HOST_GIB:g} GiB")
    return Choice("mmap", f"{gib:.2f} GiB exceed the host budget of {HOST_GIB:g} GiB")


def dense_size(panel: Panel) -> int:
    """Bytes of the features of a panel, dense."""
    days, listings, width = panel.shape
    return days * listings * width * (2 if panel.meta.dtype == "float16" else 4)


class PanelValues(NamedTuple):
    """Everything of a panel but its features, dense.

    Attributes:
        targets: float32 [D, N, Q], NaN where missing.
        returns: float32 [D, N, Q], NaN where missing.
        universe: bool [D, N].
        present: bool [D, N].
        sector: int64 [N].
        market: int64 [N].
    """

    targets: Tensor
    returns: Tensor
    universe: Tensor
    present: Tensor
    sector: Tensor
    market: Tensor


class ResidentPanel:
    """Labels and masks dense in memory, features dense or streamed.

    Args:
        panel: the panel on disk.
        choice: residency and its reason.
        values: everything but the features.
        features: dense [D, N, F], or the days as they are read from the map.

    Attributes:
        device: where the tensors lie.
        targets, returns, universe, present, sector, market: see :class:`PanelValues`.
    """

    def __init__(self, panel: Panel, choice: Choice, values: PanelValues, features: "Tensor | DayCache") -> None:
        self.panel = panel
        self.choice = choice
        self.device = values.present.device
        self.targets, self.returns, self.universe, self.present, self.sector, self.market = values
        self._features = features

    @classmethod
    def load(cls, panel: Panel, config: ResidencyConfig, device: torch.device | str = "cpu") -> "ResidentPanel":
        """Load a panel where the configuration says, or where it fits.

        Raises:
            UnavailableError: an explicit residency that this machine cannot give.
        """
        device = torch.device(device)
        days, listings, width = panel.shape
        dtype = torch.float16 if panel.meta.dtype == "float16" else torch.float32
        choice = choose_residency(dense_size(panel), config, device)
        place = device if choice.value == "device" else torch.device("cpu")
        dense = None if choice.value == "mmap" else torch.zeros(days, listings, width, dtype=dtype)
        values = PanelValues(*(value.to(place) for value in _read(panel, dense)))
        if dense is None:
            return cls(panel, choice, values, DayCache(panel, dtype))
        if place.type != "cpu":
            return cls(panel, choice, values, dense.to(place))
        return cls(panel, choice, values, dense.pin_memory() if device.type == "cuda" else dense)

    def over(self, universe: Tensor) -> "ResidentPanel":
        """The same values over another universe, bool [D, N] on the device of the others."""
        values = PanelValues(self.targets, self.returns, universe, self.present, self.sector, self.market)
        return ResidentPanel(self.panel, self.choice, values, self._features)

    @property
    def features(self) -> Tensor:
        """Dense features [D, N, F].

        Raises:
            UnavailableError: the panel is streamed.
        """
        if isinstance(self._features, DayCache):
            msg = "the panel is streamed (residency mmap): there are no dense features in memory"
            raise UnavailableError(msg)
        return self._features

    def windows(self, day: Tensor, listing: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Gather the windows that end at each sample's day.

        Args:
            day: int64 [S], each at least ``steps - 1``.
            listing: int64 [S] positions in the listing axis, none negative.
            steps: L.

        Returns:
            Features [S, L, F] in the panel's precision, and whether the listing was present, bool [S, L]; steps at
            which it was not hold zeros.
        """
        offset = torch.arange(1 - steps, 1, device=day.device)[:, None]
        index = ((day + offset) * self.present.shape[1] + listing).view(-1)
        present = self.present.view(-1).index_select(0, index).view(steps, -1).transpose(0, 1)
        if isinstance(self._features, DayCache):
            return self._features.windows(day, listing, steps), present
        # One gather of whole feature rows, step by step: it reads each day in long runs, as fast as a copy. The result
        # lies as [L, S, F] in memory and is seen as [S, L, F]; the conversion to float32 puts it in order.
        width = self.features.shape[2]
        flat = self.features.view(-1, width).index_select(0, index)
        return flat.view(steps, -1, width).transpose(0, 1), present


def _read(panel: Panel, dense: Tensor | None) -> PanelValues:
    """Read every day into dense host tensors; the features into ``dense`` where it is given."""
    days, listings, _ = panel.shape
    horizons = len(panel.meta.horizons)
    targets = torch.full((days, listings, horizons), torch.nan)
    returns = torch.full((days, listings, horizons), torch.nan)
    universe = torch.zeros(days, listings, dtype=torch.bool)
    present = torch.zeros(days, listings, dtype=torch.bool)
    for day in track(range(days), "load panel"):
        view = panel.day(day, features=dense is not None)
        rows = view.listing
        targets[day].numpy()[rows] = view.targets
        returns[day].numpy()[rows] = view.returns
        universe[day].numpy()[rows] = view.universe
        present[day].numpy()[rows] = True
        if dense is not None:
            dense[day].numpy()[rows] = view.features
    sector, market = (torch.from_numpy(ids.copy()) for ids in (panel.sector, panel.market))
    return PanelValues(targets, returns, universe, present, sector, market)


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

    def windows(self, day: Tensor, listing: Tensor, steps: int) -> Tensor:
        """Windows [S, L, F]; samples of a day that stand together are read together."""
        numbers, counts = torch.unique_consecutive(day, return_counts=True)
        parts = zip(numbers.tolist(), torch.split(listing, counts.tolist()), strict=True)
        return torch.cat([self._day(number, part, steps) for number, part in parts])

    def _day(self, day: int, listing: Tensor, steps: int) -> Tensor:
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
