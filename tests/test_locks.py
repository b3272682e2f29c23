"""Processes of one machine wait for each other."""

import fcntl
from pathlib import Path

import pytest

from atft_pipeline.locks import file_lock


def held(path: Path) -> bool:
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_lock_is_held_inside_and_let_go_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"

    def fail() -> None:
        with file_lock(path):
            assert held(path)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not held(path)
