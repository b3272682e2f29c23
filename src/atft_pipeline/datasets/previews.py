"""What kedro-viz shows of an artifact that somebody clicks: a small table, a document, a page."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import polars as pl
from kedro_datasets._typing import HTMLPreview, TablePreview

if TYPE_CHECKING:  # a command that reads neither loads no torch
    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel

ROWS, COLUMNS = 40, 24
FEATURES = 12  # of a day, beside what it is
# What would act on the page of kedro-viz itself: scripts do not run there, and styles would change its look.
ACTIVE = re.compile(r"<(script|style|head)\b.*?</\1>", re.DOTALL | re.IGNORECASE)


def table(frame: pl.DataFrame) -> TablePreview:
    """The first rows and columns, every value as a text."""
    head = frame[:ROWS, :COLUMNS]
    rows = [[_cell(value) for value in row] for row in head.rows()]
    return TablePreview({"index": list(range(head.height)), "columns": head.columns, "data": rows})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def page(text: str) -> HTMLPreview:
    """The text and tables of an HTML page; another text as it is."""
    if not text.lstrip().startswith("<"):
        return HTMLPreview(f"<pre>{html.escape(text)}</pre>")
    return HTMLPreview(ACTIVE.sub("", text))


def newest_day(panel: Panel) -> TablePreview:
    """The newest day of a panel: who may be held, the realised returns, the first features."""
    last = panel.day(len(panel.dates) - 1)
    names = panel.meta.feature_names[:FEATURES]
    return table(
        pl.DataFrame(
            {
                "date": [str(panel.dates[-1])] * len(last.listing),
                "listing": [panel.listings[place] for place in last.listing],
                "universe": last.universe,
                **{name: last.features[:, place].astype(float) for place, name in enumerate(names)},
            }
        )
    )


def newest_month(graphs: MonthlyGraphs) -> TablePreview:
    """The newest month of graphs: each listing with its neighbours, the nearest first."""
    neighbours, names = graphs.neighbors(len(graphs) - 1), graphs.meta.listings
    kept = [place for place, row in enumerate(neighbours) if (row >= 0).any()]
    return table(
        pl.DataFrame(
            {
                "month": [str(graphs.months[-1])[:7]] * len(kept),
                "listing": [names[place] for place in kept],
                "neighbours": [", ".join(names[other] for other in neighbours[place] if other >= 0) for place in kept],
            }
        )
    )
