"""Node of the stage ``graphs``."""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipelines.parameters import Params


def daily_returns(clean_prices: pl.DataFrame, panel: Panel) -> npt.NDArray[np.float32]:
    """Lay simple close-to-close returns on the panel's axes.

    Args:
        clean_prices: sorted by Listing and Date; a return needs the close of the listing's previous row.
        panel: gives the dates [D] and listings [N].

    Returns:
        Returns [D, N] as fractions, NaN where a listing has none on that day.
    """
    dates = pl.DataFrame({"Date": panel.dates, "day": np.arange(len(panel.dates), dtype=np.int64)})
    names = pl.DataFrame({"Listing": list(panel.listings), "column": np.arange(len(panel.listings), dtype=np.int64)})
    table = (
        clean_prices.lazy()
        .select("Date", "Listing", change=pl.col("Close") / pl.col("Close").shift(1).over("Listing") - 1)
        .filter(pl.col("change").is_finite())
        .join(dates.lazy(), on="Date")
        .join(names.lazy(), on="Listing")
        .select("day", "column", "change")
        .collect()
    )
    returns = np.full((len(panel.dates), len(panel.listings)), np.nan, dtype=np.float32)
    returns[table["day"].to_numpy(), table["column"].to_numpy()] = table["change"].to_numpy()
    return returns


def connect_listings(clean_prices: pl.DataFrame, panel: Panel, config: Params[GraphConfig]) -> Write:
    """Return the function that writes the graphs of all months."""
    return partial(
        _write,
        returns=daily_returns(clean_prices, panel),
        panel=panel,
        config=config.root,
    )


def _write(path: Path, *, returns: npt.NDArray[np.float32], panel: Panel, config: GraphConfig) -> None:
    build_graphs(
        returns,
        panel.dates,
        panel.listings,
        panel.sector,
        panel.market,
        config,
        panel.meta.index_fingerprint,
        path,
        lineage={"panel": panel.meta.fingerprint},
    )
