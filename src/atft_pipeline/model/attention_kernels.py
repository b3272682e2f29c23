"""Triton kernels of :mod:`atft_pipeline.model.fused_attention`, and their launch.

One program holds one sample: all its steps fit one tile, so a head's logits and weights live in registers only.

Legend: S samples, L steps, A heads, C width of a head, B = L rounded up to a tile.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

LEVELS = 256  # a weight is dropped by comparing one random byte with a threshold
HEADS_PER_DRAW = 4  # bytes of 32 random bits
# Launch options by B, of either pass; benchmarks/attention.py times others.
FORWARD = {16: {"num_warps": 1}, 32: {"num_warps": 2}, 64: {"num_warps": 4}}
BACKWARD = {16: {"num_warps": 1}, 32: {"num_warps": 2}, 64: {"num_warps": 4}}


@triton.jit
def _random_bytes(seed, sample, group, place):
    """Four random bytes for each place of a tile, one a head of the group.

    Philox keys the sample and the group; the places are told apart by a multiplicative hash with that key in it, at a
    quarter of what Philox would take for each of them.
    """
    first, second, _, _ = tl.philox(seed, sample.to(tl.int32), group, 0, 0)
    bits = (place.to(tl.uint32) * 0x9E3779B9) ^ first
    bits = (bits ^ (bits >> 16)) * 0x21F0AAAD
    bits = (bits ^ second ^ (bits >> 15)) * 0xD35A2D97
    return bits ^ (bits >> 15)


@triton.jit
def _tile(
    present, sample,
    L: tl.constexpr, A: tl.constexpr, C: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr,
    CAUSAL: tl.constexpr,
):  # fmt: skip
    """Where one sample's tiles lie and what they hold.

    Returns:
        step [B]; whether an element of [B, C] is inside; allowed pairs [B, B]; start of the sample in queries and keys,
        and in values; offsets of an element of one head [B, C], and of the values [B, C]; number of a pair [B, B].
    """
    step, channel = tl.arange(0, BLOCK_L), tl.arange(0, BLOCK_C)
    inside = (step[:, None] < L) & (channel[None, :] < C)
    there = tl.load(present + sample * L + step, mask=step < L, other=0) != 0
    allowed = there[None, :] & (step[:, None] >= 0)
    if CAUSAL:
        allowed = allowed & (step[:, None] >= step[None, :])
    # Tiles of offsets are 32 bits wide: a sample's start is added to the pointers.
    start, shared_start = sample * (L * A * C), sample * (L * C)
    places = step[:, None] * (A * C) + channel[None, :]
    shared = step[:, None] * C + channel[None, :]
    place = step[:, None] * BLOCK_L + step[None, :]
    return step, inside, allowed, start, shared_start, places, shared, place


@triton.jit
def _forward_kernel(
    query, key, value, present, seed, out, log_sum, scale, share,
    L: tl.constexpr, A: tl.constexpr, C: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr,
    CAUSAL: tl.constexpr, DROPPED: tl.constexpr, PER_DRAW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(0).to(tl.int64)
    step, inside, allowed, start, shared_start, places, shared, place = _tile(
        present, sample, L, A, C, BLOCK_L, BLOCK_C, CAUSAL
    )
    mean = tl.zeros([BLOCK_L, BLOCK_L], tl.float32)
    bits = tl.zeros([BLOCK_L, BLOCK_L], tl.uint32)
    for group in range(0, A, PER_DRAW):
        if DROPPED > 0:
            bits = _random_bytes(tl.load(seed), sample, group, place)
        for head in range(group, min(group + PER_DRAW, A)):
            q = tl.load(query + (start + head * C) + places, mask=inside, other=0.0)
            k = tl.load(key + (start + head * C) + places, mask=inside, other=0.0)
            logits = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
            logits = tl.where(allowed, logits, float("-inf"))
            top = tl.max(logits, 1)
            top = tl.where(top == float("-inf"), 0.0, top)
            weights = tl.exp2(logits - top[:, None])
            total = tl.sum(weights, 1)
            # No allowed key: every weight is 0, and 2^(logit - inf) gives the same in the backward pass.
            empty = total == 0
            total = tl.where(empty, 1.0, total)
            weights = weights * (1.0 / total)[:, None]
            of_row = tl.where(empty, float("inf"), top + tl.log2(total))
            tl.store(log_sum + (sample * A + head) * L + step, of_row, mask=step < L)
            if DROPPED > 0:
                weights = tl.where((bits & 255).to(tl.int32) >= DROPPED, weights, 0.0)
                bits = bits >> 8
            mean += weights
    v = tl.load(value + shared_start + shared, mask=inside, other=0.0)
    found = tl.dot((mean * share).to(v.dtype), v, input_precision=PRECISION)
    tl.store(out + shared_start + shared, found.to(v.dtype), mask=inside)


@triton.jit
def _backward_kernel(
    grad, query, key, value, present, seed, log_sum, grad_query, grad_key, grad_value, scale, share, slope_scale,
    L: tl.constexpr, A: tl.constexpr, C: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr,
    CAUSAL: tl.constexpr, DROPPED: tl.constexpr, PER_DRAW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(0).to(tl.int64)
    step, inside, allowed, start, shared_start, places, shared, place = _tile(
        present, sample, L, A, C, BLOCK_L, BLOCK_C, CAUSAL
    )
    # By the shared values, the loss's slope in a kept weight is the same for all heads.
    do = tl.load(grad + shared_start + shared, mask=inside, other=0.0)
    v = tl.load(value + shared_start + shared, mask=inside, other=0.0)
    slope = tl.dot(do, tl.trans(v), input_precision=PRECISION) * share
    mean = tl.zeros([BLOCK_L, BLOCK_L], tl.float32)
    bits = tl.zeros([BLOCK_L, BLOCK_L], tl.uint32)
    for group in range(0, A, PER_DRAW):
        if DROPPED > 0:
            bits = _random_bytes(tl.load(seed), sample, group, place)
        for head in range(group, min(group + PER_DRAW, A)):
            q = tl.load(query + (start + head * C) + places, mask=inside, other=0.0)
            k = tl.load(key + (start + head * C) + places, mask=inside, other=0.0)
            of_row = tl.load(log_sum + (sample * A + head) * L + step, mask=step < L, other=float("inf"))
            logits = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
            weights = tl.exp2(tl.where(allowed, logits, float("-inf")) - of_row[:, None])
            kept = weights
            if DROPPED > 0:
                kept = tl.where((bits & 255).to(tl.int32) >= DROPPED, weights, 0.0)
                bits = bits >> 8
            mean += kept
            kept = kept * slope
            move = (kept - weights * tl.sum(kept, 1)[:, None]).to(q.dtype)
            dq = tl.dot(move, k, input_precision=PRECISION) * slope_scale
            dk = tl.dot(tl.trans(move), q, input_precision=PRECISION) * slope_scale
            tl.store(grad_query + (start + head * C) + places, dq.to(q.dtype), mask=inside)
            tl.store(grad_key + (start + head * C) + places, dk.to(k.dtype), mask=inside)
    dv = tl.dot(tl.trans((mean * share).to(v.dtype)), do, input_precision=PRECISION)
    tl.store(grad_value + shared_start + shared, dv.to(v.dtype), mask=inside)


def _constants(query: Tensor, options: dict[int, dict[str, int]], *, causal: bool, dropped: int) -> dict[str, object]:
    """What a kernel is specialised on."""
    _, L, A, C = query.shape
    block = max(16, triton.next_power_of_2(L))
    return {
        "L": L, "A": A, "C": C, "BLOCK_L": block, "BLOCK_C": max(16, triton.next_power_of_2(C)), "CAUSAL": causal,
        "DROPPED": dropped, "PER_DRAW": HEADS_PER_DRAW,
        "PRECISION": "ieee" if query.dtype == torch.float32 else "tf32", **options[block],
    }  # fmt: skip


def _scales(query: Tensor, dropped: int) -> tuple[float, float, float]:
    """Of the logits in powers of two, of the mean weights, of the gradient in a logit."""
    root = query.shape[3] ** -0.5
    return root * 1.4426950408889634, LEVELS / (LEVELS - dropped) / query.shape[2], root


def launch_forward(
    query: Tensor, key: Tensor, value: Tensor, present: Tensor, seed: Tensor | None, *, causal: bool, dropped: int
) -> tuple[Tensor, Tensor]:
    """Output [S, L, C] and log2 of each softmax's denominator [S, A, L]; ``dropped`` of 256 weights are dropped."""
    S, L, A, _ = query.shape
    out, log_sum = torch.empty_like(value), query.new_empty(S, A, L, dtype=torch.float32)
    scale, share, _ = _scales(query, dropped)
    if S:
        _forward_kernel[(S,)](
            query, key, value, present.view(torch.uint8), seed, out, log_sum, scale, share,
            **_constants(query, FORWARD, causal=causal, dropped=dropped),
        )  # fmt: skip
    return out, log_sum


def launch_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, present: Tensor, seed: Tensor | None, log_sum: Tensor,
    *, causal: bool, dropped: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients in query, key and value, with the weights dropped that the forward pass dropped."""
    grads = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
    scale, share, root = _scales(query, dropped)
    if len(query):
        _backward_kernel[(len(query),)](
            grad, query, key, value, present.view(torch.uint8), seed, log_sum, *grads, scale, share, root,
            **_constants(query, BACKWARD, causal=causal, dropped=dropped),
        )  # fmt: skip
    return grads
