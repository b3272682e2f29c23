"""Of which blocks a built model consists, and how many parameters each has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from atft_pipeline.model.atft_gat_fan import ATFTGATFAN


@dataclass(frozen=True)
class Block:
    """A child of the model.

    Attributes:
        name: attribute of the model.
        kind: class.
        parameters: how many.
        share: of all parameters of the model.
        parts: what it consists of, the commonest class first, such as ``4 AttentionLayer``.
    """

    name: str
    kind: str
    parameters: int
    share: float
    parts: tuple[str, ...]


def blocks(model: ATFTGATFAN) -> list[Block]:
    """List the model's blocks in the order in which they were built."""
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    total = sum(parameter.numel() for parameter in model.parameters())
    return [
        Block(name, type(child).__name__, counts[name], counts[name] / total, _parts(child))
        for name, child in model.named_children()
    ]


def _parts(module: nn.Module) -> tuple[str, ...]:
    """Classes of the children, lists opened, with their counts."""
    kinds = Counter(type(child).__name__ for child in _opened(module))
    return tuple(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.most_common())


def _opened(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield child
