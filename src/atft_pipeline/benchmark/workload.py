"""A market of noise with a faint signal, built in memory: the shapes of a real one, at any size, in seconds.

Legend: D days, N listings, F features, Q horizons, k neighbours.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import (
    EncoderConfig,
    GraphAttentionConfig,
    ModelConfig,
    NormaliserConfig,
    SelectionConfig,
)
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.panel.resident import Choice, PanelValues, ResidentPanel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData

HORIZONS = (1, 5, 10, 20)
SECTORS = 33
NEIGHBORS = 20
DAYS_OF_MONTH = 21
# Share of the listings that are samples on a day, so that days differ in size as they do in a market.
UNIVERSE = 0.97
# Share of the first feature in the targets.
SIGNAL = 0.1


@dataclass(frozen=True)
class Scale:
    """Sizes of a workload.

    Attributes:
        listings: N.
        days: D.
        features: F.
        window: steps of a window.
        batch_size: most samples of a batch.
        model: the model.
    """

    listings: int
    days: int
    features: int
    window: int
    batch_size: int
    model: ModelConfig

    def experiment(self, runtime: RuntimeConfig) -> Experiment:
        """The training that is measured; variants change it."""
        return Experiment(
            batches=BatchConfig(
                window=self.window, batch_size=self.batch_size, min_history=self.window, min_listings=2
            ),
            model=self.model,
            loss=LossConfig(),
            training=TrainingConfig(epochs=8),
            runtime=runtime,
        )


# The origin system: 4,484 listings, 2,000 days, 112 features: 8.7 million windows of 60 steps; 5.6 million parameters.
PRODUCTION = ModelConfig(
    width=256,
    normaliser=NormaliserConfig(patterns=24),
    selection=SelectionConfig(hidden=192),
    encoder=EncoderConfig(layers=4, heads=8),
    graph=GraphAttentionConfig(layers=3, heads=8),
)
SCALES = {
    "tiny": Scale(60, 240, 12, 8, 128, ModelConfig(width=16, encoder=EncoderConfig(layers=2, heads=2))),
    "origin": Scale(4484, 2000, 112, 60, 12288, PRODUCTION),
}


class NoisePanel:
    """What the training asks of a panel besides its values."""

    def __init__(self, scale: Scale) -> None:
        names = tuple(f"f{number:03d}" for number in range(scale.features))
        days = np.datetime64("2016-01-04", "D") + np.arange(scale.days * 2).astype("timedelta64[D]")
        self.dates = days[np.is_busday(days)][: scale.days]
        self.shape = scale.days, scale.listings, scale.features
        self.meta = PanelMeta(
            feature_names=names,
            market_features=names[-2:],
            horizons=HORIZONS,
            label="close_to_close",
            dtype="float16",
            fingerprint="noise",
            index_fingerprint="noise",
            sectors=("unknown", *(f"sector {number}" for number in range(SECTORS))),
            markets=("unknown", "one"),
            lineage={},
        )

    def select(self, _patterns: object) -> "NoisePanel":
        """All features."""
        return self


class NoiseGraphs:
    """Random neighbours for each month, as the training asks for graphs."""

    def __init__(self, scale: Scale, seed: int = 0) -> None:
        self._rng_seed, self._listings = seed, scale.listings
        self.k = min(NEIGHBORS, scale.listings - 1)
        # No graph serves the first month, as in a real market.
        self.month_of_day: npt.NDArray[np.int64] = np.arange(scale.days) // DAYS_OF_MONTH - 1
        # They tell of themselves what a file's metadata would.
        self.meta = self
        self.fingerprint = self.index_fingerprint = "noise"
        self.lineage: dict[str, str] = {}

    def align(self, _dates: object) -> "NoiseGraphs":
        """Themselves: they know the days."""
        return self

    def neighbors(self, month: int) -> npt.NDArray[np.int32]:
        """[N, k]."""
        rng = np.random.default_rng([self._rng_seed, month])
        return rng.integers(0, self._listings, (self._listings, self.k), dtype=np.int32)

    def edge_attr(self, month: int) -> npt.NDArray[np.float32]:
        """[N, k, 3]."""
        rng = np.random.default_rng([self._rng_seed, month, 1])
        return rng.standard_normal((self._listings, self.k, 3)).astype(np.float32)


@dataclass(frozen=True)
class Workload:
    """A market in memory.

    Attributes:
        scale: its sizes.
        panel: what a training asks of a panel on disk.
        graphs: monthly graphs.
        resident: its values, on the device that computes.
    """

    scale: Scale
    panel: Panel
    graphs: MonthlyGraphs
    resident: ResidentPanel

    @property
    def split(self) -> Split:
        """Days of training and, at the end, of validation."""
        days, gap = self.scale.days, max(HORIZONS)
        first = round(0.85 * days)
        return Split(
            train=tuple(range(self.scale.window, first - gap)), validation=tuple(range(first, days - gap)), test=()
        )

    @property
    def windows(self) -> int:
        """Samples of all days."""
        return int((self.resident.present & self.resident.universe)[self.scale.window - 1 :].sum())

    def data(self, mode: str = "device") -> MarketData:
        """The market with its values in host memory (``host``) or on the device that computes (``device``)."""
        return MarketData(self.panel, self.graphs, self.resident if mode == "device" else self._on_host(mode))

    def _on_host(self, mode: str) -> ResidentPanel:
        resident = self.resident
        names = ("targets", "returns", "universe", "present", "sector", "market")
        values = PanelValues(*(getattr(resident, name).cpu() for name in names))
        dense = resident.features.cpu()
        pinned = dense.pin_memory() if resident.device.type == "cuda" else dense
        return ResidentPanel(self.panel, Choice(mode, "benchmark"), values, pinned)


def build_workload(scale: Scale, device: torch.device) -> Workload:
    """Draw a market on a device: features of unit variance in half precision, targets that follow the first one."""
    panel = cast("Panel", NoisePanel(scale))
    generator = torch.Generator(device).manual_seed(0)
    days, listings, width = scale.days, scale.listings, scale.features

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, generator=generator)

    features = torch.empty(days, listings, width, dtype=torch.float16, device=device)
    for day in range(days):
        features[day] = draw(listings, width)
        features[day, :, -2:] = features[day, :1, -2:]
    targets = SIGNAL * features[:, :, :1].float() + draw(days, listings, len(HORIZONS))
    targets[-HORIZONS[-1] :] = torch.nan
    values = PanelValues(
        targets=targets,
        returns=0.02 * targets,
        universe=torch.rand(days, listings, device=device, generator=generator) < UNIVERSE,
        present=torch.ones(days, listings, dtype=torch.bool, device=device),
        sector=torch.randint(1, SECTORS + 1, (listings,), device=device, generator=generator),
        market=torch.ones(listings, dtype=torch.int64, device=device),
    )
    residency = "host" if device.type == "cpu" else "device"
    resident = ResidentPanel(panel, Choice(residency, "drawn there"), values, features)
    graphs: Any = NoiseGraphs(scale)
    return Workload(scale, panel, graphs, resident)
