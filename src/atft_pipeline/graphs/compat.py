"""Graphs and panel must have the same axes, and the graphs must have been made for that very panel."""

from typing import Protocol

from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.graphs import GraphsMeta


class HasIndex(Protocol):
    """The part of a panel's metadata that is needed here."""

    @property
    def index_fingerprint(self) -> str:
        """Hash of the panel's listings and dates."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the panel's contents."""
        ...


def check_compatible(
    panel_meta: HasIndex, graphs_meta: GraphsMeta, panel_listings: tuple[str, ...] | None = None
) -> None:
    """Refuse graphs that were made for another panel.

    Args:
        panel_meta: the panel's metadata.
        graphs_meta: the graphs' metadata.
        panel_listings: the panel's listings, to name the first difference in the message.

    Raises:
        ArtifactError: the axes or the contents differ; names the command that repairs it.
    """
    if panel_meta.index_fingerprint == graphs_meta.index_fingerprint:
        # Graphs that a library call made may not tell their panel; those of a run do.
        made_for = graphs_meta.lineage.get("panel", panel_meta.fingerprint)
        if made_for == panel_meta.fingerprint:
            return
        msg = (
            f"the graphs were made for panel {made_for[:8]}, not for panel {panel_meta.fingerprint[:8]}, which has the "
            "same listings and dates with other contents; rebuild the graphs with: kedro run --pipeline=graphs"
        )
        raise ArtifactError(msg)
    msg = (
        f"graphs and panel do not have the same listings and dates: {_difference(graphs_meta, panel_listings)} "
        f"(index {graphs_meta.index_fingerprint} in the graphs, {panel_meta.index_fingerprint} in the panel); "
        "rebuild the graphs with: kedro run --pipeline=graphs"
    )
    raise ArtifactError(msg)


def _difference(meta: GraphsMeta, listings: tuple[str, ...] | None) -> str:
    made_for = f"the graphs were made for {len(meta.listings)} listings from {meta.dates[0]} to {meta.dates[1]}"
    if listings is None:
        return made_for
    if listings == meta.listings:
        return f"{made_for}, the panel has the same listings on other dates"
    pairs = zip(meta.listings, listings, strict=False)
    position = next((number for number, (old, new) in enumerate(pairs) if old != new), None)
    if position is None:
        return f"{made_for}, the panel has {len(listings)}"
    first = f"listing {position} is {meta.listings[position]} in the graphs and {listings[position]} in the panel"
    return f"{made_for}, the panel has {len(listings)}; {first}"
