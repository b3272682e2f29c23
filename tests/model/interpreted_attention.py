"""The kernels on a CPU, in Triton's interpreter: run by test_fused_attention.py with TRITON_INTERPRET=1."""

import pytest
import torch
from torch import Tensor

from atft_pipeline.model.fused_attention import _attend, kernel_attention, reference_attention
from tests.model.test_fused_attention import Inputs, half, inputs, slopes


def close(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float = 1e-5) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("steps", "heads", "width"), [(60, 8, 32), (16, 1, 16), (7, 3, 12), (33, 9, 16)])
def test_values_and_gradients(steps: int, heads: int, width: int, causal: bool) -> None:
    given = inputs(3, steps, heads, width)
    close(slopes(kernel_attention, given, causal=causal), slopes(reference_attention, given, causal=causal))


def test_half_precision_and_other_memory_layouts() -> None:
    given = inputs(2, 20, 2, 16)
    moved = Inputs(*(part.transpose(0, 1).contiguous().transpose(0, 1) for part in given))
    assert not moved.query.is_contiguous()
    close(slopes(kernel_attention, moved, causal=True), slopes(reference_attention, given, causal=True))
    # The interpreter multiplies no bfloat16; a device test does.
    found = slopes(kernel_attention, half(given, torch.float16), causal=True)
    assert all(part.dtype == torch.float16 for part in found)
    close(tuple(part.float() for part in found), slopes(reference_attention, given, causal=True), 1e-2)


def test_traced_in_one_graph_and_under_autocast() -> None:
    given = inputs(2, 6, 2, 16)
    traced = torch.compile(kernel_attention, fullgraph=True, dynamic=False, backend="aot_eager")
    close(slopes(traced, given, causal=True), slopes(kernel_attention, given, causal=True))
    with torch.autocast("cpu", dtype=torch.float16):
        same = slopes(kernel_attention, half(given, torch.float16), causal=True)
    close(same, slopes(kernel_attention, half(given, torch.float16), causal=True), 0.0)
    traced(*given, causal=True, dropout=0.5)


def test_no_samples() -> None:
    found = slopes(kernel_attention, inputs(0, 6, 2, 16), causal=False)
    assert [len(part) for part in found] == [0, 0, 0, 0]


def weights_of(given: Inputs, seed: int, dropped: int) -> Tensor:
    """Mean weights after dropout [S, L, L]: the output where the values are unit vectors."""
    eye = torch.eye(16).expand(len(given.query), 16, 16).contiguous()
    return _attend(given.query, given.key, eye, given.present, torch.tensor([seed]), causal=False, dropped=dropped)[0]


def test_dropout_keeps_the_mean_and_follows_the_seed() -> None:
    given = inputs(20, 16, 1, 16)
    whole = weights_of(given, 1, 0)
    some = weights_of(given, 1, 64)
    kept = some != 0
    torch.testing.assert_close(some[kept], whole[kept] / 0.75, rtol=1e-5, atol=1e-7)
    allowed = whole != 0
    assert kept[allowed].float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.equal(some, weights_of(given, 1, 64))
    again = weights_of(given, 2**61 + 1, 64) != 0
    assert (again == kept)[allowed].float().mean().item() == pytest.approx(0.75**2 + 0.25**2, abs=0.03)
    # Samples are dropped independently of each other.
    both = allowed[1:] & allowed[:-1]
    assert (kept[1:] == kept[:-1])[both].float().mean().item() == pytest.approx(0.75**2 + 0.25**2, abs=0.03)


def test_heads_are_dropped_independently() -> None:
    one = inputs(16, 16, 1, 16)
    for heads in (2, 9):  # the ninth head has random bits of its own
        many = Inputs(one.query.repeat(1, 1, heads, 1), one.key.repeat(1, 1, heads, 1), one.value, one.present)
        whole = weights_of(many, 5, 0)
        allowed = whole != 0
        kept = (weights_of(many, 5, 128) / whole)[allowed] / 2  # share of the heads
        assert kept.mean().item() == pytest.approx(0.5, abs=0.03)
        assert kept.var().item() == pytest.approx(0.25 / heads, rel=0.1)


def test_the_backward_pass_drops_what_the_forward_pass_dropped() -> None:
    given = inputs(2, 16, 3, 16)
    seed = torch.tensor([11])
    leaves = [part.clone().requires_grad_() for part in given[:3]]
    direction = [torch.randn_like(part) for part in leaves]
    pull = torch.randn(2, 16, 16)
    (_attend(*leaves, given.present, seed, causal=True, dropped=100)[0] * pull).sum().backward()
    slope = sum((leaf.grad * along).sum() for leaf, along in zip(leaves, direction, strict=True))
    ends = []
    for step in (-1e-2, 1e-2):
        there = [leaf.detach() + step * along for leaf, along in zip(leaves, direction, strict=True)]
        ends.append((_attend(*there, given.present, seed, causal=True, dropped=100)[0].double() * pull).sum())
    assert ((ends[1] - ends[0]) / 2e-2).item() == pytest.approx(slope.item(), rel=1e-3)
