"""What is known of a listing on a day, as the panel has it: simple factors as baselines, styles, beta, volatility.

D days, N listings. The features are those that the model may read, so momentum and beta have one definition; the panel
holds their ranks within the day as normal scores (unless ``features.normalisation`` says otherwise), which leaves every
rank correlation as it is.
"""

from dataclasses import dataclass

import numpy as np

from atft_pipeline.baselines.factors import FACTORS, MOMENTUM
from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.features.extras import BETA
from atft_pipeline.panel.panel import Panel
from atft_pipeline.stats.arrays import Floats

VOLATILITY, REGIME = "RV60", "MARKET_VOL20"

STYLES = {"beta": BETA, "idiosyncratic_volatility": "IVOL60", "momentum": MOMENTUM}
"""Known styles by the feature that measures them; dollar volume is one more, taken from the prices."""

WANTED = (*(name for name, _ in FACTORS.values()), *STYLES.values(), VOLATILITY, REGIME)


@dataclass(frozen=True)
class Characteristics:
    """Features of the panel on the axes of an evaluation.

    Attributes:
        values: by the feature's name [D, N]; NaN where the listing has no row.
    """

    values: dict[str, Floats]

    @property
    def absent(self) -> list[str]:
        """Features that the panel does not have, such as one of a prepared table."""
        return [name for name in dict.fromkeys(WANTED) if name not in self.values]

    @property
    def factors(self) -> dict[str, Floats]:
        """Baseline scores by name, higher = expected to rise [D, N]."""
        return {name: sign * self.values[column] for name, (column, sign) in FACTORS.items() if column in self.values}

    @property
    def styles(self) -> dict[str, Floats]:
        """Styles by name [D, N]."""
        return {name: self.values[column] for name, column in STYLES.items() if column in self.values}

    @property
    def regime(self) -> Floats | None:
        """Volatility of the market, one value a day [D]."""
        if REGIME not in self.values:
            return None
        filled = np.nan_to_num(self.values[REGIME], nan=-np.inf)
        return np.where(np.isfinite(level := filled.max(axis=1)), level, np.nan)


def characteristics_of(panel: Panel, grid: Grid) -> Characteristics:
    """Read the features of the scored days.

    Raises:
        DataError: a scored day is not in the panel.
    """
    names = [name for name in dict.fromkeys(WANTED) if name in panel.meta.feature_names]
    if not names:
        return Characteristics({})
    missing = np.setdiff1d(grid.days, panel.dates)
    if missing.size:
        raise DataError(f"the panel has no day {missing[0]}, which was scored; run kedro run --pipeline=evaluate")
    seen = panel.select(names)
    column = {name: position for position, name in enumerate(grid.listings)}
    # Column of each of the panel's listings; those that were never scored go to one more column, which is dropped.
    target = np.array([column.get(name, len(column)) for name in panel.listings])
    laid = np.full((len(seen.meta.feature_names), len(grid.days), len(column) + 1), np.nan)
    for day, index in enumerate(np.searchsorted(panel.dates, grid.days)):
        rows = seen.day(int(index))
        laid[:, day, target[rows.listing]] = rows.features.T
    return Characteristics(dict(zip(seen.meta.feature_names, laid[..., :-1], strict=True)))
