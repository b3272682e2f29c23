"""What must hold on a GPU; run where there is one."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import EncoderConfig, HeadsConfig
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.prefetch import Prefetch, source_of
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.inference import score_days
from atft_pipeline.training.checkpoint.model import load_model
from atft_pipeline.training.config import OptimizerConfig, RuntimeConfig, TargetsConfig
from atft_pipeline.training.optim import optimizers
from atft_pipeline.training.runtime.runtime import choose_runtime
from tests.training.runs import BATCHES, MODEL, market, run, weights

pytestmark = pytest.mark.gpu

DEEP = replace(MODEL, width=32, encoder=EncoderConfig(layers=2, heads=2), heads=HeadsConfig(quantiles=(0.1, 0.5, 0.9)))
LOSS = LossConfig(quantile=0.1, sharpe=0.1)
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs]:
    return market(tmp_path_factory.mktemp("market"), days=120)


def train(planted: tuple[Panel, MonthlyGraphs], folder: Path, *, epochs: int = 2, **given: Any) -> Any:
    runtime = RuntimeConfig(device="cuda", **given.pop("runtime", {}))
    settings = {"model": DEEP, "loss": LOSS, "runtime": runtime} | given
    return run(*planted, folder, epochs=epochs, **settings)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_default_compiles_fully_trains_in_bf16_and_tells_what_ran(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path
) -> None:
    result = train(planted, tmp_path)
    card = result.run_card
    assert card["compile"]["value"] == "full"
    assert card["compile"]["breaks"] == 0
    assert card["compile"]["graphs"] == 2
    assert card["precision"]["value"] == "bf16-mixed"
    assert card["probe"]["attention_kernel"] == card["attention"]["value"] == "fused"
    assert card["optimizer"]["fused"]
    assert card["panel"]["residency"] == "device"
    assert card["warnings"] == []
    assert result.history[-1]["val_rank_ic"] > 0.2
    # Events of the device, and NVML where it is.
    assert set(card["time"]["device_by_part"]) >= {"forward", "backward", "optimizer"}
    assert all(value > 0 for value in card["time"]["device_by_part"].values())
    assert card["time"]["gpu"]["all"]["memory_gib"] > 0
    assert card["time"]["first_step_seconds"] > 0


def test_scores_of_cpu_and_gpu_agree(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    panel, graphs = planted
    result = train(planted, tmp_path, runtime={"compile": "none"})
    found = {}
    for device, precision in (("cpu", "32"), ("cuda", "32"), ("cuda", "bf16-mixed")):
        model, card = load_model(result.checkpoint)
        runtime = choose_runtime(RuntimeConfig(device=device, precision=precision))  # type: ignore[arg-type]
        resident = ResidentPanel.load(panel.select(card.batches.features), ResidencyConfig(), device)
        days = range(80, 110)
        found[device, precision] = score_days(
            model, resident, graphs.align(panel.dates), days, card.batches, runtime
        ).score[:, 0]
    exact, same, low = found.values()
    assert np.abs(exact - same).max() < 1e-4
    ranks = [np.argsort(np.argsort(values)) for values in (exact, low)]
    assert np.corrcoef(*ranks)[0, 1] > 0.999


def test_a_fused_step_equals_the_plain_one(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"compile": "none", "precision": "32"}
    still = replace(DEEP, dropout=0.0, graph=replace(DEEP.graph, dropout=0.0))
    found = []
    for devices in (("cuda",), ()):
        monkeypatch.setattr(optimizers, "FUSED_DEVICES", devices)
        settings = OptimizerConfig(lr=1e-3)
        result = train(planted, tmp_path / str(len(devices)), epochs=1, model=still, optimizer=settings, runtime=plain)
        assert result.run_card["optimizer"]["fused"] == bool(devices)
        found.append(weights(result))
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name], atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("mode", ["device", "host", "mmap"])
def test_batches_are_the_same_wherever_the_panel_lies(planted: tuple[Panel, MonthlyGraphs], mode: Any) -> None:
    panel, graphs = planted
    expected, found = (
        DayBatches(
            ResidentPanel.load(panel, ResidencyConfig(mode=where), device),
            graphs.align(panel.dates),
            range(20, 90),
            BATCHES,
            shuffle=True,
            seed=1,
            fixed=True,
        )
        for where, device in (("host", "cpu"), (mode, "cuda"))
    )
    source = source_of(found, CUDA)
    assert isinstance(source, Prefetch) == (mode != "device")
    for one, two in zip(expected.epoch(), source.build_all(found.plan()), strict=True):
        for left, right in zip(one.tensors(), two.tensors(), strict=True):
            assert right.is_cuda
            assert torch.equal(left, right.cpu())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("residency", ["device", "host"])
def test_no_step_waits_for_the_device(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, residency: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of an epoch runs in the mode in which a wait raises; the looks every fifty steps are outside it."""
    from atft_pipeline.training import epoch

    original = epoch.train_group
    steps: list[int] = []

    def watched(*given: Any) -> float:
        if steps:  # the first one sets kernels up
            torch.cuda.set_sync_debug_mode("error")
        try:
            return original(*given)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            steps.append(1)

    monkeypatch.setattr(epoch, "train_group", watched)
    panel, graphs = planted
    resident = ResidentPanel.load(panel, ResidencyConfig(mode=residency), "cuda")
    settings = {
        "resident": resident,
        "runtime": {"compile": "none"},
        "loss": replace(LOSS, turnover_cost=0.001),
        "targets": TargetsConfig(neutral_to=("sector", "beta")),
        "ema_decay": 0.9,
        "epochs": 1,
    }
    train((panel, graphs), tmp_path, **settings)
    assert len(steps) > 20


