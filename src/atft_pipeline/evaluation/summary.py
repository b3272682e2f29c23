"""Daily series as numbers with their errors, in plain JSON types. NaN becomes None."""

import numpy as np

from atft_pipeline.evaluation.daily import METRICS, DailyMetrics
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.bootstrap import Bootstrap
from atft_pipeline.stats.rank_ic import correlate, ranked
from atft_pipeline.stats.report import Report, mean_report, number
from atft_pipeline.stats.significance import information_ratio, ratio_of_means


def ratio_report(series: Floats, horizon: int, bootstrap: Bootstrap, scale: float = 1.0) -> Report:
    """Mean over standard deviation of a daily series, times ``scale``, with error and interval."""
    ratio = information_ratio(series, horizon, scale)
    interval = bootstrap.information_ratio(series, horizon, scale)
    return {
        "value": number(ratio.mean),
        "se": number(ratio.se),
        "low": number(interval.low),
        "high": number(interval.high),
    }


def share_report(top: Floats, bottom: Floats, horizon: int, bootstrap: Bootstrap) -> Report:
    """Ratio of the means of two daily series, with error and interval."""
    share, interval = ratio_of_means(top, bottom, horizon), bootstrap.ratio(top, bottom, horizon)
    return {
        "value": number(share.mean),
        "se": number(share.se),
        "low": number(interval.low),
        "high": number(interval.high),
    }


def score_report(daily: DailyMetrics, horizon: int, bootstrap: Bootstrap) -> Report:
    """Means of the daily metrics of a score, each with its error and interval."""
    report: Report = {name: mean_report(daily.values[name], horizon, bootstrap) for name in METRICS}
    rank_ic = daily.values["rank_ic"]
    report["icir"] = ratio_report(rank_ic, horizon, bootstrap)
    positive = np.where(np.isfinite(rank_ic), rank_ic > 0, np.nan)
    report["positive_days"] = mean_report(positive, horizon, bootstrap)
    report["decile_returns"] = [mean_report(bucket, horizon, bootstrap) for bucket in daily.decile_returns.T]
    return report


def paired_difference(model: DailyMetrics, other: DailyMetrics, min_listings: int) -> Floats:
    """Daily RankIC of the model less that of another score, on the listings and days that both scored [D]."""
    if np.array_equal(model.realised.kept, other.realised.kept):
        return model.values["rank_ic"] - other.values["rank_ic"]
    both = model.realised.kept & other.realised.kept
    both &= (both.sum(axis=1) >= min_listings)[:, None]
    returns, left, right = (
        ranked(np.where(both, values, np.nan)) for values in (model.realised.ranks, model.ranks, other.ranks)
    )
    return correlate(left, returns) - correlate(right, returns)


def paired_report(difference: Floats, horizon: int, bootstrap: Bootstrap) -> Report:
    """Mean of a paired daily RankIC difference with its error and interval."""
    report = mean_report(difference, horizon, bootstrap)
    report["rank_ic_difference"] = report.pop("mean")
    return report
