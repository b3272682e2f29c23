"""The model's card tells the days, the market and the artifacts of its training."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from atft_pipeline.panel.splits import single_split
from atft_pipeline.training.checkpoint import load_model
from atft_pipeline.training.origin import spans, witness
from atft_pipeline.training.state import StateStore, TrainingState
from tests.panel.market import make_panel
from tests.training.runs import SPLIT, market, run


def test_the_card_carries_the_days_that_were_given_and_those_that_were_read(tmp_path: Path) -> None:
    panel, graphs = market(tmp_path)
    split = single_split(panel.dates, SPLIT, panel.meta.label_span)
    card = load_model(run(panel, graphs, tmp_path / "run", epochs=1).checkpoint)[1]
    origin, dates = card.origin, panel.index.dates
    assert origin.train == ((dates[split.train[0]], dates[split.train[-1]]),)
    assert origin.validation == ((dates[split.validation[0]], dates[split.validation[-1]]),)
    assert origin.test == ((dates[split.test[0]], dates[split.test[-1]]),)
    # The first window ends on the fifth day.
    assert origin.read_train == ((dates[4], dates[split.train[-1]]),)
    assert origin.read_validation == origin.validation
    assert (origin.purge, origin.embargo) == (panel.meta.label_span, SPLIT.embargo)
    assert (card.panel, origin.graphs) == (panel.meta.fingerprint, graphs.meta.fingerprint)


def test_a_limited_epoch_read_fewer_days(tmp_path: Path) -> None:
    panel, _ = market(tmp_path)
    result = run(panel, None, tmp_path / "run", epochs=1, max_batches=2)
    short = load_model(result.checkpoint)[1].origin
    assert short.graphs == ""
    days = [day for first, last in short.read_train for day in _between(panel.index.dates, first, last)]
    assert 0 < len(days) < len(single_split(panel.dates, SPLIT, panel.meta.label_span).train) - 4


def test_spans_break_where_sessions_are_left_out(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    d = panel.index.dates
    assert spans(panel, [5, 3, 4, 9, 11, 12]) == ((d[3], d[5]), (d[9], d[9]), (d[11], d[12]))
    assert spans(panel, []) == ()


def test_the_witness_holds_known_returns_of_the_shortest_horizon(tmp_path: Path) -> None:
    panel = make_panel(tmp_path)
    rows = witness(panel, range(10, 40))
    assert len(rows) > 100
    assert len({date for date, _, _ in rows}) == 16
    for date, listing, value in rows:
        day = panel.day(panel.index.dates.index(date))
        place = int(np.flatnonzero(day.listing == panel.listings.index(listing))[0])
        assert value == day.returns[place, 0]


def test_an_interrupted_run_remembers_what_it_read_before(tmp_path: Path) -> None:
    state = TrainingState(read={"train": {7, 4}, "validation": {90}})
    model = nn.Linear(1, 1)
    store = StateStore(tmp_path / "states", "run", keep=1, keep_best=1)
    store.save(state, model, torch.optim.SGD(model.parameters()))
    restored = TrainingState()
    store.restore(restored, model, torch.optim.SGD(model.parameters()))
    assert restored.read == state.read


def _between(dates: tuple[str, ...], first: str, last: str) -> list[int]:
    return list(range(dates.index(first), dates.index(last) + 1))
