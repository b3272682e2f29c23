"""Attention whose heads share their values (Lim et al., 2021, eq. 13-16), as one kernel a pass where there is CUDA.

The mean over heads of softmax(q_h k_h^T / sqrt(C)) V is (mean_h P_h) V: general kernels multiply each head with V and
write every head's result; the kernel here adds the weights up first and writes the mean alone.

Legend: S samples, L steps, A heads, C width of a head.
"""

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

TRITON = find_spec("triton") is not None
# The operator as torch names it.
FUSED_OPERATOR = "atft_pipeline::shared_value_attention"
LONGEST = 64  # steps of one tile
WIDEST = 64  # width of a head


def fused_available(device: torch.device) -> bool:
    """Whether the kernel runs there: a CUDA device, and Triton is installed."""
    return device.type == "cuda" and TRITON


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, *, causal: bool, dropout: float
) -> Tensor:
    """Attend with the kernel where it can run, else with :func:`reference_attention`.

    Args:
        query: [S, L, A, C].
        key: [S, L, A, C].
        value: [S, L, C], shared by the heads.
        present: bool [S, L], True = step may be attended.
        causal: steps see themselves and those before them.
        dropout: share of each head's weights dropped; the kernel rounds it to a 256th (0.1 to 26/256) and scales by
            the share it keeps.

    Returns:
        [S, L, C] in the type of ``value``. A step that sees no present one gets 0.
    """
    _, length, _, width = query.shape
    fits = key.shape[1] == length <= LONGEST and width <= WIDEST and query.dtype == key.dtype == value.dtype
    if not (fits and fused_available(query.device)):
        return reference_attention(query, key, value, present, causal=causal, dropout=dropout)
    return kernel_attention(query, key, value, present, causal=causal, dropout=dropout)


def kernel_attention(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, *, causal: bool, dropout: float
) -> Tensor:
    """Attend with the kernel; arguments as :func:`fused_attention`, L and C at most 64, one type for all."""
    dropped = min(max(round(256 * dropout), 1), 255) if dropout > 0 else 0
    # Drawn on the device: nothing waits for the host, and a replayed CUDA graph draws anew.
    seed = torch.randint(2**62, (1,), device=query.device) if dropped else None
    out: Tensor = _attend(query, key, value, present, seed, causal, dropped)[0]
    return out


def reference_attention(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, *, causal: bool, dropout: float
) -> Tensor:
    """:func:`fused_attention` in plain torch: any device, any sizes, and J queries at the last J steps."""
    J, L = query.shape[1], key.shape[1]
    allowed = present[:, None, None]  # [S, 1, 1, L]
    if causal:
        allowed = allowed & torch.ones(J, L, dtype=torch.bool, device=present.device).tril(L - J)
    sees = allowed.any(dim=-1, keepdim=True)
    keys = key.transpose(1, 2)
    # Kernels differ in what they make of a row without any key, up to NaN: such a row sees all, and counts for nothing.
    found = F.scaled_dot_product_attention(
        query.transpose(1, 2), keys, value[:, None].expand_as(keys), attn_mask=allowed | ~sees, dropout_p=dropout
    )
    return found.mean(dim=1) * sees[:, 0]


@torch.library.custom_op("atft_pipeline::shared_value_attention", mutates_args=())
def _attend(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, seed: Tensor | None, causal: bool, dropped: int
) -> tuple[Tensor, Tensor]:
    from atft_pipeline.model.attention_kernels import launch_forward  # noqa: PLC0415  Triton is optional

    query, key, value, present = (part.contiguous() for part in (query, key, value, present))
    return launch_forward(query, key, value, present, seed, causal=causal, dropped=dropped)


@_attend.register_fake
def _(query: Tensor, _: Tensor, value: Tensor, *__: object) -> tuple[Tensor, Tensor]:
    S, L, A = query.shape[:3]
    out = torch.empty_like(value, memory_format=torch.contiguous_format)
    return out, query.new_empty(S, A, L, dtype=torch.float32)


@torch.library.custom_op("atft_pipeline::shared_value_attention_backward", mutates_args=())
def _attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, present: Tensor, seed: Tensor | None, log_sum: Tensor,
    causal: bool, dropped: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    from atft_pipeline.model.attention_kernels import launch_backward  # noqa: PLC0415  Triton is optional

    grad, query, key, value, present = (part.contiguous() for part in (grad, query, key, value, present))
    return launch_backward(grad, query, key, value, present, seed, log_sum, causal=causal, dropped=dropped)


@_attend_backward.register_fake
def _(_: Tensor, query: Tensor, key: Tensor, value: Tensor, *__: object) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.empty_like(part, memory_format=torch.contiguous_format) for part in (query, key, value))
    return query, key, value


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, present, seed, ctx.causal, ctx.dropped = inputs
    ctx.save_for_backward(query, key, value, present, seed, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
    query, key, value, present, seed, log_sum = ctx.saved_tensors
    grads = _attend_backward(grad, query, key, value, present, seed, log_sum, ctx.causal, ctx.dropped)
    return (*grads, None, None, None, None)


_attend.register_autograd(_backward, setup_context=_remember)


@register_flop_formula(torch.ops.atft_pipeline.shared_value_attention)
def _forward_flops(query: torch.Size, *_: object, **__: object) -> int:
    """Logits of each head, one product with the values."""
    S, L, A, C = query
    return 2 * S * L * L * C * (A + 1)


@register_flop_formula(torch.ops.atft_pipeline.shared_value_attention_backward)
def _backward_flops(_: torch.Size, query: torch.Size, *__: object, **___: object) -> int:
    """Logits again and two gradients a head, two products with the values' side."""
    S, L, A, C = query
    return 2 * S * L * L * C * (3 * A + 2)
