from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atft_pipeline.errors import ConfigError, UnavailableError
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.training.batch_size import BatchSizeProbe, best_size
from tests.training.runs import BATCHES, market, run, weights


def test_doubling_stops_where_nothing_is_gained() -> None:
    rates = {64: 100.0, 128: 180.0, 256: 185.0, 512: 500.0}
    assert best_size(rates.get, 64, 10_000) == 128


def test_doubling_stops_where_memory_ends_and_at_all_samples() -> None:
    assert best_size({64: 100.0, 128: 200.0}.get, 64, 10_000) == 128
    assert best_size(float, 64, 200) == 256
    with pytest.raises(UnavailableError, match="not even 64"):
        best_size(lambda size: None, 64, 200)


def test_a_training_measures_its_batch_size_and_keeps_it_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measured run equals one that was given the size; resuming takes the size of the state, not a new one."""
    panel, graphs = market(tmp_path, days=80)
    auto = replace(BATCHES, batch_size="auto")
    found = run(panel, graphs, tmp_path / "auto", batches=auto, epochs=2)
    size = found.run_card["data"]["batch_size"]
    # Which doubling is the fastest one depends on how busy the machine is.
    assert size in {30 * 2**doubled for doubled in range(10)}
    given = run(panel, graphs, tmp_path / "given", batches=replace(BATCHES, batch_size=size), epochs=2)
    one, other = weights(found), weights(given)
    assert all(torch.equal(one[name], other[name]) for name in one)
    monkeypatch.setattr(BatchSizeProbe, "rate", lambda *_: pytest.fail("a resumed run measures nothing"))
    again = run(panel, graphs, tmp_path / "auto", batches=auto, epochs=2, resume=True)
    assert again.run_card["data"]["batch_size"] == size


def test_memory_that_ends_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atft_pipeline.losses.composite import CompositeLoss

    panel, graphs = market(tmp_path, days=80)

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(CompositeLoss, "__call__", full)
    with pytest.raises(UnavailableError, match="no size that fits"):
        run(panel, graphs, tmp_path / "run", batches=replace(BATCHES, batch_size="auto"), epochs=1)


def test_a_size_that_is_not_known_is_no_number() -> None:
    with pytest.raises(ConfigError, match="auto is measured by a training"):
        _ = BatchConfig(batch_size="auto").size


def test_no_more_than_four_days_are_in_a_batch(tmp_path: Path) -> None:
    """Thirty listings a day: 8,192 samples would be the whole market in one step."""
    panel, graphs = market(tmp_path)
    found = run(panel, graphs, tmp_path / "run", batches=replace(BATCHES, batch_size=8192), epochs=1)
    data = found.run_card["data"]
    # Of thirty listings 28 at most have the history that a sample needs.
    assert (data["batch_size"], data["asked_batch_size"]) == (4 * 28, 8192)
    assert data["batches_per_epoch"] >= data["training_days"] / 4
    given = run(panel, graphs, tmp_path / "given", batches=replace(BATCHES, batch_size=4 * 28), epochs=1)
    assert [record["loss"] for record in found.history] == [record["loss"] for record in given.history]
