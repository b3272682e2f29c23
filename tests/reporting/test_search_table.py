from io import StringIO

import pytest
from rich.console import Console

from atft_pipeline.reporting.search_table import LiveTable, duration
from atft_pipeline.tuning.callbacks import TrialOutcome, TrialStart
from tests.tuning.studies import complete


def begun(number: int) -> TrialStart:
    return TrialStart(number, number, 0, {}, {}, 3)


def test_the_live_table_shows_state_value_epoch_eta_and_best() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=120)
    table = LiveTable("study", 3, console)
    with table.showing():
        table.on_trial(begun(0))
        table.on_epoch(begun(0), {"epoch": 1, "val_rank_ic": 0.12, "seconds": 61.0})
        half = draw(table)
        table.on_outcome(begun(0), complete(0.15))
        table.on_trial(begun(1))
        table.on_outcome(begun(1), TrialOutcome("FAILED", "epoch 1: the loss is nan"))
    done = draw(table)
    for expected in ["0 default", "RUNNING", "+0.1200", "1/3", "2:02", "none yet"]:
        assert expected in half
    for expected in ["COMPLETE", "FAILED", "the loss is nan", "best so far +0.1500 (trial 0 default)"]:
        assert expected in done


def test_the_live_table_draws_nothing_where_there_is_no_terminal() -> None:
    output = StringIO()
    table = LiveTable("study", 1, Console(file=output))
    with table.showing():
        table.on_trial(begun(0))
    assert output.getvalue() == ""


def draw(table: LiveTable) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(table.table())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3600, "60:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
