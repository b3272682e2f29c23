"""One look at the model that was trained: what it computes in, and whether its switches do anything."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

from atft_pipeline.model.temporal import AttentionLayer, InterpretableAttention
from atft_pipeline.panel.batches import DayBatch
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.session import Session


@torch.no_grad()
def probe(session: Session) -> dict[str, Any]:
    """Run the model as it is on the first validation batch, without compiled code.

    Returns:
        ``activations``: dtype of the hidden values; ``attention_kernel``: what scaled-dot-product attention takes in
        evaluation for these shapes and this precision; ``edges``: edges in the batch; ``normaliser_effect`` and
        ``graph_effect``: relative change of the scores when the block is switched the other way;
        ``evaluation_noise``: largest difference of two passes; ``augmentation_asked`` and ``augmentation_changes``;
        ``ema_distance``: distance of the averaged weights from the last ones.
    """
    model = session.model
    batch = session.validation_batches.build(session.validation_batches.plan()[0]).to(session.device)
    generator = torch.get_rng_state()
    training = model.training
    model.eval()
    before = model.switches
    dtypes: list[str] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        dtypes.append(str(output.dtype).removeprefix("torch."))

    with torch.compiler.set_stance("force_eager"):
        handle = model.fuse.inner.register_forward_hook(note)
        score = _score(session, batch)
        handle.remove()
        kernel = _attention_kernel(session, batch)
        again = _score(session, batch)
        effects = {}
        for name in before:
            model.switch(**{**before, name: not before[name]})
            effects[f"{name}_effect"] = _change(_score(session, batch), score)
            model.switch(**before)
    changed = augment(batch, session.phase.augmentation)
    config = session.phase.augmentation
    found = {
        "activations": dtypes[0],
        "attention_kernel": kernel,
        "edges": int((batch.neighbors >= 0).sum()),
        **effects,
        "evaluation_noise": float((score - again).abs().max()),
        "augmentation_asked": any(vars(config).values()),
        "augmentation_changes": not torch.equal(changed.features, batch.inputs())
        or not torch.equal(changed.mask, batch.mask),
        "ema_distance": _ema_distance(session),
    }
    model.train(training)
    torch.set_rng_state(generator)
    return found


def _score(session: Session, batch: DayBatch) -> Tensor:
    score: Tensor = session.score(batch, batch.inputs(), batch.mask).score.float()[batch.mask]
    return score


def _attention_kernel(session: Session, batch: DayBatch) -> str:
    """Name of the kernel that torch chooses for the last attention layer's own tensors."""
    seen: list[Any] = []

    def note(module: nn.Module, inputs: Any) -> None:
        assert isinstance(module, InterpretableAttention)
        query, key = module.project(*inputs[:2])
        value = module.value(inputs[1])[:, None].expand_as(key)
        seen.append(torch._fused_sdp_choice(query, key, value, inputs[2]))  # noqa: SLF001  torch offers no public one

    layer = session.model.encoder.layers[-1]
    assert isinstance(layer, AttentionLayer)
    handle = layer.attention.register_forward_pre_hook(note)
    _score(session, batch)
    handle.remove()
    return SDPBackend(seen[0]).name.lower().removesuffix("_attention")


def _change(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


def _ema_distance(session: Session) -> float:
    weights = dict(session.model.named_parameters())
    return sum(float((average - weights[name]).norm()) for name, average in session.state.ema.items())
