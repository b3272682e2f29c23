"""What ``kedro doctor`` finds."""

from pathlib import Path

import pytest

from atft_pipeline import doctor
from atft_pipeline.doctor import choices, environment, machine, unmet, untested
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import Experiment
from tests.project import kedro, newest


def test_a_requirement_that_is_absent_or_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["numpy>=2.0", "numpy<1", "no-such-package>=3", "other; extra == 'dev'", "gone; python_version < '3'"]
    monkeypatch.setattr(doctor, "requires", lambda _: asked)
    first, second = unmet("atft-pipeline")
    assert first.startswith("numpy<1, ")
    assert second == "no-such-package>=3 is not installed"


def test_every_requirement_of_this_environment_is_met() -> None:
    assert list(unmet("atft-pipeline")) == []


def test_other_versions_than_the_tested_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: {"torch": "2.13.0+cu130", "numpy": "2.0.0"}[name])
    assert list(untested("# tested\ntorch==2.13.0 \\\n    --hash=sha256:00\nnumpy==2.4.6\n")) == [
        "numpy 2.0.0 (tested: 2.4.6)"
    ]


def test_little_memory_and_a_full_disk_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {item.state for item in machine(tmp_path) if item.subject in {"memory", "disk"}} == {"ok"}
    monkeypatch.setattr(doctor, "available_memory", lambda: 2**30)
    monkeypatch.setattr(doctor, "LEAST_DISK", 2**60)
    found = {item.subject: item.state for item in machine(tmp_path)}
    assert (found["memory"], found["disk"]) == ("problem", "problem")


def test_what_auto_chooses_has_its_reason_and_what_cannot_be_met_is_a_problem() -> None:
    found = {item.subject: item for item in choices(Experiment(), None)}
    assert found["runtime.device"].told
    assert found["batches.batch_size"].value == str(Experiment().batches.batch_size)
    first, *_ = choices(Experiment(runtime=RuntimeConfig(device="cpu", precision="tf32")), None)
    assert (first.subject, first.state) == ("runtime", "problem")
    assert "runtime.precision: tf32 was asked for" in first.told


def test_the_environment_is_told(tmp_path: Path) -> None:
    assert [item.subject for item in environment(tmp_path)] == ["Python", "packages"]


@pytest.mark.slow
def test_the_report_fits_a_screen_and_a_damaged_artifact_fails_it(finished: tuple[Path, str], tmp_path: Path) -> None:
    project, _ = finished
    done = kedro(project, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) < 40
    assert max(map(len, done.stdout.splitlines())) <= 118
    assert "train" in done.stdout
    assert "fresh" in done.stdout
    card = newest(project, "data/08_reporting/run_card.json")
    text = card.read_text()
    try:
        card.write_text(text[:-10])
        done = kedro(project, "doctor")
    finally:
        card.write_text(text)
    assert done.returncode == 1
    assert "make run_card again with: kedro run --pipeline=train" in " ".join(done.stdout.split())
    assert done.stderr.endswith("error: train: see above\n")
