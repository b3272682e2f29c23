"""From a prediction table to metrics with their errors, a daily table and figures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.daily import DailyMetrics, Outcome, daily_metrics
from atft_pipeline.evaluation.drift import score_drift
from atft_pipeline.evaluation.grid import Grid, horizons_of, score_columns
from atft_pipeline.evaluation.market import FACTORS, Execution, Market, random_scores
from atft_pipeline.evaluation.plausibility import check_returns, extreme_returns
from atft_pipeline.evaluation.portfolio.backtest import Backtest
from atft_pipeline.evaluation.portfolio.report import Setting, portfolios_report
from atft_pipeline.evaluation.quantiles import quantile_days
from atft_pipeline.evaluation.slice_report import SliceAxes, groupings_of, rank_ic_by_slice
from atft_pipeline.evaluation.slices import regime_of
from atft_pipeline.evaluation.summary import (
    Report,
    mean_report,
    paired_difference,
    paired_report,
    score_report,
    share_report,
)
from atft_pipeline.lineage import hash_bytes
from atft_pipeline.reporting.evaluation_figures import all_figures
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.bootstrap import Bootstrap
from atft_pipeline.stats.overfitting import overfitting_probability
from atft_pipeline.stats.rank_ic import rank_rows
from atft_pipeline.stats.significance import hac_lag

__all__ = ["Evaluation", "EvaluationConfig", "Extras", "evaluate"]

UNKNOWN = ("", "unknown")


@dataclass(frozen=True)
class Extras:
    """What makes an evaluation fuller; all of it may be absent.

    Attributes:
        market: prices on the axes of the predictions: portfolios with costs, factor baselines, styles.
        label: how the labels were made, ``close_to_close`` or ``open_to_open``.
        reference: scores of training days, for the drift.
        trials: Date and one column a trial, the return of its portfolio on each session of a study.
        lightgbm: how the tree baseline was fitted, for the record.
    """

    market: Market | None = None
    label: str = "close_to_close"
    reference: pl.DataFrame | None = None
    trials: pl.DataFrame | None = None
    lightgbm: dict[str, Any] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        metrics: plain JSON; undefined numbers are None. Every estimate carries its standard error or an interval.
        daily: one row for each day, horizon and score.
        figures: Plotly figures by name.
    """

    metrics: dict[str, Any]
    daily: pl.DataFrame
    figures: dict[str, go.Figure]


def evaluate(predictions: pl.DataFrame, settings: EvaluationConfig, extras: Extras | None = None) -> Evaluation:
    """Measure every score of a prediction table at every horizon.

    Args:
        predictions: Date, Listing, and for each horizon h ``score_h`` (the model), ``return_h`` (realised, null until
            known) and any further scores named ``<name>_h``; an ``oracle_h`` gives the share of what could be known.
        settings: what is measured.
        extras: prices, training scores and the like.

    Raises:
        DataError: a column is missing, the table is empty, a listing appears twice on a day, or a return is impossible.
    """
    return _Evaluator(predictions, settings, extras or Extras()).run()


def fingerprint(predictions: pl.DataFrame) -> str:
    """Hash of a prediction table's columns and values: metrics carry it, and so belong to these predictions alone."""
    return hash_bytes(part for column in predictions.get_columns() for part in (column.name.encode(), _bytes(column)))


def _bytes(column: pl.Series) -> bytes:
    """Values of a column as bytes, the same in every process."""
    if column.dtype == pl.Date:
        column = column.cast(pl.Int32)
    if not column.dtype.is_numeric():
        text = column.cast(pl.String).fill_null("")
        names = text.unique().sort()
        return "\n".join(names).encode() + text.cast(pl.Enum(names)).to_physical().to_numpy().tobytes()
    return np.ascontiguousarray(column.to_numpy()).tobytes()


