"""The benchmark, and the report for a GPU at hand, at a size that a CPU does in seconds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from atft_pipeline.benchmark import report
from atft_pipeline.benchmark.__main__ import main
from atft_pipeline.benchmark.config import BenchmarkConfig
from atft_pipeline.benchmark.report import run_benchmark
from atft_pipeline.benchmark.switches import DEFAULT, PLAIN, VARIANTS
from atft_pipeline.benchmark.workload import PRODUCTION, SCALES, build_workload
from atft_pipeline.config import from_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.reporting.benchmark_table import benchmark_table, digits
from atft_pipeline.training.config import RuntimeConfig

CPU = torch.device("cpu")
FEW = ("default", "eager", "float32", "optimizer adabelief", "attention flash", "half the batch", "no graph")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = SCALES["tiny"]
    monkeypatch.setitem(SCALES, "tiny", replace(tiny, listings=20, days=150, batch_size=64))
    monkeypatch.setattr(report, "EPOCH_STEPS", 6)


@pytest.mark.slow
def test_the_report_for_a_gpu_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command as on the day when there is one."""
    path = tmp_path / "report.json"
    asked = ["--gpu-report", "--scale", "tiny", "--device", "cpu", "--steps", "3", "--json", str(path), "--only", *FEW]
    assert main(asked) == 0
    printed, told = capsys.readouterr()
    found = json.loads(path.read_text())
    assert [row["name"] for row in found["variants"]] == [v.name for v in (DEFAULT, *VARIANTS) if v.name in FEW]
    by_name = {row["name"]: row for row in found["variants"]}
    assert "cpu has no such kernel" in by_name["attention flash"]["error"]
    for name in set(FEW) - {"attention flash"}:
        assert by_name[name]["error"] == ""
        assert by_name[name]["samples_per_second"] > 0
    # The same weights and the same first batch: eager and float32 are one thing on a CPU.
    assert by_name["eager"]["loss"] == by_name["float32"]["loss"] == by_name["default"]["loss"]
    assert by_name["no graph"]["loss"] != by_name["eager"]["loss"]
    assert found["flops_per_sample"] > 0
    assert found["epoch"]["complete"]
    assert found["epoch"]["seconds"] > 0
    assert sum(kernel["share"] for kernel in found["kernels"]) <= 1.0 + 1e-6
    assert all(check["passed"] for check in found["checks"])
    assert any(check["name"] == "first losses against eager float32" for check in found["checks"])
    for word in ("not measured  attention flash", "passed  equal scores twice", " x eager", "measured whole"):
        assert word in printed
    assert (printed + told).count("first losses against eager float32") == 1


def test_small_and_large_rates_have_digits() -> None:
    assert [digits(value) for value in (0.00312, 0.25, 12.34, 781.2, 4261.0)] == [
        "0.00312",
        "0.25",
        "12.3",
        "781",
        "4,261",
    ]


def test_what_time_does_not_allow_is_named() -> None:
    found = run_benchmark(BenchmarkConfig(minutes=1e-6, only=("default", "san")), device="cpu", steps=2)
    assert found["left_out"] == ["san"]
    assert "no time was left for: san" in benchmark_table(found)


def test_an_unknown_variant_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "warp drive"]) == 2
    assert "only: there is no warp drive; there are:" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="steps: must be at least 2"):
        run_benchmark(BenchmarkConfig(), steps=1)


def test_every_variant_is_a_valid_configuration_that_differs() -> None:
    base = SCALES["origin"].experiment(RuntimeConfig())
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert variant.of(base) != base or "residency" in variant.change, variant.name
    assert DEFAULT.of(base) == base
    assert PLAIN.of(base).runtime.precision == "32"


def test_the_origins_model_is_the_production_size() -> None:
    sizes = yaml.safe_load((Path(__file__).resolve().parents[2] / "conf/base/globals.yml").read_text())["models"]
    assert from_mapping(ModelConfig, sizes["production"]) == PRODUCTION


def test_a_market_of_noise_has_its_signal_and_its_days() -> None:
    workload = build_workload(SCALES["tiny"], CPU)
    resident = workload.resident
    first, target = resident.features[:100, :, 0].float().flatten(), resident.targets[:100, :, 0].flatten()
    assert torch.corrcoef(torch.stack([first, target]))[0, 1] > 0.03
    assert (resident.features[:, :, -1] == resident.features[:, :1, -1]).all()
    assert torch.equal(workload.data("host").resident.features, resident.features)
    assert 0.9 * 20 * 143 < workload.windows < 20 * 143
