"""A search in the terminal: a table that is redrawn, lines of the log, the checks of a dry run."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from atft_pipeline.progress import hidden_bars
from atft_pipeline.reporting.console import table
from atft_pipeline.tuning.acceptance import Check
from atft_pipeline.tuning.callbacks import TrialOutcome, TrialStart

log = logging.getLogger(__name__)
COLOURS = {"RUNNING": "cyan", "COMPLETE": "green", "PRUNED": "yellow", "FAILED": "red"}
SHOWN = 15


@dataclass
class Line:
    """A line of the table."""

    trial: str
    state: str
    planned: int
    value: float | None = None
    epoch: int = 0
    seconds: float = 0.0
    note: str = ""


class TrialLog:
    """A line of the log when a trial begins and when it ends, with the best so far."""

    def __init__(self) -> None:
        self._best: tuple[float, int] | None = None

    def on_trial(self, trial: TrialStart) -> None:
        """Name the point."""
        what = (
            "the default configuration"
            if trial.slot == 0
            else ", ".join(f"{k}={shown(v)}" for k, v in trial.point.items())
        )
        log.info("trial %d%s: %s", trial.number, f" (retry {trial.retry})" if trial.retry else "", what)

    def on_epoch(self, _trial: TrialStart, _record: Mapping[str, Any], /) -> None:
        """Leave epochs to the training's own line."""

    def on_outcome(self, trial: TrialStart, outcome: TrialOutcome) -> None:
        """Say how the trial ended and which one leads."""
        if outcome.values and (self._best is None or outcome.values[0] > self._best[0]):
            self._best = (outcome.values[0], trial.number)
        value = f" {outcome.values[0]:+.4f}" if outcome.values else f": {outcome.reason}"
        best = "" if self._best is None else f"   best {self._best[0]:+.4f} (trial {self._best[1]})"
        log.info("trial %d %s%s%s", trial.number, outcome.state, value, best)


def shown(value: Any) -> str:
    """A value of a point in few digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class LiveTable:
    """Trial, state, value, epoch, time left and the best so far, redrawn at each epoch.

    Args:
        study: name of the study.
        trials: planned trials of the study.
        console: where to draw; nothing is drawn where it is no terminal.
    """

    def __init__(self, study: str, trials: int, console: Console | None = None) -> None:
        self._study, self._trials = study, trials
        self._console = console or Console(stderr=True)
        self._lines: list[Line] = []
        self._best: tuple[float, str] | None = None
        self._began = time.monotonic()
        self._live: Live | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw while the block runs; the bars of single epochs stay away."""
        if not self._console.is_terminal:
            yield
            return
        with hidden_bars(), Live(self.table(), console=self._console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def on_trial(self, trial: TrialStart) -> None:
        """Add a line."""
        name = (
            f"{trial.number}"
            + (" default" if trial.slot == 0 else "")
            + (f" retry {trial.retry}" if trial.retry else "")
        )
        self._lines.append(Line(name, "RUNNING", trial.epochs))
        self._draw()

    def on_epoch(self, _trial: TrialStart, record: Mapping[str, Any], /) -> None:
        """Move a line on."""
        line = self._lines[-1]
        line.epoch, line.seconds = int(record["epoch"]), float(record["seconds"])
        line.value = max(float(record["val_rank_ic"]), -1.0 if line.value is None else line.value)
        self._draw()

    def on_outcome(self, _trial: TrialStart, outcome: TrialOutcome, /) -> None:
        """End a line."""
        line = self._lines[-1]
        line.state, line.note = outcome.state, outcome.reason
        if outcome.state == "COMPLETE":
            line.value = outcome.values[0]
            if self._best is None or line.value > self._best[0]:
                self._best = (line.value, line.trial)
        self._draw()

    def table(self) -> Group:
        """The table as it stands."""
        best = "none yet" if self._best is None else f"{self._best[0]:+.4f} (trial {self._best[1]})"
        done = sum(line.state != "RUNNING" for line in self._lines)
        title = f"{self._study}   {done} of {self._trials} trials here   best so far {best}"
        rows = [
            (
                line.trial,
                Text(line.state, COLOURS[line.state]),
                "" if line.value is None else f"{line.value:+.4f}",
                f"{line.epoch}/{line.planned}",
                self._eta(line),
                Text(line.note),
            )
            for line in self._lines[-SHOWN:]
        ]
        drawn = table(("trial", "state", "value", "epoch", "ETA", "why"), rows, left=("trial", "state", "why"))
        return Group(Text(title, style="bold"), drawn, Text(self._remaining(done), style="dim"))

    def _eta(self, line: Line) -> str:
        if line.state != "RUNNING" or not line.epoch:
            return ""
        return duration((line.planned - line.epoch) * line.seconds)

    def _remaining(self, done: int) -> str:
        spent = time.monotonic() - self._began
        if not done or done >= self._trials:
            return f"{duration(spent)} so far"
        return f"{duration(spent)} so far, about {duration(spent / done * (self._trials - done))} left for one worker"

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self.table())


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def checks_table(checks: list[Check]) -> Table:
    """The acceptance checks of a dry run."""
    marks = {True: Text("passed", "green"), False: Text("FAILED", "red")}
    rows = [(check.name, check.found, check.wanted, marks[check.passed]) for check in checks]
    columns = ("check", "found", "wanted", "result")
    return table(columns, rows, left=columns, folded=("found",))
