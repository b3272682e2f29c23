"""Parameters of a validation over several folds."""

from typing import Literal

from atft_pipeline.config import config, require, within
from atft_pipeline.splits.schemes import CombinatorialPurged, PurgedKFold, Scheme, WalkForward
from atft_pipeline.splits.split import Dates, Split, parse_date


@config
class WalkForwardConfig:
    """Which folds; each is trained with the parameters of ``training``.

    Attributes:
        scheme: ``walk_forward`` (all that lies before), ``rolling`` (the last ``train_sessions`` before),
            ``purged_kfold`` or ``combinatorial``; see :mod:`atft_pipeline.splits.schemes`.
        first_test: first test day of walk_forward and rolling, ISO; ``null`` = first test day of ``split``, so that the
            days are those of ``evaluate``.
        last_test: last test day of walk_forward and rolling, ISO; ``null`` = last test day of ``split``.
        retrain_every_months: of walk_forward and rolling; ``null`` = by sessions.
        retrain_every_sessions: of walk_forward and rolling; ``null`` = by months.
        train_sessions: training sessions of rolling, and of it alone.
        validation_sessions: sessions of each fold's validation, which picks the best epoch, the penalty of ridge
            and the benchmark.
        folds: contiguous parts of the days: purged_kfold tests one at a time, combinatorial ``test_groups`` of them.
        test_groups: parts that each fold of combinatorial tests.
        warm_start: begin each fold with the weights of the one before. For walk_forward and rolling only: elsewhere the
            earlier fold has seen the later one's test.
    """

    scheme: Literal["walk_forward", "rolling", "purged_kfold", "combinatorial"] = "walk_forward"
    first_test: str | None = None
    last_test: str | None = None
    retrain_every_months: int | None = within(3, 1, 600)
    retrain_every_sessions: int | None = within(None, 1, 10_000)
    train_sessions: int | None = within(None, 1, 100_000)
    validation_sessions: int = within(60, 1, 10_000)
    folds: int = within(6, 2, 30)
    test_groups: int = within(2, 1, 29)
    warm_start: bool = False

    def __post_init__(self) -> None:
        for name in ("first_test", "last_test"):
            parse_date(getattr(self, name), name)
        require(
            (self.train_sessions is not None) == (self.scheme == "rolling"),
            f"train_sessions: belongs to the scheme rolling, and rolling needs it; got {self.train_sessions} with "
            f"{self.scheme}",
        )
        forward = self.scheme in ("walk_forward", "rolling")
        require(
            forward or not self.warm_start,
            f"warm_start: would show the model its test: it is for walk_forward and rolling, not for {self.scheme}",
        )
        require(
            forward or (self.first_test is None and self.last_test is None),
            f"first_test: with last_test belongs to walk_forward and rolling; {self.scheme} tests every session",
        )
        # A wrong number is refused now, not after the panel is loaded.
        self._scheme(self.first_test or "2000-01-01", self.last_test, embargo=0)

    def choose(self, dates: Dates, single: Split) -> Scheme:
        """The scheme on these days.

        Args:
            dates: trading days [D].
            single: the single split: its test days stand in for dates that are not given, its embargo is that of the
                folds.
        """
        first, last = (str(dates[single.test[end]]) for end in (0, -1))
        return self._scheme(self.first_test or first, self.last_test or last, single.embargo)

    def _scheme(self, first_test: str, last_test: str | None, embargo: int) -> Scheme:
        common = {"validation_sessions": self.validation_sessions, "embargo": embargo}
        if self.scheme == "purged_kfold":
            return PurgedKFold(folds_count=self.folds, **common)
        if self.scheme == "combinatorial":
            return CombinatorialPurged(groups=self.folds, test_groups=self.test_groups, **common)
        return WalkForward(
            first_test=first_test,
            last_test=last_test,
            retrain_every_months=self.retrain_every_months,
            retrain_every_sessions=self.retrain_every_sessions,
            train_sessions=self.train_sessions,
            **common,
        )
