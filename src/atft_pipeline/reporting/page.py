"""Pages for people: one skeleton with scripts and styles inside, so that a page needs no network."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from atft_pipeline.reporting import cells
from atft_pipeline.reporting.theme import DARK, LIGHT


def render(template: str, figures: Mapping[str, go.Figure] | None = None, **values: Any) -> str:
    """Fill a template that extends ``base.html.j2``.

    Args:
        template: its name, such as ``evaluation``.
        figures: the template shows them as ``figures.<name>``; a page without any carries no script of Plotly.
        values: everything else that the template names; text among it is escaped.

    Returns:
        A complete HTML document.
    """
    drawn = {name: _fragment(name, figure) for name, figure in (figures or {}).items()}
    return (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            figures=drawn,
            # The sections write their titles here while they are rendered; the contents are written after them.
            contents=[],
            plotlyjs=Markup(get_plotlyjs()) if drawn else "",  # noqa: S704  (plotly's own script)
            light=LIGHT.to_plotly_json(),
            dark=DARK.to_plotly_json(),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    """The templates of this package; text that goes into them is escaped, a name that nobody gave is an error."""
    environment = Environment(
        loader=PackageLoader("atft_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for cell in (cells.estimate, cells.interval, cells.leaves, cells.money, cells.number):
        environment.filters[cell.__name__] = cell
    return environment


def _fragment(name: str, figure: go.Figure) -> Markup:
    """A figure as a part of a page."""
    options = {"displayModeBar": False, "responsive": True}
    text: str = to_html(figure, include_plotlyjs=False, full_html=False, config=options, div_id=f"figure-{name}")
    return Markup(text)  # noqa: S704  (made by plotly, which escapes its texts)
