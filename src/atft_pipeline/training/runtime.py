"""What the run uses of the machine, each choice with its reason.

An explicit request is met or raises before any data is loaded; only ``auto`` falls back.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from atft_pipeline.errors import UnavailableError
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.panel.resident import Choice
from atft_pipeline.process import keep_freed_memory
from atft_pipeline.training.config import RuntimeConfig

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
# Lightning Fabric's names.
FabricPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]
FABRIC_PRECISION: dict[str, FabricPrecision] = {
    "32": "32-true",
    "tf32": "32-true",
    "bf16-mixed": "bf16-mixed",
    "16-mixed": "16-mixed",
}


@dataclass(frozen=True)
class Runtime:
    """Choices of device, precision, compilation and attention kernel."""

    device: Choice
    precision: Choice
    compile: Choice
    attention: Choice
    deterministic: bool

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        return torch.device(self.device.value)

    @property
    def fabric_precision(self) -> FabricPrecision:
        """The precision as Lightning Fabric names it."""
        return FABRIC_PRECISION[self.precision.value]

    def attention_kernel(self) -> AbstractContextManager[None]:
        """Context in which scaled-dot-product attention uses the chosen kernel."""
        if self.attention.value == "auto":
            return nullcontext()
        return sdpa_kernel([BACKENDS[self.attention.value]])


def choose_runtime(config: RuntimeConfig) -> Runtime:
    """Choose, and set torch's global switches accordingly.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
    """
    device = _device(config)
    precision = _precision(config, device.value)
    runtime = Runtime(
        device=device,
        precision=precision,
        compile=_compile(config, device.value),
        attention=_attention(config, device.value),
        deterministic=config.deterministic,
    )
    if device.value == "cpu":
        keep_freed_memory()
    torch.set_float32_matmul_precision("high" if precision.value == "tf32" else "highest")
    _set_determinism(runtime)
    # Determinism needs fixed kernels, not filled memory: no value here is read before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return runtime


def _set_determinism(runtime: Runtime) -> None:
    warn_only = runtime.device.value == "cuda"
    if runtime.compile.value != "none":
        torch.use_deterministic_algorithms(runtime.deterministic, warn_only=warn_only)
        return
    # The same switch without the compiler's own, whose import takes seconds.
    level = "warn" if warn_only else "error"
    torch.set_deterministic_debug_mode(level if runtime.deterministic else "default")


def compile_module(module: ATFTGATFAN, choice: Choice) -> None:
    """Compile a module in place, so that its parameters keep their names and checkpoints stay interchangeable.

    Args:
        module: the model.
        choice: ``full``, ``selective`` (temporal encoder and heads) or ``none``.
    """
    if choice.value == "full":
        module.compile(fullgraph=True, dynamic=False)
    elif choice.value == "selective":
        module.encoder.compile(dynamic=False)
        module.heads.compile(dynamic=False)


def compiled_graphs() -> Mapping[str, int]:
    """Graphs and breaks that dynamo has counted in this process."""
    counters = torch._dynamo.utils.counters  # noqa: SLF001  dynamo offers no public counter
    return {
        "graphs": int(counters["stats"]["unique_graphs"]),
        "breaks": int(sum(counters["graph_break"].values())),
    }


def _device(config: RuntimeConfig) -> Choice:
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        msg = "runtime.device: cuda was asked for, but torch sees no GPU; use auto or cpu"
        raise UnavailableError(msg)
    if config.device != "auto":
        return Choice(config.device, "asked for")
    return Choice("cuda", f"torch sees {torch.cuda.get_device_name()}") if there else Choice("cpu", "no GPU in sight")


def _precision(config: RuntimeConfig, device: str) -> Choice:
    cuda_bf16 = device == "cuda" and torch.cuda.is_bf16_supported()
    if config.precision == "auto":
        if cuda_bf16:
            return Choice("bf16-mixed", "the GPU computes in bf16")
        return Choice("32", "the GPU has no bf16" if device == "cuda" else "bf16 is slower than float32 on most CPUs")
    if config.precision == "bf16-mixed" and device == "cuda" and not cuda_bf16:
        msg = "runtime.precision: bf16-mixed was asked for, but the GPU has no bf16; use auto, 16-mixed or 32"
        raise UnavailableError(msg)
    if config.precision in {"16-mixed", "tf32"} and device == "cpu":
        msg = f"runtime.precision: {config.precision} was asked for, but the CPU has none; use auto, bf16-mixed or 32"
        raise UnavailableError(msg)
    return Choice(config.precision, "asked for")


def _compile(config: RuntimeConfig, device: str) -> Choice:
    if config.compile != "auto":
        return Choice(config.compile, "asked for")
    if device == "cuda":
        return Choice("full", "the GPU gains from one graph")
    return Choice("none", "on a CPU compilation costs more than a short training gives back")


def _attention(config: RuntimeConfig, device: str) -> Choice:
    if config.attention == "auto":
        return Choice("auto", "torch picks the fastest kernel for the shapes")
    probe = torch.zeros(1, 1, 8, 8, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with sdpa_kernel([BACKENDS[config.attention]]):
            scaled_dot_product_attention(probe, probe, probe)
    except RuntimeError as error:
        msg = f"runtime.attention: {config.attention} was asked for, but {device} has no such kernel; use auto or math"
        raise UnavailableError(msg) from error
    return Choice(config.attention, "asked for")
