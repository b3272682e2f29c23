"""Memory that runs out: the same step in smaller batches, a few times, then one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atft_pipeline.errors import Interrupted, OutOfMemoryError, TrainingError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel
from atft_pipeline.training import loop
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.training.memory import halved, is_out_of_memory
from tests.training.runs import BATCHES, market, run, weights

ERRORS = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs]:
    return market(tmp_path_factory.mktemp("market"), days=80)


def small_memory(patch: pytest.MonkeyPatch, largest: int, error: Exception = ERRORS[0]) -> list[tuple[int, int]]:
    """Let an epoch fail in batches above a size; returns what was tried: batch size and accumulation."""
    original: Callable[..., Any] = loop.train_epoch
    tried: list[tuple[int, int]] = []

    def epoch(trainer: loop.Trainer, *rest: Any) -> Any:
        size = trainer.experiment.batches.size
        tried.append((size, trainer.experiment.training.accumulation))
        if size > largest:
            raise error
        return original(trainer, *rest)

    patch.setattr(loop, "train_epoch", epoch)
    return tried


@pytest.mark.parametrize("error", ERRORS)
def test_the_batch_is_halved_and_the_accumulation_doubled(
    planted: tuple[Panel, MonthlyGraphs],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """What is trained then is what is trained in small batches from the start; log and run card tell."""
    given = run(*planted, tmp_path / "given", epochs=1, batches=replace(BATCHES, batch_size=32), accumulation=2)
    tried = small_memory(monkeypatch, 32, error)
    found = run(*planted, tmp_path / "halved", epochs=1)
    assert tried == [(64, 1), (32, 2)]
    one, other = weights(found), weights(given)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "out of memory with batches.batch_size 64: lower it" in caplog.text
    assert found.run_card["warnings"] == [
        "out of memory: batches.batch_size 64 was asked for; 32 with training.accumulation 2, the same step, fitted"
    ]
    assert (found.run_card["data"]["batch_size"], found.run_card["data"]["asked_batch_size"]) == (32, 64)


def test_a_measured_size_is_halved_too(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atft_pipeline.training.build.measured_batch_size", lambda *_: 64)
    tried = small_memory(monkeypatch, 32)
    run(*planted, tmp_path, epochs=1, batches=replace(BATCHES, batch_size="auto"))
    assert tried == [(64, 1), (32, 2)]


def test_it_is_tried_three_times_and_then_it_is_one_line(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = small_memory(monkeypatch, 1)
    with pytest.raises(OutOfMemoryError, match=r"^out of memory with batches.batch_size 8, halved from 64: lower it"):
        run(*planted, tmp_path / "a", epochs=1)
    assert [size for size, _ in tried] == [64, 32, 16, 8]
    tried.clear()
    # A day of the fewest listings has to fit.
    with pytest.raises(TrainingError, match=r"^out of memory with batches.batch_size 16, halved from 32: lower it"):
        run(*planted, tmp_path / "b", epochs=1, batches=replace(BATCHES, batch_size=32, min_listings=10))
    assert [size for size, _ in tried] == [32, 16]


def test_a_resumed_training_goes_on_in_the_batches_that_fitted(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = small_memory(monkeypatch, 32)
    whole = run(*planted, tmp_path / "whole", epochs=2)

    class Leaves:
        def on_epoch(self, record: Any) -> None:
            raise Interrupted(f"after epoch {record['epoch']}")

        def on_run_card(self, card: Any) -> None: ...

        def on_restart(self) -> None: ...

    with pytest.raises(Interrupted):
        run(*planted, tmp_path / "cut", epochs=2, callback=Leaves())
    tried.clear()
    resumed = run(*planted, tmp_path / "cut", epochs=2, resume=True)
    assert set(tried) == {(32, 2)}
    one, other = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_memory_errors_count_as_such() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(TrainingError, match=r"out of memory with batches\.batch_size 5"):
        halved(Experiment(batches=replace(BATCHES, batch_size=5)), 1)
