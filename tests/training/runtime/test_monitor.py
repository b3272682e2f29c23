import json
import time
from pathlib import Path

import pytest
import torch

from atft_pipeline.errors import TrainingError
from atft_pipeline.training.accumulator import MetricAccumulator
from atft_pipeline.training.health import block_norms, refuse_collapse, refuse_divergence
from atft_pipeline.training.runtime.gpu import GpuSampler, Sample
from atft_pipeline.training.runtime.monitor import PartTimer
from tests.training.runs import market, run


def test_parts_add_up_and_the_current_one_is_known() -> None:
    timer = PartTimer()
    with timer.part("forward"):
        assert timer.current == "forward"
        with timer.part("data"):
            assert timer.current == "data"
            time.sleep(0.02)
        assert timer.current == "forward"
    assert timer.current == ""
    assert timer.seconds["forward"] >= timer.seconds["data"] >= 0.02
    timer.collect()
    assert not timer.device_seconds


def test_waiting_counts_what_the_source_takes() -> None:
    timer = PartTimer()

    def slow() -> object:
        for number in range(3):
            time.sleep(0.01)
            yield number

    seen, used = [], 0.0
    began = time.perf_counter()
    for item in timer.waiting(slow()):
        taken = time.perf_counter()
        time.sleep(0.02)
        used += time.perf_counter() - taken
        seen.append(item)
    assert seen == [0, 1, 2]
    assert 0.03 <= timer.seconds["data"] <= time.perf_counter() - began - used
    assert timer.share("data") == 1.0


def test_samples_of_a_gpu_are_counted_to_the_running_part() -> None:
    timer = PartTimer()
    busy = {"forward": 0.9, "data": 0.0}
    sampler = GpuSampler(lambda: Sample(busy.get(timer.current, 0.5), 2.0, 300.0), lambda: timer.current, 0.005)
    with sampler:
        for part in ("forward", "data"):
            with timer.part(part):
                time.sleep(0.06)
    summary = sampler.summary()
    assert summary["by_part"]["forward"]["busy"] == pytest.approx(0.9)
    assert summary["by_part"]["data"]["busy"] == 0.0
    assert summary["all"]["watts"] == pytest.approx(300.0)
    assert summary["samples"] >= 4


def test_sums_pack_and_unpack() -> None:
    sums, again = MetricAccumulator(), MetricAccumulator()
    sums.days, sums.steps, sums.weights = 3, 2, {"huber": 2.0}
    sums.values = {"loss": torch.tensor(6.0), "term/huber": torch.tensor(3.0)}
    sums.norms = {"all": torch.tensor(4.0)}
    again.unpack(json.loads(json.dumps(sums.pack())), torch.device("cpu"))
    assert again.pack() == sums.pack()
    assert again.loss == 2.0
    assert again.terms() == {"huber": {"value": 1.0, "weight": 2.0, "weighted": 2.0}}
    again.gather([sums.pack(), sums.pack()])
    assert again.days == 6
    assert again.loss == 2.0


def test_collapse_and_divergence_stop() -> None:
    refuse_collapse(0.1, 1)
    with pytest.raises(TrainingError, match="scores collapsed"):
        refuse_collapse(float("nan"), 1)
    history = [{"phase": "a", "loss": 1.0}, {"phase": "b", "loss": -2.0}]
    refuse_divergence(2.9, "a", history)
    refuse_divergence(50.0, "c", history)
    refuse_divergence(1.0, "b", history)
    with pytest.raises(TrainingError, match=r"training diverged, loss 3\.1 after 1"):
        refuse_divergence(3.1, "a", history)
    with pytest.raises(TrainingError, match="epoch 3"):
        refuse_divergence(2.5, "b", history)


def test_norms_of_blocks() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(1, 1))
    model[0](torch.tensor([[3.0, 4.0]])).sum().backward()
    assert {name: float(norm) for name, norm in block_norms(model).items()} == {"0": 5.0}


def test_a_trace_is_written_on_request_and_gradients_are_told_by_block(tmp_path: Path) -> None:
    result = run(*market(tmp_path, days=80), tmp_path / "run", epochs=1, profile_steps=2)
    (trace,) = (tmp_path / "run").glob("*/trace.json")
    names = {event.get("name", "") for event in json.loads(trace.read_text())["traceEvents"]}
    assert any("aten::" in name for name in names)
    norms = {name for name in result.history[0] if name.startswith("gradient_norm_")}
    assert {"gradient_norm_encoder", "gradient_norm_graph", "gradient_norm_heads"} <= norms
