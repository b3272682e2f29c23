"""One progress bar for all long work."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
_HIDDEN: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def hidden_bars() -> Iterator[None]:
    """Draw no bar inside, where another display has the terminal."""
    token = _HIDDEN.set(True)
    try:
        yield
    finally:
        _HIDDEN.reset(token)


def progress_bar() -> Progress:
    """Build an empty progress display; it draws on stderr and stays silent where stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=_HIDDEN.get() or not console.is_terminal,
    )


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and draw a progress bar named ``label`` while they are consumed.

    Args:
        items: what to iterate.
        label: text beside the bar.
        total: number of items where ``items`` has no length.
    """
    count = total if total is not None else (len(items) if isinstance(items, Sized) else None)
    with progress_bar() as bar:
        task = bar.add_task(label, total=count, note="")
        for item in items:
            yield item
            bar.advance(task)
