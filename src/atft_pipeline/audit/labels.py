"""Returns and targets of the panel, computed once more from clean prices by code that shares nothing with the library.

Legend: D days, N listings, n listings of one day, Q horizons.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri
from scipy.stats import rankdata

from atft_pipeline.audit.finding import Finding
from atft_pipeline.audit.stored import Stored
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.panel.panel import PanelDay

Floats = npt.NDArray[np.float64]
RETURNS = 1e-5  # relative difference that float32 explains
TARGETS = 2e-3  # in standard deviations; ties that rounding parts


@dataclass
class _Count:
    """What was compared so far, by horizon."""

    checked: int = 0
    differing: int = 0
    first: str = ""

    def add(self, wrong: npt.NDArray[np.bool_], where: str) -> None:
        self.checked += wrong.size
        self.differing += int(wrong.sum())
        if wrong.any() and not self.first:
            self.first = where


def check_labels(stored: Stored) -> Iterator[Finding]:
    """Compare every return and every target of the panel; a panel without prices brings its own and is left out.

    Args:
        stored: its panel and clean prices.
    """
    if "Close" not in stored.clean.columns:
        return
    panel, horizons = stored.panel, stored.panel.meta.horizons
    returns = {horizon: forward(stored, horizon) for horizon in horizons}
    counts = {f"{kind}_{horizon}": _Count() for horizon in horizons for kind in ("return", "target")}
    for number in range(len(panel.dates)):
        day = panel.day(number)
        date = str(panel.dates[number])
        for place, horizon in enumerate(horizons):
            own = returns[horizon][number, day.listing]
            given = day.returns[:, place].astype(np.float64)
            wrong = (np.isfinite(given) != np.isfinite(own)) | (np.abs(given - own) > RETURNS * (1 + np.abs(own)))
            name = f"return_{horizon}"
            counts[name].add(wrong, f"{date} {_name(stored, day, wrong)}")
            _add_target(counts[f"target_{horizon}"], stored, day, place, own, date)
    for name, count in counts.items():
        passed = not count.differing
        yield Finding("stored labels", name, "all", count.checked, count.differing, count.first, passed)


def forward(stored: Stored, horizon: int) -> npt.NDArray[np.float32]:
    """Forward returns [D, N], sessions counted on the panel's days."""
    grid = price_grid(stored, "Close" if stored.labels.label == "close_to_close" else "Open")
    delay = 0 if stored.labels.label == "close_to_close" else 1
    out = np.full(grid.shape, np.nan, dtype=np.float32)
    last = len(grid) - horizon - delay
    if last > 0:
        with np.errstate(all="ignore"):
            value = grid[horizon + delay :] / grid[delay : delay + last] - 1.0
        value[~np.isfinite(value)] = np.nan
        # The day itself must have traded too where its own close begins the return; an entry at the open needs none.
        out[:last] = value
    out[~_rows(stored)] = np.nan
    return out


def price_grid(stored: Stored, column: str) -> Floats:
    """One price column on the axes of the panel [D, N], NaN where there is none."""
    panel = stored.panel
    grid = np.full((len(panel.dates), len(panel.listings)), np.nan)
    day, listing = _places(stored)
    grid[day, listing] = stored.clean[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return grid


def _rows(stored: Stored) -> npt.NDArray[np.bool_]:
    present = np.zeros((len(stored.panel.dates), len(stored.panel.listings)), dtype=bool)
    present[_places(stored)] = True
    return present


def _places(stored: Stored) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Day and listing index of each clean row."""
    panel = stored.panel
    day = np.searchsorted(panel.dates, stored.clean["Date"].to_numpy().astype("datetime64[D]"))
    names = pl.DataFrame({"Listing": list(panel.listings), "place": np.arange(len(panel.listings))})
    listing = stored.clean.select("Listing").join(names, on="Listing", how="left", maintain_order="left")["place"]
    return day.astype(np.int64), listing.to_numpy().astype(np.int64)


def targets_of(
    returns: npt.NDArray[np.float32],
    universe: npt.NDArray[np.bool_],
    how: FeaturesConfig,
) -> Floats:
    """The panel's targets [n] of one day from its returns."""
    known = np.isfinite(returns) & universe
    value = returns[known].astype(np.float64)
    out = np.full(len(returns), np.nan)
    if not value.size:
        return out
    if how.target_normalisation == "rank_gauss":
        value = np.clip(ndtri((rankdata(value) - 0.5) / len(value)), -how.clip, how.clip)
    elif how.target_normalisation == "robust_z":
        centred = value - np.median(value)
        scale = 1.4826022185056018 * np.median(np.abs(centred)) or np.sqrt(np.mean(centred**2)) or np.inf
        value = np.clip(centred / scale, -how.clip, how.clip)
    out[known] = value
    return out


def _add_target(
    count: _Count, stored: Stored, day: PanelDay, place: int, own: npt.NDArray[np.float32], date: str
) -> None:
    """Compare the targets of one horizon on one day."""
    given = day.targets[:, place].astype(np.float64)
    # Where the panel's return is right to the last bits, its ties are those that the target was ranked with.
    source = np.where(np.abs(day.returns[:, place] - own) <= RETURNS * (1 + np.abs(own)), day.returns[:, place], own)
    expected = targets_of(source.astype(np.float32), day.universe, stored.labels)
    wrong = (np.isfinite(given) != np.isfinite(expected)) | (np.abs(given - expected) > TARGETS)
    count.add(wrong, f"{date} {_name(stored, day, wrong)}")


def _name(stored: Stored, day: PanelDay, wrong: npt.NDArray[np.bool_]) -> str:
    return stored.panel.listings[day.listing[int(np.argmax(wrong))]] if wrong.any() else ""
