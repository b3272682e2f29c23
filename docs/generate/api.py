"""The API reference: a page for each package of the library, its modules read by mkdocstrings."""

import ast
import pkgutil
from pathlib import Path

import atft_pipeline

SOURCE = Path(atft_pipeline.__file__).parent
# What a user of the library calls; `pipelines` and `datasets` only wire it to Kedro.
PACKAGES = (
    *("prices", "features", "panel", "graphs", "model", "losses", "splits", "training", "scoring"),
    *("baselines", "evaluation", "stats", "tuning", "audit", "synthetic"),
)


def modules(package: str) -> list[str]:
    """Dotted names of the modules of a package that define something public."""
    found = pkgutil.walk_packages([str(SOURCE / package)], f"atft_pipeline.{package}.")
    return [name for _, name, is_package in found if not is_package and not name.rpartition(".")[2].startswith("_")]


def docstring(name: str) -> str:
    """The docstring of a package or module, read without importing it."""
    path = SOURCE.parent.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def pages() -> dict[str, str]:
    """Markdown of each package's page, by its path."""
    return {f"reference/api/{package}.md": _page(package) for package in PACKAGES}


def _page(package: str) -> str:
    blocks = "\n\n".join(f"::: {name}" for name in modules(package))
    name = f"atft_pipeline.{package}"
    # A search finds the pages that explain before those that list.
    return f"---\nsearch: {{boost: 0.3}}\n---\n# {name}\n\n{docstring(name)}\n\n{blocks}\n"


def index() -> str:
    """The first page of the reference."""
    rows = [f"| [`{name}`](api/{name}.md) | {docstring(f'atft_pipeline.{name}')} |" for name in PACKAGES]
    return (
        "# Python API\n\nThe library under the pipelines knows no Kedro: everything here can be called from a script "
        "or a notebook.\n\n| package | what |\n|---|---|\n" + "\n".join(rows) + "\n"
    )
