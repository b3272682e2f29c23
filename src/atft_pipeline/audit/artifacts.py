"""The artifacts in use, part by part."""

from itertools import chain

import polars as pl

from atft_pipeline.audit.chain import Steps
from atft_pipeline.audit.finding import Finding
from atft_pipeline.audit.known import check_belief, check_parts, origin_of
from atft_pipeline.audit.labels import check_labels
from atft_pipeline.audit.links import check_graphs
from atft_pipeline.audit.prices import check_prices
from atft_pipeline.audit.stored import Stored, draw_places
from atft_pipeline.audit.tables import check_features, check_panel
from atft_pipeline.audit.windows import check_windows

BELIEF_DAYS = 10


def check_stored(
    stored: Stored, raw: pl.DataFrame, steps: Steps, cuts: int, after: int, seed: int
) -> tuple[list[Finding], tuple[str, ...]]:
    """Look at every artifact in use.

    Args:
        stored: the artifacts.
        raw: raw prices under canonical names, or a prepared table.
        steps: the chain.
        cuts: days over all months.
        after: sessions after each, whose contents are replaced.
        seed: of the draw and of the other future.

    Returns:
        What was found; what could not be looked at, and why.
    """
    days = len(stored.panel.dates)
    # The last day has no future that could be replaced.
    places = draw_places(cuts, stored.batches.window, days - 1, seed)
    months = draw_places(cuts, 0, len(stored.graphs), seed)
    priced = "Close" in stored.clean.columns
    findings = chain(
        check_prices(raw, stored.clean) if priced else (),
        check_labels(stored),
        check_features(stored, steps, places, after, seed),
        check_panel(stored, [*places, days - 1]),
        check_graphs(stored, steps, months, seed),
        check_windows(stored, [*places, days - 1]),
        check_belief(stored, BELIEF_DAYS),
        check_parts(stored),
    )
    return list(findings), tuple(_unseen(stored, priced=priced))


def _unseen(stored: Stored, *, priced: bool) -> list[str]:
    """What the artifacts do not allow to look at."""
    lines = []
    if not priced:
        lines.append("a prepared table brings its own features and labels: nothing here saw how they were made")
    if stored.card is None:
        lines.append("there is no trained model: its days and its scores were not looked at")
    elif origin_of(stored.card) is None:
        lines.append("the model's card does not name its days: train again with: kedro run --pipeline=train")
    return lines
