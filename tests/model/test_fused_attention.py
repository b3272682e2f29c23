import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from atft_pipeline.model.fused_attention import (
    TRITON,
    _attend,
    fused_attention,
    fused_available,
    kernel_attention,
    reference_attention,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]


class Inputs(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor
    present: Tensor


def inputs(samples: int, steps: int, heads: int, width: int, device: str = "cpu") -> Inputs:
    """Random inputs with absent steps; the second sample has no present step at all, and the third all of them."""
    generator = torch.Generator().manual_seed(3)
    query, key = (torch.randn(samples, steps, heads, width, generator=generator) for _ in range(2))
    value = torch.randn(samples, steps, width, generator=generator)
    present = torch.rand(samples, steps, generator=generator) < 0.8
    present[1:2], present[2:3] = False, True
    return Inputs(*(part.to(device) for part in (query, key, value, present)))


def slopes(attend: Callable[..., Tensor], given: Inputs, *, causal: bool) -> tuple[Tensor, ...]:
    """Output, and the gradients of a random functional of it in query, key and value."""
    leaves = [part.detach().clone(memory_format=torch.preserve_format).requires_grad_() for part in given[:3]]
    out = attend(*leaves, given.present, causal=causal, dropout=0.0)
    pull = torch.randn(out.shape, generator=torch.Generator().manual_seed(4)).to(out)
    return out.detach(), *torch.autograd.grad(out, leaves, pull)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("queries", [1, 9])
def test_reference_is_the_mean_over_heads(causal: bool, queries: int) -> None:
    query, key, value, present = inputs(3, 9, 4, 16)
    query = query[:, -queries:]
    allowed = present[:, None, None].expand(3, 1, queries, 9)
    if causal:
        allowed = allowed & torch.ones(9, 9, dtype=torch.bool).tril()[-queries:]
    logits = torch.einsum("sjac,slac->sajl", query, key) / 4.0
    weights = logits.masked_fill(~allowed, -torch.inf).softmax(dim=-1).nan_to_num(0.0)
    expected = torch.einsum("sajl,slc->sjc", weights, value) / 4
    found = reference_attention(query, key, value, present, causal=causal, dropout=0.0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_a_step_that_sees_nothing_gets_zero_and_finite_slopes() -> None:
    given = inputs(3, 9, 4, 16)
    out, *grads = slopes(reference_attention, given, causal=False)
    assert (out[1] == 0).all()
    assert all((grad[1] == 0).all() and grad.isfinite().all() and grad.any() for grad in grads)


def test_reference_drops_weights_and_keeps_their_mean() -> None:
    query, key, _, present = inputs(64, 16, 1, 16)
    eye = torch.eye(16).expand(64, 16, 16)
    torch.manual_seed(0)
    whole = reference_attention(query, key, eye, present, causal=False, dropout=0.0)
    some = reference_attention(query, key, eye, present, causal=False, dropout=0.25)
    kept = some != 0
    torch.testing.assert_close(some[kept], whole[kept] / 0.75)
    assert kept[whole != 0].float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_where_the_kernel_cannot_run_the_reference_does() -> None:
    given = inputs(3, 9, 4, 16)
    assert not fused_available(torch.device("cpu"))
    found = fused_attention(*given, causal=True, dropout=0.0)
    assert torch.equal(found, reference_attention(*given, causal=True, dropout=0.0))


def test_the_operator_is_well_formed_and_counted() -> None:
    """Shapes, gradient and floating-point operations without a device; the meta device computes nothing."""
    query, key, value, present = (part.to("meta") for part in inputs(3, 60, 8, 32))
    leaves = [part.requires_grad_() for part in (query, key, value)]
    with FlopCounterMode(display=False) as counter:
        out = kernel_attention(*leaves, present, causal=True, dropout=0.1)
        forward = counter.get_total_flops()
        out.backward(torch.empty_like(out))
    assert out.shape == (3, 60, 32)
    assert [leaf.grad.shape for leaf in leaves] == [leaf.shape for leaf in leaves]  # type: ignore[union-attr]
    one = 2 * 3 * 60 * 60 * 32
    assert forward == 9 * one
    assert counter.get_total_flops() == (9 + 26) * one


@pytest.mark.skipif(not TRITON, reason="Triton is not installed")
def test_kernels_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton decides when it is imported whether it interprets, so this needs a process of its own."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/model/interpreted_attention.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def half(given: Inputs, dtype: torch.dtype) -> Inputs:
    return Inputs(*(part if part.dtype == torch.bool else part.to(dtype) for part in given))


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("steps", "heads", "width"), [(60, 8, 32), (64, 4, 64), (20, 9, 16), (7, 3, 12)])
def test_device_equals_reference(steps: int, heads: int, width: int, causal: bool) -> None:
    given = inputs(300, steps, heads, width, "cuda")
    exact = slopes(reference_attention, half(given, torch.float64), causal=causal)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 4e-2), (torch.float16, 5e-3)):
        found = slopes(fused_attention, half(given, dtype), causal=causal)
        for one, two in zip(found, exact, strict=True):
            torch.testing.assert_close(one.double(), two, atol=tolerance, rtol=tolerance)
        again = slopes(fused_attention, half(given, dtype), causal=causal)
        assert all(torch.equal(one, two) for one, two in zip(found, again, strict=True))


