"""Optimisers: parameter groups, and the fused kernel where the device offers it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from atft_pipeline.training.config import OptimizerConfig
from atft_pipeline.training.optim.adabelief import AdaBelief

FUSED_DEVICES = ("cpu", "cuda")
# Added to the denominator of a step: torch's own default, for either optimiser.
EPS = 1e-8
# The schedule sets the rate of every step (:func:`atft_pipeline.training.epoch.optimizer_step`).
NO_RATE = 0.0


@dataclass(frozen=True)
class BuiltOptimizer:
    """An optimiser, and why its kernel is what it is."""

    optimizer: torch.optim.Optimizer
    reason: str


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters: matrices decay; norms, biases and other vectors do not."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(module: nn.Module, config: OptimizerConfig, *, scaled: bool = False) -> BuiltOptimizer:
    """Build the optimiser that the configuration names.

    Args:
        module: whose parameters it steps.
        config: which one, and its parameters.
        scaled: gradients are scaled, as fp16 wants them; a fused kernel would scale them back too late to be clipped.
    """
    groups = [group for group in parameter_groups(module, config.weight_decay) if group["params"]]
    device = groups[0]["params"][0].device.type
    fused, reason = _fused(config.name, device, scaled=scaled)
    betas = (config.betas[0], config.betas[1])
    optimizer: torch.optim.Optimizer
    if config.name == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=NO_RATE, betas=betas, eps=EPS, fused=fused)
    elif config.name == "sgd":
        optimizer = torch.optim.SGD(groups, lr=NO_RATE, momentum=betas[0], fused=fused)
    else:
        optimizer = AdaBelief(groups, lr=NO_RATE, betas=betas, eps=EPS)
    return BuiltOptimizer(optimizer, reason)


def is_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Tell from the object itself whether its step is one kernel."""
    return all(bool(group.get("fused")) for group in optimizer.param_groups)


def _fused(name: str, device: str, *, scaled: bool) -> tuple[bool, str]:
    # SGD's fused kernel fails when a block is switched on after the first step: some momenta do not exist yet.
    offered = name == "adamw" and device in FUSED_DEVICES
    if scaled:
        return False, "the gradients of 16-mixed are scaled back and clipped before the step"
    return offered, f"{name} has {'a' if offered else 'no'} fused kernel on {device}"
