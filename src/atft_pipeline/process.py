"""Process-wide settings that native libraries read when they are loaded, set once and in one place.

A process that loads torch, Polars (Rayon) and BLAS with their defaults starts one pool of all cores for each; forked
workers then hang on locks that no thread of theirs holds. One limit for all pools, written before the first import,
keeps the sum near the number of cores. Who sets ``OMP_NUM_THREADS``, or the variable of a single pool, keeps it. The
same place switches off what would otherwise try the network.
"""

import ctypes
import math
import os
from pathlib import Path

# Read by the native libraries at load time; each name belongs to one of them.
POOL_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
MOST_THREADS = 16
# Kernels are loaded when they are first used; the allocator grows its blocks instead of splitting memory to pieces.
CUDA = {
    "CUDA_MODULE_LOADING": "LAZY",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    # cuBLAS computes the same bits each time only with a workspace of its own.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
# A tracking server that is away costs seconds, not the minutes of MLflow's defaults; who sets these keeps them.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
# MLflow draws bars for copies of two small files.
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
OFFLINE = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "KEDRO_DISABLE_TELEMETRY": "true"}


# The quota of a container on Linux, "max" or microseconds of CPU time in a period; no such file elsewhere.
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
MEMORY_INFO, MEMORY_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available_cores(quota: Path = CPU_QUOTA) -> int:
    """Number of cores that this process may use: its affinity (``taskset``), or less where a container allows less.

    Twice as many threads as cores made a run three times as slow, because each pool waits for threads that are not
    running.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not quota.is_file():
        return cores
    allowed, _, period = quota.read_text().partition(" ")
    return cores if allowed == "max" else min(cores, math.ceil(int(allowed) / int(period)))


def available_memory(meminfo: Path = MEMORY_INFO, group: Path = MEMORY_GROUP) -> int:
    """Bytes that this process can take without swapping: what the machine has left, or less in a container.

    Pages of files that are only cached count as free: the kernel gives them up first. Where the system tells neither
    (it is no Linux), half of its memory.

    Args:
        meminfo: the kernel's table of the machine's memory, in KiB.
        group: folder of the container's limit and of what it uses.
    """
    if meminfo.is_file():
        table = dict(line.split(":") for line in meminfo.read_text().splitlines())
        free = int(table["MemAvailable"].split()[0]) * 1024
    else:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit, used, pages = (group / f"memory.{name}" for name in ("max", "current", "stat"))
    if not (limit.is_file() and used.is_file() and pages.is_file()) or limit.read_text().strip() == "max":
        return free
    cached = int(dict(line.split() for line in pages.read_text().splitlines())["file"])
    return max(0, min(free, int(limit.read_text()) - int(used.read_text()) + cached))


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks instead of giving their pages back to the system.

    Every step of a training frees and asks for the same large tensors; each time, fresh pages are zeroed by the kernel
    at their first touch, which costs more than filling them. The price: memory once used stays with the process.

    Returns:
        Whether the library takes the request (glibc does).
    """
    # Numbers of malloc.h: no separate mappings, no trimming of the heap.
    requests = ((-4, 0), (-1, -1))
    try:
        return all(_libc().mallopt(name, value) == 1 for name, value in requests)
    except (OSError, AttributeError):
        return False


def return_freed_memory() -> bool:
    """Give the pages of freed blocks back to the system, once.

    Batches differ in size, so that the blocks that :func:`keep_freed_memory` keeps fit the next ones less and less, and
    the heap would grow through a training.

    Returns:
        Whether the library can (glibc can).
    """
    try:
        _libc().malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")


def thread_limit(asked: str | None) -> int:
    """Threads of each pool: what the user asks for, else the available cores, at most ``MOST_THREADS``.

    Args:
        asked: ``OMP_NUM_THREADS``; OpenMP allows a list such as ``4,2``, whose first number is the outermost level.
            What is no positive whole number is passed over.
    """
    first = (asked or "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else min(available_cores(), MOST_THREADS)


def under_torchrun() -> bool:
    """Tell whether ``torchrun`` started this process, by the variable that torch asks for, without loading torch."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def prepare_process() -> int:
    """Write the thread limit of every native pool, switch telemetry off, and return the limit.

    Call it before torch or polars is imported.
    """
    count = thread_limit(os.environ.get("OMP_NUM_THREADS"))
    for name in POOL_VARIABLES:
        os.environ.setdefault(name, str(count))
    os.environ.update(OFFLINE)
    os.environ.update(QUIET)
    os.environ.update(CUDA)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    # Compiled kernels outlive the machine's temporary files, so that the next start is warm.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "atft-pipeline" / "inductor"))
    # torch's inductor compiles kernels in a pool of processes; one limit for it as for the others.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = str(count)
    return count
