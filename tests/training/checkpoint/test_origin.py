"""The model's card tells the days, the market and the artifacts of its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from atft_pipeline.errors import ArtifactError
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.splits.split import SplitConfig, single_split
from atft_pipeline.training.checkpoint.model import load_model
from atft_pipeline.training.checkpoint.origin import Descent, check_market, check_test_days, spans, witness
from atft_pipeline.training.checkpoint.state import StateStore, TrainingState
from tests.panel.market import listings_table, make_panel, write_features
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
    store = StateStore(tmp_path / "states", "run")
    store.save(state, model, torch.optim.SGD(model.parameters()))
    restored = TrainingState()
    store.restore(restored, model, torch.optim.SGD(model.parameters()))
    assert restored.read == state.read


def test_a_panel_with_further_or_revised_days_is_the_same_market_and_another_one_is_not(tmp_path: Path) -> None:
    panel = make_panel(tmp_path / "trained", days=90, signal=1.0)
    origin = Descent(panel, single_split(panel.dates, SPLIT, 5), "").origin([], [])
    longer = make_panel(tmp_path / "longer", days=90, signal=1.0, dtype="float32")
    assert longer.meta.fingerprint != panel.meta.fingerprint
    check_market(origin, panel.meta.fingerprint, longer)
    write_features(tmp_path / "other" / "features", days=90, seed=3, signal=1.0)
    build_panel(tmp_path / "other" / "features", listings_table(), tmp_path / "other.arrow", PanelConfig())
    other = Panel.open(tmp_path / "other.arrow")
    assert other.meta.index_fingerprint == panel.meta.index_fingerprint
    with pytest.raises(ArtifactError, match=r"are not of the same market: of 174 returns .* --pipeline=train$"):
        check_market(origin, panel.meta.fingerprint, other)


def test_features_made_with_other_parameters_are_refused(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=90)
    origin = replace(Descent(panel, single_split(panel.dates, SPLIT, 5), "").origin([], []), features="clip 5")
    other = Panel(panel.path, panel._reader, replace(panel.meta, lineage={"parameters": "clip 2"}), panel.index)
    with pytest.raises(ArtifactError, match="other parameters of features"):
        check_market(origin, "an earlier panel", other)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (SplitConfig(validation_share=0.2, test_share=0.5, embargo=2), "training was 2021-01-04 to 2021-03-0"),
        (SplitConfig(validation_share=0.2, test_share=0.3, embargo=2), "validation was 2021-"),
        (SplitConfig(validation_start="2021-02-15", test_start="2021-03-15", embargo=0), "training was 2021-"),
    ],
)
def test_another_split_must_not_test_on_days_of_the_training(tmp_path: Path, config: SplitConfig, said: str) -> None:
    panel = make_panel(tmp_path, days=90)
    span = panel.meta.label_span
    own = single_split(panel.dates, SPLIT, span)
    origin = Descent(panel, own, "").origin([], [])
    check_test_days(origin, panel, own.test)
    later = single_split(panel.dates, SplitConfig(validation_share=0.2, test_share=0.1, embargo=2), span)
    check_test_days(origin, panel, later.test)
    asked = single_split(panel.dates, config, span)
    with pytest.raises(ArtifactError, match=said) as caught:
        check_test_days(origin, panel, asked.test)
    assert panel.index.dates[asked.test[0]] in str(caught.value)


def test_a_test_that_begins_within_the_reach_of_the_last_label_is_refused(tmp_path: Path) -> None:
    panel = make_panel(tmp_path, days=90)
    own = single_split(panel.dates, SPLIT, panel.meta.label_span)
    origin = Descent(panel, own, "").origin([], [])
    first = own.validation[-1] + panel.meta.label_span
    with pytest.raises(ArtifactError, match="1 of 2 test days"):
        check_test_days(origin, panel, [first, first + 1])
    check_test_days(origin, panel, [first + 1])


def _between(dates: tuple[str, ...], first: str, last: str) -> list[int]:
    return list(range(dates.index(first), dates.index(last) + 1))
