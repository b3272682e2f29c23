"""Which columns a feature table has, in which order, and where each comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from atft_pipeline.errors import DataError
from atft_pipeline.features import alpha158, extras
from atft_pipeline.features.blocks import PriceAxis
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.rolling import Floats

MISSING_FRACTION = "MISSING_FRACTION"
RESERVED = ("Date", "Code", "Listing", "InUniverse", "Stock", "Tradable", "TotalReturn")
LABELS = ("target_*", "return_*")


@dataclass(frozen=True)
class Columns:
    """Layout of a feature table.

    Attributes:
        raw: lines of the raw matrix, in order (some only serve others).
        listing: features that are one line of the raw matrix, normalised per day.
        sector: features relative to the sector, by name, with the line they start from.
        market: features equal for all listings of a day.
        passed: columns taken from the clean frame.
        masked: whether ``MISSING_FRACTION`` stands between the per-listing and the market features.
    """

    raw: tuple[str, ...]
    listing: tuple[str, ...]
    sector: tuple[str, ...]
    market: tuple[str, ...]
    passed: tuple[str, ...]
    masked: bool

    @cached_property
    def features(self) -> tuple[str, ...]:
        """All features in the order of the table."""
        return (*self.listing, *self.sector, *((MISSING_FRACTION,) if self.masked else ()), *self.market)

    @cached_property
    def listing_lines(self) -> NDArray[np.int64]:
        """Lines of the raw matrix that are features as they are."""
        return np.array([self.raw.index(name) for name in self.listing], dtype=np.int64)

    @cached_property
    def sector_lines(self) -> NDArray[np.int64]:
        """Lines of the raw matrix from which the sector-relative features start."""
        return np.array([self.raw.index(extras.SECTOR[name]) for name in self.sector], dtype=np.int64)


def choose_columns(choice: FeaturesConfig, frame: pl.DataFrame, *, with_sectors: bool) -> Columns:
    """Lay out the table; without any known sector there are no sector-relative features.

    Raises:
        DataError: a pattern matches nothing, a passed column is not numeric or has a computed feature's name, or no
            feature is left.
    """
    groups = set(choice.groups)
    everything = "extras" in groups
    listing = (*(alpha158.NAMES if "alpha158" in groups else ()),)
    listing += extras.LISTING if everything or "listing" in groups else ()
    sector = tuple(extras.SECTOR) if with_sectors and (everything or "sector" in groups) else ()
    market = (*(extras.REGIME if everything or "market" in groups else ()),)
    market += extras.CALENDAR if everything or "calendar" in groups else ()
    passed_market = _matching(frame, choice.passthrough_market)
    passed = tuple(name for name in _matching(frame, choice.passthrough) if name not in passed_market)
    hidden = {extras.SECTOR[name] for name in sector}
    computed = {*listing, *sector, *market, MISSING_FRACTION}
    clash = [name for name in (*passed, *passed_market) if name in computed]
    if clash:
        raise DataError(f"passed column {', '.join(clash)} has the name of a computed feature: rename it")
    shown = (*listing, *passed)
    if not shown and not sector and not market and not passed_market:
        raise DataError("no feature is chosen: name a group or a passthrough pattern that matches a column")
    return Columns(
        raw=(*shown, *sorted(hidden - set(shown))),
        listing=shown,
        sector=sector,
        market=(*market, *passed_market),
        passed=(*passed, *passed_market),
        masked=choice.missing == "mask",
    )


def _matching(frame: pl.DataFrame, patterns: Sequence[str]) -> tuple[str, ...]:
    """Columns that match a pattern, in the frame's order; keys and labels only when named exactly."""
    found: dict[str, None] = {}
    for pattern in patterns:
        names = [
            name
            for name in frame.columns
            if fnmatchcase(name, pattern) and name not in RESERVED and not any(fnmatchcase(name, p) for p in LABELS)
        ]
        exact = "*" not in pattern and "?" not in pattern and "[" not in pattern
        kept = [name for name in names if exact or frame.schema[name].is_numeric() or frame.schema[name] == pl.Boolean]
        if not kept:
            raise DataError(f"passthrough {pattern!r} matches no numeric column of the clean frame")
        found |= dict.fromkeys(kept)
    bad = [name for name in found if not (frame.schema[name].is_numeric() or frame.schema[name] == pl.Boolean)]
    if bad:
        raise DataError(f"passthrough column {bad[0]} is {frame.schema[bad[0]]}, not numeric: cast it or leave it out")
    return tuple(name for name in frame.columns if name in found)


def passed_values(axis: PriceAxis, name: str) -> Floats:
    """A column of the clean frame as float64 [R], NaN for null."""
    return axis.frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
