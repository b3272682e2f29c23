"""The stored graphs: each month rebuilt without what follows its first day, and the month that serves each day."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from atft_pipeline.audit.chain import Steps
from atft_pipeline.audit.finding import Finding
from atft_pipeline.audit.scramble import scramble_future
from atft_pipeline.audit.stored import Stored
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.progress import track

CORRELATION = 1e-3  # difference that rounding on another device explains
TIES = 0.005  # share of edges that it may exchange


def check_graphs(stored: Stored, steps: Steps, places: list[int], seed: int) -> Iterator[Finding]:
    """Rebuild drawn months from the returns before their first day; compare the edges.

    Args:
        stored: clean prices, panel and graphs.
        steps: the chain.
        places: drawn months, as indices of the graphs' months.
        seed: of the other future.
    """
    yield _served(stored)
    panel, months = stored.panel, stored.graphs.months
    for place in track(places, "audit graphs"):
        stop = int(np.searchsorted(panel.dates.astype("datetime64[M]"), months[place]))
        first, last = max(0, stop - stored.linked.window - 1), min(stop + 10, len(panel.dates))
        part = panel.between(first, last)
        window = stored.clean.filter(pl.col("Date").is_between(_day(part.dates[0]), _day(part.dates[-1])))
        before = _day(panel.dates[stop - 1])
        other = scramble_future(window, before, seed) if stop < len(panel.dates) else window
        other = other.filter(pl.col("Listing").is_in(list(panel.listings)))
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            path = Path(folder) / "graphs.arrow"
            steps.graphs(other, part, path)
            yield _compare(stored, MonthlyGraphs.open(path), place, str(before))


def _compare(stored: Stored, rebuilt: MonthlyGraphs, place: int, before: str) -> Finding:
    month = stored.graphs.months[place]
    found = np.flatnonzero(rebuilt.months == month)
    item = str(month)
    if not found.size:
        return Finding("stored graphs", item, before, 1, 1, "cannot be rebuilt", passed=False)
    first, second = (_edges(graphs, number) for graphs, number in ((stored.graphs, place), (rebuilt, int(found[0]))))
    names = stored.panel.listings
    wrong = [
        pair
        for pair in first.keys() | second.keys()
        if pair not in first or pair not in second or abs(first[pair] - second[pair]) > CORRELATION
    ]
    passed = len(wrong) <= TIES * len(first)
    where = "" if passed else " - ".join(names[one] for one in min(wrong))
    return Finding("stored graphs", item, before, len(first), 0 if passed else len(wrong), where, passed)


def _edges(graphs: MonthlyGraphs, month: int) -> dict[tuple[int, int], float]:
    neighbors, correlation = graphs.neighbors(month), graphs.edge_attr(month)[..., 0]
    listing, slot = np.nonzero(neighbors >= 0)
    sources, values = neighbors[listing, slot].tolist(), correlation[listing, slot].tolist()
    return dict(zip(zip(listing.tolist(), sources, strict=True), values, strict=True))


def _served(stored: Stored) -> Finding:
    """Every day is served by the graph of its own month, and by none from the days of the month on."""
    dates, aligned = stored.panel.dates, stored.graphs.align(stored.panel.dates)
    served = np.asarray(aligned.month_of_day)
    wrong = np.zeros(len(dates), dtype=bool)
    for day, (date, number) in enumerate(zip(dates, served, strict=True)):
        if number >= 0:
            entry = stored.graphs.meta.months[number]
            wrong[day] = entry.month[:7] != str(date)[:7] or entry.last >= f"{entry.month[:7]}-01"
    where = f"{dates[np.argmax(wrong)]}" if wrong.any() else ""
    return Finding("stored graphs", "month of each day", "all", len(dates), int(wrong.sum()), where, not wrong.any())


def _day(value: np.datetime64) -> dt.date:
    return dt.date.fromisoformat(str(value))
