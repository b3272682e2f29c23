"""What a model descends from: the days, the market and the artifacts of its training.

A split is a matter of parameters, and these may change after the training. What the model saw is written into its card,
so that whoever scores with it can tell days that it was trained on, and a market that it was not trained on.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from atft_pipeline.config import config
from atft_pipeline.errors import ArtifactError
from atft_pipeline.panel.panel import Panel
from atft_pipeline.splits.split import Split

# First and last day, ISO, of sessions that follow one another.
Span = tuple[str, str]
# Days and listings a day whose returns identify the market of a training.
WITNESS_DAYS = 16
WITNESS_LISTINGS = 16
# Two returns agree within 10 basis points and a twentieth. Of the witness at least a quarter must be in a panel (it may
# begin later), and of that four fifths must agree: of two unlike markets about a twentieth does.
NEAR, NEAR_SHARE = 0.001, 0.05
ENOUGH, ALIKE = 0.25, 0.8


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


def check_market(origin: Origin, trained_on: str, panel: Panel) -> None:
    """Refuse a panel of another market, or of other feature parameters, than the model was trained on.

    A panel that continues that of the training, or was built again from a source that adjusts its past, passes: its
    returns on the days of the training are nearly the same.

    Args:
        origin: of the model.
        trained_on: fingerprint of the panel of its training.
        panel: to be scored.

    Raises:
        ArtifactError: naming both panels.
    """
    if panel.meta.fingerprint == trained_on:
        return
    both = f"panel {trained_on[:8]}, on which the model was trained, and panel {panel.meta.fingerprint[:8]}"
    parameters = str(panel.meta.lineage.get("parameters", ""))
    if origin.features and parameters and origin.features != parameters:
        msg = f"{both} were made with other parameters of features; train again with: kedro run --pipeline=train"
        raise ArtifactError(msg)
    if not origin.witness:
        return
    found = [(value, known_return(panel, date, listing)) for date, listing, value in origin.witness]
    pairs = [(value, now) for value, now in found if now is not None]
    near = sum(abs(value - now) <= NEAR + NEAR_SHARE * abs(value) for value, now in pairs)
    if len(pairs) < ENOUGH * len(found) or near < ALIKE * len(pairs):
        msg = (
            f"{both} are not of the same market: of {len(found)} returns of the training {len(pairs)} are in it and "
            f"{near} agree; train again with: kedro run --pipeline=train"
        )
        raise ArtifactError(msg)


def check_test_days(origin: Origin, panel: Panel, days: Sequence[int]) -> None:
    """Refuse to test on days that the model was trained or chosen on, or whose returns its labels reach into.

    Raises:
        ArtifactError: naming both splits.
    """
    test = f"{panel.index.dates[days[0]]} to {panel.index.dates[days[-1]]}"
    dates = panel.index.dates
    for part, seen in (("training", origin.train), ("validation", origin.validation)):
        touched = [
            day
            for day in days
            if any(first <= dates[day] and dates[max(day - origin.purge, 0)] <= last for first, last in seen)
        ]
        if touched:
            whole = ", ".join(f"{first} to {last}" for first, last in seen)
            msg = (
                f"the split tests {test}, but the model's {part} was {whole}: {len(touched)} of {len(days)} test days "
                f"are in it or within {origin.purge} sessions after it; evaluate with the split of the training, or "
                "train again with this one: kedro run --pipeline=train"
            )
            raise ArtifactError(msg)


def known_return(panel: Panel, date: str, listing: str) -> float | None:
    """Return of the shortest horizon of a row, ``None`` where the panel has none."""
    day = bisect_left(panel.index.dates, date)
    if day == len(panel.index.dates) or panel.index.dates[day] != date or listing not in panel.listings:
        return None
    seen = panel.day(day, features=False)
    place = int(np.searchsorted(seen.listing, panel.listings.index(listing)))
    if place == len(seen.listing) or panel.listings[seen.listing[place]] != listing:
        return None
    value = float(seen.returns[place, int(np.argmin(panel.meta.horizons))])
    return value if np.isfinite(value) else None


def spans(panel: Panel, days: Iterable[int]) -> tuple[Span, ...]:
    """Day indices as first and last date of each run of sessions that follow one another."""
    order = sorted(set(days))
    if not order:
        return ()
    starts = [order[0], *(day for before, day in pairwise(order) if day > before + 1)]
    ends = [*(before for before, day in pairwise(order) if day > before + 1), order[-1]]
    return tuple((panel.index.dates[first], panel.index.dates[last]) for first, last in zip(starts, ends, strict=True))


def joined_spans(parts: Iterable[Iterable[Span]]) -> tuple[Span, ...]:
    """All spans of several trainings on the same days, each once."""
    return tuple(sorted({span for part in parts for span in part}))


def witness(panel: Panel, days: Sequence[int]) -> tuple[tuple[str, str, float], ...]:
    """Returns of the shortest horizon of rows spread over the days and over the listings of each."""
    rows: list[tuple[str, str, float]] = []
    shortest = int(np.argmin(panel.meta.horizons))
    for place in np.linspace(0, len(days) - 1, min(WITNESS_DAYS, len(days))).round().astype(int):
        day = days[place]
        seen = panel.day(day, features=False)
        known = np.flatnonzero(np.isfinite(seen.returns[:, shortest]))
        chosen = known[np.linspace(0, len(known) - 1, min(WITNESS_LISTINGS, len(known))).round().astype(int)]
        rows += [
            (panel.index.dates[day], panel.listings[seen.listing[row]], float(seen.returns[row, shortest]))
            for row in chosen
        ]
    return tuple(rows)
