"""Files appear complete or not at all, and what killed processes left is swept away."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from atft_pipeline.datasets.raw import FolderDataset
from atft_pipeline.errors import ArtifactError
from atft_pipeline.files import refusal, sweep, temporary_name
from atft_pipeline.lineage import FileHashes
from atft_pipeline.training.checkpoint.model import load_state, save_state, write_folder


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_temporary_names_of_the_dead_are_swept(tmp_path: Path, dead: int) -> None:
    kept = [".hidden", f"a.{dead}.partial", ".a.1.partial", ".a.x.partial", f".a.{dead}.txt", "b"]
    for name in [*kept, f".a.{dead}.partial", f".b.{dead}.partial"]:
        (tmp_path / name).touch()
    (tmp_path / f".c.{dead}.partial").mkdir()
    (tmp_path / f".c.{dead}.partial" / "part").touch()
    assert sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    assert not sweep(tmp_path)


def test_what_it_writes_itself_can_be_swept(tmp_path: Path) -> None:
    """A container gives each run the same number: what bears it is of an earlier one."""
    temporary_name(tmp_path / "a").touch()
    temporary_name(tmp_path / "b").touch()
    assert sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), errno.EFBIG),
        (ValueError("parquet: File out of specification: Invalid thrift: transport error"), errno.EIO),
        (ValueError("no such thing"), None),
        (OSError(errno.EAGAIN, "again"), None),
        (OSError("without a number"), None),
    ],
)
def test_what_the_system_refuses_is_told_from_other_errors(error: Exception, number: int | None) -> None:
    assert refusal(error) == number


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), SafetensorError("I/O error: No space left on device (os error 28)")]
)
def test_a_checkpoint_on_a_full_disk_is_one_line_and_keeps_the_one_before(tmp_path: Path, error: Exception) -> None:
    folder = tmp_path / "epoch-0001"
    save_state(folder, {"model/a": torch.ones(2)}, {"epoch": 1})

    def fill(path: Path) -> None:
        (path / "half").write_bytes(b"half")
        raise error

    with pytest.raises(ArtifactError, match=r"epoch-0001 cannot be saved: no space left on device \(.*\); make room"):
        write_folder(folder, fill)
    assert list(tmp_path.iterdir()) == [folder]
    assert load_state(folder)[1] == {"epoch": 1, "tensors": load_state(folder)[1]["tensors"]}


def test_the_next_checkpoint_sweeps_what_a_killed_one_left(tmp_path: Path, dead: int) -> None:
    (tmp_path / f".epoch-0001.{dead}.partial").mkdir()
    save_state(tmp_path / "epoch-0002", {"model/a": torch.ones(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0002"]


def test_a_damaged_state_is_named_whatever_happened_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "epoch-0001"
    save_state(folder, {"model/a": torch.ones(64), "random/cpu": torch.zeros(9)}, {"epoch": 12, "best": 0.5})
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        middle = len(content) // 2
        flipped = [
            bytes([*content[:place], content[place] ^ 1, *content[place + 1 :]])
            for place in (0, middle, len(content) - 3)
        ]
        for damaged in (b"", b"[]", b"null", b"{}", content[:9], content[:-3], *flipped, b"\xff" * 9):
            file.write_bytes(damaged)
            with pytest.raises(ArtifactError, match="is missing or damaged"):
                load_state(folder)
        file.write_bytes(content)
    assert load_state(folder)[1]["epoch"] == 12


def test_a_state_with_infinite_weights_is_damaged(tmp_path: Path) -> None:
    save_state(tmp_path / "epoch-0001", {"model/a": torch.tensor([1.0, torch.inf])}, {})
    with pytest.raises(ArtifactError, match="model/a holds weights that are not finite"):
        load_state(tmp_path / "epoch-0001")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1]}', '{"a": [1, "x", "y"]}'])
def test_remembered_hashes_that_are_damaged_are_made_anew(tmp_path: Path, text: str) -> None:
    raw, memory = tmp_path / "prices.csv", tmp_path / "memory.json"
    raw.write_text("a")
    expected = FileHashes(None).of(raw)
    memory.write_text(text)
    hashes = FileHashes(memory)
    assert hashes.of(raw) == expected
    hashes.save()
    assert len(json.loads(memory.read_text())) == 1


def test_hashes_that_cannot_be_remembered_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    FileHashes(tmp_path / "file" / "memory.json").save()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_working_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(Exception, match=r"checkpoints cannot be saved: file exists \(.*\); a file lies where a folder"):
        FolderDataset(str(tmp_path / "checkpoints")).load()
