"""Portfolios of the scores of one horizon, judged and summarised."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.evaluation.plausibility import SESSIONS_A_YEAR, check_backtest
from atft_pipeline.evaluation.portfolio.backtest import Backtest, capacity, max_drawdown, run_backtest
from atft_pipeline.evaluation.portfolio.weights import KINDS, Kind, PortfolioConfig, portfolio_weights
from atft_pipeline.evaluation.summary import ratio_report
from atft_pipeline.features.extras import BETA
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.bootstrap import Bootstrap
from atft_pipeline.stats.overfitting import deflated_sharpe
from atft_pipeline.stats.report import Report, as_json, mean_report, number
from atft_pipeline.stats.significance import estimate, slope

PARTICIPATION = 0.01
"""Share of a listing's mean daily dollar volume that may be traded, for the capacity."""


@dataclass(frozen=True)
class Setting:
    """What portfolios of a horizon share.

    Attributes:
        portfolios: how they are built.
        deciles: score buckets.
        top_k: listings of the long-only portfolio.
        horizon: sessions that a sleeve is held.
        sessions: axis of all arrays [T].
        listings: names [N].
        forward: return of the session that follows [T, N].
        market: the market's return over that session [T].
        sector: number of each listing's sector [N], ``None`` where only one is known.
        beta: of each listing, as the panel has it [T, N]; ``None`` where it has none.
        dollar_volume: [T, N] or ``None``.
        trials: configurations that the model was chosen from.
        trial_deviation: standard deviation of their Sharpe ratios of one session; ``None`` where not known.
    """

    portfolios: PortfolioConfig
    deciles: int
    top_k: int
    horizon: int
    sessions: Dates
    listings: tuple[str, ...]
    forward: Floats
    market: Floats
    sector: npt.NDArray[np.int64] | None
    beta: Floats | None
    dollar_volume: Floats | None
    trials: int
    trial_deviation: float | None

    @property
    def overlapping(self) -> bool:
        """Whether h sleeves share the capital."""
        return self.portfolios.sleeves == "overlapping"

    def why_not(self, kind: Kind) -> str | None:
        """Reason that a portfolio cannot be built, ``None`` where it can."""
        if kind == "sector_neutral" and self.sector is None:
            return "no sectors are known"
        if kind == "beta_neutral" and self.beta is None:
            return f"the panel has no feature {BETA}"
        return None


def portfolios_report(
    ranks: dict[str, Floats], setting: Setting, bootstrap: Bootstrap
) -> tuple[Report, dict[str, Backtest]]:
    """Build every portfolio of the model, and the two plain ones of the other scores.

    Args:
        ranks: of the scores within their session by name, the model first [T, N].
        setting: what the portfolios share.
        bootstrap: of the intervals.

    Returns:
        Report by portfolio and score, and the paths of the model's plausible portfolios.
    """
    report: Report = {}
    paths: dict[str, Backtest] = {}
    for kind in KINDS:
        reason = setting.why_not(kind)
        if reason is not None:
            report[kind] = {"left_out": reason}
            continue
        names = list(ranks) if kind in ("long_short", "top_k") else ["model"]
        built = {name: _build(kind, ranks[name], setting) for name in names}
        report[kind] = {name: _summarise(*pair, setting, bootstrap) for name, pair in built.items()}
        model = report[kind]["model"]
        if model["plausible"]:
            paths[kind] = built["model"][0]
            model["net_difference"] = {
                name: _difference(built["model"][0], built[name][0], setting, bootstrap)
                for name in names
                if name != "model" and report[kind][name]["plausible"]
            }
    return report, paths


def _build(kind: Kind, ranks: Floats, setting: Setting) -> tuple[Backtest, Floats]:
    """Path and weights of one portfolio."""
    settings = setting.portfolios
    weights = portfolio_weights(
        kind, ranks, settings.max_weight, setting.deciles, setting.top_k, setting.sector, setting.beta
    )
    overlapping = setting.overlapping
    return run_backtest(weights, setting.forward, setting.horizon, settings.cost_bp, overlapping=overlapping), weights


def _summarise(backtest: Backtest, weights: Floats, setting: Setting, bootstrap: Bootstrap) -> Report:
    """All numbers of one portfolio; those of an implausible one are withheld."""
    horizon = setting.horizon
    report = check_backtest(backtest, setting.sessions, setting.listings)
    if not report["plausible"]:
        return report
    report |= {name: _path(getattr(backtest, name), setting, bootstrap) for name in ("gross", "net")}
    report["turnover"] = mean_report(backtest.turnover, horizon, bootstrap)
    report["exposure"] = mean_report(backtest.exposure, horizon)
    report["net_exposure"] = mean_report(backtest.net_exposure, horizon)
    report["beta"] = as_json(slope(backtest.gross, setting.market, horizon))
    report["listings_held"] = mean_report((weights != 0).sum(axis=1).astype(np.float64), horizon)
    if setting.dollar_volume is not None:
        bearable = capacity(weights, setting.dollar_volume, PARTICIPATION, horizon, overlapping=setting.overlapping)
        report["capacity"] = mean_report(bearable, horizon, bootstrap)
    luck = deflated_sharpe(backtest.net, setting.trials, setting.trial_deviation)
    report["deflated_sharpe"] = {
        "probability": number(luck.probability),
        "benchmark": number(luck.benchmark * math.sqrt(SESSIONS_A_YEAR)),
        "trials": luck.trials,
    }
    return report


def _path(returns: Floats, setting: Setting, bootstrap: Bootstrap) -> Report:
    """Annual return and volatility, Sharpe ratio and drawdown of one path, with their errors."""
    year, horizon = SESSIONS_A_YEAR, setting.horizon
    known = returns[np.isfinite(returns)]
    deviation = float(known.std(ddof=1)) if known.size > 1 else math.nan
    # Delta method: the error of a deviation is that of the variance over twice the deviation.
    spread = estimate((known - known.mean()) ** 2, horizon) if known.size > 1 else None
    error = spread.se / (2 * deviation) if spread is not None and deviation > 0 else math.nan
    interval = bootstrap.max_drawdown(returns, horizon)
    return {
        "annual_return": mean_report(year * returns, horizon, bootstrap),
        "volatility": {"value": number(math.sqrt(year) * deviation), "se": number(math.sqrt(year) * error)},
        "sharpe": ratio_report(returns, horizon, bootstrap, math.sqrt(year)),
        "max_drawdown": {
            "value": number(max_drawdown(returns)),
            "low": number(interval.low),
            "high": number(interval.high),
        },
    }


def _difference(model: Backtest, other: Backtest, setting: Setting, bootstrap: Bootstrap) -> Report:
    """Annual net return of the model's portfolio less that of another score's, session by session."""
    return mean_report(SESSIONS_A_YEAR * (model.net - other.net), setting.horizon, bootstrap)
