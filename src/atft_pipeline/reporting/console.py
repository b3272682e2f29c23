"""Reports as text for a terminal: without colours, so that a log and a test read what a user does."""

from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType

WIDTH = 118


def terminal_text(parts: Iterable[RenderableType]) -> str:
    """Draw tables and lines below one another in :data:`WIDTH` columns; a name from the data is never markup."""
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines()) + "\n"


def show(part: RenderableType) -> None:
    """Print to the terminal, in at least 110 columns where it is narrower or none."""
    Console(width=max(Console().width, 110)).print(part)
