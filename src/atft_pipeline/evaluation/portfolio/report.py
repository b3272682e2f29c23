"""Portfolios of the scores of one horizon, judged and summarised."""

import math

import numpy as np

from atft_pipeline.evaluation.inputs import Inputs
from atft_pipeline.evaluation.plausibility import SESSIONS_A_YEAR, check_backtest
from atft_pipeline.evaluation.portfolio.backtest import Backtest, capacity, max_drawdown, run_backtest
from atft_pipeline.evaluation.portfolio.weights import KINDS, Kind, portfolio_weights
from atft_pipeline.evaluation.summary import ratio_report, share_report
from atft_pipeline.features.extras import BETA
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.bootstrap import Bootstrap
from atft_pipeline.stats.overfitting import deflated_sharpe
from atft_pipeline.stats.report import Report, as_json, mean_report, number
from atft_pipeline.stats.significance import estimate, slope

PARTICIPATION = 0.01
"""Share of a listing's mean daily dollar volume that may be traded, for the capacity."""


def portfolios_report(inputs: Inputs, horizon: int, ranks: dict[str, Floats]) -> tuple[Report, dict[str, Backtest]]:
    """Build every portfolio of the model, and the two plain ones of the other scores.

    Args:
        inputs: prices, sectors, betas and how scores are traded.
        horizon: sessions that a sleeve is held.
        ranks: of the scores within their session by name, the model first [T, N].

    Returns:
        Report by portfolio and score, and the paths of the model's plausible portfolios.
    """
    if inputs.forward is None:
        return {"left_out": "neither prices nor returns of one session are known"}, {}
    report: Report = {}
    paths: dict[str, Backtest] = {}
    for kind in KINDS:
        reason = _why_not(kind, inputs)
        if reason is not None:
            report[kind] = {"left_out": reason}
            continue
        names = list(ranks) if kind in ("long_short", "top_k") else ["model"]
        built = {name: _build(kind, ranks[name], inputs.forward, inputs, horizon) for name in names}
        report[kind] = {name: _summarise(*pair, inputs, horizon) for name, pair in built.items()}
        model, path = report[kind]["model"], built["model"][0]
        if model["plausible"]:
            paths[kind] = path
            if kind == "long_short":
                model["sharpe_at_close"] = _at_close(built["model"][1], inputs, horizon)
            # Annual net return of the model's portfolio less that of another score's, session by session.
            model["net_difference"] = {
                name: mean_report(SESSIONS_A_YEAR * (path.net - built[name][0].net), horizon, inputs.bootstrap)
                for name in names
                if name != "model" and report[kind][name]["plausible"]
            }
    return report, paths


def _why_not(kind: Kind, inputs: Inputs) -> str | None:
    """Reason that a portfolio cannot be built, ``None`` where it can."""
    if kind == "sector_neutral" and inputs.sectors[0] is None:
        return "no sectors are known"
    if kind == "beta_neutral" and inputs.beta is None:
        return f"the panel has no feature {BETA}"
    return None


def _build(kind: Kind, ranks: Floats, forward: Floats, inputs: Inputs, horizon: int) -> tuple[Backtest, Floats]:
    """Path and weights of one portfolio."""
    settings, traded = inputs.settings, inputs.settings.portfolios
    weights = portfolio_weights(
        kind, ranks, traded.max_weight, settings.deciles, settings.top_k, inputs.sectors[0], inputs.beta
    )
    return run_backtest(weights, forward, horizon, inputs.cost_bp, overlapping=traded.overlapping), weights


def _summarise(backtest: Backtest, weights: Floats, inputs: Inputs, horizon: int) -> Report:
    """All numbers of one portfolio; those of an implausible one are withheld."""
    bootstrap, market = inputs.bootstrap, inputs.extras.market
    report = check_backtest(backtest, inputs.sessions, inputs.grid.listings)
    if not report["plausible"]:
        return report
    report |= {name: _path(getattr(backtest, name), horizon, bootstrap) for name in ("gross", "net")}
    report["turnover"] = mean_report(backtest.turnover, horizon, bootstrap)
    report["cost_bp"] = share_report(1e4 * backtest.cost, backtest.turnover, horizon, bootstrap)
    report["exposure"] = mean_report(backtest.exposure, horizon)
    report["net_exposure"] = mean_report(backtest.net_exposure, horizon)
    report["beta"] = as_json(slope(backtest.gross, inputs.market_return, horizon))
    report["listings_held"] = mean_report((weights != 0).sum(axis=1).astype(np.float64), horizon)
    if market is not None and market.dollar_volume is not None:
        overlapping = inputs.settings.portfolios.overlapping
        bearable = capacity(weights, market.dollar_volume, PARTICIPATION, horizon, overlapping=overlapping)
        report["capacity"] = mean_report(bearable, horizon, bootstrap)
    luck = deflated_sharpe(backtest.net, inputs.trial_count, inputs.trial_deviation)
    report["deflated_sharpe"] = {
        "probability": number(luck.probability),
        "benchmark": number(luck.benchmark * math.sqrt(SESSIONS_A_YEAR)),
        "trials": luck.trials,
    }
    return report


def _at_close(weights: Floats, inputs: Inputs, horizon: int) -> Report | None:
    """Sharpe ratio after costs of the same trades at the close of the scores, where nobody can trade.

    What it is above the portfolio's own is bounce and what moves overnight. ``None`` where that is not known, or where
    the portfolio trades there already.
    """
    market, traded = inputs.extras.market, inputs.settings.portfolios
    if market is None or inputs.execution == "close_to_close":
        return None
    forward = market.forward("close_to_close")
    path = run_backtest(weights, forward, horizon, inputs.cost_bp, overlapping=traded.overlapping)
    return ratio_report(path.net, horizon, inputs.bootstrap, math.sqrt(SESSIONS_A_YEAR))


def _path(returns: Floats, horizon: int, bootstrap: Bootstrap) -> Report:
    """Annual return and volatility, Sharpe ratio and drawdown of one path, with their errors."""
    year = SESSIONS_A_YEAR
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
