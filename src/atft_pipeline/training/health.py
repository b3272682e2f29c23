"""What stops a training whose numbers mean nothing any more."""

from typing import Any

import torch
from torch import Tensor, nn

from atft_pipeline.errors import TrainingError
from atft_pipeline.losses.composite import MIN_LISTINGS

# Spread of a day's scores below which nothing is ranked any more; targets have spread 1.
COLLAPSED = 1e-5
# A phase whose loss has grown to this many times its best, or past it by as much where that is near zero, diverges.
DIVERGED = 3.0


def refuse_collapse(spread: float, epoch: int) -> None:
    """Stop a training whose scores no longer differ between listings.

    Raises:
        TrainingError: with the epoch and the spread.
    """
    if not spread > COLLAPSED:
        msg = (
            f"epoch {epoch}: scores collapsed (mean spread of a day {spread:.1e}, floor {COLLAPSED:.0e}); lower "
            "training.optimizer.lr or raise the rank terms of the loss. The last good checkpoint is kept"
        )
        raise TrainingError(msg)


def refuse_standstill(loss: float, before: list[float], model: nn.Module, epoch: int) -> None:
    """Stop a training that trains nothing: a loss of exactly 0, or weights that are those of before the epoch.

    Args:
        loss: mean of the epoch.
        before: :func:`weight_sums` before the epoch.
        model: after the epoch.
        epoch: counted from 1.

    Raises:
        TrainingError: with what stands still and what to look at.
    """
    what = "the loss is exactly 0" if loss == 0.0 else "no weight has moved" if weight_sums(model) == before else ""
    if what:
        msg = (
            f"epoch {epoch}: {what}, nothing was trained; look at training.augmentation.listing_dropout "
            f"(fewer than {MIN_LISTINGS} labelled listings a day are left?), the weights of the loss and "
            "training.optimizer.lr"
        )
        raise TrainingError(msg)


def weight_sums(model: nn.Module) -> list[float]:
    """Sum of each parameter's values, in float64."""
    return torch.stack([parameter.detach().double().sum() for parameter in model.parameters()]).tolist()


def refuse_divergence(loss: float, phase: str, history: list[dict[str, Any]]) -> None:
    """Stop a training whose loss runs away from what the same phase had reached.

    Raises:
        TrainingError: with both losses.
    """
    earlier = [record["loss"] for record in history if record["phase"] == phase]
    if not earlier:
        return
    best = min(earlier)
    if loss - best > (DIVERGED - 1) * max(abs(best), 0.5):
        msg = (
            f"epoch {len(history) + 1}: training diverged, loss {loss:.4g} after {best:.4g}; lower "
            "training.optimizer.lr or training.clip_norm. The last good checkpoint is kept"
        )
        raise TrainingError(msg)


def block_norms(model: nn.Module) -> dict[str, Tensor]:
    """Gradient norm of each child of the model that has gradients."""
    found: dict[str, Tensor] = {}
    for name, block in model.named_children():
        gradients = [parameter.grad for parameter in block.parameters() if parameter.grad is not None]
        if gradients:
            found[name] = torch.nn.utils.get_total_norm(gradients)
    return found
