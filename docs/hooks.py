"""Hooks of the site: pages made from the code, and links from every parameter that a page names to its reference.

A code span such as ``training.epochs`` becomes a link where that parameter exists. One that begins with the name of a
group but is no parameter stops the build, so no page can name a parameter that is gone.
"""

import logging
import re
from pathlib import Path
from typing import Any

from generate import api, catalog, configuration, errors, flowchart
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from atft_pipeline.pipeline_registry import register_pipelines

ROOT = Path(__file__).resolve().parents[1]
log = logging.getLogger("mkdocs.hooks.pages")

PIPELINES = register_pipelines()
PARAMETERS = configuration.names(PIPELINES)
GROUPS = {name for name in PARAMETERS if "." not in name}
SHIM = "https://unpkg.com/iframe-worker/shim"
# Files and modules that begin as a group does.
FILES = re.compile(r"\.(json|html|arrow|parquet|yml|py|md)$")
SPAN = re.compile(r"(?<![\[`])`([a-z_]+\.[\w.\[\]]+)(=[^`]*)?`(?![`\]])")
MERMAID = re.compile(r"^```mermaid\n(.*?)^```", re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r'<img alt="([^"]*)" src="[^"]*figures/(\w+\.svg)"\s*/?>')
FENCE = re.compile(r"(^```.*?^```|^#.*?$|\[[^\]]*\]\([^)]*\))", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that the navigation does not name behind the others of their kind."""
    nav: list[Any] = config.nav or []
    named = set(re.findall(r"[\w/-]+\.md", str(nav)))
    for title, folder in {"How it works": "", "Decisions": "decisions/"}.items():
        found = sorted(f"{folder}{path.name}" for path in (ROOT / "docs" / folder).glob("*.md"))
        _pages_under(nav, title).extend(page for page in found if page not in named)
    return config


def _pages_under(nav: list[Any], title: str) -> list[Any]:
    """The list of pages under a title of the navigation, at any depth; an empty one where there is none."""
    for part in nav:
        for name, pages in part.items() if isinstance(part, dict) else ():
            if isinstance(pages, list):
                found = pages if name == title else _pages_under(pages, title)
                if found:
                    return found
    return []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    pages = {
        configuration.PAGE: configuration.reference(PIPELINES),
        "reference/catalog.md": catalog.reference(PIPELINES),
        "reference/errors.md": errors.reference(errors.Reader().messages()),
        "reference/api.md": api.index(),
        **api.pages(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Draw flowcharts; link the first mention of each parameter to its reference."""
    markdown = MERMAID.sub(lambda block: f"<figure>{flowchart.svg(block[1])}</figure>", markdown)
    # The log and the decisions speak of what was.
    if page.file.src_uri == configuration.PAGE or page.file.src_uri.startswith(("log", "decisions/")):
        return markdown
    seen: set[str] = set()
    parts = FENCE.split(markdown)
    # Every second part is a block of code, a heading or a link: it stays as it is.
    parts[::2] = [SPAN.sub(lambda span: _linked(span, page, seen), part) for part in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, **_: Any) -> str:
    """Put drawn figures into the page itself, where their ink is the colour of its text."""

    def inline(image: re.Match[str]) -> str:
        drawn = (ROOT / "docs/figures" / image[2]).read_text(encoding="utf-8")
        # Styles inside of it would hold for the whole page.
        drawn = re.sub(r"<style.*?</style>", "", drawn, flags=re.DOTALL)
        return drawn.replace("<svg ", f'<svg aria-label="{image[1]}" ', 1)

    return FIGURE.sub(inline, html)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Search from the disk with the project's own shim in place of one that would be fetched."""
    return output.replace(SHIM, get_relative_url("worker_from_disk.js", page.url))


def on_post_template(output_content: str, **_: Any) -> str:
    """The page of a dead address likewise."""
    return output_content.replace(SHIM, "worker_from_disk.js")


def _linked(span: re.Match[str], page: Page, seen: set[str]) -> str:
    name = re.sub(r"\[\d*\]|\.\d+(?=\.|$)", "", span[1])
    if name.split(".")[0] not in GROUPS or FILES.search(name):
        return span[0]
    if name not in PARAMETERS:
        if _opens_mapping(name):
            return span[0]
        log.warning("%s: `%s` is no parameter of the configuration", page.file.src_uri, span[1])
    if name in seen:
        return span[0]
    seen.add(name)
    target = get_relative_url(configuration.PAGE, page.file.src_uri)
    return f"[{span[0]}]({target}#{name})"


def _opens_mapping(name: str) -> bool:
    """Tell whether a name is a key inside of a parameter that is a mapping, such as ``loss.horizon_weights.5``."""
    return name.rpartition(".")[0] in PARAMETERS - GROUPS
