"""What the machine can do at most, measured: the rates that a training is held against."""

import platform
import time
from collections.abc import Callable
from typing import Any

import torch

COPY_BYTES = {"cuda": 2**31, "cpu": 2**26}
MATRIX = {"cuda": 8192, "cpu": 1024}
REPEATS = 10


def describe(device: torch.device) -> dict[str, Any]:
    """Card, versions, and measured rates of matrix products (operations/s) and copies (bytes read and written/s)."""
    size = MATRIX[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    # Random numbers: a product of zeros draws less power and runs faster.
    one = torch.randn(size, size, device=device, dtype=dtype)
    source = torch.zeros(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "devices": torch.cuda.device_count() if device.type == "cuda" else 1,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "matmul_dtype": str(dtype).removeprefix("torch."),
        "matmul_flops": 2 * size**3 / seconds(lambda: one @ one, device),
        "copy_bytes": 2 * len(source) / seconds(lambda: target.copy_(source), device),
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of a piece of work, mean of several after one that warms up."""
    work()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    synchronize(device)
    return (time.perf_counter() - start) / REPEATS


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
