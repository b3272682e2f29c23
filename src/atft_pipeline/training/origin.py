"""What a model descends from: the days, the market and the artifacts of its training.

A split is a matter of parameters, and these may change after the training. What the model saw is written into its card,
so that whoever scores with it can tell days that it was trained on, and a market that it was not trained on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from atft_pipeline.config import config
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.splits import Split

# First and last day, ISO, of sessions that follow one another.
Span = tuple[str, str]
# Days and listings a day whose returns identify the market of a training.
WITNESS_DAYS = 16
WITNESS_LISTINGS = 16


@config
class Origin:
    """Days, market and artifacts of a training.

    Attributes:
        train: days of the training, as spans.
        validation: days that chose the best epoch.
        test: days left for the test, none for a trial of a search.
        read_train: days whose batches the training really built, up to this epoch; their windows reach back from them,
            their labels ahead.
        read_validation: likewise of the validation.
        purge: sessions between the parts because labels look ahead.
        embargo: sessions left out beside them.
        features: hash of the parameters of the features, empty for a table that does not tell.
        graphs: fingerprint of the graphs, empty for a model without.
        witness: date, listing and return of the shortest horizon of some rows of the training days: a panel with
            revised or further days shows nearly the same ones, another market does not.
    """

    train: tuple[Span, ...]
    validation: tuple[Span, ...]
    test: tuple[Span, ...]
    read_train: tuple[Span, ...]
    read_validation: tuple[Span, ...]
    purge: int
    embargo: int
    features: str
    graphs: str
    witness: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Descent:
    """What a training knows of its inputs before the first step.

    Attributes:
        panel: features and labels.
        split: its days.
        graphs: fingerprint of the graphs, empty for a model without.
    """

    panel: Panel
    split: Split
    graphs: str

    def origin(self, read_train: Iterable[int], read_validation: Iterable[int]) -> Origin:
        """The part of the model's card, with the days that were read so far."""
        panel, split = self.panel, self.split
        return Origin(
            train=spans(panel, split.train),
            validation=spans(panel, split.validation),
            test=spans(panel, split.test),
            read_train=spans(panel, read_train),
            read_validation=spans(panel, read_validation),
            purge=panel.meta.label_span,
            embargo=split.embargo,
            features=str(panel.meta.lineage.get("parameters", "")),
            graphs=self.graphs,
            witness=witness(panel, split.train),
        )


def spans(panel: Panel, days: Iterable[int]) -> tuple[Span, ...]:
    """Day indices as first and last date of each run of sessions that follow one another."""
    order = sorted(set(days))
    if not order:
        return ()
    starts = [order[0], *(day for before, day in pairwise(order) if day > before + 1)]
    ends = [*(before for before, day in pairwise(order) if day > before + 1), order[-1]]
    return tuple((panel.index.dates[first], panel.index.dates[last]) for first, last in zip(starts, ends, strict=True))


def witness(panel: Panel, days: Sequence[int]) -> tuple[tuple[str, str, float], ...]:
    """Returns of the shortest horizon of rows spread over the days and over the listings of each."""
    rows: list[tuple[str, str, float]] = []
    shortest = int(np.argmin(panel.meta.horizons))
    for place in np.linspace(0, len(days) - 1, min(WITNESS_DAYS, len(days))).round().astype(int):
        day = days[place]
        seen = panel.day(day)
        known = np.flatnonzero(np.isfinite(seen.returns[:, shortest]))
        chosen = known[np.linspace(0, len(known) - 1, min(WITNESS_LISTINGS, len(known))).round().astype(int)]
        rows += [
            (panel.index.dates[day], panel.listings[seen.listing[row]], float(seen.returns[row, shortest]))
            for row in chosen
        ]
    return tuple(rows)
