"""Nodes of the stage ``update``: each result equals that of the stage that builds everything."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.errors import ArtifactError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.prices.ingest import IngestConfig

if TYPE_CHECKING:
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@configured
def update_prices(
    prices: Path,
    listings: Path | None,
    previous_features: Path,
    previous_panel: Panel,
    previous_graphs: MonthlyGraphs,
    config: IngestConfig,
    features: FeaturesConfig,
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any], str]:
    """Read and clean the prices, once they can continue the artifacts; otherwise nothing is saved.

    An update that was stopped between its artifacts goes on: what it finished is taken as it is.

    Raises:
        ArtifactError: there is nothing new, a part of the past is missing, or the past is another one.
        DataError: the last day has not arrived in full.
    """
    from atft_pipeline.features.manifest import read_manifest
    from atft_pipeline.features.update import check_delivered
    from atft_pipeline.pipelines.ingest.nodes import ingest_prices
    from atft_pipeline.prices.reading.read import date_range

    dates = previous_panel.index.dates
    first, newest = map(str, date_range(prices, config.prices))
    if first > dates[0]:
        msg = (
            f"{prices} begins on {first}, the panel on {dates[0]}: an update needs all prices, the new days among "
            "them; give the earlier prices and the new days together, as one file or folder"
        )
        raise ArtifactError(msg)
    if newest < dates[-1]:
        msg = (
            f"{prices} goes to {newest}, the panel to {dates[-1]}: there is nothing to update; "
            "pass newer --params prices="
        )
        raise ArtifactError(msg)
    made = ingest_prices(prices, listings, config)
    check_delivered(made[0], config.min_delivered, prices)
    _check_history(made[0], made[1], previous_features, previous_panel, features, prices)
    finished = (
        previous_graphs.meta.index_fingerprint == previous_panel.meta.index_fingerprint
        and previous_panel.meta.lineage.get("features") == read_manifest(previous_features).fingerprint
    )
    if finished and str(made[0]["Date"].max()) <= dates[-1]:
        msg = f"{prices} goes to {newest}, as the panel does: there is nothing to update; pass newer --params prices="
        raise ArtifactError(msg)
    return made


def _check_history(
    clean: pl.DataFrame, listings: pl.DataFrame, features: Path, panel: Panel, config: FeaturesConfig, prices: Path
) -> None:
    """Refuse prices that do not continue those of the features and of the panel.

    Raises:
        ArtifactError: naming the artifact and the command that rebuilds.
    """
    from atft_pipeline.features.manifest import read_manifest
    from atft_pipeline.features.update import changed_history, history_fingerprint, last_day

    ends = {
        features: (last_day(features), read_manifest(features).fingerprint),
        panel.path: (panel.dates[-1].astype(object), panel.meta.lineage.get("features")),
    }
    known: dict[date, str] = {}
    for artifact, (last, fingerprint) in ends.items():
        if last not in known:
            known[last] = history_fingerprint(clean, listings, config, last)
        if known[last] != fingerprint:
            line = changed_history(artifact, last)
            msg = f"{line}; nothing was updated; rebuild with: kedro run --pipeline=data --params prices={prices}"
            raise ArtifactError(msg)


@configured
def continue_features(
    clean_prices: pl.DataFrame,
    listings: pl.DataFrame,
    previous: Path,
    config: FeaturesConfig,
    workspace: Path,
) -> Path:
    """Write the feature table into the working folder, months that stay as links; return its path."""
    from atft_pipeline.features.update import update_features

    with draft(workspace, "features") as folder:
        update_features(previous, clean_prices, listings, config, folder)
    return folder


@configured
def continue_panel(
    features: Path,
    previous_features: Path,
    previous_panel: Panel,
    clean_prices: pl.DataFrame,
    listings: pl.DataFrame,
    config: FeaturesConfig,
    workspace: Path,
) -> Path:
    """Write the panel into the working folder, the days whose rows stay as copies byte for byte; return its path.

    A panel that has all days already is given as it is.

    Raises:
        ArtifactError: the panel was not built from the features that were continued.
    """
    import polars as pl

    from atft_pipeline.features.manifest import read_manifest
    from atft_pipeline.features.update import history_fingerprint, link, update_start
    from atft_pipeline.panel.build import append_days

    last = previous_panel.dates[-1].astype(object)
    built_from = previous_panel.meta.lineage.get("features")
    if built_from != read_manifest(previous_features).fingerprint and built_from != history_fingerprint(
        clean_prices, listings, config, last
    ):
        msg = f"{previous_panel.path} was built from other features; rebuild it with: kedro run --pipeline=panel"
        raise ArtifactError(msg)
    first = clean_prices.filter(pl.col("Date") > last)["Date"].min()
    with draft(workspace, "panel") as path:
        if first is None:
            link(previous_panel.path, path)
        else:
            assert isinstance(first, date)
            since = str(update_start(clean_prices, first, config))
            append_days(previous_panel, features, listings.to_arrow(), path, since)
    return path
