"""Processes of one machine wait for each other."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atft_pipeline.locks import Lock, file_lock


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


def test_a_second_process_is_told_who_holds_a_lock_and_a_killed_one_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "model"
    script = (
        "from atft_pipeline.locks import Lock; from pathlib import Path; import time\n"
        f"lock = Lock(Path({str(path)!r}))\n"
        "assert lock.claim('training') is None; print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    lock = Lock(path)
    assert lock.claim("evaluate") == f"process {process.pid} (training)"
    process.kill()
    process.wait()
    process.stdout.close()
    assert lock.claim("evaluate") is None
    assert Lock(path).claim("train") == f"process {os.getpid()} (evaluate)"
    lock.release()
    assert Lock(path).claim("train") is None
