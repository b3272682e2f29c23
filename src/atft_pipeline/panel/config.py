"""Parameters of the panel, of where it lies in memory and of its batches."""

from typing import Literal

from atft_pipeline.config import config, require, within
from atft_pipeline.errors import ConfigError


@config
class BatchConfig:
    """Shape of the batches.

    Attributes:
        features: names or patterns (``K*``) of the panel's features that the model reads; baselines read all of them.
        window: steps L of a window.
        batch_size: most samples of a batch, filled with whole days; ``auto`` measures which size trains fastest. A
            training puts no more than four days into a batch, however few listings they have.
        min_history: sessions, the day itself among them, on which a listing must be present inside the window.
        min_listings: days with fewer samples are left out; a cross-section of one ranks nothing.
        consecutive: days in a row that stay together when the days are shuffled, for terms that compare a day with the
            one before.
    """

    features: tuple[str, ...] = ("*",)
    window: int = within(20, 1, 1000)
    batch_size: int | Literal["auto"] = within(1024, 1, 2**20)
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
        """Most samples of a batch, once they are known.

        Raises:
            ConfigError: ``auto`` was not measured yet.
        """
        if self.batch_size == "auto":
            msg = "batches.batch_size: auto is measured by a training; give a number here"
            raise ConfigError(msg)
        return self.batch_size


@config
class ResidencyConfig:
    """Where the panel lives while it is used.

    Attributes:
        mode: ``device``, ``host`` (pinned where there is a GPU), ``mmap`` (streamed from the map), or ``auto``.
    """

    mode: Literal["auto", "device", "host", "mmap"] = "auto"


@config
class PanelConfig:
    """How the panel is stored.

    Attributes:
        dtype: of the features; float16 halves memory and suits values normalised per day.
    """

    dtype: Literal["float16", "float32"] = "float16"
