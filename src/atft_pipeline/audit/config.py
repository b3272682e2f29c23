"""Parameters of the audit."""

import datetime as dt

from atft_pipeline.config import config, require, within


@config
class AuditConfig:
    """What is audited.

    Attributes:
        dates: dates at which the whole chain is rebuilt, ISO; empty = ``count`` dates spread over the second half of
            the prices, the last session but one among them.
        count: how many, where none are named.
        codes: codes drawn for each date of the chain, others for each; 0 = all. Fewer are faster; the rules do not
            depend on their number.
        sessions: sessions before each date that are rebuilt; 0 = all.
        fingerprints: search the features for scaling by the whole sample.
    """

    dates: tuple[str, ...] = ()
    count: int = within(2, 1, 100)
    codes: int = within(0, 0, 1_000_000)
    sessions: int = within(0, 0, 100_000)
    fingerprints: bool = True

    def __post_init__(self) -> None:
        for date in self.dates:
            try:
                dt.date.fromisoformat(date)
            except ValueError:
                require(ok=False, message=f"dates: must be ISO dates such as 2024-12-31, got {date!r}")
