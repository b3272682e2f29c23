"""What a built model consists of: its blocks, and a picture drawn from its module tree."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from textwrap import wrap

from torch import nn

from atft_pipeline.model.atft_gat_fan import ATFTGATFAN

# Where each block stands (column, row) and what flows between them; a block that is missing here cannot be drawn.
PLACES = {
    "sector": (0, 0),
    "market": (0, 1),
    "regime": (0, 2),
    "context": (0, 3),
    "normaliser": (1, 0),
    "selection_weights": (1, 1),
    "selection": (1, 2),
    "encoder": (1, 3),
    "fuse": (2, 3),
    "graph": (2, 2),
    "heads": (2, 1),
}
FLOWS = (
    ("sector", "market", "+"),
    ("market", "regime", "+"),
    ("regime", "context", "sum [H]"),
    ("context", "selection_weights", ""),
    ("context", "encoder", ""),
    ("normaliser", "selection_weights", "sequence [L, F]"),
    ("selection_weights", "selection", "weights [L, F]"),
    ("selection", "encoder", "steps [L, H]"),
    ("normaliser", "fuse", "summary [H]"),
    ("encoder", "fuse", "last step [H]"),
    ("fuse", "graph", "[n, H]"),
    ("graph", "heads", "[n, H]"),
)
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 230, 92, 90, 44, 24
INK, PALE, ACCENT = "#1f2933", "#f4f6f8", "#2f6f9f"


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


def draw(model: ATFTGATFAN) -> str:
    """Draw the blocks and what flows between them as SVG."""
    found = {block.name: block for block in blocks(model)}
    columns = 1 + max(PLACES[name][0] for name in found)
    rows = 1 + max(PLACES[name][1] for name in found)
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{ACCENT}"/></marker></defs>',
    ]
    parts += [_arrow(first, second, label) for first, second, label in FLOWS if {first, second} <= set(found)]
    parts += [line for block in found.values() for line in _box(block)]
    return "\n".join([*parts, "</svg>", ""])


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


def _corner(name: str) -> tuple[int, int]:
    column, row = PLACES[name]
    return MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)


def _box(block: Block) -> list[str]:
    x, y = _corner(block.name)
    lines = wrap(", ".join(block.parts), 36)[:2]
    return [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{PALE}" stroke="{ACCENT}"/>',
        f'<rect x="{x}" y="{y + HEIGHT - 5}" width="{max(2.0, WIDTH * block.share):.1f}" height="5" fill="{ACCENT}"/>',
        f'<text x="{x + 10}" y="{y + 20}" font-weight="bold" font-size="14">{escape(block.name)}</text>',
        f'<text x="{x + 10}" y="{y + 37}">{block.kind}: {block.parameters:,} ({100 * block.share:.1f} %)</text>',
        *(
            f'<text x="{x + 10}" y="{y + 56 + 15 * place}" font-size="11" fill="#52606d">{escape(line)}</text>'
            for place, line in enumerate(lines)
        ),
    ]


def _arrow(first: str, second: str, label: str) -> str:
    """A line from the nearer edge of one box to that of another, its label beside the middle."""
    (x1, y1), (x2, y2) = _corner(first), _corner(second)
    half_x, half_y = WIDTH // 2, HEIGHT // 2
    if x1 == x2:
        down = y2 > y1
        a, b, c, d = x1 + half_x, y1 + HEIGHT * down, x2 + half_x, y2 + HEIGHT * (not down)
    else:
        a, b, c, d = x1 + 2 * half_x, y1 + half_y, x2, y2 + half_y
    x, y = ((a + c) / 2 - GAP_X / 2 + 6, b - 6) if b == d else ((a + c) / 2 + 6, (b + d) / 2 + 4)
    text = f'<text x="{x:.0f}" y="{y:.0f}" font-size="11">{escape(label)}</text>'
    line = f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="{ACCENT}" stroke-width="1.5" marker-end="url(#tip)"/>'
    return line + (text if label else "")
