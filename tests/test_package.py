"""The package where there is no project: an empty folder with its configuration; and what builds its container."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atft_pipeline", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_package_runs_from_an_empty_folder_with_its_configuration(tmp_path: Path) -> None:
    """As after ``kedro package``: the wheel is installed, the configuration lies beside the data."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    size = "sample_market.listings=30,sample_market.sessions=240"
    done = run(tmp_path, "--conf-source=conf", "--pipeline=sample_market", f"--params={size}")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("data/01_raw/sample_market/prices.parquet/*/prices.parquet"))) == 1
    refused = run(tmp_path, "--conf-source=conf", "--pipeline=ingest", "--params=ingest.rule=1")
    assert refused.returncode == 1
    assert "error: parameter ingest.rule: unknown key" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_container_file_is_linted() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), str(ROOT / "Containerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    text = (ROOT / "Containerfile").read_text()
    assert re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE) == ["build", "base", "cpu", "cuda"]
    # Whatever it copies is there.
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for line in copied for name in line.split())
