"""Tables of ``kedro doctor`` and ``kedro prune``."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from atft_pipeline.doctor import Finding
from atft_pipeline.reporting.console import table

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def findings_table(findings: Iterable[Finding]) -> Table:
    """One line a finding."""
    rows = [(item.subject, Text(item.state, COLOURS[item.state]), item.value, item.told) for item in findings]
    columns = ("subject", "state", "found", "why")
    return table(columns, rows, left=columns, folded=("why",))


def versions_table(rows: Sequence[tuple[str, int, int, int, int]]) -> Table:
    """Artifact, versions that are the newest, that are needed, that may go, and the bytes that these free."""
    lines = [(name, str(newest), str(needed), str(old), size_text(freed)) for name, newest, needed, old, freed in rows]
    return table(("artifact", "newest", "needed", "old", "frees"), lines, left=("artifact",))


def size_text(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def age_text(seconds: float) -> str:
    """An age as people say it."""
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} old"
    return "made now"
