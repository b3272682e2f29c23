"""The search never sees the test days: they are refused by date, and blanked where they lie in memory."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from atft_pipeline.errors import ConfigError
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import Split


def refuse_test_days(days: Sequence[int], split: Split, panel: Panel, use: str) -> None:
    """Refuse days that belong to the test, or whose labels reach into it.

    Args:
        days: day indices that the search is about to use.
        split: of the project.
        panel: gives the dates and the span of the labels.
        use: what the days are for, for the message.

    Raises:
        ConfigError: with the first such day.
    """
    first, last = min(split.test), max(split.test)
    reach = panel.meta.label_span
    found = [day for day in days if day + reach >= first and day <= last + reach]
    if found:
        msg = (
            f"hpo: session {panel.dates[found[0]]} ({use}) belongs to the test, which begins at {panel.dates[first]}, "
            f"or its label of {reach} sessions reaches it; a search that sees the test proves nothing: move the split"
        )
        raise ConfigError(msg)


def without_test(split: Split, panel: Panel) -> Split:
    """The split that trials get: no test days, and proven to be apart from them.

    Raises:
        ConfigError: training or validation days touch the test.
    """
    refuse_test_days(split.train, split, panel, "training")
    refuse_test_days(split.validation, split, panel, "validation")
    return replace(split, test=())


def blank_test_days(resident: ResidentPanel, split: Split) -> None:
    """Erase the test days from the panel in memory: no label, no sample, and no feature where it is not streamed."""
    days = torch.tensor(sorted(split.test), device=resident.device)
    resident.targets[days] = torch.nan
    resident.returns[days] = torch.nan
    resident.universe[days] = False
    if resident.choice.value != "mmap":
        resident.features[days.to(resident.features.device)] = 0
