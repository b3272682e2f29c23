import pytest
import torch
from torch import nn

from atft_pipeline.errors import ConfigError
from atft_pipeline.training.config import OptimizerConfig
from atft_pipeline.training.optim.adabelief import AdaBelief
from atft_pipeline.training.optim.optimizers import build_optimizer, is_fused, parameter_groups


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))


def steps(optimizer: torch.optim.Optimizer, module: nn.Module, count: int = 5) -> list[torch.Tensor]:
    torch.manual_seed(1)
    for _ in range(count):
        optimizer.zero_grad()
        module(torch.randn(16, 4)).square().mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 2e-3
        optimizer.step()
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_only_matrices_decay() -> None:
    module = network()
    decayed, kept = parameter_groups(module, 0.1)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in kept["params"]} == {1}
    assert kept["weight_decay"] == 0
    assert len(decayed["params"]) + len(kept["params"]) == len(list(module.parameters()))


def test_fused_kernel_is_seen_on_the_object_and_equals_the_plain_one() -> None:
    first, second = network(), network()
    fused = build_optimizer(first, OptimizerConfig()).optimizer
    plain = build_optimizer(second, OptimizerConfig(), scaled=True).optimizer
    assert is_fused(fused)
    assert not is_fused(plain)
    for one, two in zip(steps(fused, first), steps(plain, second), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_a_kernel_that_does_not_exist_is_not_taken() -> None:
    built = build_optimizer(network(), OptimizerConfig(name="adabelief"))
    assert not is_fused(built.optimizer)
    assert "no fused kernel" in built.reason


def test_scaled_gradients_are_clipped_before_the_step_so_no_kernel_scales_them_back() -> None:
    built = build_optimizer(network(), OptimizerConfig(), scaled=True)
    assert not is_fused(built.optimizer)
    assert "16-mixed" in built.reason


def test_adabelief_gets_the_settings() -> None:
    config = OptimizerConfig(name="adabelief", lr=3e-3, weight_decay=0.02, betas=(0.8, 0.99))
    optimizer = build_optimizer(network(), config).optimizer
    assert isinstance(optimizer, AdaBelief)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.02, 0.0]
    assert all((g["eps"], g["betas"]) == (1e-8, (0.8, 0.99)) for g in optimizer.param_groups)


def test_an_optimiser_has_no_rate_of_its_own() -> None:
    """The schedule sets it before each step; without one nothing moves."""
    for name in ("adamw", "adabelief", "sgd"):
        module = network()
        before = [parameter.detach().clone() for parameter in module.parameters()]
        built = build_optimizer(module, OptimizerConfig(name=name, lr=1.0, weight_decay=0.1))  # type: ignore[arg-type]
        module(torch.randn(16, 4)).square().mean().backward()
        built.optimizer.step()
        assert all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match="lr: must be from 1e-12"):
        OptimizerConfig(lr=0)
    with pytest.raises(ConfigError, match="betas: must be two numbers"):
        OptimizerConfig(betas=(0.9,))
