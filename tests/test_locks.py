"""Processes of one machine wait for each other."""

import fcntl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager

from atft_pipeline.hooks import STORE_LOCK, StoreHooks
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


def test_whoever_opens_the_store_holds_the_lock_of_the_project(tmp_path: Path) -> None:
    """Three searches that began on a new project made the tables of mlflow.db at once, and two of them died."""
    seen: list[bool] = []

    class Store:
        @hook_impl(tryfirst=True)
        def after_context_created(self, context: Any) -> None:
            seen.append(held(context.project_path / STORE_LOCK))

    manager = _create_hook_manager()
    for hooks in (StoreHooks(), Store()):
        manager.register(hooks)
    manager.hook.after_context_created(context=SimpleNamespace(project_path=tmp_path))
    assert seen == [True]
    assert not held(tmp_path / STORE_LOCK)
