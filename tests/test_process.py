"""How many threads the pools of a process get."""

import subprocess
import sys
from pathlib import Path

import pytest

from atft_pipeline.process import POOL_VARIABLES, available_cores, available_memory, thread_limit


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000\n", None), ("100000 100000\n", 1), ("50000 100000\n", 1), ("99900000 100000\n", None)],
)
def test_the_quota_of_a_container_limits_the_cores(tmp_path: Path, content: str, cores: int | None) -> None:
    """Half a core is one thread; a quota above the affinity changes nothing."""
    quota = tmp_path / "cpu.max"
    quota.write_text(content)
    assert available_cores(quota) == (cores or available_cores(tmp_path / "absent"))


def test_available_memory_is_the_machines_or_what_a_container_leaves(tmp_path: Path) -> None:
    """Cached pages of files count as free; a limit above what the machine has changes nothing."""
    meminfo, group = tmp_path / "meminfo", tmp_path / "group"
    meminfo.write_text("MemTotal:    24000 kB\nMemAvailable: 9000 kB\nHugePages_Total: 0\n")
    assert available_memory(meminfo, group) == 9000 * 1024
    group.mkdir()
    for limit, left in (("max", 9_216_000), ("4000000", 2_000_000), ("99000000", 9_216_000), ("1000000", 0)):
        for name, text in (("max", limit), ("current", "3000000"), ("stat", "anon 2000000\nfile 1000000")):
            (group / f"memory.{name}").write_text(f"{text}\n")
        assert available_memory(meminfo, group) == left
    assert available_memory(tmp_path / "absent", tmp_path / "absent") > 2**28


def test_a_process_with_one_core_starts_one_thread_in_each_pool() -> None:
    """On any system: the question that it asks is answered with one core."""
    program = """
import os
for name in POOLS: os.environ.pop(name, None)
os.sched_getaffinity = lambda process: {0}
import atft_pipeline, polars, torch
print(atft_pipeline.THREADS, polars.thread_pool_size(), torch.get_num_threads())
"""
    assert run(program.replace("POOLS", repr(POOL_VARIABLES))) == ["1", "1", "1"]


def test_who_asks_for_a_number_of_threads_gets_it() -> None:
    """``OMP_NUM_THREADS`` holds for every pool, but for one that has a number of its own."""
    program = """
import os
for name in POOLS: os.environ.pop(name, None)
os.environ["OMP_NUM_THREADS"], os.environ["POLARS_MAX_THREADS"] = "3", "2"
import atft_pipeline, polars, torch
print(atft_pipeline.THREADS, polars.thread_pool_size(), os.environ["MKL_NUM_THREADS"], torch.get_num_threads())
"""
    *found, by_torch = run(program.replace("POOLS", repr(POOL_VARIABLES)))
    assert found == ["3", "2", "3"]
    # torch takes no more than there are cores.
    assert int(by_torch) <= 3


@pytest.mark.parametrize(
    ("asked", "found"), [("3", 3), (" 4,2", 4), ("0", None), ("many", None), ("", None), ("-1", None), (None, None)]
)
def test_only_a_number_of_threads_counts_as_one(asked: str | None, found: int | None) -> None:
    assert thread_limit(asked) == (found or min(available_cores(), 16))


def run(program: str) -> list[str]:
    """Words that a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_thread_limits_stand_before_torch_is_imported() -> None:
    """Importing any module of the package sets the limits first; torch and Polars obey them."""
    code = (
        "import sys, os\n"
        f"for name in {POOL_VARIABLES!r}: os.environ.pop(name, None)\n"
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


# Blocks of many sizes, every second one kept: the kept ones hold the heap open, as the batches of a training do.
CHURN = """
import torch
from atft_pipeline.process import keep_freed_memory, return_freed_memory

def anonymous():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["RssAnon"].split()[0]) // 1024

assert keep_freed_memory()
kept = []
for number in range(200):
    large = torch.ones(200_000 + 4_000 * number)
    kept.append(torch.ones(1_000))
    del large
blocks = [torch.ones(1_000_000) for _ in range(50)]
kept.append(torch.ones(1_000))
del blocks
before = anonymous()
assert return_freed_memory()
print(before - anonymous())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and glibc")
def test_freed_blocks_are_given_back_when_it_is_asked_for() -> None:
    printed = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=True).stdout
    assert int(printed) > 150  # MiB of 190 that were freed
