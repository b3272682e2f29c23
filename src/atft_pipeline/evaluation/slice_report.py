"""RankIC by slice at one horizon: the model and one benchmark, by time, group and style."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.evaluation.characteristics import VOLATILITY, Characteristics
from atft_pipeline.evaluation.daily import DailyMetrics, Realised
from atft_pipeline.evaluation.grid import Dates, Grid
from atft_pipeline.evaluation.slices import (
    Grouping,
    largest_labels,
    months_of,
    quantile_labels,
    rank_ic_within,
    regime_of,
    style_neutral,
    years_of,
)
from atft_pipeline.stats.arrays import Booleans, Floats
from atft_pipeline.stats.rank_ic import correlate, rank_ic, rank_rows, ranked
from atft_pipeline.stats.report import Report, mean_report

GROUPS = 5
"""Quantile groups by dollar volume and by volatility."""
MIN_GROUP = 10
"""Listings that a group needs on a day: a rank correlation of fewer says nothing."""


@dataclass(frozen=True)
class SliceAxes:
    """What cells and days belong to, on the axes of the predictions.

    Attributes:
        days: [D].
        groupings: cells by sector, size, volatility and universe.
        regime: name of each day's regime [D]; empty where not known.
        styles: ranks within the day by name [D, N].
    """

    days: Dates
    groupings: dict[str, Grouping]
    regime: list[str]
    styles: dict[str, Floats]


def slice_axes(
    days: Dates,
    scored: Booleans,
    sectors: tuple[npt.NDArray[np.int64] | None, Sequence[str]],
    dollar_volume: Floats | None,
    characteristics: Characteristics,
    universe: int,
) -> SliceAxes:
    """Group the scored cells and the days by what is known of them; what is not known groups nothing.

    Args:
        days: scored days [D].
        scored: cells that the model scored [D, N].
        sectors: number of each listing's sector [N] and the names, ``None`` where only one is known.
        dollar_volume: [D, N], ``None`` without prices.
        characteristics: volatility, styles and the market's volatility.
        universe: listings with the most dollar volume that make the liquid universe.
    """

    def here(values: Floats) -> Floats:
        return np.where(scored, values, np.nan)

    names = [f"{number} of {GROUPS}" for number in range(1, GROUPS + 1)]
    found: dict[str, Grouping] = {}
    styles = dict(characteristics.styles)
    if sectors[0] is not None:
        found["sector"] = Grouping.of(np.where(scored, sectors[0], -1).astype(np.int8), sectors[1])
    if dollar_volume is not None:
        most, label = largest_labels(here(dollar_volume), universe), f"{universe:,} most traded"
        size = quantile_labels(here(dollar_volume), GROUPS)
        found["size"] = Grouping.of(size, _ends(names, "smallest", "largest"))
        found["universe"] = Grouping.of(most, [label])
        styles["dollar_volume"] = dollar_volume
    volatility, regime = characteristics.values.get(VOLATILITY), characteristics.regime
    if volatility is not None:
        labels = quantile_labels(here(volatility), GROUPS)
        found["volatility"] = Grouping.of(labels, _ends(names, "calmest", "wildest"))
    ranks = {name: rank_rows(here(values)) for name, values in styles.items()}
    return SliceAxes(days, found, [] if regime is None else regime_of(regime), ranks)


def rank_ic_by_slice(
    model: DailyMetrics,
    benchmark: DailyMetrics | None,
    difference: Floats | None,
    axes: SliceAxes,
    horizon: int,
) -> Report:
    """RankIC of the model, and its difference to the benchmark, in every slice.

    Args:
        model: daily metrics of the model.
        benchmark: of the score to compare with; ``None``: no comparison.
        difference: the paired daily difference of the two over all listings [D].
        axes: what cells and days belong to.
        horizon: sessions ahead.

    Returns:
        A list of rows (name, model, difference) for each kind of slice, and the style-neutral RankIC.
    """
    daily = model.values["rank_ic"]
    report: Report = {
        "year": _by_day(daily, difference, years_of(axes.days), horizon),
        "month": _by_day(daily, difference, months_of(axes.days), horizon),
    }
    if axes.regime:
        report["regime"] = _by_day(daily, difference, axes.regime, horizon)
    returns = model.realised.ranks
    for kind, grouping in axes.groupings.items():
        both = [model.ranks] if benchmark is None else [model.ranks, benchmark.ranks]
        within, *other = rank_ic_within(grouping, both, returns, MIN_GROUP)
        report[kind] = [
            _row(name, within[:, position], within[:, position] - other[0][:, position] if other else None, horizon)
            for position, name in enumerate(grouping.names)
        ]
    if axes.styles:
        report["style_neutral"] = _style_neutral(model, benchmark, axes.styles, horizon)
    return report


def rank_ic_of_others(others: pl.DataFrame | None, horizon: int) -> Report:
    """RankIC of the model among what is no stock, and in no other number of an evaluation.

    Args:
        others: Date, Listing, ``score_h``, ``return_h``, or ``None``.
        horizon: sessions ahead.
    """
    if others is None or others.is_empty():
        return {}
    grid = Grid.of(others)
    scores, returns = (grid.to_days(others[f"{kind}_{horizon}"]) for kind in ("score", "return"))
    return {"others": [_row("no stocks", rank_ic(scores, returns, MIN_GROUP), None, horizon)]}


def _style_neutral(
    model: DailyMetrics, benchmark: DailyMetrics | None, styles: dict[str, Floats], horizon: int
) -> Report:
    """RankIC of what the styles do not explain, of both scores."""
    pure = _neutral_rank_ic(model.ranks, model.realised, styles)
    other = None if benchmark is None else _neutral_rank_ic(benchmark.ranks, benchmark.realised, styles)
    row = _row("style-neutral", pure, None if other is None else pure - other, horizon)
    return {"styles": list(styles), **row}


def _neutral_rank_ic(ranks: Floats, realised: Realised, styles: dict[str, Floats]) -> Floats:
    """Daily RankIC of the residual [D]."""
    return correlate(ranked(style_neutral(ranks, list(styles.values()))), realised.centred_ranks)


def _by_day(daily: Floats, difference: Floats | None, labels: Sequence[str], horizon: int) -> list[Report]:
    """One row for each label of the days."""
    names = np.array(labels)
    return [
        _row(str(name), daily[names == name], None if difference is None else difference[names == name], horizon)
        for name in np.unique(names)
    ]


def _row(name: str, daily: Floats, difference: Floats | None, horizon: int) -> Report:
    """Name, RankIC and its difference to the benchmark."""
    return {
        "name": name,
        "model": mean_report(daily, horizon),
        "difference": None if difference is None else mean_report(difference, horizon),
    }


def _ends(names: list[str], first: str, last: str) -> list[str]:
    """Say what the first and the last group are."""
    return [f"{names[0]} ({first})", *names[1:-1], f"{names[-1]} ({last})"]
