"""What the run uses of the machine, each choice with its reason.

An explicit request is met or raises before any data is loaded; only ``auto`` falls back.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from atft_pipeline.errors import UnavailableError
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.fused_attention import fused_available
from atft_pipeline.model.temporal import InterpretableAttention
from atft_pipeline.panel.resident import Choice
from atft_pipeline.process import keep_freed_memory
from atft_pipeline.training.config import RuntimeConfig

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
# What autocast computes products in, by precision; other precisions need no autocast.
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# The reason of an explicit request.
ASKED = "asked for"
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
    compile_mode: str
    attention: Choice
    deterministic: Choice

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        return torch.device(self.device.value)

    @property
    def fabric_precision(self) -> FabricPrecision:
        """The precision as Lightning Fabric names it."""
        return FABRIC_PRECISION[self.precision.value]

    @property
    def dtype(self) -> torch.dtype:
        """What matrix products compute in."""
        return AUTOCAST.get(self.precision.value, torch.float32)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Context of every forward pass, in training, validation and scoring: chosen precision and attention kernel."""
        with ExitStack() as stack:
            if self.precision.value in AUTOCAST:
                stack.enter_context(torch.autocast(self.device.value, AUTOCAST[self.precision.value]))
            if self.attention.value in BACKENDS:
                stack.enter_context(sdpa_kernel([BACKENDS[self.attention.value]]))
            yield


# Of the last configuration alone: torch's switches are the process's, so those of another one must be set anew.
@lru_cache(maxsize=1)
def choose_runtime(config: RuntimeConfig) -> Runtime:
    """Choose once a process, and set torch's global switches accordingly.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
    """
    device = _device(config)
    precision = _precision(config, device.value)
    runtime = Runtime(
        device=device,
        precision=precision,
        compile=_compile(config, device.value),
        compile_mode=config.compile_mode,
        attention=_attention(config, device.value),
        deterministic=_deterministic(config, device.value),
    )
    if device.value == "cpu":
        keep_freed_memory()
    torch.set_float32_matmul_precision("high" if precision.value == "tf32" else "highest")
    _set_determinism(runtime)
    # Determinism needs fixed kernels, not filled memory: no value here is read before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return runtime


def _set_determinism(runtime: Runtime) -> None:
    wanted = runtime.deterministic.value == "on"
    warn_only = runtime.device.value == "cuda"
    if runtime.compile.value != "none":
        torch.use_deterministic_algorithms(wanted, warn_only=warn_only)
        return
    # The same switch without the compiler's own, whose import takes seconds.
    level = "warn" if warn_only else "error"
    torch.set_deterministic_debug_mode(level if wanted else "default")


def use_attention(module: ATFTGATFAN, runtime: Runtime) -> None:
    """Let the attention over steps take the chosen kernel, after it was tried with the model's own call.

    Raises:
        UnavailableError: an explicit kernel that this device does not have for these shapes, or that the model does not
            need, because its only attention layer asks for one step.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, InterpretableAttention)]
    for layer in layers:
        layer.kernel = "fused" if runtime.attention.value == "fused" else "sdpa"
    asked = runtime.attention.reason == ASKED and runtime.attention.value != "math"
    if not asked:
        return
    if len(layers) < 2:
        msg = (
            f"runtime.attention: {runtime.attention.value} was asked for, but a model with model.encoder.layers=1 asks "
            "for one step alone and needs no kernel; use auto"
        )
        raise UnavailableError(msg)
    _try_attention(layers[0], runtime, module.spec.window)


def _try_attention(layer: InterpretableAttention, runtime: Runtime, window: int) -> None:
    """Run a layer forward and backward as a training does: its shapes, dtype, dropout and mask.

    Raises:
        UnavailableError: the kernel cannot do it.
    """
    device, width = layer.query.weight.device, layer.query.in_features
    steps = torch.zeros(2, window, width, device=device, requires_grad=True)
    present = torch.ones(2, window, dtype=torch.bool, device=device)
    training = layer.training
    state = torch.get_rng_state()
    try:
        with runtime.computing(), warnings.catch_warnings():
            # torch warns of each kernel that it does not take, and why; the error below says what to do.
            warnings.simplefilter("ignore")
            layer.train()(steps, steps, present, causal=True).sum().backward()
    except RuntimeError as error:
        msg = (
            f"runtime.attention: {runtime.attention.value} was asked for, but {runtime.device.value} has no such "
            f"kernel for windows of {window} steps in {str(runtime.dtype).removeprefix('torch.')}; use auto or math"
        )
        raise UnavailableError(msg) from error
    finally:
        layer.train(training)
        layer.zero_grad(set_to_none=True)
        torch.set_rng_state(state)


def compile_module(module: ATFTGATFAN, runtime: Runtime) -> None:
    """Compile a module in place, so that its parameters keep their names and checkpoints stay interchangeable.

    Args:
        module: the model.
        runtime: says how much: ``full``, ``selective`` (temporal encoder and heads) or ``none``; and in which mode.
    """
    mode = None if runtime.compile_mode == "default" else runtime.compile_mode
    if runtime.compile.value == "full":
        module.compile(fullgraph=True, dynamic=False, mode=mode)
    elif runtime.compile.value == "selective":
        module.encoder.compile(dynamic=False, mode=mode)
        module.heads.compile(dynamic=False, mode=mode)


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
        return Choice(config.device, ASKED)
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
    return Choice(config.precision, ASKED)


def _compile(config: RuntimeConfig, device: str) -> Choice:
    if config.compile != "auto":
        return Choice(config.compile, ASKED)
    if device == "cuda":
        return Choice("full", "the GPU gains from one graph")
    return Choice("none", "on a CPU compilation costs more than a short training gives back")


def _attention(config: RuntimeConfig, device: str) -> Choice:
    if config.attention == "auto":
        if fused_available(torch.device(device)):
            return Choice("fused", "one program a window reads queries and keys once")
        return Choice("sdpa", "torch picks the fastest of its kernels for the shapes")
    if config.attention == "fused" and not fused_available(torch.device(device)):
        msg = "runtime.attention: fused was asked for, but it needs a GPU and Triton; use auto"
        raise UnavailableError(msg)
    return Choice(config.attention, ASKED)


def _deterministic(config: RuntimeConfig, device: str) -> Choice:
    if config.deterministic != "auto":
        return Choice("on" if config.deterministic else "off", ASKED)
    if device == "cpu":
        return Choice("on", "on a CPU it costs nothing")
    return Choice("off", "on a GPU it costs speed (docs/performance.md)")