class _Evaluator:
    """One evaluation; what all horizons share is worked out once."""

    def __init__(self, predictions: pl.DataFrame, settings: EvaluationConfig, extras: Extras) -> None:
        self.table, self.settings, self.extras = predictions, settings, extras
        self.horizons = horizons_of(predictions)
        self.grid = Grid.of(predictions)
        self.bootstrap = Bootstrap(settings.bootstrap)
        market = extras.market
        self.sessions = self.grid.days if market is None else market.sessions
        self.rows = np.searchsorted(self.sessions, self.grid.days)
        self.sector, self.sector_names = self._sectors()
        self.scored = np.isfinite(self.grid.to_days(predictions[f"score_{self.horizons[0]}"]))
        self.axes = self._slice_axes()
        self.trials = self._trials()
        self.paths: dict[int, dict[str, Backtest]] = {}

    def run(self) -> Evaluation:
        """Evaluate all horizons.

        Raises:
            DataError: no day has enough scored listings.
        """
        fullest, least = int(self.scored.sum(axis=1).max()), self.settings.min_listings
        if fullest < least:
            msg = (
                f"no test day has evaluation.min_listings ({least}) scored listings, the fullest has {fullest}; give "
                f"prices of more listings, or lower it (not below evaluation.deciles, {self.settings.deciles})"
            )
            raise DataError(msg)
        frames: list[pl.DataFrame] = []
        report: Report = {
            "rows": self.table.height,
            "days": len(self.grid.days),
            "listings": len(self.grid.listings),
            "first": str(self.grid.days[0]),
            "last": str(self.grid.days[-1]),
            "label": self.extras.label,
            "headline": self.headline(),
            "predictions": fingerprint(self.table),
            "lightgbm": self.extras.lightgbm,
            "trials": self._overfitting(),
            "horizons": {},
        }
        for horizon in self.horizons:
            part, daily = self._horizon(horizon)
            report["horizons"][str(horizon)] = part
            frames += [metrics.frame(self.grid.days, horizon, name) for name, metrics in daily.items()]
        table = pl.concat(frames)
        drawn = all_figures(report, table, self.sessions, self.paths.get(self.headline(), {}))
        return Evaluation(report, table, drawn)

    def headline(self) -> int:
        """Horizon of the conclusions.

        Raises:
            DataError: the one that was asked for is not there.
        """
        wanted = self.settings.headline
        if wanted is None:
            return 5 if 5 in self.horizons else self.horizons[0]
        if wanted not in self.horizons:
            raise DataError(
                f"headline {wanted}: the predictions have the horizons {', '.join(map(str, self.horizons))}"
            )
        return wanted

    def _horizon(self, horizon: int) -> tuple[Report, dict[str, DailyMetrics]]:
        """Report and daily metrics of one horizon."""
        settings = self.settings
        returns = self.grid.to_days(self.table[f"return_{horizon}"])
        check_returns(self.grid, returns, horizon)
        outcome = Outcome(returns, horizon)
        daily = {
            name: daily_metrics(score, outcome, settings.deciles, settings.min_listings, settings.top_k)
            for name, score in self._scores(horizon).items()
        }
        model = daily["model"]
        differences = {
            name: paired_difference(model, other, settings.min_listings)
            for name, other in daily.items()
            if name != "model"
        }
        added = {
            name: paired_difference(daily[f"model+{name}"], daily[name], settings.min_listings)
            for name in settings.blends
            if f"model+{name}" in daily
        }
        portfolios, self.paths[horizon] = self._portfolios(horizon, daily)
        benchmark = next((name for name in settings.benchmarks if name in daily), None)
        report: Report = {
            "hac_lag": hac_lag(horizon, int(np.isfinite(model.values["rank_ic"]).sum())),
            "scores": {name: score_report(metrics, horizon, self.bootstrap) for name, metrics in daily.items()},
            "paired": {name: paired_report(series, horizon, self.bootstrap) for name, series in differences.items()},
            # What the mean of both rankings has more than the other score alone.
            "incremental_ic": {name: paired_report(series, horizon, self.bootstrap) for name, series in added.items()},
            "portfolios": portfolios,
            "benchmark": benchmark,
            "slices": rank_ic_by_slice(
                model,
                None if benchmark is None else daily[benchmark],
                None if benchmark is None else differences[benchmark],
                self.axes,
                horizon,
                settings.min_group,
            ),
            "quantiles": self._quantiles(horizon),
            "drift": score_drift(self.table, horizon, self.extras.reference),
            "largest_returns": extreme_returns(self.grid, returns),
        }
        if "oracle" in daily:
            oracle = daily["oracle"].values["rank_ic"]
            report["share_of_oracle"] = share_report(model.values["rank_ic"], oracle, horizon, self.bootstrap)
        return report, daily

    def _scores(self, horizon: int) -> dict[str, Floats]:
        """Every score of a horizon on the axes of the grid, the model first, then blends and factors."""
        columns = score_columns(self.table, horizon)
        found = {name: self.grid.to_days(self.table[column]) for name, column in columns.items()}
        found |= {
            f"model+{name}": _blend(found["model"], found[name]) for name in self.settings.blends if name in found
        }
        factors = {} if self.extras.market is None else self.extras.market.factors
        for name in FACTORS:
            if name == "random":
                values = random_scores(self.scored.shape, self.settings.seed)
            elif name in factors:
                values = factors[name][self.rows]
            else:
                continue
            found[name] = np.where(np.isfinite(found["model"]), values, np.nan)
        oracles = [name for name in found if name.startswith("oracle")]
        return {name: found[name] for name in [*(n for n in found if n not in oracles), *oracles]}

    def _portfolios(self, horizon: int, daily: dict[str, DailyMetrics]) -> tuple[Report, dict[str, Backtest]]:
        """Portfolios of the model and of the scores that were asked for."""
        forward = self._forward()
        if forward is None:
            return {"left_out": "neither prices nor returns of one session are known"}, {}
        market, portfolios = self.extras.market, self.settings.portfolios
        setting = Setting(
            portfolios=portfolios,
            deciles=self.settings.deciles,
            horizon=horizon,
            sessions=self.sessions,
            listings=self.grid.listings,
            forward=forward,
            sector=self.sector,
            beta=None if market is None else market.styles["beta"],
            dollar_volume=None if market is None else market.dollar_volume,
            trials=self.trials.shape[1] if self.trials is not None else self.settings.trials,
            trial_deviation=None if self.trials is None or self.trials.shape[1] < 2 else _deviation(self.trials),
        )
        names = ["model", *(name for name in portfolios.scores if name in daily and name != "model")]
        report, paths = portfolios_report(
            {name: self._stretch(daily[name].all_ranks) for name in names}, setting, self.bootstrap
        )
        return report, paths

    def _forward(self) -> Floats | None:
        """Return of the session that follows each session, as the portfolios are executed."""
        market, wanted = self.extras.market, self.settings.portfolios.execution
        if market is not None:
            label: Execution = "open" if self.extras.label == "open_to_open" else "close"
            return market.forward[label if wanted == "label" else wanted]
        if 1 not in self.horizons:
            return None
        return self.grid.to_days(self.table["return_1"])

    def _stretch(self, values: Floats) -> Floats:
        """From the scored days to all sessions between them; NaN on those that were not scored."""
        if len(self.sessions) == len(self.grid.days):
            return values
        stretched = np.full((len(self.sessions), values.shape[1]), np.nan)
        stretched[self.rows] = values
        return stretched

    def _sectors(self) -> tuple[npt.NDArray[np.int64] | None, list[str]]:
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

    def _slice_axes(self) -> SliceAxes:
        """Groups of cells and days."""
        market = self.extras.market
        sector = None
        if self.sector is not None:
            sector = np.where(self.scored, self.sector, -1).astype(np.int8)
        if market is None:
            groupings = groupings_of(sector, self.sector_names, None, None, 2, 1)
            return SliceAxes(self.grid.days, groupings, [], {})

        def here(values: Floats) -> Floats:
            return np.where(self.scored, values[self.rows], np.nan)

        groupings = groupings_of(
            sector,
            self.sector_names,
            here(market.dollar_volume),
            here(market.volatility),
            self.settings.size_groups,
            self.settings.universe,
        )
        styles = {name: rank_rows(here(values)) for name, values in market.styles.items()}
        return SliceAxes(self.grid.days, groupings, regime_of(market.regime[self.rows]), styles)

    def _quantiles(self, horizon: int) -> Report | None:
        """Calibration of each level and the score of the quantiles against constant ones."""
        days = quantile_days(self.table, self.grid, horizon)
        if days is None:
            return None
        skill = share_report(days.reference - days.crps, days.reference, horizon, self.bootstrap)
        return {
            "levels": [
                {"level": level, "below": mean_report(days.below[:, position], horizon, self.bootstrap)}
                for position, level in enumerate(days.levels)
            ],
            "crps": mean_report(days.crps, horizon, self.bootstrap),
            "reference": mean_report(days.reference, horizon, self.bootstrap),
            "skill": skill,
            "crossed": days.crossed,
        }

    def _trials(self) -> Floats | None:
        """Returns of the trials [T, N], ``None`` without a study."""
        if self.extras.trials is None:
            return None
        return self.extras.trials.drop("Date", strict=False).drop_nulls().to_numpy().astype(np.float64)

    def _overfitting(self) -> Report:
        """What the number of trials means; the probability of overfitting where their returns are known."""
        count = self.settings.trials if self.trials is None else self.trials.shape[1]
        if self.trials is None or count < 2 or len(self.trials) < 2 * self.settings.groups:
            return {"count": count, "probability_of_overfitting": None}
        result = overfitting_probability(self.trials, self.settings.groups)
        return {
            "count": count,
            "probability_of_overfitting": {"value": result.probability, "se": result.se},
            "probability_of_loss": result.loss_probability,
            "combinations": result.combinations,
        }


def _blend(left: Floats, right: Floats) -> Floats:
    """Mean of the two scores' ranks of the day; NaN where one is absent."""
    from_both = np.isfinite(left) & np.isfinite(right)
    return (rank_rows(np.where(from_both, left, np.nan)) + rank_rows(np.where(from_both, right, np.nan))) / 2


def _deviation(trials: Floats) -> float:
    """Standard deviation of the trials' Sharpe ratios of one session."""
    spread = trials.std(axis=0, ddof=1)
    return float((trials.mean(axis=0) / np.where(spread > 0, spread, np.inf)).std(ddof=1))
