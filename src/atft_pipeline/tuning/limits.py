"""The time limit of a trial, from measured epochs."""

import time
from collections.abc import Callable

from atft_pipeline.errors import TrainingError

# A trial may take this many times its planned epochs times the measured seconds of its first epoch.
TIME_LIMIT = 3.0
# A first epoch also compiles and warms up.
FIRST_EPOCH = 10.0
# Seconds below which no trial is worth ending: a busy disk alone takes as long.
LEAST = 20.0


class TimeLimitError(TrainingError):
    """A trial took much longer than its own epochs say."""


class Deadline:
    """Time limit of a trial. The first epoch sets it; until then the slowest epoch of the study stands in.

    Args:
        epochs: planned.
        slowest: seconds of the slowest epoch measured in the study, ``None`` in its first trial.
        clock: gives seconds.
    """

    def __init__(self, epochs: int, slowest: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._epochs, self._clock = epochs, clock
        self._start = clock()
        self._measured = False
        self._limit = None if slowest is None else FIRST_EPOCH * slowest
        self._basis = f"{FIRST_EPOCH:g} x the slowest epoch of the study, {slowest or 0:.1f} s"

    def measure(self, seconds: float) -> None:
        """Take the seconds of an epoch; the first one sets the limit."""
        if self._measured:
            return
        self._measured = True
        # What building the trial took before its first epoch does not count against it.
        built = max(self._clock() - self._start - seconds, 0.0)
        self._limit = built + max(TIME_LIMIT * self._epochs * seconds, LEAST)
        self._basis = f"{TIME_LIMIT:g} x {self._epochs} epochs x {seconds:.1f} s, measured in its first"

    def check(self) -> None:
        """Stop a trial that is over its limit.

        Raises:
            TimeLimitError: with the limit and what it was measured from.
        """
        spent = self._clock() - self._start
        if self._limit is not None and spent > self._limit:
            msg = f"time limit: {spent:.1f} s, limit {self._limit:.1f} s ({self._basis})"
            raise TimeLimitError(msg)
