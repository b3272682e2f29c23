"""How many threads the pools of a process get."""

import subprocess
import sys
from pathlib import Path

import pytest

from atft_pipeline.process import POOL_VARIABLES, available_cores


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000\n", None), ("100000 100000\n", 1), ("50000 100000\n", 1), ("99900000 100000\n", None)],
)
def test_the_quota_of_a_container_limits_the_cores(tmp_path: Path, content: str, cores: int | None) -> None:
    """Half a core is one thread; a quota above the affinity changes nothing."""
    quota = tmp_path / "cpu.max"
    quota.write_text(content)
    assert available_cores(quota) == (cores or available_cores(tmp_path / "absent"))


def test_a_process_with_one_core_starts_one_thread_in_each_pool() -> None:
    """On any system: the question that it asks is answered with one core."""
    program = """
import os
os.sched_getaffinity = lambda process: {0}
import atft_pipeline, polars, torch
print(atft_pipeline.THREADS, polars.thread_pool_size(), torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]


def test_thread_limits_stand_before_torch_is_imported() -> None:
    """Importing any module of the package sets the limits first; torch and Polars obey them."""
    code = (
        "import sys, os\n"
        "import atft_pipeline\n"
        "assert 'torch' not in sys.modules and 'polars' not in sys.modules\n"
        "import torch, polars\n"
        f"limits = ','.join(os.environ[name] for name in {POOL_VARIABLES!r})\n"
        "print(torch.get_num_threads(), polars.thread_pool_size(), atft_pipeline.THREADS, limits)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *numbers, variables = done.stdout.split()
    torch_threads, polars_threads, limit = map(int, numbers)
    assert polars_threads == limit
    assert torch_threads <= limit
    assert set(variables.split(",")) == {str(limit)}
