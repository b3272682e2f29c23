"""AdaBelief (Zhuang et al., "AdaBelief optimizer", NeurIPS 2020) with decoupled decay and RAdam's rectification."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

# Weights that are updated together on a CPU: all that an update reads and writes of them stays in a core's cache.
BLOCK = 2**17


class AdaBelief(torch.optim.Optimizer):
    """The update of adabelief-pytorch 0.2.1 with its defaults, by lists of tensors instead of tensor by tensor.

    As there, ``eps`` is also added to the running variance at every step, and where the variance of the adaptive rate
    is not yet defined (the first steps), the running mean alone moves the weights. Step counts live on the host;
    nothing waits for the device.

    Args:
        params: parameters or parameter groups.
        lr: learning rate, a number or a tensor of one.
        betas: decay of the running mean and variance.
        eps: added to the variance and to its root.
        weight_decay: decoupled, times the learning rate.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float | Tensor,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_step: dict[int, list[Tensor]] = {}  # parameters switched on later have seen fewer steps
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_step.setdefault(self._advance(parameter), []).append(parameter)
            for step, parameters in by_step.items():
                for block in self._blocks(parameters):
                    _update(*block, step=step, group=group)
        return loss

    def _advance(self, parameter: Tensor) -> int:
        """Number of this step of a parameter."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_var"] = torch.zeros_like(parameter)
        state["step"] += 1
        return int(state["step"])

    def _blocks(self, parameters: list[Tensor]) -> Iterator[tuple[list[Tensor], ...]]:
        """Weights, gradients, means and variances to update together."""
        rows = [
            (p, p.grad, self.state[p]["exp_avg"], self.state[p]["exp_avg_var"])
            for p in parameters
            if p.grad is not None
        ]
        if parameters[0].device.type != "cpu":
            yield tuple(map(list, zip(*rows, strict=True)))
            return
        block: list[tuple[Tensor, ...]] = []
        size = 0
        for row in rows:
            pieces: list[tuple[Tensor, ...]] = [row]
            if row[0].numel() > BLOCK and all(part.is_contiguous() for part in row):
                pieces = list(zip(*(part.view(-1).split(BLOCK) for part in row), strict=True))
            for piece in pieces:
                if block and size + piece[0].numel() > BLOCK:
                    yield tuple(map(list, zip(*block, strict=True)))
                    block, size = [], 0
                block.append(piece)
                size += piece[0].numel()
        yield tuple(map(list, zip(*block, strict=True)))


def _update(
    weights: list[Tensor], grads: list[Tensor], means: list[Tensor], variances: list[Tensor], *,
    step: int, group: dict[str, Any],
) -> None:  # fmt: skip
    lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
    if group["weight_decay"]:
        torch._foreach_mul_(weights, 1.0 - lr * group["weight_decay"])
    torch._foreach_mul_(means, beta1)
    torch._foreach_add_(means, grads, alpha=1 - beta1)
    residuals = torch._foreach_sub(grads, means)  # noqa: SLF001
    torch._foreach_mul_(variances, beta2)
    torch._foreach_addcmul_(variances, residuals, residuals, value=1 - beta2)
    torch._foreach_add_(variances, eps)
    rectified, size = _rectification(step, beta1, beta2)
    moves, scale = means, -size * lr
    if isinstance(scale, Tensor):  # the kernels below take numbers only
        moves, scale = list(torch._foreach_mul(means, scale)), 1.0  # noqa: SLF001
    if not rectified:
        torch._foreach_add_(weights, moves, alpha=scale)
        return
    roots = torch._foreach_sqrt(variances)  # noqa: SLF001
    torch._foreach_add_(roots, eps)
    torch._foreach_addcdiv_(weights, moves, roots, value=scale)


def _rectification(step: int, beta1: float, beta2: float) -> tuple[bool, float]:
    """Whether the variance of the adaptive rate is defined, and the step's size (Liu et al., ICLR 2020, eq. 5)."""
    decayed = beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * decayed / (1 - decayed)
    unbiased = 1 / (1 - beta1**step)
    if length < 5:
        return False, unbiased
    ratio = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return True, ((1 - decayed) * ratio) ** 0.5 * unbiased
