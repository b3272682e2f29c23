import threading
from pathlib import Path

import pytest
import torch

from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.panel.packing import BatchPlan
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.prefetch import AHEAD, Prefetch, source_of
from atft_pipeline.panel.resident import ResidentPanel
from tests.panel.market import RingGraphs, make_panel

CONFIG = BatchConfig(window=6, batch_size=8, min_history=3, min_listings=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return make_panel(tmp_path_factory.mktemp("panel"))


def day_batches(panel: Panel, mode: str = "mmap") -> DayBatches:
    resident = ResidentPanel.load(panel, ResidencyConfig(mode=mode))
    return DayBatches(resident, RingGraphs(panel), range(60), CONFIG, shuffle=True, seed=3)


def equal(first: DayBatch, second: DayBatch) -> bool:
    return all(torch.equal(one, two) for one, two in zip(first.tensors(), second.tensors(), strict=True))


def test_a_thread_gives_the_batches_of_the_process_itself(panel: Panel) -> None:
    batches = day_batches(panel)
    ahead = Prefetch(batches, CPU)
    for epoch in (0, 1, 0):
        plans = batches.plan(epoch)
        alone, theirs = list(batches.build_all(plans)), list(ahead.build_all(plans))
        assert len(alone) == len(theirs) > 5
        assert all(equal(one, two) for one, two in zip(alone, theirs, strict=True))
    resident = day_batches(panel, "host")
    assert all(equal(one, two) for one, two in zip(resident.epoch(0), theirs, strict=True))


def test_a_panel_that_lies_where_it_is_needed_has_no_thread(panel: Panel) -> None:
    resident, streamed = day_batches(panel, "host"), day_batches(panel)
    assert source_of(resident, CPU) is resident
    assert isinstance(source_of(streamed, CPU), Prefetch)


def test_reading_goes_on_while_the_model_computes(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the caller has a batch in hand, the next ones are built; without a thread it would wait in vain."""
    batches = day_batches(panel)
    build = batches.build
    plans = batches.plan(0)[:20]
    built = [threading.Event() for _ in plans]

    def told(plan: BatchPlan) -> DayBatch:
        batch = build(plan)
        built[plans.index(plan)].set()
        return batch

    monkeypatch.setattr(batches, "build", told)
    for place, _ in enumerate(Prefetch(batches, CPU).build_all(plans)):
        assert all(event.wait(120) for event in built[place : place + 1 + AHEAD])


def test_an_error_of_the_thread_is_raised_and_no_thread_stays(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = day_batches(panel)
    build = batches.build
    built: list[int] = []

    def failing(plan: BatchPlan) -> DayBatch:
        if len(built) == 3:
            msg = "the disk is gone"
            raise OSError(msg)
        built.append(1)
        return build(plan)

    monkeypatch.setattr(batches, "build", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        list(Prefetch(batches, CPU).build_all(batches.plan(0)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_a_caller_that_stops_early_leaves_no_thread_and_no_backlog(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = day_batches(panel)
    build, built = batches.build, []

    def counted(plan: BatchPlan) -> DayBatch:
        built.append(plan)
        return build(plan)

    monkeypatch.setattr(batches, "build", counted)
    taken = Prefetch(batches, CPU).build_all(batches.plan(0))
    next(taken)
    taken.close()
    assert len(built) <= AHEAD + 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_the_map_is_read_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """Two sources of one streamed panel, as training and validation are: each gets its own batches, in turns."""
    panel = make_panel(tmp_path)
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="mmap"))
    parts = [DayBatches(resident, None, days, CONFIG, shuffle=False, seed=0) for days in (range(5, 30), range(30, 60))]
    expected = [list(part.epoch()) for part in parts]
    for part, batches in zip(parts, expected, strict=True):
        assert all(
            equal(one, two) for one, two in zip(Prefetch(part, CPU).build_all(part.plan()), batches, strict=True)
        )
