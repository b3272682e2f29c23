"""Tables and lines for a terminal."""

from collections.abc import Collection, Iterable, Sequence
from io import StringIO
from textwrap import fill

from rich import box
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table

WIDTH = 118
"""Columns of everything that is printed, however wide the terminal is: a log and a test read what a user does."""


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[RenderableType] | None],
    *,
    left: Collection[str] = (),
    folded: Collection[str] = (),
    caption: str | None = None,
) -> Table:
    """Lay rows out under a head.

    Args:
        columns: their names.
        rows: one cell a column; ``None`` ends a group of rows.
        left: columns of words, which begin at the left; numbers end at the right.
        folded: columns of words that may take several lines; no other cell is broken.
        caption: below the table.
    """
    drawn = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        justify: JustifyMethod = "left" if name in left or name in folded else "right"
        if name in folded:
            drawn.add_column(name, justify=justify, overflow="fold")
        else:
            drawn.add_column(name, justify=justify, no_wrap=True)
    for row in rows:
        if row is None:
            drawn.add_section()
        else:
            drawn.add_row(*row)
    return drawn


def indented(first: str, text: str) -> str:
    """A line that begins with a word; what does not fit stands below its text."""
    return fill(f"{first}{text}", WIDTH, subsequent_indent=" " * len(first))


def terminal_text(parts: Iterable[RenderableType]) -> str:
    """Draw tables and lines below one another without colours; a name from the data is never markup."""
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines()) + "\n"


def show(part: RenderableType) -> None:
    """Print to the terminal, in colours where it has them."""
    Console(width=WIDTH, markup=False, highlight=False, emoji=False).print(part)
