"""RankIC by when a trade on the scores can enter: what is left of a skill at prices that somebody can trade at.

A close may lie at the bid or at the ask. Scores that know which, as every reversal does, rank the returns from that
close well, and nobody earns it: the next price does not begin there (Roll 1984).
"""

import numpy as np

from atft_pipeline.evaluation.config import FITTED
from atft_pipeline.evaluation.daily import DailyMetrics
from atft_pipeline.evaluation.inputs import Inputs
from atft_pipeline.evaluation.market import TIMINGS
from atft_pipeline.evaluation.slice_report import MIN_GROUP
from atft_pipeline.evaluation.slices import rank_ic_within
from atft_pipeline.evaluation.summary import paired_report, share_report
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import centre_rows, correlate, ranked, rerank_rows
from atft_pipeline.stats.report import Report, mean_report

Daily = dict[str, Floats]
"""RankIC of each day by score [D]."""


def rank_ic_by_timing(inputs: Inputs, horizon: int, daily: dict[str, DailyMetrics], benchmark: str | None) -> Report:
    """RankIC of the model and of what it is compared with, for all listings and for the most traded.

    Args:
        inputs: prices, and the groups of listings.
        horizon: sessions that a trade is held.
        daily: metrics of every score by name.
        benchmark: score of the conclusions.

    Returns:
        By timing, and by ``all`` and, where the dollar volume is known, ``most_traded``: RankIC of each score and the
        model less it, on the rows that all of them scored; and of timings that can be traded the share of the model's
        close-to-close RankIC that is left. ``left_out`` says why a timing is not known.
    """
    wanted = dict.fromkeys(("model", *FITTED, benchmark, "oracle"))
    ranks = {name: daily[name].all_ranks for name in wanted if name in daily}
    report: Report = {}
    first: dict[str, Daily] = {}
    for timing in TIMINGS:
        returns = inputs.returns(timing, horizon)
        if isinstance(returns, str):
            report[timing] = {"left_out": returns}
            continue
        found = _by_universe(inputs, ranks, returns)
        report[timing] = {universe: _summarise(series, inputs, horizon) for universe, series in found.items()}
        for universe, series in found.items() if first else ():
            left = share_report(series["model"], first[universe]["model"], horizon, inputs.bootstrap)
            report[timing][universe]["share_left"] = left
        if timing == "close_to_close":
            first = found
    return report


def _by_universe(inputs: Inputs, ranks: Daily, returns: Floats) -> dict[str, Daily]:
    """RankIC of every score on each day, over the rows that all of them and the returns have."""
    both = np.isfinite(returns)
    for values in ranks.values():
        both &= np.isfinite(values)
    both &= (both.sum(axis=1) >= inputs.settings.min_listings)[:, None]
    returns = np.where(both, returns, np.nan)
    realised = ranked(returns)
    found = {name: correlate(centre_rows(rerank_rows(values, both)), realised) for name, values in ranks.items()}
    universes = {"all": found}
    grouping = inputs.slices.groupings.get("universe")
    if grouping is not None:
        within = rank_ic_within(grouping, list(ranks.values()), returns, MIN_GROUP)
        universes["most_traded"] = {name: series[:, 0] for name, series in zip(ranks, within, strict=True)}
    return universes


def _summarise(series: Daily, inputs: Inputs, horizon: int) -> Report:
    """Mean of each score, and the model less the others."""
    bootstrap = inputs.bootstrap
    return {
        "scores": {name: mean_report(values, horizon, bootstrap) for name, values in series.items()},
        "paired": {
            name: paired_report(series["model"] - values, horizon, bootstrap)
            for name, values in series.items()
            if name != "model"
        },
    }
