import copy

import pytest
import torch
from torch import Tensor, nn

from atft_pipeline.training.optim import adabelief
from atft_pipeline.training.optim.adabelief import AdaBelief

SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8}


def parameters() -> list[nn.Parameter]:
    """A matrix larger than a block, one that is not contiguous, a vector and a number."""
    torch.manual_seed(0)
    shapes = [(7, 5), (3, 4), (9,), ()]
    made = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    made[1] = nn.Parameter(torch.randn(4, 3).t())
    return made


def groups(of: list[nn.Parameter]) -> list[dict[str, object]]:
    return [{"params": of[:2], "weight_decay": 0.1}, {"params": of[2:], "weight_decay": 0.0, "betas": (0.8, 0.999)}]


def drive(optimizer: torch.optim.Optimizer, of: list[nn.Parameter], steps: range) -> list[Tensor]:
    """Steps with gradients that depend on the weights; the second parameter and the last get none in some steps."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for place, parameter in enumerate(of):
            noise = torch.randn(parameter.shape, generator=generator)
            silent = (place == 1 and step % 3 == 0) or (place == 3 and step < 20)
            parameter.grad = None if silent else parameter.detach() + noise
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 + step % 5)
        optimizer.step()
    return [parameter.detach().clone() for parameter in of]


@pytest.mark.parametrize("block", [1, 8, 2**15])
def test_equals_the_package(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from adabelief_pytorch import AdaBelief as Package

    monkeypatch.setattr(adabelief, "BLOCK", block)
    ours, theirs = parameters(), parameters()
    mine = AdaBelief(groups(ours), **SETTINGS)
    package = Package(groups(theirs), **SETTINGS, print_change_log=False)
    for start in range(0, 200, 4):  # the rectification sets in after the first few steps
        after = drive(mine, ours, range(start, start + 4))
        for one, two in zip(after, drive(package, theirs, range(start, start + 4)), strict=True):
            torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6)
    assert not torch.equal(after[0], parameters()[0])


def test_a_restored_state_goes_on_to_the_same_weights() -> None:
    first = parameters()
    optimizer = AdaBelief(groups(first), **SETTINGS)
    drive(optimizer, first, range(30))
    second = [nn.Parameter(parameter.detach().clone()) for parameter in first]
    other = AdaBelief(groups(second), **SETTINGS)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    expected = drive(optimizer, first, range(30, 60))
    for one, two in zip(drive(other, second, range(30, 60)), expected, strict=True):
        assert torch.equal(one, two)


def test_nothing_reads_a_value_and_a_rate_may_be_a_tensor() -> None:
    """The meta device holds no values: whatever would wait for the device raises there."""
    weight = nn.Parameter(torch.empty(3, 4, device="meta"))
    optimizer = AdaBelief([weight], **{**SETTINGS, "lr": torch.empty((), device="meta")}, weight_decay=0.1)
    for _ in range(10):
        weight.grad = torch.empty(3, 4, device="meta")
        optimizer.step()
    plain, rated = parameters(), parameters()
    one = AdaBelief(plain, **SETTINGS, weight_decay=0.1)
    two = AdaBelief(rated, **{**SETTINGS, "lr": torch.tensor(1e-2)}, weight_decay=0.1)
    for _ in range(10):
        for parameter in (*plain, *rated):
            parameter.grad = parameter.detach().cos()
        one.step()
        two.step()
    for left, right in zip(plain, rated, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-6)


def test_a_closure_is_evaluated_with_gradients() -> None:
    (weight, *_) = parameters()
    optimizer = AdaBelief([weight], **SETTINGS)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]
