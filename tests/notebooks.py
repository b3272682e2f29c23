"""Notebooks of the project, run where their artifacts are."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.project import ROOT


def read(name: str) -> nbformat.NotebookNode:
    """A committed notebook."""
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def run(project: Path, *names: str) -> list[nbformat.NotebookNode]:
    """Run notebooks one after the other in one kernel, which imports the project once; the cells with what they gave.

    Raises:
        CellExecutionError: a cell failed, or what it asserts does not hold.
    """
    together = nbformat.v4.new_notebook(metadata=read(names[0]).metadata)
    for name in names:
        together.cells += [cell for cell in read(name).cells if cell.cell_type == "code"]
    for place, cell in enumerate(together.cells):
        cell["id"] = f"cell-{place}"
    resources = {"metadata": {"path": str(project / "notebooks")}}
    NotebookClient(together, timeout=120, resources=resources).execute()
    return list(together.cells)
