"""Draw the packages of the project, and which imports which, into docs/architecture.md.

Run: python docs/draw_imports.py

The picture is a Mermaid flowchart, which GitHub and most documentation sites render. An arrow that follows from two
others is left out (transitive reduction), and so are the modules that everything may use.
"""

import re
from pathlib import Path

import grimp
import networkx as nx

PACKAGE = "atft_pipeline"
PAGE = Path(__file__).with_name("architecture.md")
BLOCK = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def imports() -> "nx.DiGraph[str]":
    """The packages of the project; an edge goes from one to another that it imports."""
    modules = grimp.build_graph(PACKAGE)
    packages = {name.split(".")[1] for name in modules.modules if name.count(".") == 2}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(packages)
    for module in modules.modules:
        for other in modules.find_modules_directly_imported_by(module):
            pair = [name.split(".")[1] for name in (module, other) if name.count(".") >= 1]
            if len(pair) == 2 and pair[0] != pair[1] and packages.issuperset(pair):
                graph.add_edge(*pair)
    return graph


def mermaid(graph: "nx.DiGraph[str]") -> str:
    """The flowchart.

    Raises:
        NetworkXError: the packages import each other in a circle.
    """
    reduced = nx.transitive_reduction(graph)
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {package}" for package in sorted(reduced) if not reduced.degree(package)]
    lines += [f"    {package} --> {other}" for package, other in sorted(reduced.edges)]
    return "\n".join([*lines, "```"])


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(mermaid(imports()), PAGE.read_text(encoding="utf-8"), count=1), encoding="utf-8")
