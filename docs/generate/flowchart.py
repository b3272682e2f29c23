"""Mermaid flowcharts of the pages as SVG: the site fetches no script that would draw them."""

import re
from html import escape

import networkx as nx

STEP_X, STEP_Y, WIDTH, HEIGHT = 122, 74, 104, 30


def svg(mermaid: str) -> str:
    """Draw ``a --> b`` lines from top to bottom.

    Args:
        mermaid: text of a flowchart without circles.
    """
    graph: nx.DiGraph[str] = nx.DiGraph(re.findall(r"^\s*(\w+) --> (\w+)\s*$", mermaid, re.MULTILINE))
    places = _places(graph)
    width = max(x for x, _ in places.values()) + WIDTH
    height = max(y for _, y in places.values()) + HEIGHT
    lines = [
        f'<line x1="{places[a][0] + WIDTH / 2:.0f}" y1="{places[a][1] + HEIGHT}" x2="{places[b][0] + WIDTH / 2:.0f}" '
        f'y2="{places[b][1]}" stroke="currentColor" stroke-opacity="0.35" marker-end="url(#arrow)"/>'
        for a, b in graph.edges
    ]
    boxes = [
        f'<rect x="{x:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#3b7bf2" fill-opacity="0.12" '
        f'stroke="#3b7bf2"/><text x="{x + WIDTH / 2:.0f}" y="{y + 20}" text-anchor="middle" font-size="13" '
        f'fill="currentColor">{escape(name)}</text>'
        for name, (x, y) in places.items()
    ]
    head = (
        f'<svg viewBox="-4 -4 {width + 8:.0f} {height + 8}" width="100%" role="img" xmlns="http://www.w3.org/2000/svg">'
    )
    arrow = '<path d="M0 0L7 3.5L0 7z" fill="currentColor" fill-opacity="0.5"/>'
    size = 'refX="7" refY="3.5" markerWidth="8" markerHeight="8" orient="auto"'
    head += f'<defs><marker id="arrow" {size}>{arrow}</marker></defs>'
    return "".join([head, *lines, *boxes, "</svg>"])


def _places(graph: "nx.DiGraph[str]") -> dict[str, tuple[float, int]]:
    """Corners of the boxes: a row below all that lead to it, in a row near what they are linked with."""
    rows: list[list[str]] = []
    depth: dict[str, int] = {}
    for name in nx.lexicographical_topological_sort(graph):
        depth[name] = max((depth[before] + 1 for before in graph.predecessors(name)), default=0)
        rows += [[] for _ in range(depth[name] + 1 - len(rows))]
        rows[depth[name]].append(name)
    at = {name: float(place) for row in rows for place, name in enumerate(row)}
    for _ in range(8):
        for row in rows:
            wish = {name: _mean([at[other] for other in nx.all_neighbors(graph, name)]) for name in row}
            row.sort(key=lambda name, wish=wish: wish[name])
            left = [wish[name] for name in row]
            for place in range(len(left) - 1):
                left[place + 1] = max(left[place + 1], left[place] + 1)
            at |= dict(zip(row, left, strict=True))
    least = min(at.values())
    return {name: ((at[name] - least) * STEP_X, depth[name] * STEP_Y) for name in at}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
