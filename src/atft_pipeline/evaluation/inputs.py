"""What all horizons of an evaluation share: the table on its axes, what is known of the listings, and the sessions.

D scored days, T sessions from the first to the last of them, N listings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.characteristics import Characteristics
from atft_pipeline.evaluation.config import BASELINES, EvaluationConfig
from atft_pipeline.evaluation.grid import Dates, Grid, horizons_of
from atft_pipeline.evaluation.market import Market, Timing
from atft_pipeline.evaluation.slice_report import SliceAxes, slice_axes
from atft_pipeline.features.extras import BETA, RETURN_CAP
from atft_pipeline.stats.arrays import Booleans, Floats
from atft_pipeline.stats.bootstrap import Bootstrap

UNKNOWN = ("", "unknown")


@dataclass(frozen=True)
class Extras:
    """What makes an evaluation fuller; all of it may be absent.

    Attributes:
        market: prices on the axes of the predictions, for portfolios with costs and capacity.
        characteristics: features of the panel, for simple factors, styles and a beta-neutral portfolio.
        label: how the labels were made, ``close_to_close`` or ``open_to_open``.
        reference: scores of training days, for the drift.
        others: Date, Listing, ``score_h`` and ``return_h`` of what is no stock, for one row of the slices.
        trials: Date and one column a trial, the return of its portfolio on each session of a study.
        baselines: how they were fitted, and by their validation RankIC the best of each horizon; see
            :class:`~atft_pipeline.baselines.frames.Baselines`.
    """

    market: Market | None = None
    characteristics: Characteristics = field(default_factory=lambda: Characteristics({}))
    label: str = "close_to_close"
    reference: pl.DataFrame | None = None
    others: pl.DataFrame | None = None
    trials: pl.DataFrame | None = None
    baselines: dict[str, Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """One prediction table, laid out once.

    Attributes:
        table: the predictions.
        settings: what is measured.
        extras: what else is known.
        grid: axes of the table.
        horizons: sessions ahead, ascending.
    """

    table: pl.DataFrame
    settings: EvaluationConfig
    extras: Extras
    grid: Grid
    horizons: tuple[int, ...]

    @classmethod
    def of(cls, table: pl.DataFrame, settings: EvaluationConfig, extras: Extras) -> "Inputs":
        """Lay a table out.

        Raises:
            DataError: a column is missing, a listing appears twice on a day, or no day has enough scored listings.
        """
        found = cls(table, settings, extras, Grid.of(table), horizons_of(table))
        fullest, least = int(found.scored.sum(axis=1).max()), settings.min_listings
        if fullest < least:
            msg = (
                f"no test day has evaluation.min_listings ({least}) scored listings, the fullest has {fullest}; give "
                f"prices of more listings, or lower it (not below evaluation.deciles, {settings.deciles})"
            )
            raise DataError(msg)
        return found

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Draws that all intervals share."""
        return Bootstrap()

    @cached_property
    def scored(self) -> Booleans:
        """Cells that the model scored [D, N]."""
        return np.isfinite(self.grid.to_days(self.table[f"score_{self.horizons[0]}"]))

    @property
    def sessions(self) -> Dates:
        """Sessions that a portfolio lives through [T]; the scored days where no others are known."""
        return self.grid.days if self.extras.market is None else self.extras.market.sessions

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Position of each scored day among the sessions [D]."""
        return np.searchsorted(self.sessions, self.grid.days)

    def on_sessions(self, values: Floats) -> Floats:
        """From the scored days [D, N] to all sessions between them [T, N]; NaN on those that were not scored."""
        if len(self.sessions) == len(self.grid.days):
            return values
        stretched = np.full((len(self.sessions), values.shape[1]), np.nan)
        stretched[self.rows] = values
        return stretched

    @cached_property
    def execution(self) -> Timing | None:
        """When the portfolios enter: at the next open, or with a session skipped where no open is known.

        ``None`` without prices: the portfolios are marked with the returns of the table.

        Raises:
            DataError: the next open was asked for and the prices have none.
        """
        market, wanted = self.extras.market, self.settings.portfolios.execution
        if market is None:
            return None
        if wanted == "open_to_open" and market.no_opens:
            msg = f"evaluation.portfolios.execution={wanted}: {market.no_opens}; use auto or session_skipped"
            raise DataError(msg)
        if wanted == "auto":
            return "session_skipped" if market.no_opens else "open_to_open"
        return wanted

    @cached_property
    def forward(self) -> Floats | None:
        """Return of the session that follows the entry, as the portfolios are executed [T, N]."""
        if self.extras.market is not None and self.execution is not None:
            return self.extras.market.forward(self.execution)
        return self.grid.to_days(self.table["return_1"]) if 1 in self.horizons else None

    @cached_property
    def cost_bp(self) -> Floats:
        """Cost of a trade in basis points of its notional: half of the spread, at least ``cost_bp`` [T, N] or [].

        A listing whose spread is not known costs ``cost_bp``.
        """
        least = np.asarray(self.settings.portfolios.cost_bp)
        spread = self.half_spread
        return least if spread is None else np.fmax(1e4 * spread, least)

    @property
    def half_spread(self) -> Floats | None:
        """Half of the estimated bid-ask spread, a fraction of the price [T, N]; ``None`` where not known."""
        return None if self.extras.market is None else self.extras.market.half_spread

    def returns(self, timing: Timing, horizon: int) -> Floats | str:
        """Realised returns by when a trade enters [D, N]; or why they are not known.

        Those of the labels are the table's own.
        """
        market = self.extras.market
        if timing == self.extras.label:
            return self.grid.to_days(self.table[f"return_{horizon}"])
        if market is None:
            return "no prices are known"
        if timing == "open_to_open" and market.no_opens:
            return market.no_opens
        return market.returns(timing, horizon, self.rows)

    @cached_property
    def market_return(self) -> Floats:
        """Return of the market over the session that follows each session, NaN on those that were not scored [T].

        The equal-weighted mean of the scored listings, single returns capped as in the market features.
        """
        if self.forward is None:
            return np.full(len(self.sessions), np.nan)
        held = self.on_sessions(np.where(self.scored, 1.0, np.nan)) * self.forward
        known = np.isfinite(held)
        total = np.where(known, np.clip(held, -RETURN_CAP, RETURN_CAP), 0.0).sum(axis=1)
        return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)

    @cached_property
    def sectors(self) -> tuple[npt.NDArray[np.int64] | None, list[str]]:
        """Sector number of each listing [N] and the names; ``None`` where fewer than two are known."""
        if "sector" not in self.table.columns:
            return None, []
        pairs = self.table.select("Listing", "sector").unique("Listing", keep="last")
        named = dict(zip(pairs["Listing"].cast(pl.String), pairs["sector"].fill_null("unknown"), strict=True))
        by_listing = [named[name] or "unknown" for name in self.grid.listings]
        names = sorted(set(by_listing))
        if len([name for name in names if name not in UNKNOWN]) < 2:
            return None, []
        return np.array([names.index(name) for name in by_listing], dtype=np.int64), names

    def benchmark(self, horizon: int, names: Iterable[str]) -> str | None:
        """Name of the score that the conclusions compare with: the best baseline of the validation days.

        Of folds it is the score of each fold's own best. A table that tells neither is compared with its first
        baseline.

        Args:
            horizon: sessions ahead.
            names: scores that there are.
        """
        if self.extras.baselines is not None:
            return str(self.extras.baselines["benchmark"][str(horizon)])
        return next((name for name in ("benchmark", *BASELINES) if name in names), None)

    @cached_property
    def beta(self) -> Floats | None:
        """Beta of each listing, as the panel has it [T, N]; ``None`` where it has none."""
        beta = self.extras.characteristics.values.get(BETA)
        return None if beta is None else self.on_sessions(beta)

    @cached_property
    def slices(self) -> SliceAxes:
        """Groups of cells and days."""
        market = self.extras.market
        return slice_axes(
            self.grid.days,
            self.scored,
            self.sectors,
            None if market is None or market.dollar_volume is None else market.dollar_volume[self.rows],
            self.extras.characteristics,
            self.settings.universe,
        )

    @cached_property
    def trials(self) -> Floats | None:
        """Returns of the trials [sessions of the study, trials], ``None`` without a study."""
        if self.extras.trials is None:
            return None
        return self.extras.trials.drop("Date", strict=False).drop_nulls().to_numpy().astype(np.float64)

    @property
    def trial_count(self) -> int:
        """Configurations that the model was chosen from."""
        return self.settings.trials if self.trials is None else self.trials.shape[1]

    @property
    def trial_deviation(self) -> float | None:
        """Standard deviation of the trials' Sharpe ratios of one session; ``None`` where not known."""
        if self.trials is None or self.trial_count < 2:
            return None
        spread = self.trials.std(axis=0, ddof=1)
        return float((self.trials.mean(axis=0) / np.where(spread > 0, spread, np.inf)).std(ddof=1))
