"""docs/architecture.md: its picture is that of the imports, and its answers lie where it says."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from tests.project import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ANSWERS = re.findall(r"^\| (.+\?) \| `(.+?)` \| `(.+?)` \|$", PAGE, re.MULTILINE)


def test_the_picture_is_that_of_the_imports() -> None:
    """Drawn again it is the same; a circle of packages cannot be drawn at all."""
    drawn = runpy.run_path(str(ROOT / "docs/draw_imports.py"))
    assert drawn["mermaid"](drawn["imports"]()) in PAGE


def test_twelve_questions_are_answered() -> None:
    assert len(ANSWERS) == len({question for question, _, _ in ANSWERS}) == 12


@pytest.mark.parametrize(("question", "file", "name"), ANSWERS)
def test_the_answer_is_where_the_page_says(question: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / "src/atft_pipeline" / file).read_text(encoding="utf-8"))
    defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert defined.count(name) == 1


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", PAGE)
    assert named
    for file in set(named):
        assert (ROOT / "src/atft_pipeline" / file).is_file() or (ROOT / file).is_file(), file
    assert Path(ROOT / "docs/draw_imports.py").is_file()
