from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atft_pipeline.model import grouped_grn
from atft_pipeline.model.grouped_grn import Networks, grouped, weighted_networks
from atft_pipeline.model.variable_selection import GRNSelection


def formula(block: GRNSelection, x: Tensor, weights: Tensor) -> Tensor:
    """The paper's, step by step, without dropout."""
    e = x[..., None] * block.embedding + block.bias  # [S, L, F, H]
    inner = F.elu(torch.einsum("slfh,fhg->slfg", e, block.inner) + block.inner_bias)
    outer = torch.einsum("slfh,fhg->slfg", inner, block.outer) + block.outer_bias
    gated = F.glu(torch.einsum("slfh,fhg->slfg", outer, block.gate) + block.gate_bias, dim=-1)
    normed = F.layer_norm(e + gated, e.shape[-1:]) * block.norm_weight + block.norm_bias
    total = torch.einsum("slf,slfh->slh", weights.expand_as(x), normed)
    return total / float(x.shape[-1] ** 0.5)


def made(features: int, width: int, steps_of_weights: int) -> tuple[GRNSelection, Tensor, Tensor]:
    """A selection whose every parameter matters, 4 windows of 5 steps, and weights."""
    torch.manual_seed(0)
    block = GRNSelection(features, width, 0.0)
    for parameter in block.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = 2 * torch.randn(4, 5, features)
    weights = torch.softmax(torch.randn(4, steps_of_weights, features), dim=-1) * features
    return block, x.requires_grad_(), weights.requires_grad_()


def slopes(run: Callable[[], Tensor], block: GRNSelection, *of: Tensor) -> list[Tensor]:
    out = run()
    pull = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    return [out, *torch.autograd.grad(out, [*of, *block.parameters()], pull)]


@pytest.mark.parametrize("path", ["in cache", "computed again", "partly kept", "grouped"])
@pytest.mark.parametrize(("features", "width", "steps_of_weights"), [(3, 8, 5), (7, 12, 1), (1, 5, 1)])
def test_equals_the_formula(
    features: int, width: int, steps_of_weights: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, x, weights = made(features, width, steps_of_weights)
    if path == "grouped":
        monkeypatch.setattr("atft_pipeline.model.variable_selection.weighted_networks", grouped)
    else:
        monkeypatch.setattr(grouped_grn, "ROWS", 8)  # 20 rows: two whole blocks and a part
        kept = {"in cache": 2**20, "computed again": 0, "partly kept": 2 * 8 * 3 * width * 4}[path]
        monkeypatch.setattr(grouped_grn, "KEPT", kept)
    expected = slopes(lambda: formula(block, x, weights), block, x, weights)
    for _ in range(2):  # the second time in memory that the first gave back
        found = slopes(lambda: block(x, weights), block, x, weights)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_extreme_inputs_stay_finite_and_equal() -> None:
    block, x, weights = made(3, 8, 5)
    with torch.no_grad():
        x.copy_(torch.tensor([-1e4, -60.0, 0.0, 30.0, 1e4]).view(1, 5, 1).expand_as(x))
    found, expected = (
        slopes(lambda run=run: run(x, weights), block, x, weights) for run in (block, lambda *of: formula(block, *of))
    )
    for one, two in zip(found, expected, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-4)


def test_a_second_backward_pass_gives_the_same() -> None:
    block, x, weights = made(3, 8, 1)
    out = block(x, weights).sum()
    first = torch.autograd.grad(out, [x, *block.parameters()], retain_graph=True)
    block(x, weights).sum().backward()  # writes over what the first pass gave back
    second = torch.autograd.grad(out, [x, *block.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def test_passes_that_wait_for_each_other_share_no_memory() -> None:
    block, x, weights = made(3, 8, 1)
    (alone,) = torch.autograd.grad(block(x, weights).sum(), x)
    first, second = block(x, weights).sum(), block(2 * x, weights).sum()
    torch.autograd.grad(second, x)
    assert torch.equal(torch.autograd.grad(first, x)[0], alone)


def networks(features: int = 4, width: int = 16) -> Networks:
    generator = torch.Generator().manual_seed(0)
    shapes = Networks(*[(width,)] * 4, (width, width), (width,), (width, 2 * width), (2 * width,), (width,), (width,))  # type: ignore[arg-type]
    return Networks(*(torch.randn(features, *shape, generator=generator) / 3 for shape in shapes))  # type: ignore[misc]


def test_dropout_has_the_mean_and_spread_of_the_plain_one() -> None:
    of = networks()
    x, weights = torch.full((20_000, 4), 0.7), torch.ones(20_000, 4)
    torch.manual_seed(1)
    rate = 64 / 256
    found, plain = weighted_networks(x, weights, of, rate), grouped(x, weights, of, rate)
    torch.testing.assert_close(found.mean(dim=0), plain.mean(dim=0), atol=0.015, rtol=0)
    torch.testing.assert_close(found.std(dim=0), plain.std(dim=0), atol=0.01, rtol=0.03)
    assert (plain.std(dim=0) > 0.04).all()
    assert not torch.equal(found[:10_000], found[10_000:])


def test_the_backward_pass_drops_what_the_forward_pass_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    of = networks()
    generator = torch.Generator().manual_seed(3)
    x, along, pull = (torch.randn(50, width, generator=generator) for width in (4, 4, 16))
    weights = torch.rand(50, 4, generator=generator)

    def value(shift: float, *, kept: int) -> Tensor:
        monkeypatch.setattr(grouped_grn, "KEPT", kept)
        torch.manual_seed(5)
        return (weighted_networks(x + shift * along, weights, of, 0.3) * pull).sum()

    x.requires_grad_()
    for kept in (0, 2**20):
        (slope,) = torch.autograd.grad(value(0.0, kept=kept), x)
        numeric = (value(5e-3, kept=kept) - value(-5e-3, kept=kept)).item() / 1e-2
        assert (slope * along).sum().item() == pytest.approx(numeric, rel=2e-2)


def test_without_gradients_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x, weights = made(3, 8, 1)
    monkeypatch.setattr(grouped_grn, "_take", lambda like: pytest.fail("kept"))
    with torch.no_grad():
        torch.testing.assert_close(block(x, weights), formula(block, x, weights), atol=1e-5, rtol=1e-5)
