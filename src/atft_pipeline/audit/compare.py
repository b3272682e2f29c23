"""Compare two worlds up to the date at which their futures part."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from atft_pipeline.audit.chain import World
from atft_pipeline.audit.finding import PANEL_ITEMS, Finding, Tally

KEYS = ("Date", "Listing")


def compare(true: World, other: World, last: date, horizons: tuple[int, ...], span: int) -> Iterator[Finding]:
    """Compare everything up to a date.

    Args:
        true: built from the real raw prices.
        other: built from the same past and another future.
        last: the last shared day.
        horizons: sessions ahead of the labels.
        span: 1 where a label starts at the next session's open, else 0.
    """
    labels = [f"{kind}_{h}" for kind in ("return", "target") for h in horizons]
    clean = [world.clean.drop(labels, strict=False) for world in (true, other)]
    yield from _tables("clean_prices", clean[0], clean[1], last)
    yield from _tables("features", true.features.drop(labels), other.features.drop(labels), last)
    for horizon in horizons:
        yield from _labels(true.features, other.features, last, horizon, span)
    yield from _panels(true, other, last, max(horizons) + span)
    yield from _graphs(true, other, last)
    if true.scores is not None and other.scores is not None:
        yield from _tables("scores", true.scores, other.scores, last)


def _past(table: pl.DataFrame, last: date) -> pl.DataFrame:
    return table.filter(pl.col("Date") <= last).sort(KEYS)


def _tables(artifact: str, true: pl.DataFrame, other: pl.DataFrame, last: date) -> Iterator[Finding]:
    """Compare two tables row by row, then column by column."""
    first, second = _past(true, last), _past(other, last)
    yield _rows(artifact, first, second, last)
    shared = first.select(KEYS).join(second.select(KEYS), on=KEYS, how="inner").sort(KEYS)
    first = shared.join(first, on=KEYS, how="left", maintain_order="left")
    second = shared.join(second, on=KEYS, how="left", maintain_order="left")
    for name in first.columns:
        if name not in KEYS:
            yield _column(artifact, name, first, second, last)


def _rows(artifact: str, first: pl.DataFrame, second: pl.DataFrame, last: date) -> Finding:
    keys = first.select(KEYS), second.select(KEYS)
    lost = pl.concat([keys[0].join(keys[1], on=KEYS, how="anti"), keys[1].join(keys[0], on=KEYS, how="anti")])
    where = "{} {}".format(*lost.sort(KEYS).row(0)) if lost.height else ""
    return Finding(artifact, "rows", str(last), first.height, lost.height, where, not lost.height)


def _column(artifact: str, name: str, first: pl.DataFrame, second: pl.DataFrame, last: date) -> Finding:
    if name not in second.columns:
        return Finding(artifact, name, str(last), first.height, first.height, "the column is missing", passed=False)
    # NaN equals NaN and null equals null; anything else must be the same bits.
    differs = ~first[name].eq_missing(second[name])
    count = int(differs.sum())
    where = "{} {}".format(*first.filter(differs).select(KEYS).row(0)) if count else ""
    return Finding(artifact, name, str(last), first.height, count, where, not count)


def _labels(true: pl.DataFrame, other: pl.DataFrame, last: date, horizon: int, span: int) -> Iterator[Finding]:
    """A label that is complete by the date is the same in both worlds; one that is not must know the future.

    A label that stays the same although its future was replaced is misaligned: it repeats the past.
    """
    name = f"return_{horizon}"
    dates = true.filter(pl.col("Date") <= last)["Date"].unique().sort()
    reach = horizon + span
    complete = dates[-reach - 1]
    for kind in (f"target_{horizon}", name):
        first, second = (_past(table.select(*KEYS, kind), last) for table in (true, other))
        yield _column_of_join("labels", f"{kind} complete", first, second, pl.col("Date") <= complete, last)
    joined = first.join(second, on=KEYS, how="inner", suffix="_other").filter(pl.col("Date") > complete)
    joined = joined.drop_nulls([name, f"{name}_other"])
    same = joined.filter(pl.col(name) == pl.col(f"{name}_other")).sort(KEYS)
    # A few may agree by chance, such as two prices that did not move.
    passed = same.height <= joined.height // 50
    where = "" if passed else "{} {} knows nothing of the future".format(*same.row(0)[:2])
    yield Finding("labels", f"{name} incomplete", str(last), joined.height, 0 if passed else same.height, where, passed)


def _column_of_join(
    artifact: str, item: str, first: pl.DataFrame, second: pl.DataFrame, known: pl.Expr, last: date
) -> Finding:
    name = first.columns[-1]
    joined = first.join(second, on=KEYS, how="full", suffix="_other", coalesce=True).filter(known).sort(KEYS)
    differs = ~joined[name].eq_missing(joined[f"{name}_other"])
    count = int(differs.sum())
    where = "{} {}".format(*joined.filter(differs).select(KEYS).row(0)) if count else ""
    return Finding(artifact, item, str(last), joined.height, count, where, not count)


def _panels(true: World, other: World, last: date, reach: int) -> Iterator[Finding]:
    """Compare the record batches day by day, by the names of the listings; labels where all are complete."""
    days = int(np.searchsorted(true.panel.dates, np.datetime64(last), side="right"))
    tally = Tally(*PANEL_ITEMS)
    for day in range(days):
        views = true.panel.day(day), other.panel.day(day)
        names = [
            [world.panel.listings[place] for place in view.listing]
            for world, view in zip((true, other), views, strict=True)
        ]
        if names[0] != names[1]:
            parts = {"listings": len(set(names[0]) ^ set(names[1])) or 1}
        else:
            left, right = (np.ascontiguousarray(view.features).view(np.uint8) for view in views)
            parts = {
                "features": int((left != right).reshape(len(names[0]), -1).any(axis=1).sum()),
                "universe": int((views[0].universe != views[1].universe).sum()),
            }
            if day < days - reach:
                labels = [np.hstack([view.targets, view.returns]) for view in views]
                parts["labels"] = int(
                    (~np.isclose(labels[0], labels[1], rtol=0, atol=0, equal_nan=True)).any(axis=1).sum()
                )
        for item in PANEL_ITEMS:
            tally.add(item, len(names[0]), parts.get(item, 0), str(true.panel.dates[day]))
    yield from tally.findings("panel", str(last))


def _edges(world: World, month: int) -> dict[tuple[str, str], tuple[float, ...]]:
    names = world.panel.listings
    neighbors, attributes = world.graphs.neighbors(month), world.graphs.edge_attr(month)
    target, place = np.nonzero(neighbors >= 0)
    return {
        (names[listing], names[neighbors[listing, slot]]): tuple(attributes[listing, slot].tolist())
        for listing, slot in zip(target.tolist(), place.tolist(), strict=True)
    }


def _graphs(true: World, other: World, last: date) -> Iterator[Finding]:
    """Compare the graphs of every month up to the date's own, which uses returns before its first day only."""
    theirs = {np.datetime64(month, "M"): place for place, month in enumerate(other.graphs.months)}
    for place, month in enumerate(true.graphs.months):
        name = np.datetime64(month, "M")
        if name > np.datetime64(last, "M"):
            continue
        first = _edges(true, place)
        second = _edges(other, theirs[name]) if name in theirs else {}
        differing = [pair for pair in first.keys() | second.keys() if first.get(pair) != second.get(pair)]
        where = " - ".join(min(differing)) if differing else ""
        yield Finding("graphs", str(name), str(last), len(first), len(differing), where, not differing)
