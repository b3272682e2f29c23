"""One look at the model that was trained: what it computes in, and whether its switches do anything."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from atft_pipeline.model.fused_attention import FUSED_OPERATOR
from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.trainer import Trainer


@torch.no_grad()
def probe(trainer: Trainer) -> dict[str, Any]:
    """Run the model as it is on the first validation batch, without compiled code.

    Returns:
        ``activations``: dtype of the hidden values; ``attention_kernel``: what the attention over steps takes in
        training for these shapes and this precision; ``edges``: edges in the batch; ``normaliser_effect`` and
        ``graph_effect``: relative change of the scores when the block is switched the other way;
        ``evaluation_noise``: largest difference of two passes; ``augmentation_asked`` and ``augmentation_changes``;
        ``ema_distance``: distance of the averaged weights from the last ones.
    """
    model = trainer.model
    batch = trainer.validation_batches.build(trainer.validation_batches.plan()[0]).to(trainer.device)
    generator = torch.get_rng_state()
    training = model.training
    model.eval()
    before = model.switches
    dtypes: list[str] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        dtypes.append(str(output.dtype).removeprefix("torch."))

    with torch.compiler.set_stance("force_eager"):
        handle = model.fuse.inner.register_forward_hook(note)
        score = _score(trainer, batch)
        handle.remove()
        kernel = _attention_kernel(trainer, batch)
        again = _score(trainer, batch)
        effects = {}
        for name in before:
            model.switch(**{**before, name: not before[name]})
            effects[f"{name}_effect"] = _change(_score(trainer, batch), score)
            model.switch(**before)
    changed = augment(batch, trainer.phase.augmentation)
    config = trainer.phase.augmentation
    found = {
        "activations": dtypes[0],
        "attention_kernel": kernel,
        "edges": int((batch.neighbors >= 0).sum()),
        **effects,
        "evaluation_noise": float((score - again).abs().max()),
        "augmentation_asked": any(vars(config).values()),
        "augmentation_changes": not torch.equal(changed.features, batch.inputs())
        or not torch.equal(changed.mask, batch.mask),
        "ema_distance": _ema_distance(trainer),
    }
    model.train(training)
    torch.set_rng_state(generator)
    return found


def _score(trainer: Trainer, batch: DayBatch) -> Tensor:
    score: Tensor = trainer.score(batch, batch.inputs(), batch.mask).score.float()[batch.mask]
    return score


# Operators that torch dispatches for the attention over steps, and our names for them.
KERNELS = {
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::_scaled_dot_product_attention_math": "math",
    FUSED_OPERATOR: "fused",
}


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that run while it is open."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.name().partition(".")[0])
        return func(*args, **(kwargs or {}))


def _attention_kernel(trainer: Trainer, batch: DayBatch) -> str:
    """The kernel that ran in a training pass; ``none`` where every attention asks for a single step.

    torch composes ``math`` of other operators: it is what ran where no kernel of its own was seen.
    """
    trainer.model.train()
    with _Operators() as ran:
        _score(trainer, batch)
    trainer.model.eval()
    found = next((kernel for name, kernel in KERNELS.items() if name in ran.names), None)
    return found or ("math" if trainer.model.config.encoder.layers > 1 else "none")


def _change(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


def _ema_distance(trainer: Trainer) -> float:
    weights = dict(trainer.model.named_parameters())
    return sum(float((average - weights[name]).norm()) for name, average in trainer.state.ema.items())