def test_a_resumed_run_goes_on_where_it_stood(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    whole = train(planted, tmp_path / "a", epochs=3, runtime={"compile": "none", "deterministic": True})

    def leave() -> None:
        calls.append(1)
        if len(calls) == 60:
            raise KeyboardInterrupt

    calls: list[int] = []
    asked = {"epochs": 3, "runtime": {"compile": "none", "deterministic": True}}
    with pytest.raises(KeyboardInterrupt):
        train(planted, tmp_path / "b", interrupt=leave, **asked)
    resumed = train(planted, tmp_path / "b", resume=True, **asked)
    assert [r["loss"] for r in resumed.history] == pytest.approx([r["loss"] for r in whole.history], rel=1e-3)


def test_a_batch_size_is_found_and_memory_that_ends_is_no_crash(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path
) -> None:
    result = train(
        planted, tmp_path, epochs=1, batches=replace(BATCHES, batch_size="auto"), runtime={"compile": "none"}
    )
    assert result.run_card["data"]["batch_size"] >= 32


def test_an_fp16_step_without_numbers_is_skipped_and_the_next_one_is_not(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fabric's scaler leaves the weights alone where a gradient overflowed, and lowers its scale."""
    from atft_pipeline.training import epoch

    before: list[dict[str, torch.Tensor]] = []
    original, forward = epoch.optimizer_step, epoch.forward

    def overflowing(trainer: Any, *given: Any) -> Any:
        result = forward(trainer, *given)
        return replace(result, total=result.total * torch.inf) if trainer.state.step == 2 else result

    def watched(trainer: Any) -> Any:
        before.append({name: weight.clone() for name, weight in trainer.model.named_parameters()})
        return original(trainer)

    monkeypatch.setattr(epoch, "forward", overflowing)
    monkeypatch.setattr(epoch, "optimizer_step", watched)
    monkeypatch.setattr("atft_pipeline.training.accumulator.MetricAccumulator.refuse_nan", lambda *_: None)
    precision = {"compile": "none", "precision": "16-mixed"}
    card = train(planted, tmp_path, epochs=1, max_batches=5, runtime=precision).run_card
    assert card["precision"]["value"] == "16-mixed"
    kept = [all(torch.equal(old[name], new[name]) for name in old) for old, new in pairwise(before)]
    assert kept == [False, False, True, False]


def test_memory_that_ends_is_one_line(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    from atft_pipeline.training.batch_size import best_size

    def rate(size: int) -> float | None:
        try:
            torch.empty(size * 2**30, dtype=torch.uint8, device=CUDA)
        except torch.OutOfMemoryError:
            return None
        return float(size)

    # The device's memory ends below a thousand GiB, and the search says the largest size that fits.
    assert 8 <= best_size(rate, 1, 1024) < 1024


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_two_gpus_train_what_accumulation_does(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    plain = {"compile": "none", "precision": "32"}
    still = replace(DEEP, dropout=0.0, graph=replace(DEEP.graph, dropout=0.0))
    alone = train(planted, tmp_path / "a", epochs=1, model=still, accumulation=2, runtime=plain)
    both = train(planted, tmp_path / "b", epochs=1, model=still, runtime={**plain, "devices": 2})
    for name, one in weights(alone).items():
        torch.testing.assert_close(one, weights(both)[name], atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_compiled_and_eager_trainings_agree(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    still = replace(DEEP, dropout=0.0, graph=replace(DEEP.graph, dropout=0.0))
    losses = [
        train(planted, tmp_path / kind, epochs=1, model=still, runtime={"compile": kind, "precision": "32"}).history[0]
        for kind in ("none", "full", "selective")
    ]
    for other in losses[1:]:
        assert other["loss"] == pytest.approx(losses[0]["loss"], rel=1e-3)
        assert other["val_rank_ic"] == pytest.approx(losses[0]["val_rank_ic"], abs=0.02)
