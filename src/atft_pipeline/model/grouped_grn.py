"""One gated residual network for each variable, summed by weights (Lim et al., 2021, section 4.2).

Each network reads a linear embedding e = x E + b of one number x, so its first layer is a line in x, too: no product of
matrices. On a CPU [N, F, H] is never built: a block of rows of one variable at a time goes through the whole network
and its gradients while it is in the cache; random bytes decide on dropout.

Legend: N rows, F variables, H width, R rows of a block.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 2048
# Of each pass, so many bytes are kept for the backward pass; the rest is computed again there.
KEPT = 2**29
_spare: list[Tensor] = []  # kept before: fresh memory costs more time than computing again what it would hold


class Networks(NamedTuple):
    """Parameters by variable: elu(x slope + offset), outer layer, gate, norm over the sum with x embedding + bias."""

    embedding: Tensor  # [F, H]
    bias: Tensor  # [F, H]
    slope: Tensor  # [F, H]
    offset: Tensor  # [F, H]
    outer: Tensor  # [F, H, H]
    outer_bias: Tensor  # [F, H]
    gate: Tensor  # [F, H, 2H]
    gate_bias: Tensor  # [F, 2H]
    norm_weight: Tensor  # [F, H]
    norm_bias: Tensor  # [F, H]


def weighted_networks(x_NF: Tensor, weights_NF: Tensor, networks: Networks, dropout: float) -> Tensor:
    """Sum over the variables of weight times network: [N, H].

    On a CPU the dropout rate is rounded to a 256th, and the result scaled by the share that is kept.
    """
    one_type = {x_NF.dtype, weights_NF.dtype, *(part.dtype for part in networks)} <= {torch.float32}
    if x_NF.device.type == "cpu" and one_type and not _traced_or_cast():
        level = min(max(round(256 * dropout), 1), 255) if dropout > 0 else 0
        scaled = networks._replace(
            outer=networks.outer * (256 / (256 - level)), outer_bias=networks.outer_bias * (256 / (256 - level))
        )
        out: Tensor = _InCache.apply(level, torch.is_grad_enabled(), x_NF, weights_NF, *scaled)  # type: ignore[no-untyped-call]
        return out
    return grouped(x_NF, weights_NF, networks, dropout)


def grouped(x_NF: Tensor, weights_NF: Tensor, networks: Networks, dropout: float) -> Tensor:
    """:func:`weighted_networks` by products of [F, N, H] with [F, H, H]."""
    x, weights = x_NF.t()[..., None], weights_NF.t()[..., None]  # [F, N, 1]
    of = Networks(*(part if part.ndim == 3 else part[:, None] for part in networks))
    inner = F.elu(torch.addcmul(of.offset, x, of.slope))
    outer = F.dropout(torch.baddbmm(of.outer_bias, inner, of.outer), dropout)
    gated = F.glu(torch.baddbmm(of.gate_bias, outer, of.gate), dim=-1)
    normed = F.layer_norm(torch.addcmul(of.bias, x, of.embedding) + gated, gated.shape[-1:]) * of.norm_weight
    return (normed * weights).sum(dim=0) + weights_NF @ networks.norm_bias


def _traced_or_cast() -> bool:
    return torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")


class _Block:
    """A block of rows of one variable inside its network, in memory that every block uses again."""

    def __init__(self, like: Tensor, rows: int, width: int) -> None:
        self.rows, self.width = min(ROWS, rows), width
        self.inner, self.slope, self.gate, self.total, self.mask, self.spare, self.below = (
            like.new_empty(self.rows, width) for _ in range(7)
        )
        self.both, self.kept = like.new_empty(self.rows, 2 * width), like.new_empty(self.rows, 3 * width)

    def compute(
        self, x: Tensor, of: Networks, level: int, drawn: Tensor | None, kept: Tensor, *, known: bool
    ) -> tuple[Tensor, ...]:
        """Views of inner layer + 1, its slope, outer layer, both halves before the gate, gate, sum, mask.

        Args:
            x: [R, 1].
            of: the parameters of one variable; ``outer_bias`` takes the 1 off the inner layer.
            level: so many of 256 values are dropped.
            drawn: random bytes [R, H], where some are dropped.
            kept: as :attr:`kept`, holds outer layer and both halves; ``known`` when they are there already.
            known: see ``kept``.
        """
        R, H = len(x), self.width
        inner, slope, gate, total, mask = (
            part[:R] for part in (self.inner, self.slope, self.gate, self.total, self.mask)
        )
        flat = kept.view(-1)
        outer, halves = flat[: R * H].view(R, H), flat[self.rows * H : self.rows * H + 2 * R * H].view(R, 2 * H)
        torch.addcmul(of.offset, x, of.slope, out=inner)
        # elu + 1 = max(x, 0) + exp(min(x, 0)), where exp is also the slope; s / (1 - s) is it at a third of exp's time.
        torch.clamp(inner, max=0, out=slope).sigmoid_()
        slope.div_(torch.sub(1, slope, out=self.spare[:R]))
        inner.clamp_(min=0).add_(slope)
        if drawn is not None:
            torch.ge(drawn, level, out=mask)
        if not known:
            torch.addmm(of.outer_bias, inner, of.outer, out=outer)
            if drawn is not None:
                outer.mul_(mask)
            torch.addmm(of.gate_bias, outer, of.gate, out=halves)
        torch.sigmoid(halves[:, H:], out=gate)
        torch.addcmul(of.bias, x, of.embedding, out=total).addcmul_(halves[:, :H], gate)
        return inner, slope, outer, halves, gate, total, mask


class _InCache(torch.autograd.Function):
    """Forward and backward pass over blocks of :data:`ROWS` rows."""

    @staticmethod
    def forward(ctx: Any, level: int, keep: bool, x: Tensor, weights: Tensor, *parameters: Tensor) -> Tensor:
        networks = Networks(*parameters)
        networks = networks._replace(outer_bias=networks.outer_bias - networks.outer.sum(dim=1))
        width = networks.embedding.shape[1]
        x, weights = x.t().contiguous(), weights.t().contiguous()  # [F, N]
        out = weights.t() @ networks.norm_bias
        block = _Block(x, x.shape[1], width)
        budget = KEPT // max(1, block.kept.nbytes) if keep else 0
        ctx.level, ctx.drawn, ctx.kept, ctx.stats = level, [], [], []
        for start in range(0, x.shape[1], ROWS):
            found = out[start : start + ROWS]
            rows = slice(start, start + len(found))
            for place, of in enumerate(_by_variable(networks)):
                drawn = _random_bytes(len(found), width) if level else None
                kept = _take(block.kept) if len(ctx.kept) < budget else None
                total = block.compute(
                    x[place, rows, None], of, level, drawn, block.kept if kept is None else kept, known=False
                )[5]
                normed, *stats = torch.native_layer_norm(total, [width], of.norm_weight, None, 1e-5)
                found.addcmul_(normed, weights[place, rows, None])
                if keep:
                    ctx.drawn.append(drawn)
                    ctx.kept.append(kept)
                    ctx.stats.append(stats)
        ctx.save_for_backward(x, weights, *networks)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, *parameters = ctx.saved_tensors
        networks = Networks(*parameters)
        grad, block = grad.contiguous(), _Block(grad, len(grad), networks.embedding.shape[1])
        grads = Networks(*(torch.zeros_like(part) for part in networks))
        # With a row of ones, one product gives a line's two gradients.
        skip, line = (x.new_zeros(len(x), 2, block.width) for _ in range(2))
        grad_x, grad_weights = torch.empty_like(x), networks.norm_bias @ grad.t()
        position = 0
        for start in range(0, x.shape[1], ROWS):
            part = grad[start : start + ROWS]
            rows, ones, spare = slice(start, start + len(part)), x.new_ones(2, len(part)), block.spare[: len(part)]
            for place, of in enumerate(_by_variable(networks)):
                drawn, kept = ctx.drawn[position], ctx.kept[position]
                values = block.compute(
                    x[place, rows, None], of, ctx.level, drawn, block.kept if kept is None else kept,
                    known=kept is not None,
                )  # fmt: skip
                ones[0] = x[place, rows]
                into = Networks(*(one[place] for one in grads))
                grad_weights[place, rows] += _weight_gradient(part, values[5], of, ctx.stats[position], spare)
                torch.mul(part, weights[place, rows, None], out=spare)
                above, of_norm, _ = torch.ops.aten.native_layer_norm_backward(
                    spare, values[5], [block.width], *ctx.stats[position], of.norm_weight, None, [True, True, False]
                )
                into.norm_weight.add_(of_norm)
                skip[place].addmm_(ones, above)
                below = _through_network(above, values, of, into, block, masked=drawn is not None)
                line[place].addmm_(ones, below)
                torch.addmv(above @ of.embedding, below, of.slope, out=grad_x[place, rows])
                if kept is not None:
                    _give_back(kept)
                    ctx.kept[position] = None
                position += 1
        # The inner layer was 1 too large in the product, and the bias made up for it.
        grads.outer.sub_(grads.outer_bias[:, None])
        grads = grads._replace(
            embedding=skip[:, 0], bias=skip[:, 1], slope=line[:, 0], offset=line[:, 1], norm_bias=weights @ grad
        )
        return None, None, grad_x.t(), grad_weights.t(), *grads


def _through_network(
    above: Tensor, values: tuple[Tensor, ...], of: Networks, into: Networks, block: _Block, *, masked: bool
) -> Tensor:
    """From the gradient in the sum to that in the line of the inner layer; adds to those of gate and outer layer."""
    inner, slope, outer, halves, gate, _, mask = values
    R, H = inner.shape
    both, below, spare = block.both[:R], block.below[:R], block.spare[:R]
    torch.mul(above, gate, out=both[:, :H])
    torch.mul(both[:, :H], halves[:, :H], out=spare)
    torch.addcmul(spare, spare, gate, value=-1, out=both[:, H:])
    into.gate.addmm_(outer.t(), both)
    into.gate_bias.add_(both.sum(dim=0))
    torch.mm(both, of.gate.t(), out=below)
    if masked:
        below.mul_(mask)
    into.outer.addmm_(inner.t(), below)
    into.outer_bias.add_(below.sum(dim=0))
    return torch.mm(below, of.outer.t(), out=spare).mul_(slope)


def _weight_gradient(grad: Tensor, total: Tensor, of: Networks, stats: list[Tensor], spare: Tensor) -> Tensor:
    """Product of the gradient with a variable's normed network, without the norm's bias: [R]."""
    mean, scale = (part[:, 0] for part in stats)
    return (torch.mul(grad, total, out=spare) @ of.norm_weight - (grad @ of.norm_weight) * mean) * scale


def _by_variable(networks: Networks) -> list[Networks]:
    return [Networks(*parts) for parts in zip(*networks, strict=True)]


def _random_bytes(rows: int, width: int) -> Tensor:
    """Uniform bytes [rows, width], eight of each number drawn: a tenth of what a Bernoulli draw a value takes."""
    words = torch.empty(rows * width // 8 + 1, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[: rows * width].view(rows, width)


def _take(like: Tensor) -> Tensor:
    while _spare:
        found = _spare.pop()
        if found.shape == like.shape:
            return found
    return torch.empty_like(like)


def _give_back(kept: Tensor) -> None:
    if len(_spare) < KEPT // kept.nbytes:
        _spare.append(kept)
