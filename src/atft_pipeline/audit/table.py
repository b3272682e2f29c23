"""The audit as text for a terminal."""

from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 118
SHOWN = 20


def audit_table(report: dict[str, Any]) -> str:
    """One line an artifact with pass or fail, then the first leaks.

    Args:
        report: of :meth:`atft_pipeline.audit.audit.Audit.report`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("artifact")
    for name in ("items", "values compared", "leaks"):
        table.add_column(name, justify="right")
    table.add_column("result")
    table.add_column("first leak", overflow="fold")
    for line in report["artifacts"]:
        result = "FAIL" if line["leaks"] else "pass"
        table.add_row(
            line["artifact"], str(line["items"]), f"{line['values']:,}", str(line["leaks"]), result, line["first"]
        )
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    console.print(
        f"leak audit: {'PASSED' if report['passed'] else 'FAILED'}; futures replaced after {', '.join(report['dates'])}"
    )
    console.print(table)
    for leak in report["leaks"][:SHOWN]:
        share = f"{leak['differing']:,} of {leak['checked']:,} differ"
        console.print(f"{leak['artifact']}: {leak['item']}: {share}, first at {leak['first']}")
    suspects = [found for found in report["fingerprints"] if not found["passed"]]
    for found in suspects[:SHOWN]:
        ics = ", ".join(f"{horizon}d {value:+.3f}" for horizon, value in found["rank_ic"].items())
        console.print(f"fingerprint: {found['feature']} ({found['score']}): RankIC {ics}; t {found['t']:+.1f}")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
