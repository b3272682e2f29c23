"""A version exists once it is complete, and not before."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import polars as pl
import pytest
from kedro.io import Version
from kedro.io.core import DatasetError, VersionNotFoundError

from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.contents import LINEAGE
from atft_pipeline.datasets.tables import FrameDataset, JsonDataset
from atft_pipeline.errors import ArtifactError


class Failing(AtomicDataset[str, str]):
    """Writes half of its text, then fails."""

    def write(self, path: Path, data: str) -> None:
        path.write_text(data[: len(data) // 2])
        raise ArtifactError("disk full")

    def read(self, path: Path) -> str:
        return path.read_text()


def frame_dataset(folder: Path, load: str | None = None, save: str | None = None) -> FrameDataset:
    return FrameDataset(str(folder / "frame.parquet"), Version(load, save))


def test_newest_version_is_loaded_and_an_older_one_on_request(tmp_path: Path) -> None:
    for number, version in enumerate(["2020-01-01", "2020-01-02"]):
        frame_dataset(tmp_path, save=version).save(pl.DataFrame({"x": [number]}))
    assert frame_dataset(tmp_path).load()["x"].to_list() == [1]
    assert frame_dataset(tmp_path, load="2020-01-01").load()["x"].to_list() == [0]


def test_an_artifact_that_is_gone_from_its_newest_version_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, version in enumerate(["2020-01-01", "2020-01-02", "2020-01-03"]):
        frame_dataset(tmp_path, save=version).save(pl.DataFrame({"x": [number]}))
        (tmp_path / "frame.parquet" / version / LINEAGE).write_text("{}")
    assert frame_dataset(tmp_path).load()["x"].to_list() == [2]
    assert not caplog.records
    (tmp_path / "frame.parquet/2020-01-03/frame.parquet").unlink()
    dataset = frame_dataset(tmp_path)
    assert [dataset.load()["x"].to_list() for _ in range(2)] == [[1], [1]]
    (record,) = caplog.records
    assert "frame 2020-01-03 was saved and is gone" in record.getMessage()
    assert "the older version 2020-01-02 is read; make it again" in record.getMessage()
    # A version that another object saves meanwhile is not gone.
    frame_dataset(tmp_path, save="2020-01-04").save(pl.DataFrame({"x": [3]}))
    (tmp_path / "frame.parquet/2020-01-04" / LINEAGE).write_text("{}")
    (tmp_path / "frame.parquet/2020-01-03/lineage.json").unlink()
    assert dataset.load()["x"].to_list() == [1]
    assert len(caplog.records) == 1
    # Who asks for a version knows what he reads; and a folder that was never completed is none.
    frame_dataset(tmp_path, load="2020-01-01").load()
    (tmp_path / "frame.parquet/2020-01-04/frame.parquet").unlink()
    (tmp_path / "frame.parquet/2020-01-04" / LINEAGE).unlink()
    frame_dataset(tmp_path).load()
    assert len(caplog.records) == 1


def test_missing_version_names_the_saved_ones(tmp_path: Path) -> None:
    frame_dataset(tmp_path, save="2020-01-01").save(pl.DataFrame({"x": [1]}))
    with pytest.raises(DatasetError, match="saved versions: 2020-01-01"):
        frame_dataset(tmp_path, load="1999-01-01").load()


def test_failed_save_leaves_nothing(tmp_path: Path) -> None:
    dataset = Failing(str(tmp_path / "text"), Version(None, "v1"))
    with pytest.raises(DatasetError, match="disk full"):
        dataset.save("abcdef")
    assert not dataset.exists()
    assert list((tmp_path / "text").iterdir()) == []
    with pytest.raises(VersionNotFoundError):
        dataset.load()


def test_failed_save_keeps_the_unversioned_artifact(tmp_path: Path) -> None:
    kept = JsonDataset(str(tmp_path / "a.json"))
    kept.save({"x": 1})
    with pytest.raises(DatasetError):
        kept.save({"x": float("nan")})
    assert kept.load() == {"x": 1}


def test_killed_save_leaves_no_version(tmp_path: Path) -> None:
    """kill -9 in the middle of a write: the older version stays the newest one."""
    frame_dataset(tmp_path, save="2020-01-01").save(pl.DataFrame({"x": [1]}))
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from kedro.io import Version
        from atft_pipeline.datasets.tables import FrameDataset

        class Slow(FrameDataset):
            def write(self, path, data):
                path.write_bytes(b"half")
                Path({str(tmp_path / "writing")!r}).touch()
                time.sleep(60)

        Slow({str(tmp_path / "frame.parquet")!r}, Version(None, "2020-01-02")).save("anything")
    """)
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while not (tmp_path / "writing").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "frame.parquet" / "2020-01-02").exists()
    dataset = frame_dataset(tmp_path)
    assert dataset.resolve_load_version() == "2020-01-01"
    assert dataset.load()["x"].to_list() == [1]
    with pytest.raises(DatasetError):
        frame_dataset(tmp_path, load="2020-01-02").load()
    # The same version can be saved again over what the killed save left.
    frame_dataset(tmp_path, save="2020-01-02").save(pl.DataFrame({"x": [2]}))
    assert frame_dataset(tmp_path).load()["x"].to_list() == [2]


def test_a_run_goes_on_with_the_version_that_it_began_with(tmp_path: Path) -> None:
    """Another run saves meanwhile: what was looked at, or saved here, is what is read."""
    first, second, third = (f"2026-01-0{day}T00.00.00.000Z" for day in (1, 2, 3))
    frame_dataset(tmp_path, save=first).save(pl.DataFrame({"x": [1]}))
    reading = frame_dataset(tmp_path)
    assert reading.exists()
    writing = frame_dataset(tmp_path, save=second)
    writing.save(pl.DataFrame({"x": [2]}))
    frame_dataset(tmp_path, save=third).save(pl.DataFrame({"x": [3]}))
    assert reading.load()["x"].to_list() == [1]
    assert writing.load()["x"].to_list() == [2]
    assert writing.location().parent.name == second
    assert frame_dataset(tmp_path).load()["x"].to_list() == [3]


@pytest.mark.parametrize("ahead", ["2031-05-06T07.08.09.010Z", "2031-12-31T23.59.59.999Z"])
def test_a_version_from_the_future_does_not_stay_the_newest(tmp_path: Path, ahead: str) -> None:
    frame_dataset(tmp_path, save=ahead).save(pl.DataFrame({"x": [1]}))
    for number in (2, 3):
        now = frame_dataset(tmp_path, save=f"2026-01-0{number}T00.00.00.000Z")
        now.save(pl.DataFrame({"x": [number]}))
        assert now.load()["x"].to_list() == [number]
        folder = now.saved_folder()
        assert folder is not None
        assert folder.name > ahead
        assert (folder / "frame.parquet").exists()
        assert frame_dataset(tmp_path).load()["x"].to_list() == [number]