@pytest.mark.gpu
def test_device_drops_weights_and_draws_anew_each_call() -> None:
    query, key, _, present = inputs(200, 16, 1, 16, "cuda")
    eye = torch.eye(16, device="cuda").expand(200, 16, 16)
    whole = kernel_attention(query, key, eye, present, causal=False, dropout=0.0)
    some, other = (kernel_attention(query, key, eye, present, causal=False, dropout=0.25) for _ in range(2))
    assert (some != 0)[whole != 0].float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert not torch.equal(some, other)
    # The backward pass drops the same: the output is linear in the values.
    value, seed = torch.randn(200, 16, 16, device="cuda", requires_grad=True), torch.tensor([5], device="cuda")
    out = _attend(query, key, value, present, seed, causal=False, dropped=64)[0]
    pull = torch.randn_like(out)
    (slope,) = torch.autograd.grad(out, value, pull)
    torch.testing.assert_close((slope * value).sum(), (out * pull).sum(), rtol=1e-4, atol=1e-3)


@pytest.mark.gpu
def test_device_compiles_without_a_break_and_is_captured() -> None:
    given = half(inputs(64, 60, 8, 32, "cuda"), torch.bfloat16)

    def attend(*parts: Tensor) -> Tensor:
        return fused_attention(*parts, causal=True, dropout=0.0) * 2.0  # type: ignore[misc]

    eager, compiled = (
        slopes(lambda *parts, run=run, **_: run(*parts), given, causal=True)
        for run in (attend, torch.compile(attend, fullgraph=True, dynamic=False))
    )
    for one, two in zip(eager, compiled, strict=True):
        torch.testing.assert_close(one, two)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = kernel_attention(*given, causal=True, dropout=0.5)
    drawn = []
    for _ in range(2):
        graph.replay()
        drawn.append(out.clone())
    assert not torch.equal(*drawn)


@pytest.mark.gpu
def test_device_is_faster_than_the_general_kernels() -> None:
    """A forward and backward pass at the size of a large run; what each takes is printed."""
    S, L, A, C = 8192, 60, 8, 32
    query, key = (torch.randn(S, L, A, C, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    value = torch.randn(S, L, C, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    present = torch.ones(S, L, dtype=torch.bool, device="cuda")

    def general(dropout: float) -> Tensor:
        shared = value[:, None].expand(S, A, L, C)
        heads = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), shared, dropout_p=dropout, is_causal=True
        )
        return heads.mean(dim=1)

    def fused(dropout: float) -> Tensor:
        return fused_attention(query, key, value, present, causal=True, dropout=dropout)

    spent = {}
    for name, run in (("general", general), ("fused", fused)):
        for dropout in (0.0, 0.1):
            seconds = timed(lambda run=run, dropout=dropout: run(dropout))
            out = run(dropout)
            pull = torch.ones_like(out)
            backward = timed(lambda out=out, pull=pull: out.backward(pull, retain_graph=True))
            spent[name, dropout] = seconds + backward
            print(f"{name}, dropout {dropout}: forward {1e3 * seconds:.3f} ms, backward {1e3 * backward:.3f} ms")  # noqa: T201
    assert spent["fused", 0.0] < spent["general", 0.0]
    assert spent["fused", 0.1] < spent["general", 0.1]


def timed(run: Callable[[], object], repeats: int = 10) -> float:
    """Mean seconds of a call, the first three left out."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / repeats
