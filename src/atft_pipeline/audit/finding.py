"""What one comparison of the audit found, and what each of its parts compares and cannot see."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

PANEL_ITEMS = ("listings", "features", "universe", "labels")
"""What is compared of a day of the panel."""


@dataclass(frozen=True)
class Finding:
    """One compared item.

    Attributes:
        artifact: the part of the audit, a key of :data:`PARTS`.
        item: column, feature, horizon, month or rule.
        date: the audited date, or ``all``.
        checked: values compared.
        differing: values that are not the same.
        first: where the first difference is.
        passed: no difference, or, for a label that is not complete, no agreement.
    """

    artifact: str
    item: str
    date: str
    checked: int
    differing: int
    first: str
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types."""
        return asdict(self)


class Tally:
    """Sums what is compared day by day: of each item how many values, how many differ, and where first.

    Args:
        items: names, in the order of the findings.
    """

    def __init__(self, *items: str) -> None:
        self._checked = dict.fromkeys(items, 0)
        self._differing = dict.fromkeys(items, 0)
        self._where = dict.fromkeys(items, "")

    def add(self, item: str, checked: int, differing: int, where: str) -> None:
        """Count the values of one comparison."""
        self._checked[item] += checked
        self._differing[item] += differing
        if differing and not self._where[item]:
            self._where[item] = where

    def findings(self, artifact: str, date: str, suffix: str = "") -> Iterator[Finding]:
        """Yield one finding an item."""
        for item, checked in self._checked.items():
            count = self._differing[item]
            yield Finding(artifact, f"{item}{suffix}", date, checked, count, self._where[item], not count)


@dataclass(frozen=True)
class Part:
    """What a part of the audit does, in words.

    Attributes:
        compares: what with what.
        unseen: what it cannot see.
    """

    compares: str
    unseen: str


PARTS: dict[str, Part] = {
    "prices": Part(
        "every clean price against the raw row of its own code and day; closes that the files lack",
        "values that are wrong in the files; a past that the source adjusted; how tables of other columns were read",
    ),
    "clean_prices": Part(
        "clean rows and universe up to the audited dates, rebuilt with another future",
        "a rule that looks ahead on other days than the audited ones",
    ),
    "features": Part("features up to the audited dates, rebuilt with another future", "as clean_prices"),
    "labels": Part(
        "labels complete by the audited dates stay, incomplete ones change with the future",
        "as clean_prices",
    ),
    "panel": Part("panel rows up to the audited dates, rebuilt with another future", "as clean_prices"),
    "graphs": Part("graphs up to the month of the audited dates, rebuilt with another future", "as clean_prices"),
    "scores": Part(
        "scores before the audited dates, from memory and streamed, rebuilt with another future",
        "what the weights learned from days they should not have seen: see parts",
    ),
    "stored labels": Part(
        "all returns and targets of the panel against clean prices, by code of its own",
        "a prepared table's labels",
    ),
    "stored features": Part(
        "features of all listings at days over all months, rebuilt with another future",
        "days between the drawn ones; listings that rarely trade, and ranks that these move",
    ),
    "stored panel": Part("panel rows of all listings at days over all months against the feature table", "other days"),
    "stored graphs": Part(
        "graphs of months over all years, rebuilt without what follows their first day; the month of every day",
        "other months; edges within rounding",
    ),
    "windows": Part(
        "batches as training and evaluation build them, from memory and streamed, against panel rows",
        "other days; a device that is not here",
    ),
    "belief": Part(
        "no feature ranks the labels of any tenth of the days beyond belief",
        "a leak that is weaker than that, or of labels that reach over a fifth of a tenth",
    ),
    "parts": Part(
        "sessions between training, validation and test, and days that training read, from the model's card",
        "models of folds and of trials; what a card that was written by other code leaves out",
    ),
    "listings": Part(
        "sectors and markets against the day from which they are dated",
        "whether undated ones were known at the time",
    ),
    "update": Part("the newest day by update against the same day built from nothing", "later days; the graphs"),
    "fingerprints": Part(
        "growth of each feature's RankIC with the horizon, as full-sample scaling leaves it",
        "weaker traces than its limits",
    ),
}
